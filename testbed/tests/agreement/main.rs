//! The kernel's programs and the userspace filter decide alike: generated packets through
//! `BPF_PROG_TEST_RUN` on all three hooks and through [`Filter`], with the same tables and the
//! same past. Verdict, reason, rule, and everything else an event says has to be the same, and so
//! has the number of flows and fragments remembered.
//!
//! [`Filter`]: ringfence_dataplane::backend::userspace::Filter
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cases;
mod flood;
mod quiet;
mod report;
mod setting;
mod side_by_side;

use std::thread;
use std::time::Instant;

use ringfence_common::abi::config::{Hook, essential, report as reported};
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::{Arrival, Mode};
use ringfence_testbed::packet::generate::{Distribution, Generator, Kind, World};
use ringfence_testbed::packet::hex;
use ringfence_testbed::require;

use report::{Report, TOLD};
use setting::{Scenario, Setting};
use side_by_side::{SideBySide, Step};

const HOOKS: [Hook; 3] = [Hook::Xdp, Hook::TcIngress, Hook::TcEgress];

/// Packets whose flows and fragments are remembered together.
const BATCH: usize = 2_000;

/// Every so many batches, policy changes to fewer isolated workloads and back.
const CHANGE_EVERY: usize = 4;

/// With XDP, every so many batches packets are also seen where they go out; with tcx always.
const EGRESS_WITH_XDP_EVERY: usize = 4;

/// Mode, pick-up window, essential traffic, seed, batches: 210,000 packets in all, each at tcx
/// ingress of the interface where it comes in and at tcx egress of the one where it goes out, and
/// again at XDP.
const SCENARIOS: [(Mode, u32, u32, u64, usize); 4] = [
    (Mode::Enforce, 0, essential::ALL, 1, 65),
    (Mode::Enforce, 3_600, essential::ALL, 2, 15),
    (Mode::Enforce, 0, 0, 3, 10),
    (Mode::Audit, 0, essential::ALL, 4, 15),
];

/// Reasons that no packet meets here: tables are always installed, and the kernel's state tables
/// make room.
const UNMET: [Reason; 2] = [Reason::NotReady, Reason::TableFull];

/// What is enough of each kind of packet, and of each reason.
const ENOUGH: usize = 50;

#[test]
fn the_kernel_and_the_userspace_filter_decide_generated_packets_alike() {
    let Some(_granted) = require::kernel() else { return };
    let started = Instant::now();
    // One host each: an interface has room for one XDP program.
    let [tcx, xdp] = thread::scope(|scope| {
        let threads = [Arrival::Tcx, Arrival::Xdp].map(|at| scope.spawn(move || play_all(at)));
        threads.map(|thread| thread.join().unwrap())
    });
    let (mut report, mut distribution) = tcx;
    report.merge(xdp.0);
    distribution.merge(&xdp.1);
    println!("{report}\n{distribution}\n{:?}", started.elapsed());
    assert_eq!(report.differences(), 0, "{report}");
    for hook in HOOKS {
        assert!(report.count(hook) >= 200_000, "{hook:?} ran only {} frames", report.count(hook));
    }
    for kind in Kind::ALL {
        assert!(distribution.count(*kind) >= ENOUGH, "too few {kind:?}: {distribution}");
    }
    for reason in Reason::ALL.iter().filter(|reason| !UNMET.contains(reason)) {
        assert!(report.reason(*reason) >= ENOUGH, "too few {reason:?}: {report}");
    }
}

/// Runs all scenarios on a host of their own.
fn play_all(arrival: Arrival) -> (Report, Distribution) {
    let setting = Setting::new();
    let mut report = Report::default();
    let mut distribution = Distribution::default();
    for (mode, pick_up_seconds, essential, seed, batches) in SCENARIOS {
        let scenario =
            Scenario { mode, arrival, pick_up_seconds, essential, report: reported::ALL };
        let run = || play(&setting, scenario, seed, batches, &mut report);
        distribution.merge(&setting.pool.host().run(run).unwrap());
    }
    (report, distribution)
}

