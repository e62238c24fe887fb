//! Our types and those of `k8s-openapi`, made from the API's own description, must say the same
//! about every document that is accepted.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1 as networking;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value as Json, json};

use super::{ClusterNetworkPolicy, Namespace, NetworkPolicy, Pod};
use crate::document::Options;
use crate::document::context::Context;
use crate::document::diagnostic::Findings;
use crate::document::source::{Input, Sources};
use crate::document::yaml::{self, Node};
use crate::model::NamedPort;

/// Reads every document of `text` with `read`; fails if there is an error.
fn read_all<T>(text: &str, read: impl Fn(&mut Context, &Node) -> Option<T>) -> Vec<T> {
    let input = Input::Text { name: "test".to_owned(), text: text.to_owned() };
    let mut findings = Findings::default();
    let sources = Sources::load(&[input], &mut findings);
    let options = Options::default();
    let mut context = Context { sources: &sources, options: &options, findings: &mut findings };
    let mut all = Vec::new();
    yaml::read(0, text, &mut yaml::Budget::default(), |document| match document {
        Ok(node) => all.extend(read(&mut context, &node)),
        Err(problem) => context.problem(problem),
    });
    let errors: Vec<String> = findings.kept.iter().map(ToString::to_string).collect();
    assert_eq!(findings.errors, 0, "{errors:#?}\n{text}");
    all
}

/// What ours makes of a NetworkPolicy, and what k8s-openapi makes of it, both as JSON again.
fn both(text: &str, document: &Json) -> (Json, Json) {
    let ours = read_all(text, NetworkPolicy::read);
    assert_eq!(ours.len(), 1, "{text}");
    let ours = serde_json::to_value(&ours[0]).expect("our types serialise");
    let theirs: networking::NetworkPolicy =
        serde_json::from_value(document.clone()).expect("what we accept, the API accepts");
    (ours, serde_json::to_value(theirs).expect("their types serialise"))
}

/// An object of these fields, each of which may be absent, and null if it is there.
fn object(fields: Vec<(&'static str, BoxedStrategy<Json>)>) -> BoxedStrategy<Json> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| {
            let value = prop_oneof![8 => value.prop_map(Some), 1 => Just(Some(Json::Null)), 3 => Just(None)];
            value.prop_map(move |value| value.map(|value| (name.to_owned(), value)))
        })
        .collect();
    fields.prop_map(|fields| Json::Object(fields.into_iter().flatten().collect())).boxed()
}

fn list(item: BoxedStrategy<Json>) -> BoxedStrategy<Json> {
    vec(item, 0..3).prop_map(Json::Array).boxed()
}

fn text(words: &'static [&'static str]) -> BoxedStrategy<Json> {
    select(words).prop_map(Json::from).boxed()
}

fn labels() -> BoxedStrategy<Json> {
    let key = select(&["app", "example.com/tier", "on", "80", "A_b.c"][..]);
    let value = select(&["", "web", "no", "1.0", "0x50", "a-b_c.D"][..]);
    btree_map(key, value, 0..3).prop_map(|labels| json!(labels)).boxed()
}

fn selector() -> BoxedStrategy<Json> {
    let compare = (select(&["In", "NotIn"][..]), vec(select(&["a", "", "no"][..]), 1..3)).prop_map(
        |(operator, values)| json!({"key": "app", "operator": operator, "values": values}),
    );
    let exist = (select(&["Exists", "DoesNotExist"][..]), option::of(Just(json!([])))).prop_map(
        |(operator, values)| match values {
            Some(values) => json!({"key": "x/y", "operator": operator, "values": values}),
            None => json!({"key": "x/y", "operator": operator}),
        },
    );
    let requirement = prop_oneof![compare, exist].boxed();
    object(vec![("matchLabels", labels()), ("matchExpressions", list(requirement))])
}

