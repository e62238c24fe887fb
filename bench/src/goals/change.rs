//! G11: one rule changed, from the call to the verdict.
//!
//! The tools that it is compared with change rules of their own on other hosts, in turns with the
//! engine: one `nft` that stays and is told over a pipe to add an element to its set, and one
//! `iptables -A`, less what `iptables --version` takes. What each has added is taken away again and
//! not timed; after each change the next packets are looked at.
//!
//! Changes follow one another, so what they need is in the processor's caches. What a change takes
//! that comes after something else has used them is told beside that.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ringfence_dataplane::backend::How;

use ringfence_testbed::lab::Contender;

use super::decisions::short;
use super::{Bound, Goal, Progress, Row};
use crate::kernel::{MeasureError, Seat, Toggle, Toggled};
use crate::measure::contender::{Form, Standing};
use crate::rounds::{Rounds, median};
use crate::workload::{Crowd, Entry, Family, Place};

/// The goals of this part.
pub const GOALS: &[Goal] = &[Goal::G11];

/// Entries beside the one that changes.
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// What changes.
const TOGGLES: [(Toggle, &str); 2] =
    [(Toggle::Verdict, "a rule's verdict"), (Toggle::Presence, "a rule comes or goes")];

/// How much faster than an element added by nft, and than a rule by iptables, at each size.
const AGAINST_NFT: f64 = 20.0;
const AGAINST_IPTABLES: [f64; SIZES.len()] = [500.0, 4_000.0, 50_000.0];

/// Turns against the tools, changes of the engine in each, and how long a change of theirs may take.
const TURNS: usize = 9;
const CHANGES_A_TURN: usize = 20;
const LIMIT: Duration = Duration::from_secs(60);

/// Changes of each kind at each size, at most.
const CHANGES: usize = 1_000;

/// Of so many turns one finds empty caches, there and back.
const COLD: usize = 10;

/// Time for them all, at most.
const PATIENCE: Duration = Duration::from_secs(20);

/// One kind of change at one size.
struct Measured {
    entries: usize,
    toggle: Toggle,
    name: &'static str,
    toggled: Toggled,
    took: Vec<f64>,
    /// With empty caches.
    cold: Vec<f64>,
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
            all.push(Measured {
                entries,
                toggle,
                name,
                toggled,
                took: Vec::new(),
                cold: Vec::new(),
                ways: Vec::new(),
            });
        }
    }
    progress.begin("changing one rule");
    let begin = Instant::now();
    for turn in 0..CHANGES {
        progress.step(turn, CHANGES);
        for measured in &mut all {
            let is_cold = turn / 2 % COLD == 0;
            if is_cold {
                measured.toggled.empty_caches()?;
            }
            let (took, way) = measured.toggled.toggle()?;
            let taken = if is_cold { &mut measured.cold } else { &mut measured.took };
            taken.push(took.as_secs_f64() * 1e6);
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
    let of_presence = all.iter_mut().filter(|measured| measured.toggle == Toggle::Presence);
    for (measured, limit) in of_presence.zip(AGAINST_IPTABLES) {
        rows.extend(against_tools(measured, limit, progress)?);
    }
    Ok(rows)
}

fn one(measured: &Measured) -> Row {
    let Measured { entries, name, took, cold, ways, .. } = measured;
    let case = format!("{name}, {} entries", short(*entries));
    let in_place = ways.iter().filter(|way| **way == How::InPlace).count();
    let (changes, cold) = (ways.len(), median(cold.clone()));
    Row::new(Goal::G11, case, (Bound::AtMost, 5.0), median(took.clone()), "µs")
        .with(
            "reading",
            format!(
                "{changes} changes, {in_place} of them in place; {cold:.1} µs with empty caches"
            ),
        )
        .with("cold_us", cold)
        .with("entries", *entries)
        .with("changes", changes)
        .with("in_place", in_place)
}

/// The largest size against the smallest.
fn flatness(of_kind: &[Measured]) -> Row {
    let [few, many] = [0, SIZES.len() - 1].map(|at| median(of_kind[at].took.clone()));
    let case = format!("{}, 100K entries against 1K", of_kind[0].name);
    Row::new(Goal::G11, case, (Bound::AtMost, 1.2), many / few, "×")
        .with("reading", format!("{many:.2} µs, at 1K {few:.2} µs"))
}

/// A rule that comes or goes, against the tools, in turns.
fn against_tools(
    measured: &mut Measured,
    limit: f64,
    progress: &dyn Progress,
) -> Result<[Row; 2], MeasureError> {
    let rules = measured.entries;
    progress.begin(&format!("changing one of {} rules beside the tools", short(rules)));
    let nft = Standing::start(Contender::BareNftSet, Form::InSession, rules, LIMIT)?;
    let iptables = Standing::start(Contender::BareIptables, Form::One, rules, LIMIT)?;
    let mut done = 0;
    let rounds = Rounds::take(TURNS, 3, |number| {
        done += 1;
        progress.step(done, 3 * (TURNS + 1));
        match number {
            0 => toggled(&mut measured.toggled),
            1 => Ok(nft.turn()?.call / 1e3),
            _ => {
                let took = iptables.turn()?;
                Ok(took.net.unwrap_or(took.call) / 1e3)
            }
        }
    })?;
    let own = rounds.median(|values| values[0]);
    let row = |(at, name, limit): (usize, &str, f64)| {
        let other = rounds.median(|values| values[at]);
        let ratio = rounds.median(|values| values[at] / values[0]);
        let case = format!("{} rules, against {name}", short(rules));
        Row::new(Goal::G11, case, (Bound::AtLeast, limit), ratio, "×")
            .with("reading", format!("{own:.2} µs, {name} {other:.0} µs"))
            .with("entries", rules)
            .with("engine_us", own)
            .with("tool_us", other)
    };
    Ok([(1, "an nft element", AGAINST_NFT), (2, "iptables -A", limit)].map(row))
}

/// The median of some changes, in microseconds.
fn toggled(toggled: &mut Toggled) -> Result<f64, MeasureError> {
    let changes = (0..CHANGES_A_TURN).map(|_| Ok(toggled.toggle()?.0.as_secs_f64() * 1e6));
    Ok(median(changes.collect::<Result<_, MeasureError>>()?))
}