/// Runs one scenario in the calling thread's namespace; what was generated.
fn play(
    setting: &Setting,
    scenario: Scenario,
    seed: u64,
    batches: usize,
    report: &mut Report,
) -> Distribution {
    let desired = [setting.desired(0, scenario), setting.desired(1, scenario)];
    let mut sides = SideBySide::new(&setting.indices(), &desired[0]);
    let world = World::new(&sides.install(&desired[0]), setting.uplink, setting.spare);
    let mut generator = Generator::new(&world, seed);
    for batch in 0..batches {
        let changes = batch % CHANGE_EVERY == CHANGE_EVERY - 1;
        let mut steps = Vec::new();
        for number in 0..BATCH {
            if changes && number == BATCH / 4 {
                sides.install(&desired[1]);
            } else if changes && number == BATCH * 3 / 4 {
                sides.install(&desired[0]);
            }
            let packet = generator.next_packet();
            for (hook, ifindex) in places(scenario.arrival, batch, packet.from, packet.to) {
                steps.push(Step { frame: packet.frame.clone(), hook, ifindex });
                if let Some(difference) = sides.step(&steps[steps.len() - 1], report) {
                    report.differs(difference);
                    if report.shortest.is_empty() {
                        eprintln!("{scenario:?}, seed {seed}, batch {batch}:");
                        report.shortest = sides.shortest(&steps);
                    }
                    if report.differences() >= TOLD {
                        return generator.distribution().clone();
                    }
                    // The two may remember different things now.
                    sides.forget();
                    steps.clear();
                }
            }
        }
        let [kernel, userspace] = sides.forget();
        assert_eq!(kernel, userspace, "flows and fragments, seed {seed}, batch {batch}");
        generator.forget();
    }
    assert_eq!(sides.lost_events(), 0, "every event was read");
    generator.distribution().clone()
}

/// Where a packet is seen: the hook where it comes in, and that where it goes out.
fn places(arrival: Arrival, batch: usize, from: u32, to: u32) -> Vec<(Hook, u32)> {
    let leaving = (Hook::TcEgress, to);
    match arrival {
        Arrival::Tcx => vec![(Hook::TcIngress, from), leaving],
        Arrival::Xdp if batch.is_multiple_of(EGRESS_WITH_XDP_EVERY) => {
            vec![(Hook::Xdp, from), leaving]
        }
        Arrival::Xdp => vec![(Hook::Xdp, from)],
    }
}

fn plain(arrival: Arrival) -> Scenario {
    let (mode, essential) = (Mode::Enforce, essential::ALL);
    Scenario { mode, arrival, pick_up_seconds: 0, essential, report: reported::ALL }
}

/// Reasons for which frames cut short are denied.
const CUT: [Reason; 12] = [
    Reason::TruncatedEthernet,
    Reason::TruncatedIpv4,
    Reason::BadIpv4Length,
    Reason::TruncatedIpv6,
    Reason::BadIpv6Length,
    Reason::TruncatedExtension,
    Reason::TruncatedTcp,
    Reason::TruncatedUdp,
    Reason::TruncatedSctp,
    Reason::TruncatedIcmp,
    Reason::TinyFragment,
    Reason::MalformedEmbedded,
];

#[test]
fn frames_cut_at_every_length_are_decided_alike() {
    let Some(_granted) = require::kernel() else { return };
    let setting = Setting::new();
    let mut report = Report::default();
    for arrival in [Arrival::Tcx, Arrival::Xdp] {
        let cut = || cut_everywhere(&setting, arrival, &mut report);
        setting.pool.host().run(cut).unwrap();
    }
    println!("{report}");
    for hook in HOOKS {
        assert!(report.count(hook) > 800, "{hook:?} ran too few frames:\n{report}");
    }
    for reason in CUT {
        assert!(report.reason(reason) > 0, "{reason:?} was never given:\n{report}");
    }
}