fn peer() -> BoxedStrategy<Json> {
    let block = prop_oneof![
        Just(json!({"cidr": "10.0.0.0/8"})),
        Just(json!({"cidr": "10.0.0.7/8", "except": []})),
        Just(json!({"cidr": "2001:DB8::/32", "except": ["2001:db8:0:1::/64"]})),
        Just(json!({"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "192.0.2.1/32"]})),
    ];
    prop_oneof![
        block.prop_map(|block| json!({"ipBlock": block})),
        selector().prop_map(|selector| json!({"podSelector": selector})),
        selector().prop_map(|selector| json!({"namespaceSelector": selector, "podSelector": null})),
        (selector(), selector())
            .prop_map(|(a, b)| json!({"namespaceSelector": a, "podSelector": b})),
    ]
    .boxed()
}

fn port() -> BoxedStrategy<Json> {
    let protocol = option::of(select(&["TCP", "UDP", "SCTP"][..]));
    let number = prop_oneof![
        Just(json!({})),
        (1..=65535_u16).prop_map(|port| json!({"port": port})),
        (1..=65535_u16, 0..=100_u16)
            .prop_map(|(port, more)| json!({"port": port, "endPort": port.saturating_add(more)})),
        select(&["http", "a-1", "x"][..]).prop_map(|name| json!({"port": name})),
    ];
    (protocol, number)
        .prop_map(|(protocol, mut port)| {
            if let Some(protocol) = protocol {
                port["protocol"] = protocol.into();
            }
            port
        })
        .boxed()
}

fn rule(peers: &'static str) -> BoxedStrategy<Json> {
    object(vec![(peers, list(peer())), ("ports", list(port()))])
}

fn metadata() -> BoxedStrategy<Json> {
    let owner =
        json!([{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u", "controller": true}]);
    let managed = json!([{"manager": "kubectl", "operation": "Update", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}}, "time": "2026-03-02T09:15:04Z"}]);
    let optional = object(vec![
        ("namespace", text(&["shop", "a-1"])),
        ("labels", labels()),
        ("annotations", Just(json!({"any key": "any\nvalue", "n": "5"})).boxed()),
        ("creationTimestamp", text(&["2026-03-02T09:15:04Z"])),
        ("generation", (0..9_i64).prop_map(Json::from).boxed()),
        ("managedFields", Just(managed).boxed()),
        ("ownerReferences", Just(owner).boxed()),
        ("resourceVersion", text(&["12", ""])),
        ("finalizers", Just(json!(["a/b"])).boxed()),
        ("uid", text(&["5a0b2f0e-6f0a-4a43-8d44-3c8f8d9be0b1"])),
    ]);
    (optional, select(&["web", "a.b", "0"][..]))
        .prop_map(|(mut metadata, name)| {
            metadata["name"] = name.into();
            metadata
        })
        .boxed()
}

fn network_policy() -> BoxedStrategy<Json> {
    let types =
        prop_oneof![Just(json!([])), Just(json!(["Egress"])), Just(json!(["Ingress", "Egress"])),];
    let spec = object(vec![
        ("podSelector", selector()),
        ("policyTypes", types.boxed()),
        ("ingress", list(rule("from"))),
        ("egress", list(rule("to"))),
    ]);
    (metadata(), option::of(spec))
        .prop_map(|(metadata, spec)| {
            let mut policy = json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata,
            });
            if let Some(spec) = spec {
                policy["spec"] = spec;
            }
            policy
        })
        .boxed()
}

/// A ClusterNetworkPolicy with nothing that could be left out, so that it is its own canonical
/// form: there are no types of the API to compare with.
fn cluster_network_policy() -> BoxedStrategy<Json> {
    fn workloads() -> BoxedStrategy<Json> {
        let pods = (option::of(without_nulls(selector())), without_nulls(selector())).prop_map(
            |(namespaces, pods)| match namespaces {
                Some(namespaces) => {
                    json!({"pods": {"namespaceSelector": namespaces, "podSelector": pods}})
                }
                None => json!({"pods": {"podSelector": pods}}),
            },
        );
        let namespaces = without_nulls(selector()).prop_map(|s| json!({"namespaces": s}));
        prop_oneof![namespaces, pods].boxed()
    }
    fn rule(peers: &'static str, peer: BoxedStrategy<Json>) -> BoxedStrategy<Json> {
        let port = prop_oneof![
            (1..=65535_u16).prop_map(|port| json!({"number": port})),
            (1..=65534_u16, 1..9_u16).prop_map(|(start, more)| {
                json!({"range": {"start": start, "end": start.saturating_add(more)}})
            }),
        ];
        let transport = (select(&["tcp", "udp", "sctp"][..]), port)
            .prop_map(|(protocol, port)| json!({protocol: {"destinationPort": port}}));
        let name = option::of(select(&["", "allow dns", "\u{1b}[31m"][..]));
        let action = select(&["Accept", "Deny", "Pass"][..]);
        (action, name, vec(peer, 1..3), option::of(vec(transport, 1..3)))
            .prop_map(move |(action, name, list, protocols)| {
                let mut rule = json!({"action": action, peers: list});
                if let Some(name) = name {
                    rule["name"] = name.into();
                }
                if let Some(protocols) = protocols {
                    rule["protocols"] = protocols.into();
                }
                rule
            })
            .boxed()
    }
    let networks = Just(json!({"networks": ["10.0.0.0/8", "fd00::/8"]}));
    let egress = prop_oneof![workloads(), networks].boxed();
    let tier = select(&["Admin", "Baseline"][..]);
    let ingress = option::of(vec(rule("from", workloads()), 0..3));
    let egress = option::of(vec(rule("to", egress), 0..3));
    (without_nulls(metadata()), tier, 0..=1000_u32, workloads(), ingress, egress)
        .prop_map(|(mut metadata, tier, priority, subject, ingress, egress)| {
            metadata.as_object_mut().expect("a mapping").remove("namespace");
            let mut spec = json!({"tier": tier, "priority": priority, "subject": subject});
            if let Some(rules) = ingress {
                spec["ingress"] = rules.into();
            }
            if let Some(rules) = egress {
                spec["egress"] = rules.into();
            }
            json!({"apiVersion": "policy.networking.k8s.io/v1alpha2",
                "kind": "ClusterNetworkPolicy", "metadata": metadata, "spec": spec})
        })
        .boxed()
}

/// The same objects without fields that are null, which mean the same.
fn without_nulls(objects: BoxedStrategy<Json>) -> BoxedStrategy<Json> {
    objects
        .prop_map(|mut object| {
            object.as_object_mut().expect("a mapping").retain(|_, value| !value.is_null());
            object
        })
        .boxed()
}

fn pod() -> BoxedStrategy<Json> {
    let ports = list(
        object(vec![("name", text(&["http", "dns", "m-1"]))])
            .prop_flat_map(|port| {
                (Just(port), 1..=65535_u16, option::of(select(&["TCP", "UDP"][..]))).prop_map(
                    |(mut port, number, protocol)| {
                        port["containerPort"] = number.into();
                        if let Some(protocol) = protocol {
                            port["protocol"] = protocol.into();
                        }
                        port
                    },
                )
            })
            .boxed(),
    );
    let container = (ports, option::of(Just("Always"))).prop_map(|(ports, restart)| {
        let mut container = json!({"name": "c", "image": "i", "ports": ports});
        if let Some(restart) = restart {
            container["restartPolicy"] = restart.into();
        }
        container
    });
    let container = container.boxed();
    let spec = (list(container.clone()), list(container), option::of(any::<bool>())).prop_map(
        |(containers, init, host)| {
            json!({"containers": containers, "initContainers": init, "hostNetwork": host})
        },
    );
    let status = object(vec![
        ("phase", text(&["Running", "Pending", "Succeeded", "Failed"])),
        ("podIP", text(&["10.0.0.1"])),
        ("podIPs", Just(json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}])).boxed()),
    ]);
    (metadata(), spec, status)
        .prop_map(|(metadata, spec, status)| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": spec, "status": status})
        })
        .boxed()
}

