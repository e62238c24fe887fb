//! Whom a policy selects, and which flows a rule matches.

use std::net::IpAddr;

use super::Flow;
use crate::model::{
    Direction, Inventory, NamespaceScope, Peer, Peers, Policy, PortMatch, Ports, Protocol, Rule,
    Selector, Workload,
};

/// Whether `policy` protects `workload`.
pub(super) fn selects(policy: &Policy, workload: &Workload, inventory: &Inventory) -> bool {
    is_among(workload, &policy.subject_namespaces, &policy.subjects, inventory)
}

fn is_among(
    workload: &Workload,
    namespaces: &NamespaceScope,
    workloads: &Selector,
    inventory: &Inventory,
) -> bool {
    inventory.namespace(&workload.name.namespace).is_some_and(|namespace| {
        namespaces.contains(namespace.name(), namespace.labels())
            && workloads.matches(&workload.labels)
    })
}

/// Whether a rule of a policy of `subject` for `direction` matches `flow`: its peer and its service
/// do.
pub(super) fn rule_matches(
    rule: &Rule,
    subject: &Workload,
    direction: Direction,
    flow: &Flow,
    inventory: &Inventory,
) -> bool {
    peers_match(&rule.peers, direction, flow, inventory)
        && ports_match(&rule.ports, destination(subject, direction, flow, inventory), flow)
}

/// Whether the other end of `flow` is one of `peers`.
pub(super) fn peers_match(
    peers: &Peers,
    direction: Direction,
    flow: &Flow,
    inventory: &Inventory,
) -> bool {
    let address = match direction {
        Direction::Ingress => flow.source,
        Direction::Egress => flow.destination,
    };
    match peers {
        Peers::Everyone => true,
        Peers::Any(peers) => peers.iter().any(|peer| peer_matches(peer, address, inventory)),
    }
}

/// Workloads are matched by what they are, blocks by address whoever has it (semantics 1).
fn peer_matches(peer: &Peer, address: IpAddr, inventory: &Inventory) -> bool {
    match peer {
        Peer::Workloads { namespaces, workloads } => inventory
            .owner(address)
            .is_some_and(|workload| is_among(workload, namespaces, workloads, inventory)),
        Peer::Block(block) => block.contains(address),
    }
}

/// Whom `flow` goes to, if it is a workload. What arrives at the subject is for the subject,
/// whichever address it carries (a group's, say).
pub(super) fn destination<'a>(
    subject: &'a Workload,
    direction: Direction,
    flow: &Flow,
    inventory: &'a Inventory,
) -> Option<&'a Workload> {
    match direction {
        Direction::Ingress => Some(subject),
        Direction::Egress => inventory.owner(flow.destination),
    }
}

/// Whether the service of `flow`, which goes to `destination`, is one of `ports`.
pub(super) fn ports_match(ports: &Ports, destination: Option<&Workload>, flow: &Flow) -> bool {
    match ports {
        Ports::Everything => true,
        Ports::Any(ports) => ports.iter().any(|port| port_matches(port, destination, flow)),
    }
}

/// Port names are those of the destination (`NetworkPolicyPort.port` of the Kubernetes API).
fn port_matches(port: &PortMatch, destination: Option<&Workload>, flow: &Flow) -> bool {
    let is = |protocol: &Protocol| flow.protocol == protocol.number();
    match port {
        PortMatch::Every(protocol) => is(protocol),
        PortMatch::Range(protocol, range) => {
            is(protocol) && flow.port.is_some_and(|port| range.contains(port))
        }
        PortMatch::Named(protocol, name) => {
            is(protocol)
                && destination.is_some_and(|destination| {
                    destination.ports.iter().any(|port| {
                        port.name == *name
                            && port.protocol == *protocol
                            && Some(port.port) == flow.port
                    })
                })
        }
    }
}
