//! What users have is accepted as it is.

use std::collections::BTreeSet;

use ringfence_dataplane::document::{self, DocumentKind, Input, Validation};
use ringfence_dataplane::model::{NamedPort, Protocol, Workload, WorkloadName};

use crate::{assert_clean, found, read};

/// A pod as `kubectl get pods -o yaml` prints it, shortened only in its middle.
const KUBECTL_OUTPUT: &str = include_str!("fixtures/kubectl-get.yaml");

#[test]
fn what_kubectl_prints_is_read() {
    let report = read(KUBECTL_OUTPUT);
    assert_clean(&report);
    let set = report.policies.as_ref().expect("there are no errors");
    let workloads: Vec<&Workload> = set.inventory.workloads().collect();
    let web = Workload {
        name: WorkloadName::new("shop", "web-7d4b9c6f5-x2x9p"),
        labels: [("app", "web"), ("pod-template-hash", "7d4b9c6f5")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        addresses: vec![
            "10.244.1.7".parse().expect("an address"),
            "fd00:10:244:1::7".parse().expect("an address"),
        ],
        ports: vec![
            NamedPort { name: "http".to_owned(), protocol: Protocol::Tcp, port: 8080 },
            NamedPort { name: "mesh".to_owned(), protocol: Protocol::Tcp, port: 15090 },
        ],
        interface: None,
        host: false,
    };
    assert_eq!(workloads, [&web]);
    let namespace = set.inventory.namespace("shop").expect("the namespace is described");
    let labels: Vec<_> = namespace.labels().iter().collect();
    assert_eq!(
        labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(),
        ["kubernetes.io/metadata.name=shop", "team=web"]
    );
    let policies: Vec<_> = set.policies.iter().map(|policy| policy.name.to_string()).collect();
    assert_eq!(policies, ["networkpolicy/shop/web"]);
}

#[test]
fn pods_without_an_address_of_their_own() {
    let pod = |name: &str, rest: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{ name: {name} }}\n{rest}\n---\n")
    };
    let text = [
        pod("pending", "status: { phase: Pending }"),
        pod("done", "status: { phase: Succeeded, podIP: 10.0.0.1 }"),
        pod("failed", "status: { phase: Failed, podIPs: [ { ip: 10.0.0.1 } ] }"),
        pod("host", "spec: { hostNetwork: true }\nstatus: { podIP: 192.0.2.1 }"),
        pod("old", "status: { phase: Running, podIP: 10.0.0.1 }"),
        pod("bare", ""),
    ]
    .concat();
    let report = read(&text);
    assert_eq!(found(&report), ["19:22 RF0062"]);
    let set = report.policies.expect("a warning is no error");
    let workloads: Vec<_> = set
        .inventory
        .workloads()
        .map(|workload| (workload.name.to_string(), workload.addresses.len()))
        .collect();
    let expected = [("default/bare", 0), ("default/old", 1), ("default/pending", 0)];
    assert_eq!(workloads, expected.map(|(name, count)| (name.to_owned(), count)));
}

#[test]
fn lists_of_every_kind() {
    let list = |version: &str, kind: &str, items: &str| {
        format!(
            "apiVersion: {version}\nkind: {kind}\n\
             metadata: {{ resourceVersion: \"7\", remainingItemCount: 3 }}\nitems: {items}\n---\n"
        )
    };
    let text = [
        list("v1", "PodList", "[ { metadata: { name: a } }, { metadata: { name: b } } ]"),
        list("v1", "NamespaceList", "[ { metadata: { name: shop } } ]"),
        list(
            "networking.k8s.io/v1",
            "NetworkPolicyList",
            "[ { metadata: { name: p }, spec: { podSelector: {} } } ]",
        ),
        list("ringfence.dev/v1alpha1", "WorkloadList", "[ { metadata: { name: w } } ]"),
        list("v1", "List", "[ { apiVersion: v1, kind: Namespace, metadata: { name: nested } } ]"),
        list("v1", "List", "null"),
    ]
    .concat();
    let report = read(&text);
    assert_clean(&report);
    let documents: Vec<_> =
        report.documents.iter().map(|document| (document.kind, document.name.as_str())).collect();
    assert_eq!(
        documents,
        [
            (DocumentKind::Pod, "a"),
            (DocumentKind::Pod, "b"),
            (DocumentKind::Namespace, "shop"),
            (DocumentKind::NetworkPolicy, "p"),
            (DocumentKind::Workload, "w"),
            (DocumentKind::Namespace, "nested"),
        ]
    );
    let anonymous = read(&list("v1", "List", "[ { metadata: { name: a } } ]"));
    assert_eq!(found(&anonymous), ["4:10 RF0022", "4:10 RF0022"], "a List does not say the kind");
}

