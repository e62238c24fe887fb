//! What changing policy costs, and what it does to packets; memory.

use std::time::Duration;

use super::bench::Bench;
use crate::measure::{Findings, change, disturbance, memory};

/// The time of changes.
pub fn time(bench: &Bench<'_>) -> Findings {
    change::measure(&bench.case, bench.pass, &bench.effort.change)
}

/// Packets lost, and decided wrongly, while policy changes.
pub fn disturbance(bench: &Bench<'_>) -> Findings {
    let change::Effort { time, limit, .. } = bench.effort.change;
    let effort = disturbance::Effort { changes: bench.effort.changes, time, limit };
    disturbance::measure(&bench.case, bench.pass, &effort)
}

/// Memory.
pub fn memory(bench: &Bench<'_>) -> Findings {
    let limit: Duration = bench.effort.change.limit;
    let effort = memory::Effort { rounds: bench.effort.memory_rounds, limit };
    memory::measure(&bench.case, bench.pass, &effort)
}
