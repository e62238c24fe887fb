//! What changing policy costs.

use super::bench::Bench;
use crate::measure::{Findings, change};

/// The time of changes.
pub fn time(bench: &Bench<'_>) -> Findings {
    change::measure(&bench.case, bench.pass, &bench.effort.change)
}
