//! The eBPF backend on the demo's host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use ringfence_common::abi::event::Event;
use ringfence_dataplane::backend::ebpf::{Ebpf, Events, Image, Pins};
use ringfence_dataplane::backend::{
    Arrival, Backend, Desired, Interface, Mode, Numbers, Role, Settings,
};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::document::{self, Digest};
use ringfence_dataplane::model::{PolicyName, PolicySet};

use super::report::milliseconds;
use super::telling::grouped;
use super::{Applied, Engine, EngineError};
use crate::netns::BPF_FILE_SYSTEM;
use crate::topology::{UPLINK, interface_of};
use crate::veth::{Netlink, NetlinkError};

/// Guards the interface of each workload, and the uplink. It knows where the topology put whom,
/// and so asks no routes.
#[expect(missing_debug_implementations, reason = "the stream of events has none")]
pub struct Live {
    backend: Ebpf,
    /// Where frames that workloads send are seen.
    arrival: Arrival,
    known: Option<Numbers>,
    digests: BTreeMap<PolicyName, Digest>,
    events: Option<Events>,
}

impl Live {
    /// An engine that has applied nothing yet and sees what workloads send at `arrival`.
    #[must_use]
    pub fn new(arrival: Arrival) -> Self {
        let pins = Pins::below(format!("{BPF_FILE_SYSTEM}/ringfence"));
        let backend = Ebpf::new(pins);
        Self { backend, arrival, known: None, digests: BTreeMap::new(), events: None }
    }

    fn interfaces(&self, tables: &Tables) -> Result<Vec<Interface>, NetlinkError> {
        let netlink = Netlink::open()?;
        let guarded = |(number, endpoint): (&u32, &_)| {
            let endpoint: &ringfence_dataplane::compile::EndpointDescription = endpoint;
            let (name, role, arrival) = match endpoint.host {
                true => (UPLINK.to_owned(), Role::Uplink, Arrival::Xdp),
                false => {
                    let (_, workload) = endpoint.name.split_once('/').unwrap_or_default();
                    let name = interface_of(workload, endpoint.interface.as_deref());
                    (name, Role::Workload, self.arrival)
                }
            };
            let index = netlink.index(&name)?;
            Ok(Interface { index, name, role, endpoints: BTreeSet::from([*number]), arrival })
        };
        tables.endpoints.iter().map(guarded).collect()
    }

    /// A line for each policy, as kubectl says it, and how many are new, changed and gone.
    fn policy_lines(&mut self, new: BTreeMap<PolicyName, Digest>) -> (Vec<String>, [usize; 3]) {
        let mut counts = [0; 3];
        let mut lines: Vec<String> = new
            .iter()
            .map(|(name, digest)| {
                let done = match self.digests.get(name) {
                    None => {
                        counts[0] += 1;
                        "created"
                    }
                    Some(old) if old != digest => {
                        counts[1] += 1;
                        "configured"
                    }
                    Some(_) => "unchanged",
                };
                format!("{name} {done}")
            })
            .collect();
        let gone = self.digests.keys().filter(|name| !new.contains_key(*name));
        let gone: Vec<String> = gone.map(|name| format!("{name} pruned")).collect();
        counts[2] = gone.len();
        lines.extend(gone);
        self.digests = new;
        (lines, counts)
    }
}

impl Engine for Live {
    fn apply(
        &mut self,
        policies: &PolicySet,
        documents: &document::Report,
    ) -> Result<Applied, EngineError> {
        let started = Instant::now();
        let tables = compile(policies)?;
        let tables = tables.for_host(&tables.endpoints.keys().copied().collect());
        let host = policies.inventory.workloads().filter(|workload| workload.host);
        let host_addresses: BTreeSet<IpAddr> =
            host.flat_map(|host| host.addresses.iter().copied()).collect();
        let desired = Desired {
            interfaces: self.interfaces(&tables)?,
            tables,
            host_addresses,
            mode: Mode::Enforce,
            settings: Settings::default(),
        };
        let applied = self.backend.apply(&desired, self.known.as_ref())?;
        if self.events.is_none() {
            self.events = self.backend.maps()?.and_then(|mut maps| maps.take_events());
        }
        let took = milliseconds(started.elapsed());
        let (mut lines, [new, changed, gone]) = self.policy_lines(documents.digests());
        lines.push(format!(
            "Plan: {new} to add, {changed} to change, {gone} to remove; {} map entries",
            grouped(Image::of(&desired).entries())
        ));
        lines.push(format!(
            "Generation {} in {took} ms: {} map entries touched, {} hooks attached",
            applied.numbers.generation,
            grouped(applied.entries_touched),
            applied.hooks.len()
        ));
        self.known = Some(applied.numbers);
        Ok(Applied { lines })
    }

    fn events(&mut self) -> Result<Vec<Event>, EngineError> {
        let events = self.events.as_mut().ok_or("there are no events before the first apply")?;
        Ok(std::iter::from_fn(|| events.try_next()).collect())
    }
}
