//! The oracle as a backend.

use std::time::Duration;

use ringfence_dataplane::backend;
use ringfence_dataplane::model::{Direction, PolicySet, WorkloadName};
use ringfence_dataplane::oracle::{
    Connections, Essential, Established, Mode, Placement, Reason, Settings, Verdict,
};

use super::backend::{Answer, At, Backend, Said, SuiteError};
use crate::case::{Case, ESSENTIAL};

/// [`Connections`], and what time it is for them.
#[derive(Debug, Default)]
pub struct Literal {
    connections: Option<Connections>,
    settings: Settings,
    now: Duration,
}

impl Backend for Literal {
    fn begin(&mut self, case: &Case) -> Result<(), SuiteError> {
        self.settings = settings(case);
        self.now = Duration::ZERO;
        self.connections = Some(Connections::new(&case.policies, self.settings.clone()));
        Ok(())
    }

    fn forget(&mut self) -> Result<(), SuiteError> {
        if let Some(connections) = &mut self.connections {
            connections.forget();
        }
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Result<(), SuiteError> {
        self.now += time;
        Ok(())
    }

    fn apply(&mut self, policies: &PolicySet) -> Result<(), SuiteError> {
        let workloads = policies.inventory.workloads().filter(|workload| !workload.host);
        let interfaces = workloads.map(|workload| [workload.name.clone()].into()).collect();
        let placement = Placement { interfaces, ..Placement::default() };
        if let Some(connections) = &mut self.connections {
            connections.reconfigure(policies, self.settings.clone(), placement);
        }
        Ok(())
    }

    fn see(
        &mut self,
        at: At<'_>,
        direction: Direction,
        frame: &[u8],
    ) -> Result<Answer, SuiteError> {
        let name: &WorkloadName = match at {
            At::Workload(name) | At::Uplink(Some(name)) => name,
            // Nobody enforces anything at the uplink of a host that nobody describes.
            At::Uplink(None) => {
                return Ok(Answer::Said(Said::new(Verdict::Allow, Reason::NotSubject)));
            }
        };
        let connections = self.connections.as_mut().ok_or(SuiteError::NoCase)?;
        let seen = connections.see(name, direction, frame, self.now);
        let rules = seen.rules.iter().map(ToString::to_string).collect();
        Ok(Answer::Said(Said { rules, ..Said::new(seen.verdict, seen.reason) }))
    }
}

fn settings(case: &Case) -> Settings {
    let off = ESSENTIAL.iter().filter(|(_, bit)| case.settings.essential & bit == 0);
    Settings {
        mode: match case.mode {
            backend::Mode::Enforce => Mode::Enforce,
            backend::Mode::Audit => Mode::Audit,
        },
        established: if case.settings.keep_established {
            Established::Keep
        } else {
            Established::Revalidate
        },
        pick_up: Duration::from_secs(case.settings.pick_up_seconds.into()),
        essential_off: off.filter_map(|(name, _)| Essential::from_name(name)).collect(),
    }
}
