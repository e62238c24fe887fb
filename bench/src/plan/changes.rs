//! What changing policy costs, and what it does to packets; memory.

use std::time::Duration;

use super::bench::Bench;
use crate::measure::{Effort, Findings};
use crate::{measure, plan::Form};

/// The time of changes.
pub fn time(bench: &Bench<'_>) -> Findings {
    measure::change(&bench.case, bench.pass, &bench.effort.changes)
}
