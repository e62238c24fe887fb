//! What came of running cases.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ringfence_common::abi::config::Hook;
use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::model::Direction;

use super::backend::{BackendName, Run};
use super::judge::Wrong;
use crate::case::Place;

/// What came of running cases on backends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Cases run.
    pub cases: usize,
    /// Probes in them.
    pub probes: usize,
    /// Frames in them.
    pub frames: usize,
    /// What each backend made of them, in the order asked for.
    pub backends: Vec<(BackendName, Totals)>,
    /// All disagreements, in the order of the cases.
    pub failures: Vec<Failure>,
    /// What was not asked, in the order of the cases.
    pub not_asked: Vec<NotAsked>,
    /// What was said where, for the coverage of a corpus.
    pub answered: BTreeSet<Answered>,
}

/// What a backend made of all cases. A probe or frame counts once, and is wrong if it is wrong at
/// any hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Probes asked.
    pub probes: usize,
    /// Frames asked.
    pub frames: usize,
    /// Probes and frames that are wrong.
    pub wrong: usize,
    /// Probes and frames about which the backend could not be asked.
    pub skipped: usize,
    /// Frames that the kernel does not let a hook be tried on ([`super::Answer::Inapplicable`]), at
    /// one of the hooks at least.
    pub inapplicable: usize,
    /// The same, for each run of the backend.
    pub runs: BTreeMap<Run, Totals>,
}

/// A probe or a frame of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// A probe, by its place in the list, from 0.
    Probe(usize),
    /// An item of `frames`, by its place in the list, from 0.
    Frame(usize),
}

/// A disagreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Number of the case, from 0.
    pub case_index: usize,
    /// The case's name.
    pub case: String,
    /// What was asked.
    pub item: Item,
    /// What was asked, in words.
    pub asked: String,
    /// Where it stands.
    pub place: Place,
    /// Who disagrees.
    pub run: Run,
    /// How.
    pub wrong: Wrong,
}

/// A question that was not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAsked {
    /// Number of the case, from 0.
    pub case_index: usize,
    /// The case's name.
    pub case: String,
    /// What was not asked.
    pub item: Item,
    /// What was not asked, in words.
    pub asked: String,
    /// Of whom.
    pub run: Run,
    /// Whether the hook cannot be tried on such a frame (else the backend cannot be asked).
    pub inapplicable: bool,
    /// Why.
    pub why: &'static str,
}

/// That a backend has given a reason at a hook.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answered {
    /// Number of the case, from 0.
    pub case_index: usize,
    /// What was asked.
    pub item: Item,
    /// The backend.
    pub backend: BackendName,
    /// The hook; nothing where the backend knows none.
    pub hook: Option<Hook>,
    /// Whose side was decided.
    pub direction: Direction,
    /// The reason given.
    pub reason: Reason,
}

/// What a verdict is called in case files and output.
#[must_use]
pub const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Audit => "audit",
    }
}

impl Report {
    /// Whether every backend agrees with every case.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }
}

impl Totals {
    /// Adds up the runs of one backend.
    pub(super) fn of(
        runs: BTreeMap<Run, Totals>,
        failures: &[Failure],
        not_asked: &[NotAsked],
        backend: BackendName,
    ) -> Self {
        let wrong: BTreeSet<(usize, Item)> = failures
            .iter()
            .filter(|failure| failure.run.backend == backend)
            .map(|failure| (failure.case_index, failure.item))
            .collect();
        let left_out = |inapplicable: bool| -> usize {
            let items: BTreeSet<(usize, Item)> = not_asked
                .iter()
                .filter(|one| one.run.backend == backend && one.inapplicable == inapplicable)
                .map(|one| (one.case_index, one.item))
                .collect();
            items.len()
        };
        let most = |count: fn(&Totals) -> usize| runs.values().map(count).max().unwrap_or(0);
        Self {
            probes: most(|totals| totals.probes),
            frames: most(|totals| totals.frames),
            wrong: wrong.len(),
            skipped: left_out(false),
            inapplicable: left_out(true),
            runs,
        }
    }
}

/// One line: case, probe, backend, expected, actual, reason, rule.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wrong { side, expected, actual, reason, rules, addresses, .. } = &self.wrong;
        write!(f, "{}: {}", self.case, self.asked)?;
        if let Some((source, destination)) = addresses {
            write!(f, " [{source} -> {destination}]")?;
        }
        write!(f, ": {}:", self.run)?;
        if let Some(side) = side.name() {
            write!(f, " {side}")?;
        }
        let actual = verdict_name(*actual);
        write!(f, " expected {expected}, actual {actual}, reason {}", reason.name())?;
        match rules.as_slice() {
            [] => f.write_str(", no rule"),
            rules => write!(f, ", rule {}", rules.join(" and ")),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probe(index) => write!(f, "probe {}", index + 1),
            Self::Frame(index) => write!(f, "frame {}", index + 1),
        }
    }
}
