//! One endpoint and the many peers that its policy names, each by an entry of its own.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ringfence_common::abi::config::Hook;
use ringfence_common::abi::identity::identity;
use ringfence_common::abi::policy::{PolicyEntry, PolicyKey, action};
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::{Arrival, Desired, Interface, Mode, Role, Settings};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::model::{
    Inventory, Labels, NamespaceScope, Peer, Peers, PolicySet, PortMatch, PortRange, Ports,
    Protocol, Workload, WorkloadName,
};
use ringfence_testbed::packet::Frame;
use ringfence_testbed::random::Random;

/// Where the endpoint is and where its packets are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the host, and what arrives for it is seen at XDP.
    HostAtXdp,
    /// It is a workload behind a veth, and what it gets is seen at tc.
    WorkloadAtTc,
}

impl Place {
    /// The hook that sees packets for the endpoint.
    #[must_use]
    pub const fn inbound(self) -> Hook {
        match self {
            Self::HostAtXdp => Hook::Xdp,
            Self::WorkloadAtTc => Hook::TcEgress,
        }
    }

    /// The hook that sees packets from the endpoint.
    #[must_use]
    pub const fn outbound(self) -> Hook {
        match self {
            Self::HostAtXdp => Hook::TcEgress,
            Self::WorkloadAtTc => Hook::TcIngress,
        }
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What every entry says of its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It may open connections.
    Allow,
    /// It may not.
    Deny,
}

/// One endpoint and its peers. Peers are workloads elsewhere, with addresses in no order and an
/// identity each; whoever is no peer is denied because no rule names him.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// The state's tables.
    pub tables: Tables,
    place: Place,
    family: Family,
    entry: Entry,
    entries: usize,
}

/// The endpoint's port.
const PORT: u16 = 443;

/// The peers' port.
const PEER_PORT: u16 = 40_000;

impl Crowd {
    /// An endpoint with so many peers.
    ///
    /// The tables of one peer are compiled; the others' entries are made after this pattern, since
    /// a document of a million workloads would take longer to compile than all there is to measure.
    /// What the peers' identities stand for is left out: nobody here asks.
    ///
    /// # Panics
    ///
    /// When there are more than `1 << 24` entries, or the pattern does not compile to one entry.
    #[must_use]
    pub fn new(place: Place, family: Family, entry: Entry, entries: usize) -> Self {
        assert!(entries > 0 && entries <= 1 << 24, "addresses are drawn from 24 bits");
        let mut tables = pattern(place, family);
        let address = peer_address(family, 0);
        let first = tables.addresses[&address];
        let (key, said) = tables.policy.pop_first().expect("there is one peer");
        assert!(tables.policy.is_empty() && key.peer == first, "one peer has one entry");
        tables.addresses.remove(&address);
        tables.identities.remove(&first);
        let said = PolicyEntry {
            action: match entry {
                Entry::Allow => action::ALLOW,
                Entry::Deny => action::DENY,
            },
            ..said
        };
        let taken: BTreeSet<u32> = tables.identities.keys().copied().collect();
        let mut numbers = (0..)
            .map(scattered)
            .filter(|number| *number >= identity::FIRST_DYNAMIC && !taken.contains(number));
        for number in 0..entries {
            let peer = numbers.next().expect("there are more numbers than peers");
            tables.addresses.insert(peer_address(family, number), peer);
            tables.policy.insert(PolicyKey { peer, ..key }, said);
        }
        Self { tables, place, family, entry, entries }
    }

    /// What a host installs whose interface `ifindex` it is.
    #[must_use]
    pub fn desired(&self, ifindex: u32) -> Desired {
        let (role, arrival) = match self.place {
            Place::HostAtXdp => (Role::Uplink, Arrival::Xdp),
            Place::WorkloadAtTc => (Role::Workload, Arrival::Tcx),
        };
        let interface = Interface {
            index: ifindex,
            name: "measured".to_owned(),
            role,
            endpoints: self.tables.endpoints.keys().copied().collect(),
            arrival,
        };
        Desired {
            tables: self.tables.clone(),
            interfaces: vec![interface],
            host_addresses: BTreeSet::new(),
            mode: Mode::Enforce,
            settings: Settings { report: 0, pick_up_seconds: 0, ..Settings::default() },
        }
    }

