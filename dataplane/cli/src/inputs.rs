//! The documents that verbs work on: `-f` and how strictly it is read.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ringfence_dataplane::document::{self, Input, Report, Validation};
use ringfence_dataplane::model::{Failsafe, PolicySet};

use crate::exit::Failure;

/// Flags of every verb that reads documents.
#[derive(Clone, Debug, Args)]
pub struct InputArguments {
    /// File or directory with policies, namespaces and workloads, or `-` for stdin; can be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    filenames: Vec<PathBuf>,
    /// What to do about unknown fields and kinds, and keys that are there twice
    #[arg(long, env = "RINGFENCE_VALIDATE", default_value = "strict", value_name = "HOW")]
    validate: Validate,
    /// Namespace of policies and workloads that do not name theirs
    #[arg(
        long,
        env = "RINGFENCE_DEFAULT_NAMESPACE",
        default_value = "default",
        value_name = "NAME",
        value_parser = namespace
    )]
    default_namespace: String,
}

/// Flags of every verb that says or does what a host enforces.
#[derive(Clone, Debug, Args)]
pub struct HostArguments {
    #[command(flatten)]
    inputs: InputArguments,
    /// Ports of the host itself that stay open whatever policy says, or `none`
    #[arg(
        long,
        env = "RINGFENCE_FAILSAFE",
        default_value_t = Failsafe::default(),
        value_name = "LIST"
    )]
    failsafe: Failsafe,
}

/// What documents say, for one host.
pub struct HostInput {
    /// The policies, with what stays open.
    pub policies: PolicySet,
    /// Policy name → what tells whether it says the same as before.
    pub digests: BTreeMap<String, String>,
}

impl HostArguments {
    /// Namespace of policies and workloads that do not name theirs.
    pub fn default_namespace(&self) -> &str {
        self.inputs.default_namespace()
    }

    /// Reads the documents as [`InputArguments::load`] does, and keeps open on the host what has
    /// to stay open.
    ///
    /// # Errors
    ///
    /// As [`InputArguments::load`].
    pub fn load(&self) -> Result<HostInput, Failure> {
        let (mut policies, report) = self.inputs.load()?;
        let digests = report.digests().into_iter();
        let mut digests: BTreeMap<String, String> =
            digests.map(|(name, digest)| (name.to_string(), digest.to_string())).collect();
        if let Some(name) = self.failsafe.add_to(&mut policies) {
            digests.insert(name.to_string(), self.failsafe.to_string());
        }
        Ok(HostInput { policies, digests })
    }
}

/// The values of `--validate`, as kubectl has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Validate {
    /// They are errors
    Strict,
    /// They are warnings, and left out
    Warn,
    /// They are left out
    Ignore,
}

impl InputArguments {
    /// Namespace of policies and workloads that do not name theirs.
    pub fn default_namespace(&self) -> &str {
        &self.default_namespace
    }

    /// Whether some of the documents come from stdin, which can be read once.
    pub fn reads_stdin(&self) -> bool {
        self.filenames.iter().any(|path| path.as_os_str() == "-")
    }

    /// Reads the documents and prints nothing.
    pub fn read(&self) -> Report {
        let inputs: Vec<Input> =
            self.filenames.iter().map(|path| Input::from_argument(path)).collect();
        let validation = match self.validate {
            Validate::Strict => Validation::Strict,
            Validate::Warn => Validation::Warn,
            Validate::Ignore => Validation::Ignore,
        };
        let default_namespace = self.default_namespace.clone();
        document::read(&inputs, document::Options { validation, default_namespace })
    }

    /// Reads the documents and prints what is wrong or odd about them on stderr. Gives the
    /// policies and the report on the documents they came from.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`], exit code 2, when the documents have errors.
    pub fn load(&self) -> Result<(PolicySet, Report), Failure> {
        let mut report = self.read();
        print(&report);
        match report.policies.take() {
            Some(policies) => Ok((policies, report)),
            None => Err(Failure::Usage(anyhow::anyhow!("{}", report.summary()))),
        }
    }
}

/// The name of a namespace.
fn namespace(name: &str) -> Result<String, String> {
    if document::is_namespace_name(name) {
        Ok(name.to_owned())
    } else {
        Err("use up to 63 lower-case letters, digits and `-`, with a letter or digit at both ends"
            .to_owned())
    }
}

/// Prints the diagnostics of `report` on stderr; `--quiet` leaves out those of a good report.
pub fn print(report: &Report) {
    if !report.has_errors() && !tracing::enabled!(tracing::Level::WARN) {
        return;
    }
    // If stderr is gone, there is nowhere to say so.
    let _ = write!(anstream::stderr(), "{}", report.render(true));
}
