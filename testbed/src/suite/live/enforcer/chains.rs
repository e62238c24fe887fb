//! Rule chains, applied as `ringfence apply` does it.

use std::collections::BTreeMap;

use ringfence_common::abi::event::Event;
use ringfence_dataplane::enforce::{self, BackendChoice, Options, Paths};
use ringfence_dataplane::model::Inventory;

use super::{Enforcer, EnforcerError, Wanted};
use crate::conntrack;
use crate::topology::Topology;

/// The engine on the host of a topology, with the paths that every host has.
pub(in crate::suite::live) struct Live {
    backend: BackendChoice,
    paths: Paths,
}

impl Live {
    pub fn new(backend: BackendChoice) -> Self {
        Self { backend, paths: Paths::default() }
    }
}

impl Enforcer for Live {
    fn open(&mut self, _: &Topology, _: &Inventory) -> Result<(), EnforcerError> {
        Ok(())
    }

    fn apply(&mut self, topology: &Topology, wanted: &Wanted<'_>) -> Result<(), EnforcerError> {
        let (mode, settings) = (wanted.mode, wanted.settings);
        let options = Options { backend: self.backend, mode, settings, ..Options::default() };
        topology.host().run(|| {
            let summary = enforce::apply(&self.paths, wanted.tables, &BTreeMap::new(), &options)?;
            match summary.remote {
                0 => Ok(()),
                remote => Err(format!("{remote} workloads are not guarded on this host").into()),
            }
        })?
    }

    /// A rule that drops a packet tells nobody.
    fn events(&mut self, _: &Topology) -> Result<Option<Vec<Event>>, EnforcerError> {
        Ok(None)
    }

    /// The kernel keeps what it knows of connections when nobody asks for it any more.
    fn off(&mut self, topology: &Topology) -> Result<(), EnforcerError> {
        topology.host().run(|| {
            enforce::off(&self.paths)?;
            conntrack::forget_all()?;
            Ok(())
        })?
    }
}
