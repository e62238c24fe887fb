//! The filter between interfaces, in the box that every workload's way leads through.

use std::num::NonZeroUsize;

use ringfence_common::abi::event::Event;
use ringfence_dataplane::backend::userspace::live::{self, Running, Wire};
use ringfence_dataplane::backend::{Mode, Settings};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::enforce::{Ends, HostView, wires};
use ringfence_dataplane::model::{Inventory, PolicySet};

use super::{Enforcer, EnforcerError, Wanted};
use crate::topology::{FilterBox, Topology};

/// The filter's threads: more than one, so that flows are dealt out.
const THREADS: NonZeroUsize = NonZeroUsize::new(2).expect("two is not zero");

/// The filter, as `ringfence run-userspace` runs it.
#[derive(Default)]
pub(in crate::suite::live) struct Live {
    running: Option<(Running, Mode, Settings)>,
}

impl Enforcer for Live {
    /// Nothing passes the box without the filter, so it runs without policy.
    fn open(&mut self, topology: &Topology, inventory: &Inventory) -> Result<(), EnforcerError> {
        let set = PolicySet { inventory: inventory.clone(), ..PolicySet::default() };
        let (mode, settings) = Default::default();
        self.apply(topology, &Wanted { tables: &compile(&set)?, mode, settings })
    }

    fn apply(&mut self, topology: &Topology, wanted: &Wanted<'_>) -> Result<(), EnforcerError> {
        let filter = topology.filter_box().ok_or("the network has no box for the filter")?;
        let tables = at_their_links(topology, filter, wanted.tables)?;
        filter.namespace.run(|| {
            let wires = find_wires(filter, &tables)?;
            match &mut self.running {
                Some((running, mode, settings))
                    if (*mode, *settings) == (wanted.mode, wanted.settings) =>
                {
                    running.replace(&wires, &tables)?;
                }
                other => {
                    // What the filter is told when it starts it keeps.
                    drop(other.take());
                    let (mode, settings) = (wanted.mode, wanted.settings);
                    let options = live::Options { mode, settings, threads: THREADS };
                    *other = Some((live::start(wires, &tables, options)?, mode, settings));
                }
            }
            Ok(())
        })?
    }

    fn events(&mut self, _: &Topology) -> Result<Option<Vec<Event>>, EnforcerError> {
        match &self.running {
            Some((running, ..)) if !running.is_whole() => Err("the filter has stopped".into()),
            _ => Ok(None),
        }
    }

    fn cannot(&self, tables: &Tables) -> Option<&'static str> {
        let hosts = tables.endpoints.values().filter(|endpoint| endpoint.host);
        let mut subjects = hosts.filter_map(|host| tables.subjects.get(&host.subject));
        let is_isolated = subjects.any(|one| one.ingress_forms | one.egress_forms != 0);
        is_isolated.then_some("a filter between interfaces does not enforce the host's own policy")
    }

    fn off(&mut self, _: &Topology) -> Result<(), EnforcerError> {
        if let Some((running, ..)) = self.running.take() {
            running.stop().1?;
        }
        Ok(())
    }
}

/// The tables, in which each workload says behind which interface of the box it sits.
fn at_their_links(
    topology: &Topology,
    filter: &FilterBox,
    tables: &Tables,
) -> Result<Tables, EnforcerError> {
    let mut tables = tables.clone();
    for endpoint in tables.endpoints.values_mut().filter(|endpoint| !endpoint.host) {
        let mut places = topology.places().iter();
        let place = places.find(|place| place.addresses == endpoint.addresses);
        let link =
            place.and_then(|place| filter.links.iter().find(|link| link.workload == place.name));
        let link = link.ok_or_else(|| format!("`{}` is behind no interface", endpoint.name))?;
        endpoint.interface = Some(link.inside.clone());
    }
    Ok(tables)
}

/// One wire for each workload; to be called in the box.
fn find_wires(filter: &FilterBox, tables: &Tables) -> Result<Vec<Wire>, EnforcerError> {
    let ends = |link: &crate::topology::Link| Ends {
        inside: link.inside.clone(),
        outside: link.outside.clone(),
    };
    let ends: Vec<Ends> = filter.links.iter().map(ends).collect();
    Ok(wires(tables, &ends, &HostView::read()?)?.wires)
}
