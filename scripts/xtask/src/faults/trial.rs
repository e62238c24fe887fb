//! Building and running the tests on a tree with a fault in it.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::list::Fault;
use super::tree::Tree;
use crate::child;

/// A test program that takes longer does not end: without a fault, and with two processors to
/// itself, each takes about a minute at most.
const PATIENCE: Duration = Duration::from_secs(600);

/// Generated pairs that each fault is tried on; a test that fails does not look for a smaller
/// example, because its failure is all that is asked for.
const ENVIRONMENT: &[(&str, &str)] =
    &[("RINGFENCE_PAIRS", "20000"), ("RINGFENCE_SHRINKING", "0"), ("RUST_BACKTRACE", "0")];

/// A test program.
#[derive(Debug)]
pub struct Program {
    /// What it is called.
    pub name: &'static str,
    /// Which of its tests are run, as the test program takes them.
    pub arguments: &'static [&'static str],
}

/// What became of a fault.
#[derive(Debug)]
pub enum Outcome {
    /// A test failed.
    Caught {
        /// The test program, and the test in it.
        by: String,
    },
    /// No test failed.
    Survived,
    /// It does not compile, so it is no fault that anybody could commit.
    NotBuilt {
        /// The first error.
        error: String,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caught { by } => write!(f, "caught by {by}"),
            Self::Survived => f.write_str("SURVIVED"),
            Self::NotBuilt { error } => write!(f, "DOES NOT COMPILE: {error}"),
        }
    }
}

/// A tree and the test programs built from it.
pub struct Bench<'a> {
    tree: &'a Tree,
    target: PathBuf,
    programs: Vec<&'static Program>,
}

impl<'a> Bench<'a> {
    /// Builds in `target`, which is kept from one run to the next.
    pub fn new(tree: &'a Tree, target: &Path, programs: Vec<&'static Program>) -> Self {
        Self { tree, target: target.to_owned(), programs }
    }

    /// Builds and runs the tests as they are; they have to pass.
    pub fn baseline(&self) -> Result<()> {
        let programs = match self.build()? {
            Ok(programs) => programs,
            Err(error) => bail!("the tests cannot be built: {error}"),
        };
        match self.first_failure(&programs)? {
            None => Ok(()),
            Some(test) => bail!("{test} fails without any fault; mend that first"),
        }
    }

    /// Makes the fault, looks who notices, and takes it back.
    pub fn try_fault(&self, fault: &Fault) -> Result<Outcome> {
        let text = self.tree.read(&fault.file)?;
        self.tree.write(&fault.file, &fault.make(&text)?)?;
        let outcome = self.outcome();
        self.tree.write(&fault.file, &text)?;
        outcome
    }

    fn outcome(&self) -> Result<Outcome> {
        let programs = match self.build()? {
            Ok(programs) => programs,
            Err(error) => return Ok(Outcome::NotBuilt { error }),
        };
        Ok(match self.first_failure(&programs)? {
            Some(by) => Outcome::Caught { by },
            None => Outcome::Survived,
        })
    }

    /// Builds the test programs: their files, in their order, or the compiler's first error.
    fn build(&self) -> Result<Result<Vec<PathBuf>, String>> {
        let mut cargo = child::clean("cargo");
        cargo.current_dir(&self.tree.root).env("CARGO_TARGET_DIR", &self.target);
        // Debug information takes most of the time of a small change.
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "1");
        cargo.args(["test", "--locked", "--no-run", "--message-format", "json", "--quiet"]);
        cargo.args(["--package", "ringfence-testbed"]);
        self.programs.iter().for_each(|program| _ = cargo.args(["--test", program.name]));
        let output = cargo.output().context("cannot start cargo")?;
        let messages: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        if !output.status.success() {
            let first = messages.iter().find(|message| message["message"]["level"] == "error");
            let error = first.and_then(|message| message["message"]["message"].as_str());
            let stderr = String::from_utf8_lossy(&output.stderr);
            let error = error.map_or_else(|| stderr.trim().to_owned(), str::to_owned);
            return Ok(Err(error));
        }
        let built = |Program { name, .. }: &&'static Program| {
            let executable = messages.iter().find_map(|message| {
                let is_it = message["target"]["name"] == *name;
                message["executable"].as_str().filter(|_| is_it)
            });
            let path = executable.with_context(|| format!("cargo built no test `{name}`"))?;
            Ok(PathBuf::from(path))
        };
        Ok(Ok(self.programs.iter().map(built).collect::<Result<Vec<_>>>()?))
    }

    /// The first test that fails, in the order of the programs.
    fn first_failure(&self, files: &[PathBuf]) -> Result<Option<String>> {
        for (Program { name, arguments }, path) in self.programs.iter().zip(files) {
            let mut command = Command::new(path);
            command.args(*arguments).current_dir(self.tree.root.join("testbed"));
            command.envs(ENVIRONMENT.iter().copied());
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            let child = command.spawn().with_context(|| format!("cannot start {path:?}"))?;
            if let Some(test) = watch(child)? {
                return Ok(Some(format!("{name}: {test}")));
            }
        }
        Ok(None)
    }
}

/// Waits for a test to fail or for the program to end, and ends it.
fn watch(mut child: Child) -> Result<Option<String>> {
    let lines = lines_of(&mut child);
    let end = Instant::now() + PATIENCE;
    let failed = loop {
        let left = end.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => {
                let test =
                    line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"));
                if let Some(test) = test {
                    break Some(test.to_owned());
                }
            }
            Err(RecvTimeoutError::Timeout) => break Some("a test that does not end".to_owned()),
            Err(RecvTimeoutError::Disconnected) => break None,
        }
    };
    if failed.is_some() {
        // It may have ended by itself.
        _ = child.kill();
    }
    let status = child.wait().context("cannot wait for the tests")?;
    match failed {
        Some(test) => Ok(Some(test)),
        None if status.success() => Ok(None),
        None => Ok(Some(format!("the program, which ended with {status}"))),
    }
}

/// What the child writes, line by line; ends when it does.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let stdout = child.stdout.take().expect("it was asked for");
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}