/// The named ports of a pod by the API's types; of ports with one name the first counts.
fn named_ports(spec: &core::PodSpec) -> Vec<NamedPort> {
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|init| init.restart_policy.as_deref() == Some("Always"));
    let mut named: Vec<NamedPort> = Vec::new();
    for port in spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten()) {
        let Some(name) = port.name.clone() else { continue };
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let (_, protocol) =
            super::PROTOCOLS.into_iter().find(|(word, _)| *word == protocol).expect("a protocol");
        let port = u16::try_from(port.container_port).expect("a port");
        if !named.iter().any(|other| other.name == name && other.protocol == protocol) {
            named.push(NamedPort { name, protocol, port });
        }
    }
    named
}

proptest! {
    #[test]
    fn network_policies_serialise_alike(document in network_policy()) {
        let json = serde_json::to_string(&document).expect("JSON is text");
        let (ours, theirs) = both(&json, &document);
        prop_assert_eq!(&ours, &theirs);
        let yaml = serde_saphyr::to_string(&document).expect("JSON is YAML");
        prop_assert_eq!(both(&yaml, &document), (ours, theirs));
    }

    #[test]
    fn cluster_network_policies_serialise_as_they_are_written(
        document in cluster_network_policy(),
    ) {
        let json = serde_json::to_string(&document).expect("JSON is text");
        let yaml = serde_saphyr::to_string(&document).expect("JSON is YAML");
        for text in [json, yaml] {
            let ours = read_all(&text, ClusterNetworkPolicy::read);
            prop_assert_eq!(ours.len(), 1, "{}", text);
            let ours = serde_json::to_value(&ours[0]).expect("our types serialise");
            prop_assert_eq!(&ours, &document);
        }
    }

    #[test]
    fn pods_say_the_same(document in pod()) {
        let text = serde_json::to_string(&document).expect("JSON is text");
        let theirs: core::Pod = serde_json::from_value(document).expect("it is a Pod");
        let (spec, status) = (theirs.spec.expect("a spec"), theirs.status.expect("a status"));
        let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let ips = match status.pod_ips {
            Some(ips) => ips.into_iter().map(|ip| ip.ip).collect(),
            None => Vec::from_iter(status.pod_ip),
        };
        let expected = (!ended && spec.host_network != Some(true)).then(|| {
            let addresses = ips.iter().map(|ip| ip.parse().expect("an address")).collect();
            let name = theirs.metadata.name.clone().expect("a name");
            let namespace = theirs.metadata.namespace.clone();
            crate::model::Workload {
                name: crate::model::WorkloadName::new(namespace.unwrap_or("default".into()), name),
                labels: theirs.metadata.labels.clone().unwrap_or_default(),
                addresses,
                ports: named_ports(&spec),
                interface: None,
                host: false,
            }
        });
        let ours = read_all(&text, |context, node| {
            Pod::read(context, node).map(|pod| pod.to_model(context).map(|(workload, _)| workload))
        });
        prop_assert_eq!(ours, [expected]);
    }

    #[test]
    fn namespaces_say_the_same(name in select(&["shop", "a-1"][..]), labels in labels()) {
        let document = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": labels}, "status": {"phase": "Active"}});
        let theirs: core::Namespace = serde_json::from_value(document.clone()).expect("a Namespace");
        let labels = theirs.metadata.labels.expect("labels");
        let expected = crate::model::Namespace::new(theirs.metadata.name.expect("a name"), labels);
        let ours = read_all(&document.to_string(), Namespace::read);
        prop_assert_eq!(ours.iter().map(Namespace::to_model).collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn policies_of_the_explanations_serialise_alike() {
    let mut compared = 0;
    for code in crate::document::Code::ALL {
        let (_, right) = code.explanation().split_once("## Right").expect("there is an example");
        let (_, block) = right.split_once("```").expect("there is a block");
        let Some(block) = block.strip_prefix("yaml\n") else { continue };
        let block = block.strip_suffix("```\n").expect("the block ends");
        for text in block.split("---\n").filter(|text| text.contains("kind: NetworkPolicy\n")) {
            let document: Map<String, Json> = serde_saphyr::from_str(text).expect("YAML is data");
            let (ours, theirs) = both(text, &Json::Object(document));
            assert_eq!(ours, theirs, "{code}");
            compared += 1;
        }
    }
    assert!(compared > 20, "only {compared} examples were compared");
}
