//! The kernel's programs agree too: a share of the generated packets goes through
//! `BPF_PROG_TEST_RUN`, at all three hooks, with the tables in the kernel's maps.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ringfence_common::abi::config::{Hook, report};
use ringfence_common::abi::event::Event;
use ringfence_common::verdict::{Decision, Reason, Verdict};
use ringfence_dataplane::backend::Arrival;
use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::model::PolicySet;
use ringfence_dataplane::oracle::Flow;
use ringfence_testbed::agreement::{Host, Subject, tables_of};
use ringfence_testbed::packet::first_packet;
use ringfence_testbed::require;
use ringfence_testbed::suite::kernel::{Interfaces, KernelSide, Ran, returns};

use crate::flows::Boundaries;
use crate::policies::{self, Kind};
use crate::runs;

/// Workloads of the largest generated inventory, or more.
const INTERFACES: usize = 8;

/// Packets asked about each policy set.
const PACKETS: usize = 32;

/// One in so many pairs is asked of the kernel.
const SHARE: usize = 15;

/// Pairs where the environment does not say how many.
const PAIRS: usize = 60_000;

#[test]
fn the_kernel_agrees_about_generated_packets() {
    let Some(_granted) = require::kernel() else { return };
    let pool = Interfaces::new().unwrap();
    let add = |name: &str| pool.add(name).unwrap();
    let uplink = add("uplink");
    let workloads: Vec<u32> = (0..INTERFACES).map(|index| add(&format!("w{index}"))).collect();
    let run = || {
        let mut kernel = KernelSide::new(&[Hook::Xdp, Hook::TcIngress, Hook::TcEgress]).unwrap();
        workloads.iter().chain([&uplink]).for_each(|index| kernel.attach(*index).unwrap());
        search(Scene { kernel, workloads, uplink })
    };
    let counts = pool.host().run(run).unwrap();
    println!("seed {}: {counts:?} pairs at XDP, tc ingress, tc egress", runs::seed());
    assert!(counts.iter().all(|count| *count >= 300), "too few at some hook: {counts:?}");
}

/// The kernel, and the interfaces there are.
struct Scene {
    kernel: KernelSide,
    workloads: Vec<u32>,
    uplink: u32,
}

/// How many packets each hook has decided like the oracle.
fn search(scene: Scene) -> [u32; 3] {
    let (scene, counts) = (RefCell::new(scene), [0; 3].map(Cell::new));
    let cases = u32::try_from(runs::pairs(PAIRS).div_ceil(SHARE * PACKETS)).unwrap();
    let examples = (policies::policy_set(Kind::Everything), any::<u64>());
    let tried = TestRunner::new(runs::config(cases)).run(&examples, |(set, seed)| {
        let tables = tables_of(&set);
        let flows = told_apart(&Boundaries::of_sets(&[&set]).sample(PACKETS, seed));
        for arrival in [Arrival::Xdp, Arrival::Tcx] {
            scene.borrow_mut().ask(&set, &tables, arrival, &flows, &counts)?;
        }
        Ok(())
    });
    tried.unwrap_or_else(|failure| panic!("{failure}"));
    counts.map(|count| count.get())
}

/// Flows that are nobody's answer and come once: state is forgotten after all of them, not after
/// each.
fn told_apart(flows: &[Flow]) -> Vec<Flow> {
    let mut seen = BTreeSet::new();
    let mut is_new = |flow: &&Flow| {
        let mut ends = [flow.source, flow.destination];
        ends.sort();
        seen.insert((ends, flow.protocol, flow.port))
    };
    flows.iter().filter(&mut is_new).copied().collect()
}

impl Scene {
    fn ask(
        &mut self,
        set: &PolicySet,
        tables: &Tables,
        arrival: Arrival,
        flows: &[Flow],
        counts: &[Cell<u32>; 3],
    ) -> Result<(), TestCaseError> {
        let host = Host::behind(tables, self.uplink, self.workloads.iter().copied());
        let host = host.seeing(arrival);
        let mut desired = host.desired(tables, arrival);
        desired.settings.report = report::ALL;
        self.kernel.install(&desired).unwrap();
        let subject = Subject::new(set, tables);
        for flow in flows {
            let Some(frame) = first_packet(flow) else { continue };
            for sight in host.sights(flow) {
                let (returned, event) = match self.kernel.run(&frame, sight.hook, sight.ifindex) {
                    Ok(Ran::Decided(returned, event)) => (returned, event),
                    other => return Err(TestCaseError::fail(format!("{other:?} for {flow:?}"))),
                };
                let actual = decision(&event);
                prop_assert_eq!(returned, returns(sight.hook, actual.passes()), "{:?}", flow);
                let held = subject.hold(flow, &sight, "kernel", |log| actual.logged(log));
                held.map_err(|found| TestCaseError::fail(format!("{found}{set:#?}")))?;
                let count = &counts[sight.hook as usize];
                count.set(count.get() + 1);
            }
        }
        self.kernel.forget().unwrap();
        Ok(())
    }
}

/// What an event says was decided. It does not say whether a rule has reported the packet.
fn decision(event: &Event) -> Decision {
    let reason = Reason::from_number(event.reason).expect("the programs write reasons there are");
    let decision = if event.verdict == Verdict::Allow as u8 {
        Decision::allow(reason, event.rule)
    } else {
        Decision::deny(reason, event.rule)
    };
    assert_eq!(decision.verdict as u8, event.verdict, "nothing is audited");
    decision
}
