//! A policy set changed into one that documents can say: by the shape of what it says, not by what
//! it comes to.

use std::collections::BTreeSet;

use ringfence_dataplane::model::{
    Action, Direction, HOST_LABEL, Inventory, IpBlock, NamespaceScope, Operator, Peer, Peers,
    Policy, PolicySet, PortMatch, PortRange, Ports, Protocol, Requirement, Rule, Selector, Tier,
};

use super::NAMESPACES;

/// Takes from `set` what documents cannot say.
pub fn limit(set: &mut PolicySet) {
    for policy in &mut set.policies {
        match policy.tier {
            Tier::Developer => network_policy(policy),
            Tier::Admin | Tier::Baseline | Tier::Failsafe => cluster_network_policy(policy),
        }
    }
    set.policies.sort_by(|a, b| a.name.cmp(&b.name));
    set.inventory = inventory(&set.inventory);
}

fn network_policy(policy: &mut Policy) {
    let namespace = match &policy.subject_namespaces {
        NamespaceScope::Named(name) => name.clone(),
        NamespaceScope::Selected(_) => NAMESPACES[0].to_owned(),
    };
    policy.name.kind = "networkpolicy".to_owned();
    policy.name.namespace.clone_from(&namespace);
    policy.subject_namespaces = NamespaceScope::Named(namespace);
    policy.priority = 0;
    policy.isolates_ingress |= !policy.isolates_egress;
    if !policy.isolates_ingress {
        policy.ingress.clear();
    }
    if !policy.isolates_egress {
        policy.egress.clear();
    }
    for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
        rule.action = Action::Allow;
        without_port_zero(rule);
    }
}

fn cluster_network_policy(policy: &mut Policy) {
    policy.name.kind = "clusternetworkpolicy".to_owned();
    policy.isolates_ingress = false;
    policy.isolates_egress = false;
    pods(&mut policy.subject_namespaces, &mut policy.subjects);
    for (direction, rules) in
        [(Direction::Ingress, &mut policy.ingress), (Direction::Egress, &mut policy.egress)]
    {
        rules.retain(|rule| rule.action != Action::Log);
        for rule in rules {
            cluster_rule(rule, direction);
        }
    }
}

fn cluster_rule(rule: &mut Rule, direction: Direction) {
    without_port_zero(rule);
    if let Peers::Any(peers) = &mut rule.peers {
        if direction == Direction::Ingress {
            peers.retain(|peer| matches!(peer, Peer::Workloads { .. }));
        }
        peers.iter_mut().for_each(cluster_peer);
    }
    let nobody_left = match &rule.peers {
        Peers::Everyone => true,
        Peers::Any(peers) => peers.is_empty(),
    };
    if nobody_left {
        let (mut namespaces, mut workloads) =
            (NamespaceScope::Selected(Selector::everything()), Selector::everything());
        pods(&mut namespaces, &mut workloads);
        rule.peers = Peers::Any(vec![Peer::Workloads { namespaces, workloads }]);
    }
    let has_networks = matches!(&rule.peers, Peers::Any(peers)
        if peers.iter().any(|peer| matches!(peer, Peer::Block(_))));
    if let Ports::Any(ports) = &mut rule.ports {
        let written = std::mem::take(ports);
        for port in written {
            match port {
                PortMatch::Every(protocol) => ports.push(range(protocol, 1, u16::MAX)),
                // Addresses have no named ports; and a name is that of every protocol.
                PortMatch::Named(protocol, _) if has_networks => {
                    ports.push(range(protocol, 80, 80))
                }
                PortMatch::Named(_, name) => {
                    ports.extend(Protocol::ALL.map(|of| PortMatch::Named(of, name.clone())));
                }
                PortMatch::Range(..) => ports.push(port),
            }
        }
    }
}

fn cluster_peer(peer: &mut Peer) {
    match peer {
        Peer::Workloads { namespaces, workloads } => pods(namespaces, workloads),
        Peer::Block(block) => {
            *block = IpBlock::new(block.block(), Vec::new()).expect("nothing is excepted");
        }
    }
}

/// Pods are no hosts, and are in namespaces with labels.
fn pods(namespaces: &mut NamespaceScope, workloads: &mut Selector) {
    if let NamespaceScope::Named(name) = namespaces {
        let operator = Operator::In(BTreeSet::from([name.clone()]));
        let key = ringfence_dataplane::model::NAMESPACE_NAME_LABEL.to_owned();
        *namespaces = NamespaceScope::Selected(Selector::new([Requirement { key, operator }]));
    }
    let no_host = Requirement { key: HOST_LABEL.to_owned(), operator: Operator::DoesNotExist };
    *workloads = Selector::new(workloads.requirements().cloned().chain([no_host]));
}

fn without_port_zero(rule: &mut Rule) {
    let Ports::Any(ports) = &mut rule.ports else { return };
    for port in ports {
        if let PortMatch::Range(protocol, of) = port {
            *port = range(*protocol, of.first().max(1), of.last().max(1));
        }
    }
}

fn range(protocol: Protocol, first: u16, last: u16) -> PortMatch {
    PortMatch::Range(protocol, PortRange::new(first, last).expect("ranges ascend"))
}

/// A workload's port has a number, and a name means one port of a protocol.
fn inventory(of: &Inventory) -> Inventory {
    let mut inventory = Inventory::default();
    of.namespaces().for_each(|namespace| inventory.add_namespace(namespace.clone()));
    for workload in of.workloads() {
        let mut workload = workload.clone();
        let mut taken = BTreeSet::new();
        workload
            .ports
            .retain(|port| port.port > 0 && taken.insert((port.name.clone(), port.protocol)));
        inventory.add_workload(workload).expect("it was there before");
    }
    inventory
}
