//! Policy of the host itself: on its uplink and towards its own workloads.

use ringfence_dataplane::enforce::{HookChoice, Options};
use ringfence_testbed::require;

use crate::host::{Documents, Host};

/// Both directions of the host: web and the vendor may reach it, each on its own port, and it may
/// reach the vendor on 8080 and the API on 5432, which is essential traffic anyway.
const POLICIES: &str = r#"---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload,
 metadata: {namespace: shop, name: node, labels: {app: node}},
 spec: {host: true, addresses: [10.20.0.1, "fd20::1"]}}
---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload,
 metadata: {namespace: shop, name: web, labels: {app: web}},
 spec: {addresses: [10.20.0.11, "fd20::11"]}}
---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload,
 metadata: {namespace: shop, name: api, labels: {app: api}},
 spec: {addresses: [10.20.0.12, "fd20::12"]}}
---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload,
 metadata: {namespace: shop, name: db, labels: {app: db}},
 spec: {addresses: [10.20.0.13, "fd20::13"]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy,
 metadata: {namespace: shop, name: node},
 spec: {podSelector: {matchLabels: {app: node}}, policyTypes: [Ingress, Egress],
  ingress: [
   {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{protocol: TCP, port: 8080}]},
   {from: [{ipBlock: {cidr: 203.0.113.10/32}}, {ipBlock: {cidr: "2001:db8:ffff::10/128"}}],
    ports: [{protocol: TCP, port: 5432}, {protocol: UDP, port: 8080}]}],
  egress: [
   {to: [{ipBlock: {cidr: 203.0.113.10/32}}, {ipBlock: {cidr: "2001:db8:ffff::10/128"}}],
    ports: [{protocol: TCP, port: 8080}]},
   {to: [{podSelector: {matchLabels: {app: api}}}], ports: [{protocol: UDP, port: 5432}]}]}}
"#;

fn assert_enforced(hook: HookChoice) {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::new(POLICIES);
    host.apply_with(&documents, Options { hook, ..Options::default() });
    host.assert_verdicts(Some(&documents));
}

#[test]
fn the_hosts_policy_is_enforced_with_the_default_hooks() {
    assert_enforced(HookChoice::Auto);
}

#[test]
fn the_hosts_policy_is_enforced_with_tcx() {
    assert_enforced(HookChoice::Tcx);
}

#[test]
fn the_hosts_policy_is_enforced_with_xdp() {
    assert_enforced(HookChoice::Xdp);
}
