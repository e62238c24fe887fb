//! G11: one rule changed, from the call to the verdict.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::decisions::short;
use super::{Bound, Goal, Progress, Row};
use crate::kernel::{MeasureError, Seat, Toggled};
use crate::rounds::median;
use crate::workload::{Crowd, Entry, Family, Place};

/// The goals of this part.
pub const GOALS: &[Goal] = &[Goal::G11];

/// Entries beside the one that changes.
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// Changes at each size, at most.
const CHANGES: usize = 400;

/// Time for them, at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// Measures.
pub fn measure(_: &BTreeSet<Goal>, progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    let seat = Seat::take()?;
    let mut all = Vec::new();
    for entries in SIZES {
        progress.begin(&format!("loading {} entries", short(entries)));
        let crowd = Crowd::new(Place::WorkloadAtTc, Family::V4, Entry::Deny, entries);
        all.push((Toggled::new(&seat, &crowd)?, Vec::new()));
    }
    progress.begin("changing one rule");
    let begin = Instant::now();
    for turn in 0..CHANGES {
        progress.step(turn, CHANGES);
        for (toggled, took) in &mut all {
            took.push(toggled.toggle()?.as_secs_f64() * 1e6);
        }
        // Two changes are one to and fro.
        if turn % 2 == 1 && begin.elapsed() > PATIENCE {
            break;
        }
    }
    let medians: Vec<f64> = all.iter().map(|(_, took)| median(took.clone())).collect();
    let mut rows: Vec<Row> = SIZES
        .iter()
        .zip(&medians)
        .zip(&all)
        .map(|((entries, us), (_, took))| {
            let case = format!("{} entries", short(*entries));
            let changes = took.len();
            Row::new(Goal::G11, case, (Bound::AtMost, 5.0), *us, "µs")
                .with("reading", format!("median of {changes} changes"))
                .with("entries", *entries)
                .with("changes", changes)
        })
        .collect();
    let ratio = medians[2] / medians[0];
    let reading = format!("{:.1} µs, at 1K {:.1} µs", medians[2], medians[0]);
    rows.push(
        Row::new(Goal::G11, "100K entries against 1K", (Bound::AtMost, 1.2), ratio, "×")
            .with("reading", reading),
    );
    Ok(rows)
}
