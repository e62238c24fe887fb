//! What documents mean in the model.

use ringfence_dataplane::document::{Report, Validation};
use ringfence_dataplane::model::{
    Action, IpBlock, NamespaceScope, Operator, Peer, Peers, Policy, PolicyName, PortMatch,
    PortRange, Ports, Protocol, Requirement, Rule, Selector, Tier,
};

use crate::{assert_clean, found, policy, read};

fn only(report: &Report) -> &Policy {
    assert_clean(report);
    let policies = &report.policies.as_ref().expect("there are no errors").policies;
    assert_eq!(policies.len(), 1);
    &policies[0]
}

fn label(key: &str, value: &str) -> Requirement {
    Requirement { key: key.to_owned(), operator: Operator::In([value.to_owned()].into()) }
}

/// A spec with every field of the API.
const EVERYTHING: &str = r#"  podSelector: { matchLabels: { app: web } }
  policyTypes: [ Ingress, Egress ]
  ingress:
    - from:
        - podSelector: { matchLabels: { app: front } }
        - namespaceSelector: { matchExpressions: [ { key: team, operator: Exists } ] }
        - namespaceSelector: {}
          podSelector:
            matchLabels: { app: probe }
            matchExpressions: [ { key: tier, operator: NotIn, values: [ a, b ] } ]
        - ipBlock: { cidr: 10.0.0.0/8, except: [ 10.2.0.0/16, 10.1.0.0/16 ] }
      ports:
        - port: 80
        - { port: 8000, endPort: 8080 }
        - { port: dns, protocol: UDP }
        - protocol: SCTP
    - {}
  egress:
    - to: []
      ports: []
"#;

