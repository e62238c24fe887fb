//! A trace as JSON.

use ringfence_dataplane::oracle::{PolicyTrace, Reason, RuleTrace, Side, SideTrace};
use serde::Serialize;

use super::Traced;

/// The version of the JSON output; it changes when a field changes its meaning or goes away.
const JSON_VERSION: u32 = 1;

/// The whole JSON output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Json {
    version: u32,
    verdict: &'static str,
    traces: Vec<JsonTrace>,
}

/// The flows between addresses that are treated alike.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonTrace {
    source: JsonEnd,
    destination: JsonEnd,
    protocol: u8,
    port: Option<u16>,
    verdict: &'static str,
    egress: JsonSide,
    ingress: JsonSide,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonEnd {
    name: String,
    addresses: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonSide {
    subject: Option<String>,
    verdict: &'static str,
    reason: &'static str,
    isolated: bool,
    logged: bool,
    rules: Vec<String>,
    policies: Vec<JsonPolicy>,
    nearest_misses: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonPolicy {
    policy: String,
    tier: String,
    priority: u32,
    selector: String,
    isolates: bool,
    rules: Vec<JsonRule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonRule {
    rule: String,
    origin: Option<String>,
    action: String,
    peers_match: bool,
    ports_match: bool,
}

impl Json {
    pub fn of(traced: &[Traced]) -> Self {
        let allowed = traced.iter().all(|traced| traced.trace.answer.allowed());
        Self {
            version: JSON_VERSION,
            verdict: verdict(allowed),
            traces: traced.iter().map(JsonTrace::of).collect(),
        }
    }
}

fn verdict(allowed: bool) -> &'static str {
    if allowed { "ALLOWED" } else { "DENIED" }
}

impl JsonTrace {
    fn of(traced: &Traced) -> Self {
        let end = |who: &crate::who::Who| JsonEnd {
            name: who.name.clone(),
            addresses: who.addresses.iter().map(ToString::to_string).collect(),
        };
        let trace = &traced.trace;
        Self {
            source: end(&traced.source),
            destination: end(&traced.destination),
            protocol: traced.service.protocol,
            port: traced.service.port,
            verdict: verdict(trace.answer.allowed()),
            egress: JsonSide::of(&trace.egress, &trace.answer.egress),
            ingress: JsonSide::of(&trace.ingress, &trace.answer.ingress),
        }
    }
}

impl JsonSide {
    fn of(trace: &SideTrace, side: &Side) -> Self {
        let misses = match side.reason {
            Reason::NoRule => trace.nearest_misses(),
            _ => Vec::new(),
        };
        Self {
            subject: trace.subject.clone(),
            verdict: verdict(side.allowed),
            reason: side.reason.name(),
            isolated: side.isolated,
            logged: side.logged,
            rules: side.rules.iter().map(ToString::to_string).collect(),
            policies: trace.policies.iter().map(JsonPolicy::of).collect(),
            nearest_misses: misses.into_iter().map(|rule| rule.rule.to_string()).collect(),
        }
    }
}

impl JsonPolicy {
    fn of(policy: &PolicyTrace) -> Self {
        Self {
            policy: policy.policy.to_string(),
            tier: format!("{:?}", policy.tier).to_lowercase(),
            priority: policy.priority,
            selector: policy.selector.clone(),
            isolates: policy.isolates,
            rules: policy.rules.iter().map(JsonRule::of).collect(),
        }
    }
}

impl JsonRule {
    fn of(rule: &RuleTrace) -> Self {
        Self {
            rule: rule.rule.to_string(),
            origin: rule.origin.clone(),
            action: format!("{:?}", rule.action).to_lowercase(),
            peers_match: rule.peers_match,
            ports_match: rule.ports_match,
        }
    }
}
