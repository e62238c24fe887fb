//! G11: one rule changed, from the call to the verdict.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ringfence_common::abi::policy::action;
use ringfence_dataplane::backend::Desired;

use super::decisions::short;
use super::{Bound, Goal, Progress, Row};
use crate::kernel::{Engine, MeasureError, Seat, returns};
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

const PLACE: Place = Place::WorkloadAtTc;

/// An engine whose policy for one peer changes to and fro.
struct Toggled {
    engine: Engine,
    /// The peer's entry denies, and allows.
    states: [Desired; 2],
    crowd: Crowd,
    ifindex: u32,
    took: Vec<f64>,
}

/// Measures.
pub fn measure(_: &BTreeSet<Goal>, progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    let seat = Seat::take()?;
    let mut all = Vec::new();
    for entries in SIZES {
        progress.begin(&format!("loading {} entries", short(entries)));
        all.push(Toggled::new(&seat, entries)?);
    }
    progress.begin("changing one rule");
    let begin = Instant::now();
    for turn in 0..CHANGES {
        progress.step(turn, CHANGES);
        for toggled in &mut all {
            toggled.toggle(turn)?;
        }
        // Two changes are one to and fro.
        if turn % 2 == 1 && begin.elapsed() > PATIENCE {
            break;
        }
    }
    let medians: Vec<f64> = all.iter().map(|toggled| median(toggled.took.clone())).collect();
    let mut rows: Vec<Row> = SIZES
        .iter()
        .zip(&medians)
        .zip(&all)
        .map(|((entries, us), toggled)| {
            let case = format!("{} entries", short(*entries));
            let changes = toggled.took.len();
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

impl Toggled {
    fn new(seat: &Seat, entries: usize) -> Result<Self, MeasureError> {
        let crowd = Crowd::new(PLACE, Family::V4, Entry::Deny, entries);
        let denying = crowd.desired(seat.ifindex());
        let mut allowing = denying.clone();
        let first = crowd.identity(0);
        let entry = allowing.tables.policy.iter_mut().find(|(key, _)| key.peer == first);
        let (_, entry) = entry.expect("every peer has an entry");
        entry.action = action::ALLOW;
        let mut engine = Engine::load(&[PLACE.inbound()])?;
        engine.install(&denying)?;
        let states = [denying, allowing];
        let mut new = Self { engine, states, crowd, ifindex: seat.ifindex(), took: Vec::new() };
        // The first to and fro warms up.
        new.toggle(0)?;
        new.toggle(1)?;
        new.took.clear();
        Ok(new)
    }

    /// Changes the peer's entry, and sees that the next packet is decided by it.
    fn toggle(&mut self, turn: usize) -> Result<(), MeasureError> {
        let allows = turn.is_multiple_of(2);
        let state = &self.states[usize::from(allows)];
        let begin = Instant::now();
        self.engine.change(state)?;
        self.took.push(begin.elapsed().as_secs_f64() * 1e6);
        let program = self.engine.program(PLACE.inbound())?;
        let measured = program.run(&self.crowd.syn(0), self.ifindex, 1)?;
        self.engine.maps().forget_state()?;
        if measured.returned != returns(PLACE.inbound(), allows) {
            let why = format!("the packet after change {turn} was decided by the policy before");
            return Err(MeasureError::wrong("the engine", why));
        }
        Ok(())
    }
}
