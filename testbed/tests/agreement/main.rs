//! The kernel's programs and the userspace filter decide alike: generated packets through
//! `BPF_PROG_TEST_RUN` on all three hooks and through [`Filter`], with the same tables and the
//! same past. Verdict, reason, rule, and everything else an event says has to be the same, and so
//! has the number of flows and fragments remembered.
//!
//! [`Filter`]: ringfence_dataplane::backend::userspace::Filter
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kernel;
mod report;
mod setting;
mod side_by_side;

use std::time::Instant;

use ringfence_common::abi::config::Hook;
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::{Arrival, Mode};
use ringfence_testbed::packet::generate::{Distribution, Generator, Kind, World};
use ringfence_testbed::require;

use report::Report;
use setting::{Scenario, Setting};
use side_by_side::{SideBySide, Step};

/// Packets whose flows and fragments are remembered together.
const BATCH: usize = 2_000;

/// Every so many batches, policy changes in the middle.
const CHANGE_EVERY: usize = 12;

/// Mode, pick-up window, seed, batches: 210,000 packets, each at XDP and at tcx ingress of the
/// interface where it comes in, and at tcx egress of the interface where it goes out.
const SCENARIOS: [(Mode, u32, u64, usize); 3] =
    [(Mode::Enforce, 0, 1, 65), (Mode::Enforce, 3_600, 2, 20), (Mode::Audit, 0, 3, 20)];

#[test]
fn the_kernel_and_the_userspace_filter_decide_generated_packets_alike() {
    let Some(_granted) = require::kernel() else { return };
    let started = Instant::now();
    let setting = Setting::new();
    let mut report = Report::default();
    let mut distribution = Distribution::default();
    for arrival in [Arrival::Tcx, Arrival::Xdp] {
        for (mode, pick_up_seconds, seed, batches) in SCENARIOS {
            let scenario = Scenario { mode, arrival, pick_up_seconds };
            let run = || play(&setting, scenario, seed, batches, &mut report);
            distribution = setting.host.run(run).unwrap();
        }
    }
    println!("{report}\n{distribution}\n{:?}", started.elapsed());
    assert_eq!(report.differences(), 0, "{report}");
    for hook in [Hook::Xdp, Hook::TcIngress, Hook::TcEgress] {
        assert!(report.count(hook) >= 200_000, "{hook:?} ran only {} frames", report.count(hook));
    }
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
        let mut steps = Vec::new();
        let changes = batch % CHANGE_EVERY == CHANGE_EVERY - 1;
        for number in 0..BATCH {
            if changes && number == BATCH / 2 {
                sides.install(&desired[1]);
            }
            let packet = generator.next_packet();
            let arrival = match scenario.arrival {
                Arrival::Tcx => Hook::TcIngress,
                Arrival::Xdp => Hook::Xdp,
            };
            for (hook, ifindex) in [(arrival, packet.from), (Hook::TcEgress, packet.to)] {
                let step = Step { frame: packet.frame.clone(), hook, ifindex };
                steps.push(step);
                let step = &steps[steps.len() - 1];
                if let Some(difference) = sides.step(step, report) {
                    report.differs(difference);
                    if report.shortest.is_empty() {
                        report.shortest = sides.shortest(&steps);
                        println!("seed {seed}, batch {batch}, {scenario:?}\n{report}");
                        return generator.distribution().clone();
                    }
                }
            }
        }
        let [kernel, userspace] = sides.forget();
        assert_eq!(kernel, userspace, "flows and fragments, seed {seed}, batch {batch}");
        generator.forget();
        if changes {
            sides.install(&desired[0]);
        }
    }
    assert_eq!(sides.lost_events(), 0, "every event was read");
    generator.distribution().clone()
}
