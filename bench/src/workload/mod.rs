//! What is measured: frames, policies, clients. The same every time.

mod crowd;

pub use self::crowd::{Crowd, Entry, Family, Place};

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ringfence_dataplane::backend::{Arrival, Desired, Interface, Mode, Role, Settings};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::model::{
    Action, Inventory, IpBlock, Labels, NamespaceScope, Operator, Peer, Peers, Policy, PolicyName,
    PolicySet, PortMatch, PortRange, Ports, Protocol, Requirement, Rule, Selector, Tier, Workload,
    WorkloadName,
};
use ringfence_testbed::packet::Frame;

/// A frame and what it is called.
pub struct Named {
    /// Its name.
    pub name: &'static str,
    /// Its bytes.
    pub frame: Vec<u8>,
}

/// Typical frames: what most packets are, and the longest way through the parser that passes.
#[must_use]
pub fn typical_frames() -> Vec<Named> {
    let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let v4 = || Frame::ethernet().ipv4(a, b);
    let (c, d) = (v6(1), v6(2));
    let v6 = || Frame::ethernet().ipv6(c, d);
    let tagged = Frame::ethernet().provider_vlan(1).vlan(2).ipv6(c, d);
    let chain = tagged.hop_by_hop(&[]).destination_options(&[]).routing(2, 0).authentication();
    let named = |name, frame: Frame| Named { name, frame: frame.build() };
    vec![
        named("ipv4-tcp", v4().tcp(40_000, 443).ack(1).payload(64)),
        named("ipv4-udp", v4().udp(40_000, 53).payload(64)),
        named("ipv6-tcp", v6().tcp(40_000, 443).ack(1).payload(64)),
        named("ipv4-options-tcp", v4().options(&[1; 12]).tcp(40_000, 443).ack(1)),
        named("qinq-ipv6-chain-udp", chain.udp(40_000, 53).payload(64)),
    ]
}

/// The interface of [`server_of_both_families`].
const INTERFACE: u32 = 7;

/// The server's address.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// One workload with so many clients, for each a rule of one policy.
///
/// # Panics
///
/// Never: an address without exceptions is a block.
#[must_use]
pub fn server_set(clients: usize) -> PolicySet {
    // Every second address, so that no two are one block.
    let blocks = (0..clients).map(|number| {
        let block = IpAddr::V4(client(2 * number)).into();
        let block = IpBlock::new(block, Vec::new()).expect("it has no exception");
        let port = PortMatch::Range(Protocol::Tcp, PortRange::single(443));
        allow(Peers::Any(vec![Peer::Block(block)]), Ports::Any(vec![port]))
    });
    let mut set = PolicySet::default();
    add_workload(&mut set.inventory, "server", SERVER.into());
    set.policies.push(ingress_policy("server", "server", blocks.collect()));
    set
}

/// The state of a host with one workload that `entries` clients may connect to, each on TCP port
/// 443 and by a policy entry of its own; every second one has an IPv6 address.
///
/// # Panics
///
/// When the policy does not compile to an entry for each client.
#[must_use]
pub fn server_of_both_families(entries: usize) -> Desired {
    let blocks = (0..entries).map(|number| {
        // Every second address, so that no two are one block.
        let address = match number % 2 {
            0 => IpAddr::V4(client(2 * number)),
            _ => IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | (2 * number as u128))),
        };
        let block = IpBlock::new(address.into(), Vec::new()).expect("it has no exception");
        let port = PortMatch::Range(Protocol::Tcp, PortRange::single(443));
        allow(Peers::Any(vec![Peer::Block(block)]), Ports::Any(vec![port]))
    });
    let mut set = PolicySet::default();
    add_workload(&mut set.inventory, "server", SERVER.into());
    set.policies.push(ingress_policy("server", "server", blocks.collect()));
    let tables = compile(&set).expect("so few policies fit");
    assert_eq!(tables.policy.len(), entries, "every client has an entry");
    desired(tables)
}

/// A cluster: `policies` over as many workloads in namespaces of ten; each policy lets six groups
/// of its namespace reach one workload on two ports.
#[must_use]
pub fn cluster(policies: usize) -> PolicySet {
    const GROUP: usize = 10;
    let mut set = PolicySet::default();
    for number in 0..policies {
        let name = format!("w{number}");
        let address = Ipv4Addr::from_bits(0x0a01_0000 + number as u32);
        let namespace = format!("n{}", number / GROUP);
        add_workload_in(&mut set.inventory, &namespace, &name, address.into());
        let rules = (1..=6).map(|step| {
            let other = number / GROUP * GROUP + (number + step) % GROUP;
            let peer = Peer::Workloads {
                namespaces: NamespaceScope::Named(namespace.clone()),
                workloads: named(&format!("w{other}")),
            };
            let port = |port| PortMatch::Range(Protocol::Tcp, PortRange::single(port));
            let ports = vec![port(80 + step as u16), port(8_000 + step as u16)];
            allow(Peers::Any(vec![peer]), Ports::Any(ports))
        });
        let mut policy = ingress_policy(&name, &name, rules.collect());
        policy.name.namespace.clone_from(&namespace);
        policy.subject_namespaces = NamespaceScope::Named(namespace.clone());
        set.policies.push(policy);
    }
    set.policies.sort_by(|a, b| a.name.cmp(&b.name));
    set
}

fn desired(tables: Tables) -> Desired {
    let endpoints: BTreeSet<u32> = tables.endpoints.keys().copied().collect();
    let interface = Interface {
        index: INTERFACE,
        name: "server".to_owned(),
        role: Role::Workload,
        endpoints,
        arrival: Arrival::Tcx,
    };
    Desired {
        tables,
        interfaces: vec![interface],
        host_addresses: BTreeSet::new(),
        mode: Mode::Enforce,
        settings: Settings { report: 0, pick_up_seconds: 0, ..Settings::default() },
    }
}

fn client(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0xc000_0000 + number as u32)
}

const fn v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last)
}

fn allow(peers: Peers, ports: Ports) -> Rule {
    Rule { action: Action::Allow, peers, ports, origin: None }
}

fn named(name: &str) -> Selector {
    let operator = Operator::In(BTreeSet::from([name.to_owned()]));
    Selector::new([Requirement { key: "name".to_owned(), operator }])
}

fn ingress_policy(name: &str, subject: &str, ingress: Vec<Rule>) -> Policy {
    let kind = "networkpolicy".to_owned();
    Policy {
        name: PolicyName { kind, namespace: "bench".to_owned(), name: name.to_owned() },
        tier: Tier::Developer,
        priority: 0,
        subject_namespaces: NamespaceScope::Named("bench".to_owned()),
        subjects: named(subject),
        isolates_ingress: true,
        isolates_egress: false,
        ingress,
        egress: Vec::new(),
    }
}

fn add_workload(inventory: &mut Inventory, name: &str, address: IpAddr) {
    add_workload_in(inventory, "bench", name, address);
}

fn add_workload_in(inventory: &mut Inventory, namespace: &str, name: &str, address: IpAddr) {
    let workload = Workload {
        name: WorkloadName::new(namespace, name),
        labels: Labels::from([("name".to_owned(), name.to_owned())]),
        addresses: vec![address],
        ports: Vec::new(),
        interface: None,
        host: false,
    };
    inventory.add_workload(workload).expect("names and addresses are all different");
}
