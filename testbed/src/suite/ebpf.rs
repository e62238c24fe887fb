//! The kernel's programs as a backend.

use std::time::Duration;

use ringfence_common::abi::config::Hook;
use ringfence_common::abi::event::Event;
use ringfence_common::abi::flow::{FlowKey, asker};
use ringfence_common::abi::policy::{Direction as Seen, protocol};
use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::backend::{Desired, hook_name};
use ringfence_dataplane::model::{Direction, PolicySet};

use super::backend::{Answer, At, Backend, Said, SuiteError, Way};
use super::host::{Host, rule_names};
use super::kernel::{ETHERNET_HEADER, Interfaces, KernelSide, Ran, is_cut_ip, returns};
use crate::case::Case;

/// Real programs in the kernel, and interfaces without traffic for them.
pub struct TestRuns {
    way: Way,
    kernel: KernelSide,
    pool: Pool,
    state: Option<State>,
    remembered: Remembered,
}

struct State {
    host: Host,
    desired: Desired,
}

/// What the kernel remembers since it last forgot.
enum Remembered {
    /// These flows and nothing else.
    Flows(Vec<FlowKey>),
    /// More than events tell.
    More,
}

impl TestRuns {
    /// Loads the programs. The calling thread moves into a namespace of its own.
    pub fn new(way: Way) -> Result<Self, SuiteError> {
        let pool = Pool::new()?;
        let arrival = match way {
            Way::Xdp => Hook::Xdp,
            Way::Tc => Hook::TcIngress,
        };
        let kernel = KernelSide::new(&[arrival, Hook::TcEgress])?;
        let remembered = Remembered::Flows(Vec::new());
        Ok(Self { way, kernel, pool, state: None, remembered })
    }

    /// What a program did: what it returned has to be what it told.
    fn said(
        &mut self,
        returned: u32,
        event: &Event,
        hook: Hook,
        desired: &Desired,
    ) -> Result<Said, SuiteError> {
        self.remembered.add(event);
        let verdict = match event.verdict {
            1 => Verdict::Allow,
            2 => Verdict::Deny,
            _ => Verdict::Audit,
        };
        let (told, reason) = (returns(hook, verdict != Verdict::Deny), event.reason);
        match Reason::from_number(reason) {
            Some(reason) if returned == told => {
                let rules = rule_names(desired, event.rule);
                Ok(Said { rules, hook: Some(hook), ..Said::new(verdict, reason) })
            }
            _ => Err(SuiteError::Program {
                what: format!("agree with the event of its program at {}", hook_name(hook)),
                why: format!("it returned {returned}, the event is {event:?}"),
            }),
        }
    }
}

impl Backend for TestRuns {
    fn begin(&mut self, case: &Case) -> Result<(), SuiteError> {
        self.kernel.start_again()?;
        self.remembered = Remembered::Flows(Vec::new());
        let mut host = Host::new(case, self.way);
        let desired = self.pool.desired(&mut host, &case.policies, &mut self.kernel)?;
        self.kernel.install(&desired)?;
        self.state = Some(State { host, desired });
        Ok(())
    }

    fn forget(&mut self) -> Result<(), SuiteError> {
        let remembered = std::mem::replace(&mut self.remembered, Remembered::Flows(Vec::new()));
        let is_forgotten = match remembered {
            Remembered::Flows(flows) => {
                let mut known = true;
                for key in &flows {
                    known &= self.kernel.forget_flow(key)?;
                }
                known
            }
            Remembered::More => false,
        };
        if !is_forgotten {
            self.kernel.forget()?;
        }
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Result<(), SuiteError> {
        self.kernel.age(time)
    }

    fn apply(&mut self, policies: &PolicySet) -> Result<(), SuiteError> {
        let Some(state) = &mut self.state else { return Ok(()) };
        state.desired = self.pool.desired(&mut state.host, policies, &mut self.kernel)?;
        self.kernel.install(&state.desired)?;
        Ok(())
    }

    fn see(
        &mut self,
        at: At<'_>,
        direction: Direction,
        frame: &[u8],
    ) -> Result<Answer, SuiteError> {
        let state = self.state.take().ok_or(SuiteError::NoCase)?;
        let (hook, ifindex) = state.host.place(&state.desired, at, direction)?;
        let answer = match self.kernel.run(frame, hook, ifindex)? {
            Ran::Decided(returned, event) => {
                Answer::Said(self.said(returned, &event, hook, &state.desired)?)
            }
            Ran::Inapplicable if frame.len() < ETHERNET_HEADER => Answer::Inapplicable(
                "`BPF_PROG_TEST_RUN` takes no frame shorter than an Ethernet header",
            ),
            Ran::Inapplicable if hook != Hook::Xdp && is_cut_ip(frame) => Answer::Inapplicable(
                "`BPF_PROG_TEST_RUN` takes no IP packet shorter than its header at tc",
            ),
            Ran::Inapplicable if frame.len() > LONGEST => {
                Answer::Skipped("`BPF_PROG_TEST_RUN` takes no frame longer than a page")
            }
            Ran::Inapplicable => {
                let what = format!("run the program at {} on a frame", hook_name(hook));
                return Err(SuiteError::Program { what, why: "invalid argument".to_owned() });
            }
        };
        self.state = Some(state);
        Ok(answer)
    }
}

impl Remembered {
    /// Notes what a program has remembered, as far as its event tells.
    fn add(&mut self, event: &Event) {
        let Self::Flows(flows) = self else { return };
        if event.new_flow == 0 && event.verdict == Verdict::Deny as u8 {
            return;
        }
        let has_ports = matches!(event.protocol, protocol::TCP | protocol::UDP | protocol::SCTP);
        if !has_ports {
            *self = Self::More;
            return;
        }
        if event.new_flow == 0 {
            return;
        }
        let source = (event.source, event.source_port);
        let destination = (event.destination, event.destination_port);
        let is_egress = event.direction == Seen::Egress as u8;
        let (local, remote) = if is_egress { (source, destination) } else { (destination, source) };
        flows.push(FlowKey {
            local: local.0,
            remote: remote.0,
            endpoint: event.endpoint,
            local_port: local.1,
            remote_port: remote.1,
            protocol: event.protocol,
            family: event.family,
            asker: asker::NONE,
            reserved: 0,
        });
    }
}

/// The kernel (6.18, net/bpf/test_run.c) keeps a frame, with head room and what belongs to a socket
/// buffer, in one page: a longer one may not fit.
const LONGEST: usize = 3_000;

/// Interfaces, made when they are needed.
struct Pool {
    interfaces: Interfaces,
    /// Their numbers, the uplink's first.
    indices: Vec<u32>,
}

impl Pool {
    /// A pool without interfaces; the calling thread moves to where they will be.
    fn new() -> Result<Self, SuiteError> {
        let interfaces = Interfaces::new()?;
        interfaces.host().enter()?;
        Ok(Self { interfaces, indices: Vec::new() })
    }

    /// What `host` is to have installed, on interfaces of the pool.
    fn desired(
        &mut self,
        host: &mut Host,
        policies: &PolicySet,
        kernel: &mut KernelSide,
    ) -> Result<Desired, SuiteError> {
        host.desired(policies, |count| {
            while self.indices.len() <= count {
                self.add(kernel)?;
            }
            Ok((self.indices[0], self.indices[1..].to_vec()))
        })
    }

    fn add(&mut self, kernel: &mut KernelSide) -> Result<(), SuiteError> {
        let index = self.interfaces.add(&format!("case{}", self.indices.len()))?;
        kernel.attach(index)?;
        self.indices.push(index);
        Ok(())
    }
}
