//! The kernel's short way: where packets are not reported, most of them never reach the full one. So
//! here they say nothing, and what counts is what a program returns, and what it has counted.

use std::collections::BTreeMap;
use std::thread;

use ringfence_common::abi::config::essential;
use ringfence_common::abi::event::{Counter, Event};
use ringfence_common::abi::policy::Direction;
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::{Arrival, Counters, Mode, clock};
use ringfence_testbed::packet::generate::{Generator, World};
use ringfence_testbed::packet::hex;
use ringfence_testbed::require;
use ringfence_testbed::shortest::shortest;
use ringfence_testbed::suite::kernel::returns;

use super::places;
use super::setting::{Scenario, Setting};
use super::side_by_side::{SideBySide, Step, event};

/// Mode, pick-up window, seed, batches of [`BATCH`] packets.
const SCENARIOS: [(Mode, u32, u64, usize); 3] =
    [(Mode::Enforce, 0, 11, 8), (Mode::Enforce, 3_600, 12, 3), (Mode::Audit, 0, 13, 3)];

const BATCH: usize = 1_500;

/// What packets are counted under: (reason, direction), and rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    reasons: BTreeMap<(Reason, Direction), Counter>,
    rules: BTreeMap<u32, Counter>,
    frames: usize,
}

#[test]
fn the_kernel_says_and_counts_the_same_when_nothing_is_reported() {
    let Some(_granted) = require::kernel() else { return };
    let tallies = thread::scope(|scope| {
        let threads = [Arrival::Tcx, Arrival::Xdp].map(|at| scope.spawn(move || play_all(at)));
        threads.map(|thread| thread.join().unwrap())
    });
    for tally in tallies {
        let frames = |reason: Reason| -> u64 {
            let of_reason = tally.reasons.iter().filter(|((found, _), _)| *found == reason);
            of_reason.map(|(_, counter)| counter.packets).sum()
        };
        assert!(tally.frames > 25_000, "only {} frames ran", tally.frames);
        for reason in [
            Reason::Established,
            Reason::Reply,
            Reason::NoRule,
            Reason::NoConnection,
            Reason::NotSubject,
            Reason::Spoofed,
        ] {
            assert!(frames(reason) > 500, "{reason:?}: {} of {}", frames(reason), tally.frames);
        }
    }
}

/// Runs all scenarios on a host of their own; what was counted.
fn play_all(arrival: Arrival) -> Tally {
    let setting = Setting::new();
    let mut all = Tally::default();
    for (mode, pick_up_seconds, seed, batches) in SCENARIOS {
        let essential = essential::ALL;
        let scenario = Scenario { mode, arrival, pick_up_seconds, essential, report: 0 };
        let run = || play(&setting, scenario, seed, batches);
        all.add(&setting.pool.host().run(run).unwrap());
    }
    all
}

fn play(setting: &Setting, scenario: Scenario, seed: u64, batches: usize) -> Tally {
    let desired = [setting.desired(0, scenario), setting.desired(1, scenario)];
    let mut sides = SideBySide::new(&setting.indices(), &desired[0]);
    let world = World::new(&sides.install(&desired[0]), setting.uplink, setting.spare);
    let mut generator = Generator::new(&world, seed);
    let mut all = Tally::default();
    for batch in 0..batches {
        let before = Tally::of(&sides.kernel.counters().unwrap());
        let (mut tally, mut steps) = (Tally::default(), Vec::new());
        for number in 0..BATCH {
            // Every other batch, policy changes to fewer isolated workloads and back.
            if batch % 2 == 1 && number % (BATCH / 2) == BATCH / 4 {
                sides.install(&desired[usize::from(number < BATCH / 2)]);
            }
            let packet = generator.next_packet();
            for (hook, ifindex) in places(scenario.arrival, 0, packet.from, packet.to) {
                steps.push(Step { frame: packet.frame.clone(), hook, ifindex });
                if let Err(told) = step(&mut sides, &steps[steps.len() - 1], &mut tally) {
                    let fewest = shortest(&steps, |steps| differ(&mut sides, steps));
                    panic!("{scenario:?}, seed {seed}, batch {batch}: {told}\n{fewest:?}");
                }
            }
        }
        let counted = Tally::of(&sides.kernel.counters().unwrap()).since(&before);
        assert_eq!(counted.reasons, tally.reasons, "{scenario:?}, seed {seed}, batch {batch}");
        let known = |rule: &u32| counted.rules.contains_key(rule);
        tally.rules.retain(|rule, _| known(rule));
        assert_eq!(counted.rules, tally.rules, "{scenario:?}, seed {seed}, batch {batch}");
        all.add(&tally);
        let [kernel, userspace] = sides.forget();
        assert_eq!(kernel, userspace, "flows and fragments, seed {seed}, batch {batch}");
        generator.forget();
    }
    assert_eq!(sides.lost_events(), 0, "every event was read");
    all
}

