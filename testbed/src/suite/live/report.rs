//! What came of it.

use ringfence_common::verdict::Verdict;

use crate::case::Place;

/// What came of trying cases on one backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Probes asked.
    pub probes: usize,
    /// Verdicts that are not the expected ones, in the order of the cases; one for each probe.
    pub wrong: Vec<Wrong>,
    /// Probes and frames that were not tried, in the order of the cases.
    pub skipped: Vec<Skipped>,
}

/// A verdict that is not the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where the probe stands.
    pub place: Place,
    /// The case's name.
    pub case: String,
    /// The probe, and the addresses between which it was asked.
    pub probe: String,
    /// What was expected.
    pub expected: Verdict,
    /// What happened, in words.
    pub actual: String,
    /// The reason that the backend gave, where it gave one.
    pub reason: Option<&'static str>,
    /// The rule that decided, if one did.
    pub rule: Option<String>,
}

/// Something that was not tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it stands.
    pub place: Place,
    /// The case's name.
    pub case: String,
    /// The probe or frame.
    pub what: String,
    /// Why.
    pub why: String,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'c> {
    /// Cases that are done.
    pub done: usize,
    /// All cases.
    pub cases: usize,
    /// The case that comes now.
    pub now: &'c str,
}
