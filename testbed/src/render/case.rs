//! Case files.

use std::fmt::Write as _;
use std::net::IpAddr;

use ringfence_dataplane::model::{
    Failsafe, HOST_LABEL, Inventory, Labels, NAMESPACE_NAME_LABEL, Policy, PolicySet, Tier,
    Workload,
};
use ringfence_dataplane::oracle::{Answer, Flow};
use serde_json::{Value, json};

use super::{Rendered, labels, policies, yaml};
use crate::packet::is_unicast;

/// A flow, and what has to become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The flow. Where an end is a workload with addresses of both families, a probe that names it
    /// would be asked in both; so ends are written as addresses.
    pub flow: Flow,
    /// What each end decides.
    pub answer: Answer,
}

/// Whether a probe can be about the flow: it has addresses between which connections are opened,
/// a port that is not 0, and ICMP in its own family.
#[must_use]
pub fn can_be_probed(flow: &Flow) -> bool {
    let of_family = !matches!((flow.protocol, flow.source.is_ipv6()), (1, true) | (58, false));
    is_unicast(flow.source) && is_unicast(flow.destination) && flow.port != Some(0) && of_family
}

/// A case file called `name` that asks `questions` about `set`. `source` says where the
/// expectations come from. What no probe can ask is listed as unsaid.
#[must_use]
pub fn case(name: &str, source: &str, set: &PolicySet, questions: &[Question]) -> Rendered {
    let (failsafe, others): (Vec<Policy>, Vec<Policy>) =
        set.policies.iter().cloned().partition(|policy| policy.tier == Tier::Failsafe);
    let Rendered { text: documents, mut unsaid } = policies(&others);
    let (questions, others): (Vec<&Question>, Vec<&Question>) =
        questions.iter().partition(|question| can_be_probed(&question.flow));
    unsaid.extend(others.iter().map(|question| format!("no probe asks about {:?}", question.flow)));
    let mut text = yaml(&json!({ "name": name, "source": source }));
    if !unsaid.is_empty() {
        text.push_str(&yaml(&json!({ "unsaid": unsaid })));
    }
    if !documents.is_empty() {
        text.push_str("policies: |\n");
        for line in documents.lines() {
            writeln!(text, "  {line}").expect("a text takes every line");
        }
    }
    let open: Vec<String> = failsafe.iter().flat_map(open_ports).collect();
    if !open.is_empty() {
        text.push_str(&yaml(&json!({ "failsafe": open })));
    }
    // No packet is about a workload without address, and no case has one.
    let reachable = set.inventory.workloads().filter(|one| !one.addresses.is_empty());
    text.push_str(&yaml(&json!({
        "namespaces": namespaces(&set.inventory),
        "pods": reachable.map(pod).collect::<Vec<_>>(),
    })));
    let probes: Vec<Value> = questions.into_iter().map(|question| probe(question, set)).collect();
    if !probes.is_empty() {
        text.push_str(&yaml(&json!({ "probes": probes })));
    }
    Rendered { text, unsaid }
}

/// The ports that a policy of the first tier keeps open, as its rules call them.
fn open_ports(failsafe: &Policy) -> impl Iterator<Item = String> {
    let rules = failsafe.ingress.iter().chain(&failsafe.egress);
    let origins = rules.filter_map(|rule| rule.origin.as_deref());
    origins.filter_map(|origin| Some(origin.strip_prefix(Failsafe::KIND)?.trim().to_owned()))
}

fn namespaces(inventory: &Inventory) -> Value {
    let without_name = |of: &Labels| {
        let mut of = of.clone();
        of.remove(NAMESPACE_NAME_LABEL);
        labels(&of)
    };
    let all = inventory.namespaces();
    Value::Object(all.map(|one| (one.name().to_owned(), without_name(one.labels()))).collect())
}

fn pod(workload: &Workload) -> Value {
    let mut of = workload.labels.clone();
    of.remove(HOST_LABEL);
    let mut pod = json!({
        "namespace": workload.name.namespace,
        "name": workload.name.name,
        "labels": labels(&of),
    });
    let addresses: Vec<String> = workload.addresses.iter().map(IpAddr::to_string).collect();
    if !addresses.is_empty() {
        pod["ips"] = json!(addresses);
    }
    let ports = workload.ports.iter().map(|port| {
        json!({ "name": port.name, "protocol": port.protocol.to_string(), "port": port.port })
    });
    let ports: Vec<Value> = ports.collect();
    if !ports.is_empty() {
        pod["ports"] = Value::Array(ports);
    }
    if workload.host {
        pod["host"] = json!(true);
    }
    pod
}

fn probe(Question { flow, answer }: &Question, set: &PolicySet) -> Value {
    let verdict = |allowed: bool| if allowed { "allow" } else { "deny" };
    let mut probe = json!({
        "from": flow.source.to_string(),
        "to": flow.destination.to_string(),
        "protocol": protocol(flow),
        "expect": verdict(answer.allowed()),
    });
    if let Some(port) = flow.port {
        probe["port"] = json!(port);
    }
    // An end that is no workload decides nothing.
    for (end, key, side) in [
        (flow.source, "expect_egress", &answer.egress),
        (flow.destination, "expect_ingress", &answer.ingress),
    ] {
        if set.inventory.owner(end).is_some() {
            probe[key] = json!(verdict(side.allowed));
        }
    }
    probe
}

/// ICMP is asked as an echo request where it is of the addresses' family.
fn protocol(flow: &Flow) -> Value {
    match (flow.protocol, flow.source.is_ipv6()) {
        (6, _) => json!("TCP"),
        (17, _) => json!("UDP"),
        (132, _) => json!("SCTP"),
        (1, false) => json!("ICMP"),
        (58, true) => json!("ICMPv6"),
        (number, _) => json!(number),
    }
}