/// Decides a frame on both sides, and counts it as the filter says.
fn step(sides: &mut SideBySide, step: &Step, tally: &mut Tally) -> Result<(), String> {
    let Step { frame, hook, ifindex } = step;
    let now = clock::now().expect("there is a monotonic clock");
    let outcome = sides.filter.decide(frame, *hook, *ifindex, now);
    let userspace = event(&sides.filter, &outcome, step);
    let ran = sides.kernel.run_quietly(frame, *hook, *ifindex).expect("the program runs");
    let Some((returned, told)) = ran else { return Ok(()) };
    tally.count(&outcome, frame.len());
    let expected = outcome.is_reported().then_some(userspace);
    let told = told.map(|event| Event { time_ns: 0, ..event });
    if returned == returns(*hook, outcome.decision.passes()) && told == expected {
        return Ok(());
    }
    Err(format!("{} returned {returned} and told {told:?}, not {userspace:?}", hex(frame)))
}

/// Whether the sides differ about the last of `steps` when nothing else has come before.
fn differ(sides: &mut SideBySide, steps: &[Step]) -> bool {
    sides.forget();
    let mut unused = Tally::default();
    let mut last = false;
    for one in steps {
        last = step(sides, one, &mut unused).is_err();
    }
    last
}

impl Tally {
    /// What the kernel has counted.
    fn of(counters: &Counters) -> Self {
        let reasons = counters.reasons.iter().map(|counted| {
            let direction = counted.direction.expect("programs know the direction");
            ((counted.reason, direction), counted.count)
        });
        Self { reasons: reasons.collect(), rules: counters.rules.clone(), frames: 0 }
    }

    fn count(&mut self, outcome: &ringfence_common::decide::Outcome, length: usize) {
        let one = Counter { packets: 1, bytes: length as u64 };
        add(&mut self.reasons, (outcome.decision.reason, outcome.direction), one);
        if outcome.decision.rule != 0 {
            add(&mut self.rules, outcome.decision.rule, one);
        }
        self.frames += 1;
    }

    /// What has come since `before`.
    fn since(&self, before: &Self) -> Self {
        let (reasons, rules) =
            (since(&self.reasons, &before.reasons), since(&self.rules, &before.rules));
        Self { reasons, rules, frames: self.frames }
    }

    fn add(&mut self, other: &Self) {
        other.reasons.iter().for_each(|(key, count)| add(&mut self.reasons, *key, *count));
        other.rules.iter().for_each(|(key, count)| add(&mut self.rules, *key, *count));
        self.frames += other.frames;
    }
}

fn add<K: Ord>(counters: &mut BTreeMap<K, Counter>, key: K, count: Counter) {
    let counter = counters.entry(key).or_default();
    counter.packets += count.packets;
    counter.bytes += count.bytes;
}

fn since<K: Ord + Copy>(
    counters: &BTreeMap<K, Counter>,
    before: &BTreeMap<K, Counter>,
) -> BTreeMap<K, Counter> {
    let grown = counters.iter().map(|(key, now)| {
        let then = before.get(key).copied().unwrap_or_default();
        (*key, Counter { packets: now.packets - then.packets, bytes: now.bytes - then.bytes })
    });
    grown.filter(|(_, counter)| counter.packets > 0).collect()
}