    /// The same as a filter in this process installs it.
    #[must_use]
    pub fn host_tables(&self, ifindex: u32) -> HostTables {
        let desired = self.desired(ifindex);
        desired.host_tables(desired.config(1, 0, 0))
    }

    /// How many peers there are.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The peers' addresses and identities.
    pub fn peers(&self) -> impl Iterator<Item = (IpAddr, u32)> + '_ {
        let own = endpoint_address(self.family);
        let addresses = self.tables.addresses.iter().filter(move |(address, _)| **address != own);
        addresses.map(|(address, identity)| (*address, *identity))
    }

    /// The peers as in [`Crowd::drawn`], and their identities.
    pub fn identities(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.peers().map(|(address, identity)| (last_four(address), identity))
    }

    /// The endpoint's address.
    #[must_use]
    pub fn endpoint(&self) -> IpAddr {
        endpoint_address(self.family)
    }

    /// The address of peer `number`.
    #[must_use]
    pub fn peer(&self, number: usize) -> IpAddr {
        peer_address(self.family, number)
    }

    /// The identity of peer `number`.
    ///
    /// # Panics
    ///
    /// When there are not so many.
    #[must_use]
    pub fn identity(&self, number: usize) -> u32 {
        self.tables.addresses[&peer_address(self.family, number)]
    }

    /// What is decided of a peer's first packet.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self.entry {
            Entry::Allow => Reason::Rule,
            Entry::Deny => Reason::DenyRule,
        }
    }

    /// The first packet of the connection that peer `number` opens.
    #[must_use]
    pub fn syn(&self, number: usize) -> Vec<u8> {
        self.syn_from(number, PEER_PORT)
    }

    /// The same from another of its ports.
    #[must_use]
    pub fn syn_from(&self, number: usize, port: u16) -> Vec<u8> {
        let (peer, own) = (peer_address(self.family, number), endpoint_address(self.family));
        between(peer, own).tcp(port, PORT).syn().sequence(1_000).build()
    }

    /// The endpoint's answer to it.
    #[must_use]
    pub fn answer(&self, number: usize) -> Vec<u8> {
        let (peer, own) = (peer_address(self.family, number), endpoint_address(self.family));
        let frame = between(own, peer).tcp(PORT, PEER_PORT);
        frame.syn().sequence(5_000).ack(1_001).build()
    }

    /// The packets after that, which change nothing however often they come.
    #[must_use]
    pub fn acknowledgement(&self, number: usize) -> Vec<u8> {
        self.from(peer_address(self.family, number)).sequence(1_001).ack(5_001).build()
    }

    fn from(&self, source: IpAddr) -> Frame {
        between(source, endpoint_address(self.family)).tcp(PEER_PORT, PORT)
    }

    /// Where in a packet for the endpoint the bytes are that tell peers apart.
    #[must_use]
    pub fn source_offset(&self) -> u32 {
        match self.family {
            Family::V4 => 14 + 12,
            Family::V6 => 14 + 8 + 12,
        }
    }

    /// The same in a packet from the endpoint.
    #[must_use]
    pub fn destination_offset(&self) -> u32 {
        match self.family {
            Family::V4 => 14 + 16,
            Family::V6 => 14 + 24 + 12,
        }
    }

    /// Where in a packet for the endpoint the ports are.
    #[must_use]
    pub fn ports_offset(&self) -> u32 {
        match self.family {
            Family::V4 => 14 + 20,
            Family::V6 => 14 + 40,
        }
    }

    /// `count` different ports of a peer, with the endpoint's after each, as they stand in a packet.
    ///
    /// # Panics
    ///
    /// When there are not so many ports above 1,024.
    #[must_use]
    pub fn ports(&self, count: usize) -> Vec<u32> {
        assert!(count <= 0xffff - 1_024, "there are 65,535 ports");
        let [c, d] = PORT.to_be_bytes();
        let ports = (1_025..=u16::MAX).take(count).map(u16::to_be_bytes);
        ports.map(|[a, b]| u32::from_ne_bytes([a, b, c, d])).collect()
    }

    /// The endpoint's port that the entries speak of.
    #[must_use]
    pub fn port(&self) -> u16 {
        PORT
    }

    /// The first peer, as in [`Crowd::drawn`].
    #[must_use]
    pub fn first(&self) -> u32 {
        last_four(peer_address(self.family, 0))
    }

    /// The numbers of `count` peers in no order. None comes twice before each has come once.
    pub fn numbers(&self, count: usize, seed: u64) -> impl Iterator<Item = usize> {
        let mut random = Random::new(seed);
        let (mut order, entries): (Vec<usize>, usize) = (Vec::new(), self.entries);
        let next = move || {
            if order.is_empty() {
                order = (0..entries).collect();
            }
            Some(order.swap_remove(random.below(order.len())))
        };
        std::iter::from_fn(next).take(count)
    }

    /// The same, as packets tell peers apart: by the last four bytes of their addresses.
    #[must_use]
    pub fn drawn(&self, count: usize, seed: u64) -> Vec<u32> {
        let four = |number| last_four(peer_address(self.family, number));
        self.numbers(count, seed).map(four).collect()
    }

    /// As [`Crowd::drawn`], of strangers.
    #[must_use]
    pub fn strangers(&self, count: usize, seed: u64) -> Vec<u32> {
        // Peers' addresses have another first byte of the four.
        self.drawn(count, seed)
            .into_iter()
            .map(|bytes| bytes ^ u32::from_ne_bytes([0x80, 0, 0, 0]))
            .collect()
    }
}

