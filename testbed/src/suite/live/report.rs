//! What came of it.

use std::fmt;
use std::net::IpAddr;

use ringfence_common::verdict::{Reason, Verdict};

use super::Backend;
use crate::case::Place;
use crate::suite::{Item, Side, verdict_name};

/// What came of trying cases on one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The backend.
    pub backend: Backend,
    /// Probes asked.
    pub probes: usize,
    /// Verdicts that are not the expected ones, in the order of the cases; one for each probe.
    pub wrong: Vec<Wrong>,
    /// Probes and frames that were not tried, in the order of the cases.
    pub skipped: Vec<Skipped>,
}

/// A probe or a frame of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where it stands.
    pub place: Place,
    /// The case's name.
    pub case: String,
    /// Which of the case's it is.
    pub item: Item,
    /// What it asks, in words.
    pub what: String,
}

/// A verdict that is not the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The probe.
    pub asked: Asked,
    /// The addresses between which it was asked, source first.
    pub addresses: (IpAddr, IpAddr),
    /// On which backend.
    pub backend: Backend,
    /// Whose decision is wrong.
    pub side: Side,
    /// What was expected of it.
    pub expected: Verdict,
    /// The reason that was expected of the packet, if the case says one.
    pub expected_reason: Option<Reason>,
    /// What happened, in words.
    pub actual: String,
    /// The reason that the backend gave, where it gave one.
    pub reason: Option<Reason>,
    /// The rule that decided, if one did.
    pub rule: Option<String>,
}

/// Something that was not tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The probe or frame.
    pub asked: Asked,
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

impl Report {
    /// Nothing tried yet.
    pub(super) const fn new(backend: Backend) -> Self {
        Self { backend, probes: 0, wrong: Vec::new(), skipped: Vec::new() }
    }
}

/// `case: probe 3 shop/web -> shop/api 8080/TCP`.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.case, self.item, self.what)
    }
}

/// One line: case, probe, addresses, backend, expected, actual, reason, rule.
impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, addresses: (from, to), backend, actual, .. } = self;
        write!(f, "{asked} [{from} -> {to}]: {backend} live: ")?;
        if let Some(side) = self.side.name() {
            write!(f, "{side} ")?;
        }
        write!(f, "expected {}", verdict_name(self.expected))?;
        if let Some(reason) = self.expected_reason {
            write!(f, " ({})", reason.name())?;
        }
        write!(f, ", actual {actual}")?;
        match self.reason {
            Some(reason) => write!(f, ", reason {}", reason.name())?,
            None => return Ok(()),
        }
        match &self.rule {
            Some(rule) => write!(f, ", rule {rule}"),
            None => f.write_str(", no rule"),
        }
    }
}
