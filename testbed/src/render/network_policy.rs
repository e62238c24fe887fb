//! NetworkPolicy documents (`networking.k8s.io/v1`).

use ringfence_dataplane::model::{
    Action, Direction, NAMESPACE_NAME_LABEL, NamespaceScope, Peer, Peers, Policy, PortMatch, Ports,
    Rule,
};
use serde_json::{Map, Value, json};

use super::selector;

/// The document of a policy; why there is none.
pub(super) fn document(
    policy: &Policy,
    unsaid: &mut impl FnMut(String),
) -> Result<Value, &'static str> {
    let NamespaceScope::Named(namespace) = &policy.subject_namespaces else {
        return Err("a NetworkPolicy selects in one namespace");
    };
    if policy.priority != 0 {
        return Err("a NetworkPolicy has no priority");
    }
    let mut spec = Map::from_iter([("podSelector".to_owned(), selector(&policy.subjects))]);
    let mut types = Vec::new();
    for (direction, word, field) in
        [(Direction::Ingress, "Ingress", "ingress"), (Direction::Egress, "Egress", "egress")]
    {
        if !policy.isolates(direction) {
            if !policy.rules(direction).is_empty() {
                return Err("the rules of a NetworkPolicy isolate");
            }
            continue;
        }
        types.push(word);
        let rules = policy.rules(direction).iter().enumerate();
        let rules: Vec<Value> = rules
            .filter_map(|(index, one)| {
                let read = rule(one, direction, namespace);
                read.map_err(|why| unsaid(format!("{field}[{index}] left out: {why}"))).ok()
            })
            .collect();
        if !rules.is_empty() {
            spec.insert(field.to_owned(), Value::Array(rules));
        }
    }
    if types.is_empty() {
        return Err("a NetworkPolicy isolates in a direction");
    }
    spec.insert("policyTypes".to_owned(), json!(types));
    Ok(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "namespace": namespace, "name": policy.name.name },
        "spec": spec,
    }))
}

fn rule(rule: &Rule, direction: Direction, namespace: &str) -> Result<Value, &'static str> {
    if rule.action != Action::Allow {
        return Err("the rules of a NetworkPolicy allow");
    }
    let mut fields = Map::new();
    if let Peers::Any(peers) = &rule.peers {
        let field = match direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        let peers: Vec<Value> = peers.iter().map(|one| peer(one, namespace)).collect();
        fields.insert(field.to_owned(), Value::Array(peers));
    }
    if let Ports::Any(ports) = &rule.ports {
        let ports = ports.iter().map(port).collect::<Result<Vec<_>, _>>()?;
        fields.insert("ports".to_owned(), Value::Array(ports));
    }
    Ok(Value::Object(fields))
}

fn peer(peer: &Peer, own: &str) -> Value {
    match peer {
        Peer::Block(block) if block.except().is_empty() => {
            json!({ "ipBlock": { "cidr": block.block().to_string() } })
        }
        Peer::Block(block) => {
            let except: Vec<String> = block.except().iter().map(ToString::to_string).collect();
            json!({ "ipBlock": { "cidr": block.block().to_string(), "except": except } })
        }
        Peer::Workloads { namespaces: NamespaceScope::Named(name), workloads } if name == own => {
            json!({ "podSelector": selector(workloads) })
        }
        Peer::Workloads { namespaces, workloads } => {
            let namespaces = match namespaces {
                NamespaceScope::Named(name) => {
                    json!({ "matchLabels": { NAMESPACE_NAME_LABEL: name } })
                }
                NamespaceScope::Selected(of) => selector(of),
            };
            json!({ "namespaceSelector": namespaces, "podSelector": selector(workloads) })
        }
    }
}

fn port(port: &PortMatch) -> Result<Value, &'static str> {
    Ok(match port {
        PortMatch::Every(protocol) => json!({ "protocol": protocol.to_string() }),
        PortMatch::Named(protocol, name) => {
            json!({ "protocol": protocol.to_string(), "port": name })
        }
        PortMatch::Range(_, range) if range.first() == 0 => {
            return Err("port 0 is none in the API");
        }
        PortMatch::Range(protocol, range) if range.first() == range.last() => {
            json!({ "protocol": protocol.to_string(), "port": range.first() })
        }
        PortMatch::Range(protocol, range) => json!({
            "protocol": protocol.to_string(), "port": range.first(), "endPort": range.last(),
        }),
    })
}
