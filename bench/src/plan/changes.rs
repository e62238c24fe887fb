//! What changing policy costs, and what it does to packets; memory.

use std::time::Duration;

use super::bench::Bench;
use super::run::Found;
use crate::measure::change::Effort;
use crate::measure::{change, disturbance, memory};

/// How long one change, or an installation, may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The time of changes.
pub fn time(bench: &Bench<'_>) -> Found {
    found(change::change(&bench.case, bench.pass, &effort(bench)))
}
