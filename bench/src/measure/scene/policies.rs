//! The policies between which the host of a scene changes.

use std::net::{IpAddr, Ipv4Addr};

use ringfence_dataplane::model::{
    Action, Inventory, IpBlock, Labels, NamespaceScope, Operator, Peer, Peers, Policy, PolicyName,
    PolicySet, PortMatch, PortRange, Ports, Protocol, Requirement, Rule, Selector, Tier, Workload,
    WorkloadName,
};

use crate::kernel::MeasureError;

/// The server's address.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 11);

/// The UDP port of the server that all rules are about.
pub const PORT: u16 = 5_001;

/// Who is let in by no policy.
pub const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);

/// Newcomers at most: rules that one change adds.
pub const NEWCOMERS: usize = 100;

/// What the host's policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nobody is let in.
    Closed,
    /// Each peer is let in by a rule of its own.
    Standing,
    /// And after them so many newcomers.
    With(usize),
}

/// Peer `number`: every second address, so that no two are one block.
pub fn peer(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0xac10_0000 + 2 * number as u32)
}

/// Newcomer `number`. The client is number 0, and its rule is the last one.
pub fn newcomer(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0xc612_0000 + 2 * number as u32)
}

impl State {
    /// Whom the rules let in, in their order, where there are `rules` peers.
    pub fn allowed(self, rules: usize) -> impl Iterator<Item = Ipv4Addr> {
        let (peers, newcomers) = match self {
            Self::Closed => (0, 0),
            Self::Standing => (rules, 0),
            Self::With(newcomers) => (rules, newcomers),
        };
        (0..peers).map(peer).chain((0..newcomers).rev().map(newcomer))
    }

    /// The policy, where there are `rules` peers.
    ///
    /// # Errors
    ///
    /// [`MeasureError`] never: all names and addresses are different.
    pub fn policies(self, rules: usize) -> Result<PolicySet, MeasureError> {
        let mut set = PolicySet { inventory: inventory()?, ..PolicySet::default() };
        let ingress = self.allowed(rules).map(allow).collect::<Result<_, _>>()?;
        set.policies.push(Policy {
            name: PolicyName {
                kind: "networkpolicy".to_owned(),
                namespace: "bench".to_owned(),
                name: "server".to_owned(),
            },
            tier: Tier::Developer,
            priority: 0,
            subject_namespaces: NamespaceScope::Named("bench".to_owned()),
            subjects: named("server"),
            isolates_ingress: true,
            isolates_egress: false,
            ingress,
            egress: Vec::new(),
        });
        Ok(set)
    }
}

/// The server, a workload.
pub fn inventory() -> Result<Inventory, MeasureError> {
    let mut inventory = Inventory::default();
    let workload = Workload {
        name: WorkloadName::new("bench", "server"),
        labels: Labels::from([("name".to_owned(), "server".to_owned())]),
        addresses: vec![SERVER.into()],
        ports: Vec::new(),
        interface: None,
        host: false,
    };
    inventory.add_workload(workload).map_err(MeasureError::refused("describe the server"))?;
    Ok(inventory)
}

fn allow(address: Ipv4Addr) -> Result<Rule, MeasureError> {
    let block = IpBlock::new(IpAddr::V4(address).into(), Vec::new());
    let block = block.map_err(MeasureError::refused("write a rule"))?;
    let port = PortMatch::Range(Protocol::Udp, PortRange::single(PORT));
    Ok(Rule {
        action: Action::Allow,
        peers: Peers::Any(vec![Peer::Block(block)]),
        ports: Ports::Any(vec![port]),
        origin: None,
    })
}

fn named(name: &str) -> Selector {
    let operator = Operator::In([name.to_owned()].into());
    Selector::new([Requirement { key: "name".to_owned(), operator }])
}
