//! Policy documents to the model: every diagnostic at once, with its place.
//!
//! Goals:
//! 1. Whatever `kubectl get -o yaml` prints and whatever people keep in repositories is read as it
//!    is: Kubernetes NetworkPolicies and ClusterNetworkPolicies, Namespaces and Pods, lists of
//!    them, native Workloads.
//! 2. A slip never widens a policy. An unknown field is an error, a value that YAML takes for
//!    something else is an error, and nothing is guessed.
//! 3. All faults of all files come in one run, each with file, line, column, a stable [`Code`] and
//!    a way out.
//! 4. No input can exhaust memory, time or the stack ([`limits`]).
//!
//! Design: the inputs are read into memory within limits (`source`); each text becomes trees of
//! values that know their place (`yaml`; goals 3 and 4), without a schema, so that one fault does not
//! hide the next; a walk over each tree builds the types of the Kubernetes API (`kubernetes`) or
//! of our own documents (`native`) and reports what does not fit (`context`; goal 2); these become
//! [`model`](crate::model) types; all documents together are checked for contradictions
//! (`collection`) and for what cannot have been meant (`lint`).
//!
//! It deliberately does not look at the host: that an interface exists is found when policy is
//! applied.

mod codes;
mod collection;
mod context;
mod diagnostic;
mod digest;
mod kubernetes;
pub mod limits;
mod lint;
mod native;
mod object;
mod render;
mod report;
mod source;
mod yaml;

pub use codes::{Code, UnknownCode};
pub use diagnostic::{Diagnostic, Severity};
pub use digest::Digest;
pub use report::{DocumentKind, DocumentSummary, Report};
pub use source::{Input, Place};

use collection::Collection;
use context::Context;
use diagnostic::{Diagnostic as Finding, Findings};
use kubernetes::NameRule;
use source::Sources;

/// What happens when a document says more than is understood: a field or a kind that does not
/// exist, a key that is there twice. The words are kubectl's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    /// It is an error.
    #[default]
    Strict,
    /// It is a warning; the surplus is left out.
    Warn,
    /// Nothing; the surplus is left out.
    Ignore,
}

/// How documents are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What happens to what is not understood.
    pub validation: Validation,
    /// The namespace of policies and workloads that do not name theirs; see
    /// [`is_namespace_name`].
    pub default_namespace: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { validation: Validation::Strict, default_namespace: "default".to_owned() }
    }
}

impl From<Validation> for Options {
    fn from(validation: Validation) -> Self {
        Self { validation, ..Self::default() }
    }
}

/// Whether `name` can be the name of a namespace: up to 63 lower-case letters, digits and `-`, with
/// a letter or digit at both ends (a DNS label of RFC 1123, as Kubernetes requires).
#[must_use]
pub fn is_namespace_name(name: &str) -> bool {
    NameRule::Label.accepts(name)
}

/// Reads all documents of `inputs` and reports everything that is wrong with them. The result
/// depends on the inputs alone; their order decides only the order of the report.
pub fn read(inputs: &[Input], options: impl Into<Options>) -> Report {
    let options = options.into();
    let mut findings = Findings::default();
    let sources = Sources::load(inputs, &mut findings);
    let mut collection = Collection::default();
    let mut budget = yaml::Budget::default();
    let mut context = Context { sources: &sources, options: &options, findings: &mut findings };
    let mut empty = true;
    for (number, source) in sources.iter() {
        empty &= source.readable;
        if source.readable {
            yaml::read(number, &source.text, &mut budget, |document| {
                empty = false;
                match document {
                    Ok(root) => object::read(&mut context, &root, None, &mut collection),
                    Err(problem) => context.problem(problem),
                }
            });
        }
    }
    // A list without items is nothing to apply either.
    if (empty || collection.is_empty()) && context.findings.errors == 0 {
        let what = if empty { "no document" } else { "no policy, workload or namespace" };
        context
            .findings
            .add(Finding::error(Code::NothingToRead, format!("the input holds {what}")))
            .help(
                "give a file or directory with policies; to remove all policy, use `ringfence off`",
            );
    }
    let set = collection.join(&mut context);
    Report::new(set, collection.into_summaries(), findings, sources)
}