/// Each frame cut at each length, with its IP length as it was and as the cut makes it.
fn cut_everywhere(setting: &Setting, arrival: Arrival, report: &mut Report) {
    let mut sides = SideBySide::new(&setting.indices(), &setting.desired(0, plain(arrival)));
    for frame in cases::frames_to_cut() {
        for length in 0..=frame.len() {
            let cut = frame[..length].to_vec();
            for frame in [cut.clone(), cases::with_fitting_length(cut)] {
                // Interfaces 3 and 4 are those of the frames' source and destination.
                for (hook, ifindex) in places(arrival, 0, 3, 4) {
                    let step = Step { frame: frame.clone(), hook, ifindex };
                    let difference = sides.step(&step, report);
                    assert!(difference.is_none(), "{}", difference.unwrap());
                }
                sides.forget();
            }
        }
    }
}

#[test]
fn headers_far_into_a_frame_are_decided_alike() {
    let Some(_granted) = require::kernel() else { return };
    let setting = Setting::new();
    let mut report = Report::default();
    // As a socket buffer the kernel runs programs on no more than a page.
    let run = || {
        let desired = setting.desired(0, plain(Arrival::Xdp));
        let mut sides = SideBySide::new(&setting.indices(), &desired);
        for frame in cases::long_chains() {
            let step = Step { frame, hook: Hook::Xdp, ifindex: 3 };
            let difference = sides.step(&step, &mut report);
            assert!(difference.is_none(), "{}", difference.unwrap());
        }
    };
    setting.pool.host().run(run).unwrap();
    let reasons = [Reason::Unrelated, Reason::MalformedEmbedded].map(|one| report.reason(one));
    assert_eq!((report.count(Hook::Xdp), reasons), (81, [80, 1]), "{report}");
}

#[test]
fn what_was_different_once_is_not_any_more() {
    let Some(_granted) = require::kernel() else { return };
    let setting = Setting::new();
    let run = || {
        let desired = setting.desired(0, plain(Arrival::Tcx));
        let mut sides = SideBySide::new(&setting.indices(), &desired);
        for case in &cases::CASES {
            let mut report = Report::default();
            for step in cases::steps(case) {
                let difference = sides.step(&step, &mut report);
                assert!(difference.is_none(), "{}", difference.unwrap());
            }
            assert!(report.reason(case.1) > 0, "{:?} was expected:\n{report}", case.1);
            sides.forget();
        }
    };
    setting.pool.host().run(run).unwrap();
}

#[test]
fn a_difference_is_found_told_and_cut_down() {
    let Some(_granted) = require::kernel() else { return };
    let setting = Setting::new();
    let run = || {
        let scenario = plain(Arrival::Tcx);
        let desired = setting.desired(0, scenario);
        let mut sides = SideBySide::new(&setting.indices(), &desired);
        let world = World::new(&sides.install(&desired), setting.uplink, setting.spare);
        sides.mislead(&setting.desired(1, scenario));
        let mut report = Report::default();
        let mut steps = Vec::new();
        for packet in Generator::new(&world, 5).take(BATCH) {
            let (hook, ifindex) = (Hook::TcEgress, packet.to);
            steps.push(Step { frame: packet.frame, hook, ifindex });
            if let Some(difference) = sides.step(&steps[steps.len() - 1], &mut report) {
                report.differs(difference);
                report.shortest = sides.shortest(&steps);
                return report;
            }
        }
        report
    };
    let report = setting.pool.host().run(run).unwrap();
    let told = report.to_string();
    assert_eq!((report.differences(), report.shortest.len()), (1, 1), "{told}");
    let frame = hex(&report.shortest[0].frame);
    for part in ["TcEgress", "DIFFERENT", "kernel", "userspace", "rule 0x", frame.as_str()] {
        assert!(told.contains(part), "`{part}` is not told:\n{told}");
    }
}
