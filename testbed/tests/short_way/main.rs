//! The short way says what the full way says: streams of packets decided by copies that have the
//! same tables and the same past, one of them with the short way, one without it, one without all
//! that it keeps ([`Memory::bare`]), and the userspace filter. Every field of every outcome has to
//! be the same, and so has what is remembered.
//!
//! [`Memory::bare`]: memory::Memory::bare
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod by_hand;
mod copies;
mod memory;
mod setting;
mod stream;

use ringfence_common::abi::config::Hook;
use ringfence_dataplane::backend::{Arrival, Mode};
use ringfence_testbed::packet::generate::{Generator, World};
use ringfence_testbed::shortest::shortest;

use copies::{Copies, Shares, Start, Step};
use memory::Sizes;
use setting::{Change, SPARE, Setting, UPLINK};
use stream::Manner;

/// Arrays so small that flows share their places all the time.
const SMALL: Sizes = Sizes { cache: 7, windows: 5, presences: 10 };
const SMALLEST: Sizes = Sizes { cache: 1, windows: 1, presences: 2 };

/// Beginnings of time: an ordinary one, one far from 0, and one shortly before ticks return to 0.
const BEGINNINGS: [u32; 3] = [1_000, 3_000_000_000, u32::MAX - 20_000];

const PLAIN: Manner = Manner {
    arrival: Arrival::Tcx,
    connections: 24,
    evicts: false,
    mode: Some(Mode::Enforce),
    is_odd: false,
};

/// Plays the steps; a failure is told with the fewest steps that lead to it.
fn play(setting: &Setting, start: &Start, steps: &[Step]) -> Shares {
    let mut copies = Copies::new(setting, start);
    let Err((number, _)) = copies.play(steps) else { return copies.shares };
    let differ = |steps: &[Step]| {
        let played = Copies::new(setting, start).play(steps);
        played.is_err_and(|(number, _)| number + 1 == steps.len())
    };
    let fewest = shortest(&steps[..=number], differ);
    let (_, difference) = Copies::new(setting, start).play(&fewest).unwrap_err();
    for step in &fewest {
        eprintln!("{step:?}");
    }
    panic!("{start:?}: {difference}");
}

fn start(manner: &Manner, now: u32, sizes: Sizes) -> Start {
    Start { now, arrival: manner.arrival, change: Change::PLAIN, sizes }
}

fn world(setting: &Setting, start: &Start) -> World {
    World::new(&Copies::new(setting, start).tables().tables, UPLINK, SPARE)
}

/// Streams of `count` steps in this manner, from each of the seeds.
fn stream(manner: &Manner, sizes: Sizes, seeds: std::ops::Range<u64>, count: usize) -> Shares {
    let setting = Setting::new();
    let mut shares = Shares::default();
    for seed in seeds {
        let start = start(manner, BEGINNINGS[seed as usize % BEGINNINGS.len()], sizes);
        let steps = stream::steps(&world(&setting, &start), manner, seed, count);
        shares.merge(&play(&setting, &start, &steps));
    }
    println!("{shares}");
    shares
}

#[test]
fn flows_that_go_on() {
    let mut shares = Shares::default();
    for arrival in [Arrival::Tcx, Arrival::Xdp] {
        shares.merge(&stream(&Manner { arrival, ..PLAIN }, Sizes::REAL, 0..6, 4_000));
    }
    assert_shares(&shares, [35, 75, 85, 80]);
}

/// The short way gave at least so many percent of the answers of each kind: known flow, refusal, not
/// subject, spoofed.
fn assert_shares(shares: &Shares, percents: [usize; 4]) {
    let found = [shares.known, shares.refused, shares.not_subject, shares.spoofed];
    let enough = found.iter().zip(percents).all(|(share, percent)| share.percent() >= percent);
    assert!(enough, "{percents:?} percent are expected of\n{shares}");
}

#[test]
fn few_flows_that_are_in_a_hurry() {
    let shares = stream(&Manner { connections: 3, ..PLAIN }, Sizes::REAL, 60..66, 3_000);
    assert_shares(&shares, [50, 75, 80, 80]);
}

#[test]
fn places_that_flows_share() {
    for sizes in [SMALL, SMALLEST] {
        let shares = stream(&Manner { connections: 12, ..PLAIN }, sizes, 10..16, 4_000);
        assert!(shares.known.short > 100, "{shares}");
    }
}

#[test]
fn modes_that_change() {
    stream(&Manner { mode: None, is_odd: true, ..PLAIN }, Sizes::REAL, 20..26, 4_000);
    stream(&Manner { mode: None, is_odd: true, ..PLAIN }, SMALL, 30..36, 4_000);
    stream(&Manner { mode: Some(Mode::Audit), ..PLAIN }, Sizes::REAL, 40..43, 4_000);
}

#[test]
fn flows_that_are_evicted() {
    for sizes in [Sizes::REAL, SMALL] {
        stream(&Manner { evicts: true, ..PLAIN }, sizes, 50..56, 4_000);
    }
}

#[test]
fn generated_packets() {
    let setting = Setting::new();
    let mut shares = Shares::default();
    for (seed, arrival) in [(1, Arrival::Tcx), (2, Arrival::Xdp), (3, Arrival::Tcx)] {
        let manner = Manner { arrival, ..PLAIN };
        let start = start(&manner, BEGINNINGS[seed as usize - 1], Sizes::REAL);
        let world = world(&setting, &start);
        let hook = if arrival == Arrival::Xdp { Hook::Xdp } else { Hook::TcIngress };
        let mut generator = Generator::new(&world, seed);
        for _ in 0..8 {
            let mut steps = Vec::new();
            for packet in generator.by_ref().take(1_000) {
                let frame = packet.frame;
                steps.push(Step::Frame { frame: frame.clone(), hook, ifindex: packet.from });
                steps.push(Step::Frame { frame, hook: Hook::TcEgress, ifindex: packet.to });
                if steps.len() % 4 == 0 {
                    steps.push(Step::Time(1));
                }
            }
            shares.merge(&play(&setting, &start, &steps));
            generator.forget();
        }
    }
    println!("{shares}");
    assert_shares(&shares, [20, 40, 30, 35]);
}
