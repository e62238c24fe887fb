//! G9: packets dropped a second, as they come out of a wire.
//!
//! A program at the near end of a veth sends frames as fast as the kernel hands them to it, each
//! from the next of many peers; at the far end they meet XDP in the driver. One CPU does all of it,
//! so that the time of a frame is the sum of sending and dropping, for both programs the same but
//! for the drop.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aya::programs::XdpMode;
use ringfence_controls::DRAWN;

use super::decisions::short;
use super::wire::{NAME, Wire};
use super::{Bound, Goal, Progress, Row};
use crate::kernel::{Control, Controls, Engine, MeasureError, stay_on_one_cpu};
use crate::rounds::Rounds;
use crate::workload::{Crowd, Entry, Family, Place};

/// The goals of this part.
pub const GOALS: &[Goal] = &[Goal::G9];

const ENTRIES: usize = 10_000;

/// Frames of one measurement.
const FRAMES: u32 = 500_000;

const ROUNDS: usize = 11;

/// Seed of the peers' order.
const SEED: u64 = 9;

/// How long the last frames may be under way.
const PATIENCE: Duration = Duration::from_secs(2);

/// Measures.
pub fn measure(_: &BTreeSet<Goal>, progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    stay_on_one_cpu()?;
    progress.begin("loading 10K entries");
    let crowd = Crowd::new(Place::HostAtXdp, Family::V4, Entry::Deny, ENTRIES);
    let (filtered, dropping) = (Wire::new()?, Wire::new()?);
    let mut engine = Engine::load(&[Place::HostAtXdp.inbound()])?;
    engine.install(&crowd.desired(filtered.far_index))?;
    filtered.at_far(|| engine.attach(NAME, filtered.far_index))?;
    let mut controls = Controls::load(1)?;
    let index = dropping.far_index;
    dropping.at_far(|| {
        let program = controls.xdp_mut(Control::DropXdp)?;
        let attached = program.attach_to_if_index(index, XdpMode::Driver);
        attached.map(|_| ()).map_err(MeasureError::refused("attach the dropping program"))
    })?;
    let senders =
        [("one peer", vec![crowd.first(); DRAWN]), ("random peers", crowd.drawn(DRAWN, SEED))];
    progress.begin("dropping packets");
    let mut done = 0;
    let rounds = Rounds::take(ROUNDS, 2 * senders.len(), |number| {
        done += 1;
        progress.step(done, 2 * senders.len() * (ROUNDS + 1));
        let is_filtered = number % 2 == 0;
        let wire = if is_filtered { &filtered } else { &dropping };
        let keys = &senders[number / 2].1;
        controls.prepare_flood(crowd.source_offset(), keys, wire.near_index)?;
        let before = engine.decided(crowd.reason())?;
        let rate = flood(wire, &controls, &crowd.syn(0))?;
        let denied = engine.decided(crowd.reason())? - before;
        let expected = if is_filtered { u64::from(FRAMES) } else { 0 };
        if denied != expected {
            let why = format!("it denied {denied} frames, not {expected}");
            return Err(MeasureError::wrong("the engine", why));
        }
        Ok(rate)
    })?;
    let row = |(number, (name, _)): (usize, &(&str, Vec<u32>))| {
        let [at, dropping_at] = [2 * number, 2 * number + 1];
        let ratio = rounds.median(|values| values[at] / values[dropping_at]);
        let [own, dropping] = [at, dropping_at].map(|at| rounds.median(|values| values[at]));
        let (own_millions, dropping_millions) = (own / 1e6, dropping / 1e6);
        let case = format!("{} entries, {name}", short(ENTRIES));
        let reading = format!("{own_millions:.2} million/s, dropping alone {dropping_millions:.2}");
        Row::new(Goal::G9, case, (Bound::AtLeast, 0.85), ratio, "×")
            .with("reading", reading)
            .with("entries", ENTRIES)
            .with("engine_per_second", own)
            .with("drop_per_second", dropping)
    };
    Ok(senders.iter().enumerate().map(row).collect())
}

/// Sends [`FRAMES`] and waits until all have arrived; how many a second.
fn flood(wire: &Wire, controls: &Controls, frame: &[u8]) -> Result<f64, MeasureError> {
    let expected = wire.arrived()? + u64::from(FRAMES);
    let begin = Instant::now();
    wire.at_near(|| controls.program(Control::FloodXdp)?.run_live(frame, FRAMES).map(|_| ()))?;
    let mut took = begin.elapsed();
    while wire.arrived()? < expected {
        took = begin.elapsed();
        if took > PATIENCE {
            let why = format!("{} frames got lost", expected - wire.arrived()?);
            return Err(MeasureError::wrong("the wire", why));
        }
    }
    Ok(f64::from(FRAMES) / took.as_secs_f64())
}
