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
use ringfence_testbed::packet::{Frame, SOURCE_PORT, first_packet};

/// Interface index of the uplink where no packet leaves the process.
const UPLINK: u32 = endpoint::HOST;

/// Where everybody is.
#[derive(Debug)]
pub struct Host {
    uplink: u32,
    /// Endpoint → interface index.
    interfaces: BTreeMap<u32, u32>,
    /// Address → endpoint.
    owners: BTreeMap<IpAddr, u32>,
}

/// A hook at which a packet is seen, and the sides that are decided there, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    pub hook: Hook,
    pub ifindex: u32,
    pub sides: Vec<Direction>,
}

impl Host {
    /// The host of the workloads of `tables`. A workload's interface has its endpoint's number,
    /// which stays the same whoever comes and goes, and is never the uplink's.
    pub fn of(tables: &Tables) -> Self {
        Self::behind(tables, UPLINK, tables.endpoints.keys().copied())
    }

    /// The host of the workloads of `tables`, behind these interfaces.
    pub fn behind(tables: &Tables, uplink: u32, interfaces: impl Iterator<Item = u32>) -> Self {
        let mut host = Self { uplink, interfaces: BTreeMap::new(), owners: BTreeMap::new() };
        for ((number, described), index) in tables.endpoints.iter().zip(interfaces) {
            let index = if *number == endpoint::HOST { uplink } else { index };
            host.interfaces.insert(*number, index);
            host.owners.extend(described.addresses.iter().map(|address| (*address, *number)));
        }
        host
    }

    /// The state to be installed, with packets that arrive seen at `arrival`.
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

    /// What is looked up on the host, at XDP and at tcx alike.
    pub fn tables(&self, tables: &Tables, generation: u32, keep_established: bool) -> HostTables {
        let [mut at_xdp, at_tcx] = [Arrival::Xdp, Arrival::Tcx].map(|arrival| {
            let mut desired = self.desired(tables, arrival);
            desired.settings.keep_established = keep_established;
            desired.host_tables(desired.config(generation, 0, 0))
        });
        at_xdp.attachments.extend(at_tcx.attachments);
        at_xdp
    }

    /// Where the packets of a flow are seen: where the source sends them, and where the
    /// destination gets them. Nowhere if both are the host, or neither is on it.
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
        let arriving = [Hook::Xdp, Hook::TcIngress];
        if is_workload(from) {
            // Only what goes to the host ends here.
            let sides = [Direction::Egress, Direction::Ingress];
            let sides = if is_host(to) { &sides[..] } else { &sides[..1] };
            arriving.iter().for_each(|hook| see(*hook, index(from), sides));
        } else if from.is_none() && is_host(to) {
            arriving.iter().for_each(|hook| see(*hook, self.uplink, &[Direction::Ingress]));
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

/// A packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Opens it.
    First,
    /// Comes from the opener later.
    Later,
    /// Answers the first.
    Answer,
}

/// A packet of a flow; `None` where an address is none that a connection can have.
pub fn packet(flow: &Flow, which: Packet) -> Option<Vec<u8>> {
    let first = first_packet(flow)?;
    match (which, flow.protocol, flow.port) {
        (Packet::Later, 6, Some(port)) => {
            let ip = Frame::ethernet().ip(flow.source, flow.destination);
            Some(ip.tcp(SOURCE_PORT, port).sequence(1).ack(101).payload(4).build())
        }
        (Packet::First | Packet::Later, ..) => Some(first),
        (Packet::Answer, ..) => Some(answer(flow)),
    }
}

/// TCP's numbers: the opener's SYN has 0, the answer's 100.
fn answer(flow: &Flow) -> Vec<u8> {
    let ip = Frame::ethernet().ip(flow.destination, flow.source);
    let frame = match (flow.protocol, flow.port) {
        (6, Some(port)) => ip.tcp(port, SOURCE_PORT).syn().sequence(100).ack(1),
        (17, Some(port)) => ip.udp(port, SOURCE_PORT).payload(4),
        (132, Some(port)) => ip.sctp(port, SOURCE_PORT).chunk(2, 0, &[0; 16]),
        (1, _) if flow.source.is_ipv4() => ip.echo_reply(7, 1),
        (58, _) if flow.source.is_ipv6() => ip.echo_reply(7, 1),
        (protocol, _) => ip.protocol_bytes(protocol, &[0; 8]),
    };
    frame.build()
}
