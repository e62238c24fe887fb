//! What came of reading documents.

use std::collections::BTreeMap;
use std::fmt;

use super::diagnostic::{Diagnostic, Findings, Severity};
use super::digest::Digest;
use super::render::render;
use super::source::{Place, Sources};
use crate::model::{PolicyName, PolicySet};

/// Everything that came of reading documents.
#[derive(Debug)]
pub struct Report {
    /// All policies, namespaces and workloads; nothing when there are errors.
    pub policies: Option<PolicySet>,
    /// All findings in the order of the input, at most [`super::limits::DIAGNOSTICS`]; those
    /// without a place first.
    pub diagnostics: Vec<Diagnostic>,
    /// The documents that were understood, in the order of the input, also when others were not.
    pub documents: Vec<DocumentSummary>,
    errors: usize,
    warnings: usize,
    omitted: usize,
    sources: Sources,
}

/// The kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2` ClusterNetworkPolicy.
    ClusterNetworkPolicy,
    /// `v1` Namespace.
    Namespace,
    /// `v1` Pod.
    Pod,
    /// `ringfence.dev/v1alpha1` Workload.
    Workload,
}

impl DocumentKind {
    /// The value of `kind` in the document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NetworkPolicy => "NetworkPolicy",
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
            Self::Namespace => "Namespace",
            Self::Pod => "Pod",
            Self::Workload => "Workload",
        }
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One document that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentSummary {
    /// Its kind.
    pub kind: DocumentKind,
    /// Its namespace, also where that is the default one; empty for what is in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub place: Place,
    /// What a policy says, as a number; nothing for other kinds.
    pub digest: Option<Digest>,
}

impl Report {
    pub(super) fn new(
        policies: PolicySet,
        documents: Vec<DocumentSummary>,
        mut findings: Findings,
        sources: Sources,
    ) -> Self {
        findings.kept.sort_by(|a, b| {
            let key = |diagnostic: &Diagnostic| {
                diagnostic.place.as_ref().map(|place| (place.span, diagnostic.code))
            };
            key(a).cmp(&key(b))
        });
        let omitted = findings.errors + findings.warnings - findings.kept.len();
        Self {
            policies: (findings.errors == 0).then_some(policies),
            diagnostics: findings.kept,
            documents,
            errors: findings.errors,
            warnings: findings.warnings,
            omitted,
            sources,
        }
    }

    /// Whether anything is wrong, so that there are no [`Report::policies`].
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// How many errors there are, those not kept among them.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// How many warnings there are, those not kept among them.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.warnings
    }

    /// The digest of each policy that was understood; two documents with one digest ask for the
    /// same, whatever their formatting.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<PolicyName, Digest> {
        let digest = |document: &DocumentSummary| {
            let name = PolicyName {
                kind: document.kind.as_str().to_lowercase(),
                namespace: document.namespace.clone(),
                name: document.name.clone(),
            };
            Some((name, document.digest?))
        };
        self.documents.iter().filter_map(digest).collect()
    }

    /// All diagnostics as text with the offending lines, for people; `color` adds terminal
    /// escapes. Empty if there are none.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            text += &render(diagnostic, &self.sources, color);
            text += "\n\n";
        }
        if self.omitted > 0 {
            text += &format!("and {} more, which are not shown\n\n", self.omitted);
        }
        text
    }

    /// One line: `3 policies, 12 workloads, 2 namespaces: 1 error, 2 warnings`.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |kinds: &[DocumentKind]| {
            self.documents.iter().filter(|document| kinds.contains(&document.kind)).count()
        };
        let policies = [DocumentKind::NetworkPolicy, DocumentKind::ClusterNetworkPolicy];
        format!(
            "{}, {}, {}: {}, {}",
            counted(count(&policies), "policy", "policies"),
            counted(count(&[DocumentKind::Pod, DocumentKind::Workload]), "workload", "workloads"),
            counted(count(&[DocumentKind::Namespace]), "namespace", "namespaces"),
            counted(self.errors, &Severity::Error.to_string(), "errors"),
            counted(self.warnings, &Severity::Warning.to_string(), "warnings"),
        )
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
