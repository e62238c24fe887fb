//! Warnings about ClusterNetworkPolicies that take each other back.

use crate::{found, read};

/// A policy of 6 lines: its `tier` and `priority` on lines 5 and 6, its ingress on line 8.
fn policy(name: &str, tier: &str, priority: u32, subject: &str, ingress: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n\
         metadata: {{ name: {name} }}\nspec:\n  tier: {tier}\n  priority: {priority}\n  \
         subject: {subject}\n  ingress: [ {ingress} ]\n---\n"
    )
}

const WORKLOADS: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Workload
metadata: { namespace: shop, name: web, labels: { app: web } }
spec: { addresses: [ 10.0.0.1 ], ports: [ { name: http, port: 80 } ] }
---
apiVersion: ringfence.dev/v1alpha1
kind: Workload
metadata: { namespace: shop, name: db, labels: { app: db } }
";

fn rule(action: &str, peer: &str, port: Option<u16>) -> String {
    let protocols = port.map_or_else(String::new, |port| {
        format!(", protocols: [ {{ tcp: {{ destinationPort: {{ number: {port} }} }} }} ]")
    });
    format!("{{ action: {action}, from: [ {peer} ]{protocols} }}")
}

const ALL: &str = "{ namespaces: {} }";
const WEB: &str = "{ pods: { podSelector: { matchLabels: { app: web } } } }";
const DB: &str = "{ pods: { podSelector: { matchLabels: { app: db } } } }";

#[test]
fn policies_of_one_priority_that_disagree() {
    let deny = |subject: &str| policy("a", "Admin", 5, subject, &rule("Deny", ALL, None));
    for (first, second, disagree) in [
        (deny(ALL), policy("b", "Admin", 5, ALL, &rule("Accept", ALL, None)), true),
        (deny(ALL), policy("b", "Admin", 5, ALL, &rule("Pass", WEB, Some(80))), true),
        (deny(ALL), policy("b", "Admin", 5, ALL, &rule("Deny", ALL, None)), false),
        (deny(ALL), policy("b", "Admin", 6, ALL, &rule("Accept", ALL, None)), false),
        (deny(ALL), policy("b", "Baseline", 5, ALL, &rule("Accept", ALL, None)), false),
        (deny(WEB), policy("b", "Admin", 5, DB, &rule("Accept", ALL, None)), false),
        (
            policy("a", "Admin", 5, ALL, &rule("Deny", WEB, None)),
            policy("b", "Admin", 5, ALL, &rule("Accept", DB, None)),
            false,
        ),
        (
            policy("a", "Admin", 5, ALL, &rule("Deny", ALL, Some(80))),
            policy("b", "Admin", 5, ALL, &rule("Accept", ALL, Some(81))),
            false,
        ),
    ] {
        let report = read(&format!("{first}{second}{WORKLOADS}"));
        let expected: &[&str] = if disagree { &["15:13 RF0090"] } else { &[] };
        assert_eq!(found(&report), expected, "{first}{second}\n{}", report.render(false));
        assert!(report.policies.is_some(), "warnings are no errors");
    }
}

#[test]
fn without_workloads_selectors_are_taken_to_meet() {
    let first = policy("a", "Admin", 5, WEB, &rule("Deny", ALL, None));
    let second = policy("b", "Admin", 5, DB, &rule("Accept", ALL, None));
    assert_eq!(found(&read(&format!("{first}{second}"))), ["15:13 RF0090"]);
}

#[test]
fn rules_that_an_earlier_one_leaves_nothing() {
    for (rules, shadowed) in [
        ([rule("Deny", ALL, None), rule("Accept", WEB, Some(80))], true),
        ([rule("Deny", ALL, None), rule("Deny", ALL, None)], true),
        ([rule("Pass", WEB, Some(80)), rule("Deny", WEB, Some(80))], true),
        ([rule("Accept", WEB, Some(80)), rule("Deny", ALL, None)], false),
        ([rule("Accept", WEB, None), rule("Deny", DB, None)], false),
        ([rule("Accept", WEB, Some(80)), rule("Deny", WEB, Some(81))], false),
    ] {
        let report = read(&policy("a", "Admin", 5, ALL, &rules.join(", ")));
        let codes: Vec<_> = report.diagnostics.iter().map(|found| found.code.as_str()).collect();
        assert_eq!(codes, if shadowed { &["RF0092"][..] } else { &[] }, "{rules:?}");
    }
}

#[test]
fn passing_on_from_the_last_tier() {
    let pass = rule("Pass", ALL, None);
    assert_eq!(found(&read(&policy("a", "Baseline", 5, ALL, &pass))), ["8:24 RF0091"]);
    assert_eq!(found(&read(&policy("a", "Admin", 5, ALL, &pass))), Vec::<String>::new());
}

#[test]
fn selectors_and_port_names_that_nobody_has() {
    let subject = "{ pods: { podSelector: { matchLabels: { app: bd } } } }";
    let named = |name: &str| {
        format!(
            "{{ action: Deny, from: [ {ALL} ], protocols: [ {{ destinationNamedPort: {name} }} ] }}"
        )
    };
    let policies = policy("a", "Admin", 5, subject, &named("http"))
        + &policy("b", "Admin", 6, ALL, &named("htpp"));
    let report = read(&format!("{policies}{WORKLOADS}"));
    assert_eq!(found(&report), ["7:35 RF0070", "17:97 RF0072"], "{}", report.render(false));
}
