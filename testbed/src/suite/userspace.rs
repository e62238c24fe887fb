//! The userspace filter as a backend.

use std::time::Duration;

use ringfence_dataplane::backend::Desired;
use ringfence_dataplane::backend::clock;
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::model::{Direction, PolicySet};

use super::backend::{Answer, At, Backend, Said, SuiteError, Way};
use super::host::{Host, rule_names};
use crate::case::Case;

/// The uplink's number; workloads have those after it.
const UPLINK: u32 = 1;

/// The tick at which cases begin, far from where ticks start over.
const BEGINNING: u32 = 1 << 24;

/// A filter without a kernel.
pub struct InMemory {
    way: Way,
    state: Option<State>,
}

struct State {
    host: Host,
    desired: Desired,
    tables: HostTables,
    filter: Filter,
    /// Time since the beginning.
    passed: Duration,
}

impl InMemory {
    /// A filter that sees what arrives as `way` says.
    pub fn new(way: Way) -> Self {
        Self { way, state: None }
    }
}

impl Backend for InMemory {
    fn begin(&mut self, case: &Case) -> Result<(), SuiteError> {
        let mut host = Host::new(case, self.way);
        let desired = host.desired(&case.policies, numbers)?;
        let tables = desired.host_tables(desired.config(1, BEGINNING, 0));
        let filter = Filter::new(&tables);
        let passed = Duration::ZERO;
        self.state = Some(State { host, desired, tables, filter, passed });
        Ok(())
    }

    fn forget(&mut self) -> Result<(), SuiteError> {
        if let Some(state) = &mut self.state {
            state.filter.clear();
        }
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Result<(), SuiteError> {
        if let Some(state) = &mut self.state {
            state.passed += time;
        }
        Ok(())
    }

    fn apply(&mut self, policies: &PolicySet) -> Result<(), SuiteError> {
        if let Some(state) = &mut self.state {
            let desired = state.host.desired(policies, numbers)?;
            let before = &state.tables;
            let generation = before.config.generation + 1;
            let mut tables = desired.host_tables(desired.config(generation, state.now(), 0));
            // As the eBPF backend: connections that began unseen are behind new interfaces only.
            if tables.attachments.keys().all(|key| before.attachments.contains_key(key)) {
                tables.config.pick_up_until = before.config.pick_up_until;
            }
            state.filter.install(&tables);
            (state.desired, state.tables) = (desired, tables);
        }
        Ok(())
    }

    fn see(
        &mut self,
        at: At<'_>,
        direction: Direction,
        frame: &[u8],
    ) -> Result<Answer, SuiteError> {
        let state = self.state.as_mut().ok_or(SuiteError::NoCase)?;
        let (hook, ifindex) = state.host.place(&state.desired, at, direction)?;
        let now = state.now();
        let decision = state.filter.decide(frame, hook, ifindex, now).decision;
        Ok(Answer::Said(Said {
            rules: rule_names(&state.desired, decision.rule),
            hook: Some(hook),
            ..Said::new(decision.verdict, decision.reason)
        }))
    }
}

impl State {
    /// Now, in ticks.
    fn now(&self) -> u32 {
        BEGINNING.wrapping_add(clock::ticks_in(self.passed))
    }
}

fn numbers(count: usize) -> Result<(u32, Vec<u32>), SuiteError> {
    Ok((UPLINK, (0..count as u32).map(|place| UPLINK + 1 + place).collect()))
}
