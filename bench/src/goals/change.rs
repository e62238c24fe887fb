//! G11: one rule changed, from the call to the verdict.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ringfence_dataplane::backend::How;

use super::decisions::short;
use super::{Bound, Goal, Progress, Row};
use crate::kernel::{MeasureError, Seat, Toggle, Toggled};
use crate::rounds::median;
use crate::workload::{Crowd, Entry, Family, Place};

/// The goals of this part.
pub const GOALS: &[Goal] = &[Goal::G11];

/// Entries beside the one that changes.
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// What changes.
const TOGGLES: [(Toggle, &str); 2] =
    [(Toggle::Verdict, "a rule's verdict"), (Toggle::Presence, "a rule comes or goes")];

/// Changes of each kind at each size, at most.
const CHANGES: usize = 1_000;

/// Time for them all, at most.
const PATIENCE: Duration = Duration::from_secs(20);

/// One kind of change at one size.
struct Measured {
    entries: usize,
    name: &'static str,
    toggled: Toggled,
    took: Vec<f64>,
    ways: Vec<How>,
}

/// Measures.
pub fn measure(_: &BTreeSet<Goal>, progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    let seat = Seat::take()?;
    let mut all = Vec::new();
    for (toggle, name) in TOGGLES {
        for entries in SIZES {
            progress.begin(&format!("loading {} entries", short(entries)));
            let crowd = Crowd::new(Place::WorkloadAtTc, Family::V4, Entry::Allow, entries);
            let toggled = Toggled::new(&seat, &crowd, toggle)?;
            all.push(Measured { entries, name, toggled, took: Vec::new(), ways: Vec::new() });
        }
    }
    progress.begin("changing one rule");
    let begin = Instant::now();
    for turn in 0..CHANGES {
        progress.step(turn, CHANGES);
        for measured in &mut all {
            let (took, way) = measured.toggled.toggle()?;
            measured.took.push(took.as_secs_f64() * 1e6);
            measured.ways.push(way);
        }
        // Two changes are one to and fro.
        if turn % 2 == 1 && begin.elapsed() > PATIENCE {
            break;
        }
    }
    let mut rows: Vec<Row> = all.iter().map(one).collect();
    for of_kind in all.chunks(SIZES.len()) {
        rows.push(flatness(of_kind));
    }
    Ok(rows)
}

fn one(measured: &Measured) -> Row {
    let Measured { entries, name, took, ways, .. } = measured;
    let case = format!("{name}, {} entries", short(*entries));
    let in_place = ways.iter().filter(|way| **way == How::InPlace).count();
    let changes = took.len();
    Row::new(Goal::G11, case, (Bound::AtMost, 5.0), median(took.clone()), "µs")
        .with("reading", format!("median of {changes} changes, {in_place} of them in place"))
        .with("entries", *entries)
        .with("changes", changes)
        .with("in_place", in_place)
}

/// The largest size against the smallest.
fn flatness(of_kind: &[Measured]) -> Row {
    let [few, many] = [0, SIZES.len() - 1].map(|at| median(of_kind[at].took.clone()));
    let case = format!("{}, 100K entries against 1K", of_kind[0].name);
    Row::new(Goal::G11, case, (Bound::AtMost, 1.2), many / few, "×")
        .with("reading", format!("{many:.1} µs, at 1K {few:.1} µs"))
}