/// The tables of an endpoint that the first peer may connect to.
fn pattern(place: Place, family: Family) -> Tables {
    let mut set = PolicySet::default();
    let add = |inventory: &mut Inventory, name: &str, address, host| {
        let workload = Workload {
            name: WorkloadName::new("bench", name),
            labels: Labels::from([("name".to_owned(), name.to_owned())]),
            addresses: vec![address],
            ports: Vec::new(),
            interface: None,
            host,
        };
        inventory.add_workload(workload).expect("names and addresses are different");
    };
    add(&mut set.inventory, "endpoint", endpoint_address(family), place == Place::HostAtXdp);
    add(&mut set.inventory, "peer", peer_address(family, 0), false);
    let peer = Peer::Workloads {
        namespaces: NamespaceScope::Named("bench".to_owned()),
        workloads: super::named("peer"),
    };
    let port = PortMatch::Range(Protocol::Tcp, PortRange::single(PORT));
    let rule = super::allow(Peers::Any(vec![peer]), Ports::Any(vec![port]));
    set.policies.push(super::ingress_policy("endpoint", "endpoint", vec![rule]));
    let tables = compile(&set).expect("so little fits");
    let own = tables.endpoints.iter().filter(|(_, described)| described.name == "bench/endpoint");
    let own: BTreeSet<u32> = own.map(|(number, _)| *number).collect();
    tables.for_host(&own)
}

fn between(source: IpAddr, destination: IpAddr) -> Frame {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Frame::ethernet().ipv4(source, destination)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Frame::ethernet().ipv6(source, destination)
        }
        _ => unreachable!("both ends are of one family"),
    }
}

fn endpoint_address(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 0, 0, 1).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// The address of peer `number`: scattered over 11.0.0.0/8, or over as much of 2001:db8::/96.
fn peer_address(family: Family, number: usize) -> IpAddr {
    let low = 0x0b00_0000 | scattered_in_24_bits(number + 1);
    match family {
        Family::V4 => Ipv4Addr::from_bits(low).into(),
        Family::V6 => Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(low)).into(),
    }
}

