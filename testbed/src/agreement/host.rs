//! A host on which all workloads of some tables are, each behind an interface of its own, the host
//! itself behind the uplink; and where on it a packet is seen.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ringfence_common::abi::config::Hook;
use ringfence_common::abi::identity::endpoint;
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::{Arrival, Desired};
use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::model::Direction;
use ringfence_dataplane::oracle::Flow;

/// Interface index of the uplink where no packet leaves the process.
const UPLINK: u32 = endpoint::HOST;

/// Where everybody is.
#[derive(Debug)]
pub struct Host {
    uplink: u32,
    /// Where frames that come in are seen.
    arrivals: Vec<Arrival>,
    /// Endpoint → interface index.
    interfaces: BTreeMap<u32, u32>,
    /// Address → endpoint.
    owners: BTreeMap<IpAddr, u32>,
}

/// A hook at which a packet is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The hook.
    pub hook: Hook,
    /// Its interface.
    pub ifindex: u32,
    /// The sides that are decided there, in this order.
    pub sides: Vec<Direction>,
}

impl Host {
    /// The host of the workloads of `tables`. A workload's interface has its endpoint's number,
    /// which stays the same whoever comes and goes, and is never the uplink's. Frames that come in
    /// are seen at XDP and at tcx alike.
    #[must_use]
    pub fn of(tables: &Tables) -> Self {
        Self::behind(tables, UPLINK, tables.endpoints.keys().copied())
    }

    /// The host of the workloads of `tables`, behind these interfaces.
    #[must_use]
    pub fn behind(tables: &Tables, uplink: u32, interfaces: impl Iterator<Item = u32>) -> Self {
        let arrivals = vec![Arrival::Xdp, Arrival::Tcx];
        let mut host =
            Self { uplink, arrivals, interfaces: BTreeMap::new(), owners: BTreeMap::new() };
        for ((number, described), index) in tables.endpoints.iter().zip(interfaces) {
            let index = if *number == endpoint::HOST { uplink } else { index };
            host.interfaces.insert(*number, index);
            host.owners.extend(described.addresses.iter().map(|address| (*address, *number)));
        }
        host
    }

    /// The same host, on which frames that come in are seen at `arrival` alone.
    #[must_use]
    pub fn seeing(mut self, arrival: Arrival) -> Self {
        self.arrivals = vec![arrival];
        self
    }

    /// The state to be installed, with packets that arrive seen at `arrival`.
    #[must_use]
    pub fn desired(&self, tables: &Tables, arrival: Arrival) -> Desired {
        let by_name: BTreeMap<&str, u32> = tables
            .endpoints
            .iter()
            .map(|(number, described)| (described.name.as_str(), self.interfaces[number]))
            .collect();
        let index_of = |name: &str| by_name[name];
        let mut desired = Desired::all_local(tables.clone(), arrival, self.uplink, index_of);
        desired.settings.pick_up_seconds = 0;
        desired
    }

    /// What is looked up on the host.
    #[must_use]
    pub fn tables(&self, tables: &Tables, generation: u32, keep_established: bool) -> HostTables {
        let mut all = self.arrivals.iter().map(|arrival| {
            let mut desired = self.desired(tables, *arrival);
            desired.settings.keep_established = keep_established;
            desired.host_tables(desired.config(generation, 0, 0))
        });
        let first = all.next().expect("frames are seen somewhere");
        all.fold(first, |mut both, other| {
            both.attachments.extend(other.attachments);
            both
        })
    }

    /// Where the packets of a flow are seen: where the source sends them, and where the
    /// destination gets them. Nowhere if both are the host, or neither is on it.
    #[must_use]
    pub fn sights(&self, flow: &Flow) -> Vec<Sight> {
        let owner = |address: &IpAddr| self.owners.get(address).copied();
        let (from, to) = (owner(&flow.source), owner(&flow.destination));
        let is_host = |end: Option<u32>| end == Some(endpoint::HOST);
        let is_workload = |end: Option<u32>| end.is_some() && !is_host(end);
        let index = |end: Option<u32>| end.map_or(self.uplink, |number| self.interfaces[&number]);
        let mut sights = Vec::new();
        let mut see = |hook, ifindex, sides: &[Direction]| {
            sights.push(Sight { hook, ifindex, sides: sides.to_vec() });
        };
        let arriving = self.arrivals.iter().map(|arrival| match arrival {
            Arrival::Xdp => Hook::Xdp,
            Arrival::Tcx => Hook::TcIngress,
        });
        if is_workload(from) {
            // Only what goes to the host ends here.
            let sides = [Direction::Egress, Direction::Ingress];
            let sides = if is_host(to) { &sides[..] } else { &sides[..1] };
            arriving.for_each(|hook| see(hook, index(from), sides));
        } else if from.is_none() && is_host(to) {
            arriving.for_each(|hook| see(hook, self.uplink, &[Direction::Ingress]));
        }
        if is_workload(to) {
            let sides = [Direction::Egress, Direction::Ingress];
            let sides = if is_host(from) { &sides[..] } else { &sides[1..] };
            see(Hook::TcEgress, index(to), sides);
        } else if is_host(from) && to.is_none() {
            see(Hook::TcEgress, self.uplink, &[Direction::Egress]);
        }
        sights
    }
}
