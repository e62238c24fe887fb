//! The same rules as documents of Ringfence say them: one server, and one NetworkPolicy for it.

use std::collections::BTreeSet;

use ringfence_dataplane::model::{
    Action, Inventory, InventoryError, IpBlock, Labels, NamespaceScope, Operator, Peer, Peers,
    Policy, PolicyName, PolicySet, PortMatch, PortRange, Ports, Protocol, Requirement, Rule,
    Selector, Tier, Workload, WorkloadName,
};

use super::asked::{Allowed, server};
use super::{Asked, Contender, Family};
use crate::workload::Transport;

/// The namespace of Kubernetes that everything is in.
const NAMESPACE: &str = "lab";

/// The server's name.
pub(super) const SERVER: &str = "server";

/// What a contender of Ringfence's applies: a NetworkPolicy that isolates the server, with an
/// ingress rule for each [`Allowed`].
///
/// The policy of [`Contender::EbpfXdp`] knows a host as well, which no policy isolates: only a
/// described host has programs at its uplink.
#[must_use]
pub fn policies(asked: impl Into<Asked>) -> PolicySet {
    let asked = asked.into();
    let inventory = inventory(asked.case.contender == Contender::EbpfXdp);
    let protocol = match asked.transport {
        Transport::Udp => Protocol::Udp,
        Transport::Tcp => Protocol::Tcp,
    };
    let policy = Policy {
        name: PolicyName {
            kind: "networkpolicy".to_owned(),
            namespace: NAMESPACE.to_owned(),
            name: SERVER.to_owned(),
        },
        tier: Tier::Developer,
        priority: 0,
        subject_namespaces: NamespaceScope::Named(NAMESPACE.to_owned()),
        subjects: Selector::new([Requirement {
            key: "app".to_owned(),
            operator: Operator::In(BTreeSet::from([SERVER.to_owned()])),
        }]),
        isolates_ingress: true,
        isolates_egress: false,
        ingress: asked.rules().map(|allowed| rule(allowed, protocol)).collect(),
        egress: Vec::new(),
    };
    PolicySet { policies: vec![policy], inventory }
}

fn rule(allowed: Allowed, protocol: Protocol) -> Rule {
    let block = IpBlock::new(allowed.peer.into(), Vec::new());
    let block = block.expect("a block without exceptions has none outside of it");
    Rule {
        action: Action::Allow,
        peers: Peers::Any(vec![Peer::Block(block)]),
        ports: Ports::Any(vec![PortMatch::Range(protocol, PortRange::single(allowed.port))]),
        origin: None,
    }
}

/// The server, and perhaps the host.
pub(super) fn inventory(with_host: bool) -> Inventory {
    let described = |name: &str, host| Workload {
        name: WorkloadName::new(NAMESPACE, name),
        labels: Labels::from([("app".to_owned(), name.to_owned())]),
        addresses: Vec::new(),
        ports: Vec::new(),
        interface: None,
        host,
    };
    let addresses = [Family::V4, Family::V6].map(server).to_vec();
    let server = Workload { addresses, ..described(SERVER, false) };
    let host = with_host.then(|| described("router", true));
    let mut inventory = Inventory::default();
    let added: Result<(), InventoryError> =
        std::iter::once(server).chain(host).try_for_each(|one| inventory.add_workload(one));
    added.expect("two names and one's addresses are different");
    inventory
}
