//! The same rules as documents of Ringfence say them: one server, and one NetworkPolicy for it.

use std::collections::BTreeSet;

use ringfence_dataplane::compile::rule_numbers;
use ringfence_dataplane::model::{
    Action, Direction, Inventory, InventoryError, IpBlock, Labels, NamespaceScope, Operator, Peer,
    Peers, Policy, PolicyName, PolicySet, PortMatch, PortRange, Ports, Protocol, Requirement, Rule,
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
/// The engine's chains ask rules in the order of their numbers, which are made from their names. So
/// the rule with the lowest number is the one for the first [`Allowed`], and so on.
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
    let name = PolicyName {
        kind: "networkpolicy".to_owned(),
        namespace: NAMESPACE.to_owned(),
        name: SERVER.to_owned(),
    };
    let rules = places(&name, asked.case.rules).into_iter();
    let rules = rules.map(|place| rule(asked.allowed(place), protocol)).collect();
    let policy = Policy {
        name,
        tier: Tier::Developer,
        priority: 0,
        subject_namespaces: NamespaceScope::Named(NAMESPACE.to_owned()),
        subjects: Selector::new([Requirement {
            key: "app".to_owned(),
            operator: Operator::In(BTreeSet::from([SERVER.to_owned()])),
        }]),
        isolates_ingress: true,
        isolates_egress: false,
        ingress: rules,
        egress: Vec::new(),
    };
    PolicySet { policies: vec![policy], inventory }
}

/// For each ingress rule of a policy its place among them in the order of their numbers.
fn places(policy: &PolicyName, rules: usize) -> Vec<usize> {
    let numbers = rule_numbers(policy, Direction::Ingress, rules);
    let mut in_order: Vec<usize> = (0..rules).collect();
    in_order.sort_by_key(|index| numbers[*index]);
    let mut places = vec![0; rules];
    in_order.into_iter().enumerate().for_each(|(place, index)| places[index] = place);
    places
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

#[cfg(test)]
mod tests {
    use ringfence_dataplane::compile::compile;

    use super::*;
    use crate::lab::{Case, Mismatch, Position, Tracking};

    fn asked(mismatch: Mismatch, family: Family) -> Asked {
        let (contender, rules, position) = (Contender::IptablesFlat, 300, Position::Last);
        let tracking = Tracking::New;
        Asked::tcp(Case { contender, rules, position, mismatch, tracking, family })
    }

    #[test]
    fn rules_are_numbered_in_the_order_of_their_peers_and_nothing_is_merged() {
        for (mismatch, family) in [
            (Mismatch::Address, Family::V4),
            (Mismatch::Address, Family::V6),
            (Mismatch::Port, Family::V4),
        ] {
            let asked = asked(mismatch, family);
            let set = policies(asked);
            let tables = compile(&set).unwrap();
            assert_eq!(tables.policy.len(), 300, "{mismatch:?} {family:?}");
            assert_eq!(tables.rules.len(), 300);
            let ingress = &set.policies[0].ingress;
            for (place, (number, described)) in tables.rules.iter().enumerate() {
                let mut indexes = 0..300;
                let index = indexes.find(|index| {
                    let name = set.policies[0].rule_name(Direction::Ingress, *index);
                    name.to_string() == described.name
                });
                let rule = &ingress[index.unwrap()];
                let expected = super::rule(asked.allowed(place), Protocol::Tcp);
                assert_eq!(*rule, expected, "{mismatch:?} {family:?}, rule {number}");
            }
        }
    }

    #[test]
    fn the_host_is_known_where_its_uplink_has_programs() {
        let mut asked = asked(Mismatch::Address, Family::V4);
        let hosts = |asked: Asked| {
            let set = policies(asked);
            set.inventory.workloads().filter(|workload| workload.host).count()
        };
        assert_eq!(hosts(asked), 0);
        asked.case.contender = Contender::EbpfXdp;
        assert_eq!(hosts(asked), 1);
    }
}
