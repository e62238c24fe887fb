//! ClusterNetworkPolicy documents (`policy.networking.k8s.io/v1alpha2`).

use std::collections::BTreeSet;

use ringfence_dataplane::model::{
    Action, Direction, HOST_LABEL, NAMESPACE_NAME_LABEL, NamespaceScope, Operator, Peer, Peers,
    Policy, PortMatch, Ports, Protocol, Rule, Selector,
};
use serde_json::{Map, Value, json};

use super::selector;

/// The document of a policy; why there is none.
pub(super) fn document(
    policy: &Policy,
    unsaid: &mut impl FnMut(String),
) -> Result<Value, &'static str> {
    if policy.isolates_ingress || policy.isolates_egress {
        return Err("a ClusterNetworkPolicy isolates nobody by itself");
    }
    let mut spec = Map::from_iter([
        ("tier".to_owned(), json!(format!("{:?}", policy.tier))),
        ("priority".to_owned(), json!(policy.priority)),
        ("subject".to_owned(), pods(&policy.subject_namespaces, &policy.subjects)?),
    ]);
    for (direction, field) in [(Direction::Ingress, "ingress"), (Direction::Egress, "egress")] {
        let rules = policy.rules(direction).iter().enumerate();
        let rules: Vec<Value> = rules
            .filter_map(|(index, one)| {
                let read = rule(one, direction);
                read.map_err(|why| unsaid(format!("{field}[{index}] left out: {why}"))).ok()
            })
            .collect();
        if !rules.is_empty() {
            spec.insert(field.to_owned(), Value::Array(rules));
        }
    }
    Ok(json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": { "name": policy.name.name },
        "spec": spec,
    }))
}

/// Pods in namespaces. Hosts are no pods, so a selector has to leave them out.
fn pods(namespaces: &NamespaceScope, workloads: &Selector) -> Result<Value, &'static str> {
    let (hosts, others): (Vec<_>, Vec<_>) =
        workloads.requirements().cloned().partition(|one| one.key == HOST_LABEL);
    if !hosts.iter().any(|one| one.operator == Operator::DoesNotExist) {
        return Err("a ClusterNetworkPolicy is about pods, which the host is not");
    }
    let namespaces = match namespaces {
        NamespaceScope::Named(name) => json!({ "matchLabels": { NAMESPACE_NAME_LABEL: name } }),
        NamespaceScope::Selected(of) => selector(of),
    };
    let workloads = selector(&Selector::new(others));
    Ok(json!({ "pods": { "namespaceSelector": namespaces, "podSelector": workloads } }))
}

fn rule(rule: &Rule, direction: Direction) -> Result<Value, &'static str> {
    let action = match rule.action {
        Action::Allow => "Accept",
        Action::Deny => "Deny",
        Action::Pass => "Pass",
        Action::Log => return Err("no document has rules that only report"),
    };
    let Peers::Any(peers) = &rule.peers else {
        return Err("the rules of a ClusterNetworkPolicy name their peers");
    };
    let peers = peers.iter().map(|one| peer(one, direction)).collect::<Result<Vec<_>, _>>()?;
    let field = match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let mut fields = Map::from_iter([
        ("action".to_owned(), json!(action)),
        (field.to_owned(), Value::Array(peers)),
    ]);
    if let Ports::Any(ports) = &rule.ports {
        fields.insert("protocols".to_owned(), protocols(ports)?);
    }
    Ok(Value::Object(fields))
}

fn peer(peer: &Peer, direction: Direction) -> Result<Value, &'static str> {
    match peer {
        Peer::Workloads { namespaces, workloads } => pods(namespaces, workloads),
        Peer::Block(_) if direction == Direction::Ingress => {
            Err("a ClusterNetworkPolicy has no networks in `from`")
        }
        Peer::Block(block) if !block.except().is_empty() => {
            Err("the networks of a ClusterNetworkPolicy have no exceptions")
        }
        Peer::Block(block) => Ok(json!({ "networks": [block.block().to_string()] })),
    }
}

/// A port's name is that of every protocol here.
fn protocols(ports: &[PortMatch]) -> Result<Value, &'static str> {
    let mut list = Vec::new();
    let mut written = BTreeSet::new();
    for port in ports {
        let (protocol, first, last) = match port {
            PortMatch::Named(_, name) => {
                let named = |of: Protocol| ports.contains(&PortMatch::Named(of, name.clone()));
                if !Protocol::ALL.into_iter().all(named) {
                    return Err("a port's name is that of every protocol");
                }
                if written.insert(name) {
                    list.push(json!({ "destinationNamedPort": name }));
                }
                continue;
            }
            PortMatch::Every(_) => return Err("port 0 is none in the API"),
            PortMatch::Range(protocol, range) => (protocol, range.first(), range.last()),
        };
        if first == 0 {
            return Err("port 0 is none in the API");
        }
        let port = match first == last {
            true => json!({ "number": first }),
            false => json!({ "range": { "start": first, "end": last } }),
        };
        let protocol = protocol.to_string().to_lowercase();
        list.push(json!({ protocol: { "destinationPort": port } }));
    }
    Ok(Value::Array(list))
}