#[test]
fn json_alone_strung_together_and_beside_yaml() {
    let namespace = |name: &str| {
        format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{name}"}}}}"#)
    };
    let strung = format!("{}\n{}{}", namespace("a"), namespace("b"), namespace("c"));
    let separated = format!(
        "{}\n---\n{}\n---\nkind: Namespace\napiVersion: v1\nmetadata: {{ name: c }}\n",
        namespace("a"),
        namespace("b")
    );
    for text in [strung, separated] {
        let report = read(&text);
        assert_clean(&report);
        let names: Vec<_> =
            report.documents.iter().map(|document| document.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"], "{text}");
    }
    let third = format!("{}\n{}\n{}", namespace("a"), namespace("b"), namespace("C"));
    assert_eq!(found(&read(&third)), ["3:58 RF0026"]);
}

#[test]
fn yaml_that_people_write() {
    let text = r#"
%YAML 1.1
---
apiVersion: "networking.k8s.io/v1"   # quoted
kind: !!str NetworkPolicy
metadata:
  name: >-
    web
  namespace: &namespace 'shop'
  labels: &labels {app: web, 80: "yes", "on": 'off', empty: "", date: 2026-11-22}
spec:
  podSelector:
    matchLabels:
      <<: *labels
      tier: front
  ingress: []
  egress: ~
---
# nothing here
---
...
"#;
    let report = read(text);
    assert_clean(&report);
    let policy = &report.policies.as_ref().expect("there are no errors").policies[0];
    assert_eq!(policy.name.to_string(), "networkpolicy/shop/web");
    assert_eq!(
        policy.subjects.to_string(),
        "80=yes,app=web,date=2026-11-22,empty=,on=off,tier=front"
    );
    assert_eq!((policy.isolates_ingress, policy.isolates_egress), (true, false));
}

#[test]
fn directories_are_read_in_lexical_order_and_not_deeper() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let namespace =
        |name: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {name} }}\n");
    std::fs::create_dir(directory.path().join("deeper.yaml")).expect("a directory");
    for (file, name) in [("b.yaml", "second"), ("a.yml", "first"), ("c.json.bak", "never")] {
        std::fs::write(directory.path().join(file), namespace(name)).expect("a file");
    }
    std::fs::write(directory.path().join("deeper.yaml/d.yaml"), namespace("never"))
        .expect("a file");
    let inputs = [
        Input::Text { name: "first of all".to_owned(), text: namespace("zero") },
        Input::File(directory.path().to_owned()),
    ];
    let report = document::read(&inputs, Validation::Strict);
    assert_clean(&report);
    let names: Vec<_> = report.documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!(names, ["zero", "first", "second"]);
}

#[test]
fn the_default_namespace_can_be_chosen() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: p }\n\
                spec: { podSelector: {} }\n---\napiVersion: ringfence.dev/v1alpha1\n\
                kind: Workload\nmetadata: { name: w }\n";
    for (options, namespace) in [
        (document::Options::default(), "default"),
        (document::Options { default_namespace: "shop".to_owned(), ..Default::default() }, "shop"),
    ] {
        let report = crate::read_with(text, options);
        assert_clean(&report);
        let namespaces: BTreeSet<_> =
            report.documents.iter().map(|document| document.namespace.as_str()).collect();
        assert_eq!(namespaces, [namespace].into());
    }
}
