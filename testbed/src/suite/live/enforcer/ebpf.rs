//! The programs in the kernel, applied as `ringfence apply` does it.

use std::collections::BTreeMap;

use ringfence_common::abi::config::report;
use ringfence_common::abi::event::Event;
use ringfence_dataplane::backend::Settings;
use ringfence_dataplane::backend::ebpf::{Ebpf, Events, Maps, Pins};
use ringfence_dataplane::enforce::{self, BackendChoice, HookChoice, Options, Paths};
use ringfence_dataplane::model::Inventory;

use super::{Enforcer, EnforcerError, Wanted};
use crate::topology::Topology;

/// The engine on the host of a topology, with the paths that every host has.
#[derive(Default)]
pub(in crate::suite::live) struct Live {
    paths: Paths,
    events: Option<(Maps, Events)>,
}

impl Enforcer for Live {
    fn open(&mut self, _: &Topology, _: &Inventory) -> Result<(), EnforcerError> {
        Ok(())
    }

    fn apply(&mut self, topology: &Topology, wanted: &Wanted<'_>) -> Result<(), EnforcerError> {
        let options = Options {
            backend: BackendChoice::Ebpf,
            mode: wanted.mode,
            hook: HookChoice::Auto,
            settings: Settings { report: report::DENIED | report::NEW_FLOWS, ..wanted.settings },
            dry_run: false,
        };
        topology.host().run(|| {
            let summary = enforce::apply(&self.paths, wanted.tables, &BTreeMap::new(), &options)?;
            if summary.remote > 0 {
                let text = format!("{} workloads are not guarded on this host", summary.remote);
                return Err(text.into());
            }
            if self.events.is_none() {
                let maps = Ebpf::new(Pins::below(self.paths.pins())).maps()?;
                let mut maps = maps.ok_or("nothing is installed after an apply")?;
                let events = maps.take_events().ok_or("the events were taken already")?;
                self.events = Some((maps, events));
            }
            Ok(())
        })?
    }

    fn events(&mut self, topology: &Topology) -> Result<Option<Vec<Event>>, EnforcerError> {
        let Some((maps, events)) = &mut self.events else {
            return Err("there are no events before the first apply".into());
        };
        topology.host().run(|| {
            let found = std::iter::from_fn(|| events.try_next()).collect();
            match maps.counters()?.lost_events.unwrap_or_default() {
                0 => Ok(Some(found)),
                lost => Err(format!("the kernel lost {lost} events").into()),
            }
        })?
    }

    fn off(&mut self, topology: &Topology) -> Result<(), EnforcerError> {
        self.events = None;
        topology.host().run(|| enforce::off(&self.paths))??;
        Ok(())
    }
}
