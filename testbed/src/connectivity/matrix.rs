//! Outcomes beside expectations.

use std::collections::{BTreeMap, BTreeSet};

use super::Probe;
use crate::topology::Family;
use crate::workload::{Outcome, Transport};

/// What was expected of one question, and what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Whether policy allows the flow.
    pub expected: bool,
    /// What became of the question.
    pub actual: Outcome,
}

impl Cell {
    /// Whether what happened is not what was expected. An outcome that cannot tell is wrong.
    #[must_use]
    pub fn is_wrong(self) -> bool {
        self.actual.allowed() != Some(self.expected)
    }
}

/// All cells of one measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// The places' names, by number.
    pub places: Vec<String>,
    /// The cells.
    pub cells: BTreeMap<Probe, Cell>,
}

/// A cell that is not the same before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flip {
    /// The question.
    pub probe: Probe,
    /// Whether it is allowed now, and was not; else the other way round.
    pub opened: bool,
}

impl Matrix {
    /// Puts `outcomes` beside what `expected` says of each.
    #[must_use]
    pub fn new(
        places: Vec<String>,
        outcomes: BTreeMap<Probe, Outcome>,
        expected: &dyn Fn(&Probe) -> bool,
    ) -> Self {
        let cells = outcomes
            .into_iter()
            .map(|(probe, actual)| (probe, Cell { expected: expected(&probe), actual }))
            .collect();
        Self { places, cells }
    }

    /// The wrong cells, in order.
    pub fn wrong(&self) -> impl Iterator<Item = (&Probe, &Cell)> {
        self.cells.iter().filter(|(_, cell)| cell.is_wrong())
    }

    /// How many cells answered.
    #[must_use]
    pub fn open(&self) -> usize {
        self.cells.values().filter(|cell| cell.actual == Outcome::Answered).count()
    }

    /// The places that `source` got an answer from, on any port (its blast radius in one step).
    #[must_use]
    pub fn reached_from(&self, source: usize) -> BTreeSet<usize> {
        self.cells
            .iter()
            .filter(|(probe, cell)| probe.source == source && cell.actual == Outcome::Answered)
            .map(|(probe, _)| probe.destination)
            .collect()
    }

    /// The places that `source` asked.
    #[must_use]
    pub fn asked_from(&self, source: usize) -> BTreeSet<usize> {
        let asked = self.cells.keys().filter(|probe| probe.source == source);
        asked.map(|probe| probe.destination).collect()
    }

    /// The cells whose actual outcome is another one in `later`, in order. Cells that only one
    /// of the two has are left out.
    #[must_use]
    pub fn flips(&self, later: &Self) -> Vec<Flip> {
        self.compare(later, |cell| cell.actual == Outcome::Answered)
    }

    /// The cells of which something else is expected in `later`, in order.
    #[must_use]
    pub fn expected_flips(&self, later: &Self) -> Vec<Flip> {
        self.compare(later, |cell| cell.expected)
    }

    fn compare(&self, later: &Self, open: impl Fn(&Cell) -> bool) -> Vec<Flip> {
        self.cells
            .iter()
            .filter_map(|(probe, before)| {
                let after = later.cells.get(probe)?;
                (open(before) != open(after)).then_some(Flip { probe: *probe, opened: open(after) })
            })
            .collect()
    }
}

/// A cell as JSON says it.
#[derive(serde::Serialize)]
struct CellDocument<'a> {
    source: &'a str,
    destination: &'a str,
    protocol: Transport,
    port: u16,
    family: Family,
    expected: &'static str,
    actual: &'static str,
    outcome: String,
}

impl serde::Serialize for Matrix {
    /// A list of cells in order: names, `expected` and `actual` as `allowed` or `denied`
    /// (`actual` is `unknown` where the outcome cannot tell), and the outcome in words.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.cells.iter().map(|(probe, cell)| CellDocument {
            source: &self.places[probe.source],
            destination: &self.places[probe.destination],
            protocol: probe.transport,
            port: probe.port,
            family: probe.family,
            expected: word(Some(cell.expected)),
            actual: word(cell.actual.allowed()),
            outcome: cell.actual.to_string(),
        }))
    }
}

/// `allowed`, `denied` or `unknown`.
pub(super) fn word(allowed: Option<bool>) -> &'static str {
    match allowed {
        Some(true) => "allowed",
        Some(false) => "denied",
        None => "unknown",
    }
}
