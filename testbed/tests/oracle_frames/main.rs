//! The oracle and the userspace filter decide alike: generated packets, policy that changes under
//! them, time that passes, on both sides with the same past. Verdict, reason and rule have to be
//! the same.
//!
//! 80,000 frames by default; `RINGFENCE_FRAMES=1_000_000` asks for more, `RINGFENCE_SEED=180` for those
//! from the round on that has this seed. A round is ten seeds, each with 4,000 frames and a scenario
//! of its own; rounds are always whole.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod by_hand;
mod report;
mod setting;
mod side_by_side;

use std::time::Instant;

use ringfence_common::abi::config::Hook;
use ringfence_common::verdict::Reason;
use ringfence_dataplane::oracle::{Essential, Established, Mode};
use ringfence_testbed::environment::{SEED, number};
use ringfence_testbed::packet::generate::{Distribution, Generator, Kind, World};
use ringfence_testbed::random::Random;

use report::{Report, TOLD};
use setting::{Scenario, Setting, UNGUARDED, UPLINK};
use side_by_side::{Happening, SideBySide};

/// Packets whose connections and fragments are remembered together.
const BATCH: usize = 2_000;

/// Frames that are compared unless the environment asks for more: two rounds.
const FRAMES: usize = 80_000;

/// Where the number of frames is asked for.
const ASKED: &str = "RINGFENCE_FRAMES";

/// Batches in which every scenario has had its turn. Each has a seed, from 1 on.
const ROUND: u64 = 10;

/// Time passes in steps of this, of which no time-out is a multiple: the filter counts time in
/// ticks of 8.4 ms, the oracle does not.
const STEP_MS: u64 = 700;

/// Reasons that no packet meets here: tables are always installed, and are never full.
const UNMET: [Reason; 2] = [Reason::NotReady, Reason::TableFull];

/// What is enough of each kind of packet, and of each reason.
const ENOUGH: usize = 5;

/// The scenarios, and how many of ten batches each has.
fn scenarios() -> [(Scenario, usize); 6] {
    let plain = Scenario {
        mode: Mode::Enforce,
        established: Established::Revalidate,
        pick_up_seconds: 0,
        essential_off: &[],
    };
    [
        (plain, 4),
        (Scenario { established: Established::Keep, ..plain }, 1),
        (Scenario { pick_up_seconds: 300, ..plain }, 2),
        (Scenario { essential_off: &Essential::ALL, ..plain }, 1),
        (Scenario { mode: Mode::Audit, ..plain }, 1),
        (
            Scenario {
                mode: Mode::Audit,
                established: Established::Keep,
                pick_up_seconds: 300,
                ..plain
            },
            1,
        ),
    ]
}

#[test]
fn the_oracle_and_the_userspace_filter_decide_generated_packets_alike() {
    let started = Instant::now();
    let frames = number(ASKED).map_or(FRAMES, |frames| frames.try_into().unwrap());
    let setting = Setting::new();
    let mut report = Report::default();
    let mut distribution = Distribution::default();
    // The scenario of a seed is the same wherever one begins. One that was told need not be waited
    // for.
    let before = number(SEED).map_or(0, |asked| asked.saturating_sub(1) / ROUND * ROUND);
    let mut seed = before;
    while report.frames() < frames && report.differences() < TOLD {
        for (scenario, batches) in scenarios() {
            for _ in 0..batches {
                seed += 1;
                play(&setting, scenario, seed, &mut report, &mut distribution);
            }
        }
    }
    println!("seeds {} to {seed}: {report}\n{distribution}\n{:?}", before + 1, started.elapsed());
    assert_eq!(report.differences(), 0, "{report}");
    for kind in Kind::ALL {
        assert!(distribution.count(*kind) >= ENOUGH, "too few {kind:?}: {distribution}");
    }
    for reason in Reason::ALL.iter().filter(|reason| !UNMET.contains(reason)) {
        assert!(report.reason(*reason) >= ENOUGH, "too few {reason:?}: {report}");
    }
}

/// One batch: both sides begin with nothing.
fn play(
    setting: &Setting,
    scenario: Scenario,
    seed: u64,
    report: &mut Report,
    distribution: &mut Distribution,
) {
    let mut sides = SideBySide::new(setting, scenario);
    let world = World::new(&setting.host_tables(0, 1, scenario), UPLINK, UNGUARDED);
    let mut generator = Generator::new(&world, seed);
    let mut random = Random::new(seed);
    let mut past = Vec::new();
    for number in 0..BATCH {
        if number % (BATCH / 8) == BATCH / 8 - 1 {
            let policies = random.below(setting.sets());
            let scenario = changed(scenario, &mut random);
            past.push(Happening::Apply { policies, scenario });
            sides.apply(policies, scenario);
        }
        let packet = generator.next_packet();
        let steps = passed(&mut random);
        let arrives = if number % 4 == 0 { Hook::Xdp } else { Hook::TcIngress };
        for (index, (hook, ifindex)) in
            [(arrives, packet.from), (Hook::TcEgress, packet.to)].into_iter().enumerate()
        {
            let after_ms = if index == 0 { steps * STEP_MS } else { 0 };
            let frame = packet.frame.clone();
            let happening = Happening::Frame { frame, hook, ifindex, after_ms };
            past.push(happening.clone());
            if let Some(difference) = sides.frame(&happening, report) {
                let shortest = side_by_side::shortest(setting, scenario, &past);
                report.differs(difference, scenario, seed, shortest);
                distribution.merge(generator.distribution());
                return;
            }
        }
    }
    distribution.merge(generator.distribution());
}

/// Now and then the mode changes with the policies.
fn changed(scenario: Scenario, random: &mut Random) -> Scenario {
    match (scenario.mode, random.chance(30)) {
        (Mode::Audit, true) => Scenario { mode: Mode::Enforce, ..scenario },
        _ => scenario,
    }
}

/// How many steps of time pass before a packet: mostly none, now and then so many that something is
/// forgotten.
fn passed(random: &mut Random) -> u64 {
    match random.below(200) {
        0..150 => 0,
        150..199 => random.number() % 4,
        _ => random.number() % 200,
    }
}

#[test]
fn a_difference_is_found_told_and_cut_down() {
    let setting = Setting::new();
    let (scenario, _) = scenarios()[0];
    let world = World::new(&setting.host_tables(0, 1, scenario), UPLINK, UNGUARDED);
    let mut sides = SideBySide::misled(&setting, scenario);
    let mut report = Report::default();
    let mut past = Vec::new();
    for packet in Generator::new(&world, 5).take(BATCH) {
        let (hook, ifindex) = (Hook::TcEgress, packet.to);
        past.push(Happening::Frame { frame: packet.frame, hook, ifindex, after_ms: 0 });
        if let Some(difference) = sides.frame(&past[past.len() - 1], &mut report) {
            let misled = || SideBySide::misled(&setting, scenario);
            let shortest = side_by_side::shortest_from(misled, &past);
            report.differs(difference, scenario, 5, shortest);
            break;
        }
    }
    let told = report.to_string();
    assert_eq!((report.differences(), report.shortest().len()), (1, 1), "{told}");
    for part in ["TcEgress", "DIFFERENT", "oracle", "userspace", "seed 5"] {
        assert!(told.contains(part), "`{part}` is not told:\n{told}");
    }
}
