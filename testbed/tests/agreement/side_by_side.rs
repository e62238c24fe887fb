//! Both sides, frame by frame.

use std::time::Instant;

use ringfence_common::abi::config::Hook;
use ringfence_common::abi::event::Event;
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::backend::{Desired, clock};
use ringfence_testbed::shortest::shortest;
use ringfence_testbed::suite::kernel::{ETHERNET_HEADER, KernelSide, Ran, is_cut_ip, returns};

use super::report::{Difference, Report};

/// A frame at a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub frame: Vec<u8>,
    pub hook: Hook,
    pub ifindex: u32,
}

/// The kernel and the userspace filter with the same tables and the same past.
pub struct SideBySide {
    pub kernel: KernelSide,
    pub filter: Filter,
}

impl SideBySide {
    /// Both, with `desired` installed.
    pub fn new(interfaces: &[u32], desired: &Desired) -> Self {
        let hooks = [Hook::Xdp, Hook::TcIngress, Hook::TcEgress];
        let mut kernel = KernelSide::new(&hooks).expect("the kernel takes the programs");
        for index in interfaces {
            kernel.attach(*index).expect("a veth takes XDP");
        }
        let config = kernel.install(desired).expect("the tables fit");
        Self { kernel, filter: Filter::new(&desired.host_tables(config)) }
    }

    /// Installs another state in both; what both have then.
    pub fn install(&mut self, desired: &Desired) -> HostTables {
        let config = self.kernel.install(desired).expect("the tables fit");
        let tables = desired.host_tables(config);
        self.filter.install(&tables);
        tables
    }

    /// Installs another state in the userspace filter alone, so that there are differences.
    pub fn mislead(&mut self, desired: &Desired) {
        self.filter.install(&desired.host_tables(*self.filter.config()));
    }

    /// Decides a frame on both sides; the difference, if there is one.
    pub fn step(&mut self, step: &Step, report: &mut Report) -> Option<Difference> {
        let Step { frame, hook, ifindex } = step;
        let now = clock::now().expect("there is a monotonic clock");
        let outcome = self.filter.decide(frame, *hook, *ifindex, now);
        let userspace = event(&self.filter, &outcome, step);
        let started = Instant::now();
        let ran = self.kernel.run(frame, *hook, *ifindex).expect("the program runs");
        let took = started.elapsed();
        let (kernel, agrees) = match ran {
            Ran::Inapplicable => {
                assert!(
                    frame.len() < ETHERNET_HEADER || is_cut_ip(frame),
                    "the kernel runs programs on frames like this one: {step:02x?}"
                );
                report.inapplicable(*hook);
                return None;
            }
            Ran::Decided(returned, event) => {
                let kernel = Event { time_ns: 0, ..event };
                let fits = returned == returns(*hook, outcome.decision.passes());
                (kernel, fits && kernel == userspace)
            }
        };
        report.ran(*hook, &userspace, took);
        (!agrees).then(|| Difference { step: step.clone(), kernel, userspace })
    }

    /// Forgets everything on both sides, which have remembered equally much.
    pub fn forget(&mut self) -> [[usize; 2]; 2] {
        let userspace = [self.filter.flows(), self.filter.fragmented_packets()];
        self.filter.clear();
        [self.kernel.forget().expect("the state can be read"), userspace]
    }

    /// Events that the kernel lost.
    pub fn lost_events(&self) -> u64 {
        self.kernel.lost_events().expect("the counters can be read")
    }

    /// Whether the sides differ about the last of `steps` when nothing else has come before.
    fn differ_about_the_last(&mut self, steps: &[Step]) -> bool {
        self.forget();
        let mut unused = Report::default();
        let mut last = false;
        for step in steps {
            last = self.step(step, &mut unused).is_some();
        }
        last
    }

    /// The fewest of `steps` that still lead to a difference about the last one.
    pub fn shortest(&mut self, steps: &[Step]) -> Vec<Step> {
        shortest(steps, |steps| self.differ_about_the_last(steps))
    }
}

/// The event that the programs make of an outcome, without its time.
pub fn event(filter: &Filter, outcome: &ringfence_common::decide::Outcome, step: &Step) -> Event {
    let packet = filter.packet();
    Event {
        time_ns: 0,
        generation: outcome.generation,
        rule: outcome.decision.rule,
        source_identity: outcome.source_identity,
        destination_identity: outcome.destination_identity,
        endpoint: outcome.endpoint,
        ifindex: step.ifindex,
        source: packet.source,
        destination: packet.destination,
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        length: step.frame.len() as u16,
        protocol: packet.protocol,
        family: packet.family,
        verdict: outcome.decision.verdict as u8,
        reason: outcome.decision.reason as u8,
        hook: step.hook as u8,
        direction: outcome.direction as u8,
        tcp_flags: packet.tcp_flags,
        new_flow: outcome.new_flow.into(),
        reserved: [0; 2],
    }
}
