//! G5: from address to identity, the step alone.
//!
//! Loops of look-ups inside a program, each minus the same loop without look-ups: over the engine's
//! own table, by the engine's own code, and over a trie and a hash map of the kernel with the same
//! addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ringfence_controls::{DRAWN, LOOKUPS};
use ringfence_testbed::netns::{BPF_FILE_SYSTEM, Namespace};
use ringfence_testbed::require;

use super::decisions::short;
use super::{Bound, Goal, Progress, Row};
use crate::kernel::{Control, Controls, Engine, MeasureError, returns, rules, stay_on_one_cpu};
use crate::rounds::Rounds;
use crate::workload::{Crowd, Entry, Family, Place};

/// The goals of this part.
pub const GOALS: &[Goal] = &[Goal::G5];

/// Entries, and how much faster than a trie.
const SIZES: [(usize, f64); 4] = [(1_000, 6.0), (10_000, 10.0), (100_000, 15.0), (1_000_000, 15.0)];

/// What is compared.
const LOOPS: [Control; 4] =
    [Control::LoopNothing, Control::LoopBuckets, Control::LoopTrie, Control::LoopHash];

const ROUNDS: usize = 15;

/// Runs of a loop in one measurement.
const REPEAT: u32 = 2_000;

/// Seed of the order of the addresses.
const SEED: u64 = 6;

/// The engine's maps that its table of addresses consists of.
const MAPS: [&str; 3] = ["ADDRESSES_V4", "SELECTOR", "GENERATIONS"];

const PLACE: Place = Place::HostAtXdp;

/// Tables with the same addresses.
struct Tables {
    controls: Controls,
    _engine: Engine,
    /// The sum of the identities that one measurement finds.
    sum: u64,
    keys: Vec<u32>,
    offset: u32,
}

/// Measures.
pub fn measure(_: &BTreeSet<Goal>, progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    if let Some(missing) = require::missing_for_kernel() {
        return Err(MeasureError::Missing(missing));
    }
    stay_on_one_cpu()?;
    // It has a file system for pins of its own.
    let host = Namespace::isolated_host().map_err(MeasureError::refused("make a host"))?;
    let work = || measure_here(progress);
    host.run(work).map_err(MeasureError::refused("enter a host"))?
}

fn measure_here(progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    let mut all = Vec::new();
    for (entries, _) in SIZES {
        progress.begin(&format!("loading {} addresses", short(entries)));
        all.push(Tables::new(entries)?);
    }
    progress.begin("looking addresses up");
    let count = all.len() * LOOPS.len();
    let mut done = 0;
    let rounds = Rounds::take(ROUNDS, count, |number| {
        done += 1;
        progress.step(done, count * (ROUNDS + 1));
        all[number / LOOPS.len()].measure(LOOPS[number % LOOPS.len()])
    })?;
    let row = |(size, (entries, limit)): (usize, (usize, f64))| {
        let at = |which: usize| size * LOOPS.len() + which;
        let each = |which: usize| {
            rounds.middle(|values| (values[at(which)] - values[at(0)]) / LOOKUPS as f64)
        };
        let ratio = rounds.median(|values| {
            let [nothing, own, trie] = [0, 1, 2].map(|which| values[at(which)]);
            (trie - nothing) / (own - nothing).max(1.0)
        });
        let [own, trie, hash] = [1, 2, 3].map(each);
        let case = format!("{} addresses", short(entries));
        Row::new(Goal::G5, case, (Bound::AtLeast, limit), ratio, "×")
            .with("reading", format!("{own:.1} ns, trie {trie:.1} ns, hash map {hash:.1} ns"))
            .with("entries", entries)
            .with("engine_ns", own)
            .with("trie_ns", trie)
            .with("hash_ns", hash)
    };
    Ok(SIZES.into_iter().enumerate().map(row).collect())
}

impl Tables {
    fn new(entries: usize) -> Result<Self, MeasureError> {
        let crowd = Crowd::new(PLACE, Family::V4, Entry::Deny, entries);
        let mut engine = Engine::load(&[PLACE.inbound()])?;
        engine.install(&crowd.desired(1))?;
        let folder = Path::new(BPF_FILE_SYSTEM).join(entries.to_string());
        std::fs::create_dir(&folder).map_err(MeasureError::refused("make a folder for pins"))?;
        let pinned = engine.pin(&MAPS, &folder)?;
        let count = u32::try_from(entries).unwrap_or(u32::MAX);
        let mut controls = Controls::load_over(count, &pinned)?;
        controls.fill(rules(&crowd))?;
        let keys = crowd.drawn(DRAWN, SEED);
        let identities: BTreeMap<u32, u32> = crowd.identities().collect();
        let looked_up = keys.iter().cycle().take(REPEAT as usize * LOOKUPS);
        let sum = looked_up.map(|key| u64::from(identities[key])).sum();
        Ok(Self { controls, _engine: engine, sum, keys, offset: crowd.source_offset() })
    }

    /// Nanoseconds of one run of a loop, which has to find what is there.
    fn measure(&mut self, which: Control) -> Result<f64, MeasureError> {
        self.controls.prepare(self.offset, &self.keys)?;
        let before = self.controls.sum()?;
        let measured = self.controls.program(which)?.run(&[0; 64], 0, REPEAT)?;
        let found = self.controls.sum()?.wrapping_sub(before);
        let expected = returns(PLACE.inbound(), true);
        if measured.returned != expected {
            let why = format!("it returned {}, not {expected}", measured.returned);
            return Err(MeasureError::wrong(which.name(), why));
        }
        if which != Control::LoopNothing && found != self.sum {
            let why = "it did not find the identities that are there".to_owned();
            return Err(MeasureError::wrong(which.name(), why));
        }
        Ok(measured.ns as f64)
    }
}
