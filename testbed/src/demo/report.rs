//! What came of the demo, for programs.

use std::time::Duration;

use serde::Serialize;

use crate::connectivity::{Flip, Matrix};
use crate::transfer;

/// The version of the JSON form; it changes when a field changes its meaning or goes away.
const VERSION: u32 = 1;

/// The whole demo. As JSON: `ringfence demo -o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    version: u32,
    /// The network without policy, under the shop's policies, and after the change.
    pub phases: Vec<Phase>,
    /// The change of one policy while a transfer ran.
    pub change: Change,
    /// Deny events of the air conditioning's attempts, as lines.
    pub denials: Vec<String>,
    /// Attempts of the air conditioning that no event told of; none should be missing.
    pub denials_missing: usize,
    /// From the first namespace to the last event, in milliseconds.
    pub duration_ms: u64,
}

/// One measurement of every cell.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// `flat`, `policy` or `change`.
    pub name: &'static str,
    /// Cells with an answer.
    pub open: usize,
    /// Cells that are not as expected.
    pub wrong: usize,
    /// How many places the air conditioning reaches.
    pub hvac_reaches: usize,
    /// How long the measurement took, in milliseconds.
    pub duration_ms: u64,
    /// The cells.
    #[serde(rename = "cells")]
    pub matrix: Matrix,
}

/// What a change of policy did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Cells that had to flip.
    #[serde(skip)]
    pub predicted: Vec<Flip>,
    /// Cells that flipped.
    #[serde(skip)]
    pub measured: Vec<Flip>,
    /// How many cells had to flip.
    pub flips_predicted: usize,
    /// How many did.
    pub flips_measured: usize,
    /// Whether these are the same.
    pub as_predicted: bool,
    /// What became of the transfer.
    pub transfer: transfer::Report,
    /// Its packets that were lost.
    pub packets_lost: u64,
}

impl Report {
    /// Puts the parts together.
    #[must_use]
    pub(super) fn new(
        phases: Vec<Phase>,
        change: Change,
        (denials, denials_missing): (Vec<String>, usize),
        duration: Duration,
    ) -> Self {
        let duration_ms = milliseconds(duration);
        Self { version: VERSION, phases, change, denials, denials_missing, duration_ms }
    }

    /// Cells of all phases.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.phases.iter().map(|phase| phase.matrix.cells.len()).sum()
    }

    /// Wrong cells of all phases.
    #[must_use]
    pub fn wrong(&self) -> usize {
        self.phases.iter().map(|phase| phase.wrong).sum()
    }

    /// Whether everything came out as it must.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.wrong() == 0
            && self.change.as_predicted
            && self.change.transfer.is_whole()
            && self.denials_missing == 0
    }
}

impl Change {
    /// Compares what flipped with what had to.
    #[must_use]
    pub(super) fn new(before: &Matrix, after: &Matrix, transfer: transfer::Report) -> Self {
        let predicted = before.expected_flips(after);
        let measured = before.flips(after);
        Self {
            flips_predicted: predicted.len(),
            flips_measured: measured.len(),
            as_predicted: predicted == measured,
            packets_lost: transfer.lost(),
            predicted,
            measured,
            transfer,
        }
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