#[test]
fn a_policy_with_everything() {
    let text = policy(EVERYTHING);
    let report = read(&text);
    let own = NamespaceScope::Named("shop".to_owned());
    let expected = Policy {
        name: PolicyName {
            kind: "networkpolicy".to_owned(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        },
        tier: Tier::Developer,
        priority: 0,
        subject_namespaces: own.clone(),
        subjects: Selector::new([label("app", "web")]),
        isolates_ingress: true,
        isolates_egress: true,
        ingress: everything_ingress(own),
        egress: vec![Rule {
            action: Action::Allow,
            peers: Peers::Everyone,
            ports: Ports::Everything,
            origin: Some("test.yaml:25".to_owned()),
        }],
    };
    assert_eq!(only(&report), &expected);
}

/// The model of the ingress rules of [`EVERYTHING`].
fn everything_ingress(own: NamespaceScope) -> Vec<Rule> {
    let values = ["a", "b"].map(str::to_owned).into();
    let tier = Requirement { key: "tier".to_owned(), operator: Operator::NotIn(values) };
    let team = Requirement { key: "team".to_owned(), operator: Operator::Exists };
    let net = |text: &str| text.parse().expect("a block");
    let block = IpBlock::new(net("10.0.0.0/8"), vec![net("10.1.0.0/16"), net("10.2.0.0/16")])
        .expect("the exceptions are within");
    vec![
        Rule {
            action: Action::Allow,
            peers: Peers::Any(vec![
                Peer::Workloads {
                    namespaces: own,
                    workloads: Selector::new([label("app", "front")]),
                },
                Peer::Workloads {
                    namespaces: NamespaceScope::Selected(Selector::new([team])),
                    workloads: Selector::everything(),
                },
                Peer::Workloads {
                    namespaces: NamespaceScope::Selected(Selector::everything()),
                    workloads: Selector::new([label("app", "probe"), tier]),
                },
                Peer::Block(block),
            ]),
            ports: Ports::Any(vec![
                PortMatch::Range(Protocol::Tcp, PortRange::single(80)),
                PortMatch::Range(
                    Protocol::Tcp,
                    PortRange::new(8000, 8080).expect("the range has an order"),
                ),
                PortMatch::Named(Protocol::Udp, "dns".to_owned()),
                PortMatch::Every(Protocol::Sctp),
            ]),
            origin: Some("test.yaml:10".to_owned()),
        },
        Rule {
            action: Action::Allow,
            peers: Peers::Everyone,
            ports: Ports::Everything,
            origin: Some("test.yaml:23".to_owned()),
        },
    ]
}

#[test]
fn policy_types_default_as_in_the_api() {
    for (spec, isolates) in [
        ("", (true, false)),
        ("  ingress: []\n", (true, false)),
        ("  egress: []\n", (true, false)),
        ("  egress: null\n", (true, false)),
        ("  egress: [ {} ]\n", (true, true)),
        ("  policyTypes: []\n  egress: [ {} ]\n", (true, true)),
        ("  policyTypes: null\n", (true, false)),
        ("  policyTypes: [ Ingress ]\n", (true, false)),
        ("  policyTypes: [ Egress ]\n", (false, true)),
        ("  policyTypes: [ Egress, Ingress ]\n", (true, true)),
        ("  policyTypes: [ Egress, Egress ]\n", (false, true)),
    ] {
        let report = read(&policy(&format!("  podSelector: {{}}\n{spec}")));
        let policy = only(&report);
        assert_eq!((policy.isolates_ingress, policy.isolates_egress), isolates, "{spec}");
    }
}

#[test]
fn absent_null_and_empty_peers_and_ports_mean_everything() {
    for rule in ["{}", "{ from: null }", "{ from: [] }", "{ from: ~, ports: ~ }", "{ ports: [] }"] {
        let report = read(&policy(&format!("  podSelector: {{}}\n  ingress: [ {rule} ]\n")));
        let rule_read = &only(&report).ingress[0];
        assert_eq!(
            (&rule_read.peers, &rule_read.ports),
            (&Peers::Everyone, &Ports::Everything),
            "{rule}"
        );
    }
}

#[test]
fn rules_of_a_direction_that_is_not_named_mean_nothing() {
    let report = read(&policy("  podSelector: {}\n  policyTypes: [ Egress ]\n  ingress: [ {} ]\n"));
    assert_eq!(found(&report), ["9:3 RF0050"]);
    let policy = &report.policies.as_ref().expect("a warning is no error").policies[0];
    assert_eq!((policy.isolates_ingress, policy.ingress.len()), (false, 0));
}

#[test]
fn digests_tell_meanings_apart_and_nothing_else() {
    let digest = |text: &str| {
        let report = crate::read_with(text, Validation::Ignore);
        let digests = report.digests();
        let digests: Vec<_> = digests.values().map(ToString::to_string).collect();
        assert_eq!(digests.len(), 1, "{text}\n{}", report.render(false));
        digests[0].clone()
    };
    let base =
        policy("  podSelector: { matchLabels: { a: b, c: d } }\n  ingress: [ { from: [] } ]\n");
    let same = [
        format!("# a comment\n\n{base}"),
        policy(
            "  ingress:\n  - {}\n  podSelector:\n    matchLabels: { \"c\": 'd' }\n    \
             matchExpressions: [ { key: a, operator: In, values: [ b, b ] } ]\n",
        ),
        base.replace("metadata:\n", "metadata:\n  resourceVersion: \"9\"\n  labels: { x: z }\n"),
    ];
    for text in &same {
        assert_eq!(digest(text), digest(&base), "{text}");
    }
    let others = [
        base.replace("name: web", "name: web2"),
        base.replace("namespace: shop", "namespace: shop2"),
        base.replace("a: b", "a: e"),
        base.replace("[ { from: [] } ]", "[]"),
        base.replace("[ { from: [] } ]", "[ {}, {} ]"),
        base.replace("from: []", "from: [ { podSelector: {} } ]"),
        base.replace("from: []", "from: [ { namespaceSelector: {} } ]"),
        base.replace("from: []", "from: [ { ipBlock: { cidr: 10.0.0.0/8 } } ]"),
        base.replace("from: []", "ports: [ { port: 80 } ]"),
        base.replace("from: []", "ports: [ { port: 80, endPort: 81 } ]"),
        base.replace("from: []", "ports: [ { port: 80, protocol: UDP } ]"),
        base.replace("  ingress:", "  policyTypes: [ Ingress, Egress ]\n  ingress:"),
    ];
    let mut digests: Vec<_> = others.iter().map(|text| digest(text)).collect();
    digests.push(digest(&base));
    let count = digests.len();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), count, "each of these policies means something else");
    assert_eq!(digest(&base), "e2c3c3943b6d75e6", "a digest that was kept must still compare");
}

#[test]
fn warnings_about_nobody_need_somebody() {
    let policy = policy(
        "  podSelector: { matchLabels: { app: bd } }\n  ingress:\n    - from:\n        \
         - podSelector: { matchLabels: { app: web } }\n        \
         - namespaceSelector: { matchLabels: { team: x } }\n      \
         ports: [ { port: sql }, { port: sql, protocol: UDP } ]\n",
    );
    assert_eq!(found(&read(&policy)), Vec::<String>::new(), "nobody is known");
    let workload = "---\napiVersion: ringfence.dev/v1alpha1\nkind: Workload\n\
                    metadata: { name: db, namespace: shop, labels: { app: db } }\n\
                    spec: { ports: [ { name: sql, port: 5432 } ] }\n";
    let report = read(&format!("{policy}{workload}"));
    let places = ["7:16 RF0070", "10:24 RF0071", "11:30 RF0071", "12:39 RF0072"];
    assert_eq!(found(&report), places, "\n{}", report.render(false));
    assert_eq!((report.errors(), report.warnings()), (0, 4));
}