/// A number for each number, in no order.
fn scattered(number: usize) -> u32 {
    let mixed = (number as u32).wrapping_mul(0x9e37_79b1);
    (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca77)
}

/// The same in 24 bits.
fn scattered_in_24_bits(number: usize) -> u32 {
    const MASK: u32 = (1 << 24) - 1;
    let mixed = (number as u32).wrapping_mul(0x2c1b_3c6d) & MASK;
    (mixed ^ mixed >> 11).wrapping_mul(0x297a_2d39) & MASK
}

/// The last four bytes of an address, as they stand in a packet.
fn last_four(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => u32::from_ne_bytes(address.octets()),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            u32::from_ne_bytes([a, b, c, d])
        }
    }
}

#[cfg(test)]
mod tests {
    use ringfence_dataplane::backend::userspace::Filter;

    use super::*;

    const INTERFACE: u32 = 7;

    /// What a filter in this process says of a peer, a stranger, and a connection.
    fn reasons(place: Place, family: Family, entry: Entry) -> Vec<Reason> {
        let crowd = Crowd::new(place, family, entry, 300);
        assert_eq!(crowd.tables.policy.len(), 300);
        assert_eq!(crowd.peers().count(), 300);
        let mut filter = Filter::new(&crowd.host_tables(INTERFACE));
        let mut stranger = crowd.syn(0);
        let (at, bytes) = (crowd.source_offset() as usize, crowd.strangers(1, 1)[0].to_ne_bytes());
        stranger[at..at + 4].copy_from_slice(&bytes);
        let frames = [
            (stranger, place.inbound()),
            (crowd.syn(299), place.inbound()),
            (crowd.answer(299), place.outbound()),
            (crowd.acknowledgement(299), place.inbound()),
            (crowd.acknowledgement(299), place.inbound()),
        ];
        let reason = |(frame, hook): (Vec<u8>, Hook)| {
            filter.decide(&frame, hook, INTERFACE, 1).decision.reason
        };
        frames.into_iter().map(reason).collect()
    }

    #[test]
    fn who_is_no_peer_is_denied_by_no_rule_and_a_peer_by_its_entry() {
        for place in [Place::HostAtXdp, Place::WorkloadAtTc] {
            for family in [Family::V4, Family::V6] {
                let denied = reasons(place, family, Entry::Deny);
                assert_eq!(denied[..2], [Reason::NoRule, Reason::DenyRule], "{place:?} {family:?}");
                let allowed = reasons(place, family, Entry::Allow);
                let expected = [
                    Reason::NoRule,
                    Reason::Rule,
                    Reason::Reply,
                    Reason::Established,
                    Reason::Established,
                ];
                assert_eq!(allowed, expected, "{place:?} {family:?}");
            }
        }
    }

    #[test]
    fn peers_come_in_no_order_and_each_before_one_comes_again() {
        let crowd = Crowd::new(Place::HostAtXdp, Family::V4, Entry::Deny, 100);
        let drawn = crowd.drawn(250, 3);
        let first: BTreeSet<u32> = drawn[..100].iter().copied().collect();
        let known: BTreeSet<u32> = crowd.identities().map(|(address, _)| address).collect();
        assert_eq!(first, known);
        assert!(!drawn[..100].is_sorted());
        assert_eq!(drawn, crowd.drawn(250, 3));
        assert!(crowd.strangers(250, 3).iter().all(|stranger| !known.contains(stranger)));
    }

    #[test]
    fn a_port_is_drawn_once() {
        let crowd = Crowd::new(Place::HostAtXdp, Family::V4, Entry::Allow, 1);
        let ports = crowd.ports(ringfence_controls::DRAWN);
        let different: BTreeSet<u32> = ports.iter().copied().collect();
        assert_eq!(different.len(), ports.len());
        // What is written over a frame's ports keeps the endpoint's.
        let at = crowd.ports_offset() as usize;
        assert_eq!(ports[0].to_ne_bytes()[2..], crowd.syn(0)[at + 2..at + 4]);
    }
}
