//! ClusterNetworkPolicy: what is accepted and means what, what is refused or warned about.

use ringfence_dataplane::document::{DocumentKind, Report, Validation};
use ringfence_dataplane::model::{
    Action, HOST_LABEL, IpBlock, NamespaceScope, Operator, Peer, Peers, Policy, PolicyName,
    PortMatch, PortRange, Ports, Protocol, Requirement, Rule, Selector, Tier,
};

use crate::{assert_clean, found, read, read_with};

/// The policy `guard` with this rest of a spec, which is indented by two already and begins on
/// line 8.
fn cluster_policy(rest: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n\
         metadata:\n  name: guard\nspec:\n  tier: Admin\n  priority: 10\n{rest}"
    )
}

const SUBJECT: &str = "  subject: { namespaces: {} }\n";

fn only(report: &Report) -> &Policy {
    assert_clean(report);
    let policies = &report.policies.as_ref().expect("there are no errors").policies;
    assert_eq!(policies.len(), 1);
    &policies[0]
}

fn label(key: &str, value: &str) -> Requirement {
    Requirement { key: key.to_owned(), operator: Operator::In([value.to_owned()].into()) }
}

fn not_the_host() -> Requirement {
    Requirement { key: HOST_LABEL.to_owned(), operator: Operator::DoesNotExist }
}

fn range(protocol: Protocol, first: u16, last: u16) -> PortMatch {
    PortMatch::Range(protocol, PortRange::new(first, last).expect("the range has an order"))
}

/// Everything of the API that can be enforced.
const EVERYTHING: &str = r#"  subject:
    pods:
      namespaceSelector: { matchLabels: { team: web } }
      podSelector: { matchExpressions: [ { key: app, operator: Exists } ] }
  ingress:
    - name: "from ops\u001b[31m"
      action: Accept
      from:
        - namespaces: { matchLabels: { team: ops } }
        - pods: { podSelector: { matchLabels: { app: probe } } }
      protocols:
        - tcp: { destinationPort: { number: 80 } }
        - udp: { destinationPort: { range: { start: 8000, end: 8080 } } }
        - sctp: { destinationPort: { number: 65535 } }
        - destinationNamedPort: metrics
    - action: Pass
      from: [ { namespaces: {} } ]
  egress:
    - name: ""
      action: Deny
      to: [ { networks: [ 10.0.0.0/8, "fd00::/8" ] }, { namespaces: {} } ]
"#;

#[test]
fn a_policy_with_everything() {
    let report = read(&cluster_policy(EVERYTHING));
    let workloads = |namespaces: Selector, requirements: Vec<Requirement>| Peer::Workloads {
        namespaces: NamespaceScope::Selected(namespaces),
        workloads: Selector::new(requirements.into_iter().chain([not_the_host()])),
    };
    let block = |text: &str| {
        Peer::Block(IpBlock::new(text.parse().expect("a block"), vec![]).expect("no exceptions"))
    };
    let named = |protocol| PortMatch::Named(protocol, "metrics".to_owned());
    let app = Requirement { key: "app".to_owned(), operator: Operator::Exists };
    let expected = Policy {
        name: PolicyName {
            kind: "clusternetworkpolicy".to_owned(),
            namespace: String::new(),
            name: "guard".to_owned(),
        },
        tier: Tier::Admin,
        priority: 10,
        subject_namespaces: NamespaceScope::Selected(Selector::new([label("team", "web")])),
        subjects: Selector::new([app, not_the_host()]),
        isolates_ingress: false,
        isolates_egress: false,
        ingress: vec![
            Rule {
                action: Action::Allow,
                peers: Peers::Any(vec![
                    workloads(Selector::new([label("team", "ops")]), vec![]),
                    workloads(Selector::everything(), vec![label("app", "probe")]),
                ]),
                ports: Ports::Any(vec![
                    range(Protocol::Tcp, 80, 80),
                    range(Protocol::Udp, 8_000, 8_080),
                    range(Protocol::Sctp, 65_535, 65_535),
                    named(Protocol::Tcp),
                    named(Protocol::Udp),
                    named(Protocol::Sctp),
                ]),
                origin: Some("test.yaml:13 \"from ops\\u{1b}[31m\"".to_owned()),
            },
            Rule {
                action: Action::Pass,
                peers: Peers::Any(vec![workloads(Selector::everything(), vec![])]),
                ports: Ports::Everything,
                origin: Some("test.yaml:23".to_owned()),
            },
        ],
        egress: vec![Rule {
            action: Action::Deny,
            peers: Peers::Any(vec![
                block("10.0.0.0/8"),
                block("fd00::/8"),
                workloads(Selector::everything(), vec![]),
            ]),
            ports: Ports::Everything,
            origin: Some("test.yaml:26".to_owned()),
        }],
    };
    assert_eq!(only(&report), &expected);
    assert_eq!(expected.name.to_string(), "clusternetworkpolicy/guard");
    let document = &report.documents[0];
    let described = (document.kind, document.namespace.as_str(), document.name.as_str());
    assert_eq!(described, (DocumentKind::ClusterNetworkPolicy, "", "guard"));
    assert!(report.digests().contains_key(&expected.name), "apply tells changes by digests");
    assert!(report.summary().starts_with("1 policy, "), "{}", report.summary());
}

#[test]
fn what_kubectl_prints_is_read() {
    let item = "metadata: { name: a, uid: x, creationTimestamp: \"2026-03-02T09:15:04Z\", \
                generation: 2, resourceVersion: \"7\" }, spec: { tier: Baseline, priority: 0, \
                subject: { namespaces: {} }, ingress: [ { action: Deny, \
                from: [ { namespaces: {} } ] } ] }, status: { conditions: [ { type: Ready } ] }";
    let report = read(&format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicyList\n\
         metadata: {{}}\nitems: [ {{ {item} }} ]\n"
    ));
    let policy = only(&report);
    assert_eq!((policy.tier, policy.priority), (Tier::Baseline, 0));
}

#[test]
fn the_host_is_neither_subject_nor_peer() {
    let host = "---\napiVersion: ringfence.dev/v1alpha1\nkind: Workload\n\
                metadata: { namespace: shop, name: node }\nspec: { host: true }\n\
                ---\napiVersion: ringfence.dev/v1alpha1\nkind: Workload\n\
                metadata: { namespace: shop, name: web }\n";
    let rules = "  ingress: [ { action: Deny, from: [ { namespaces: {} } ] } ]\n";
    let report = read(&format!("{}{host}", cluster_policy(&format!("{SUBJECT}{rules}"))));
    let policy = only(&report);
    let inventory = &report.policies.as_ref().expect("no errors").inventory;
    let selected: Vec<String> = inventory
        .workloads()
        .filter(|workload| policy.subjects.matches(&workload.labels))
        .map(|workload| workload.name.to_string())
        .collect();
    assert_eq!(selected, ["shop/web"]);
}

/// Reads the policy with this ingress (on line 9) and expects these findings.
#[track_caller]
fn assert_rules(rules: &str, expected: &[&str]) {
    let report = read(&cluster_policy(&format!("{SUBJECT}{rules}\n")));
    assert_eq!(found(&report), expected, "{rules}\n{}", report.render(false));
}

#[test]
fn rules() {
    for (rule, expected) in [
        ("{ from: [ { namespaces: {} } ] }", &["9:14 RF0022"][..]),
        ("{ action: allow, from: [ { namespaces: {} } ] }", &["9:24 RF0027"]),
        ("{ action: Allow, from: [ { namespaces: {} } ] }", &["9:24 RF0027"]),
        ("{ action: deny, from: [ { namespaces: {} } ] }", &["9:24 RF0027"]),
        ("{ action: Log, from: [ { namespaces: {} } ] }", &["9:24 RF0027"]),
        ("{ action: Deny }", &["9:14 RF0022"]),
        ("{ action: Deny, from: null }", &["9:14 RF0022"]),
        ("{ action: Deny, from: [] }", &["9:36 RF0081"]),
        ("{ action: Deny, from: { namespaces: {} } }", &["9:36 RF0023"]),
        ("{ action: Deny, form: [ { namespaces: {} } ] }", &["9:30 RF0021"]),
        ("{ action: Deny, to: [ { namespaces: {} } ] }", &["9:30 RF0021", "9:14 RF0022"]),
        ("{ action: Deny, ports: [], from: [ { namespaces: {} } ] }", &["9:30 RF0021"]),
        ("{ name: 5, action: Deny, from: [ { namespaces: {} } ] }", &["9:22 RF0024"]),
        ("{ action: Deny, from: [ {} ] }", &["9:38 RF0080"]),
        ("{ action: Deny, from: [ null ] }", &["9:38 RF0023"]),
        ("{ action: Deny, from: [ { namespaces: null } ] }", &["9:38 RF0080"]),
        ("{ action: Deny, from: [ { namespace: {} } ] }", &["9:40 RF0021"]),
        ("{ action: Deny, from: [ { networks: [ 10.0.0.0/8 ] } ] }", &["9:40 RF0021"]),
        ("{ action: Deny, from: [ { podSelector: {} } ] }", &["9:40 RF0021"]),
        (
            "{ action: Deny, from: [ { pods: { podSelector: {} }, namespaces: {} } ] }",
            &["9:67 RF0080"],
        ),
        ("{ action: Deny, from: [ { pods: {} } ] }", &["9:46 RF0022"]),
        ("{ action: Deny, from: [ { pods: { namespaceSelector: {} } } ] }", &["9:46 RF0022"]),
        ("{ action: Deny, from: [ { namespaces: { team: ops } } ] }", &["9:54 RF0021"]),
    ] {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        let report = read(&cluster_policy(&format!("{SUBJECT}  ingress: [ {rule} ]\n")));
        let mut found = found(&report);
        found.sort_unstable();
        assert_eq!(found, expected, "{rule}\n{}", report.render(false));
    }
    let long = |length| {
        format!(
            "  ingress: [ {{ name: {}, action: Deny, from: [ {{ namespaces: {{}} }} ] }} ]",
            "ü".repeat(length)
        )
    };
    assert_rules(&long(100), &[]);
    assert_rules(&long(101), &["9:22 RF0027"]);
}

#[test]
fn protocols() {
    for (protocol, expected) in [
        ("{}", &["9:73 RF0080"][..]),
        ("{ tcp: {} }", &["9:80 RF0080"]),
        ("{ tcp: null }", &["9:73 RF0080"]),
        ("{ TCP: {} }", &["9:75 RF0021"]),
        ("{ icmp: {} }", &["9:75 RF0021"]),
        ("{ tcp: 80 }", &["9:80 RF0023"]),
        ("{ tcp: { port: 80 } }", &["9:82 RF0021"]),
        ("{ tcp: { destinationPort: 80 } }", &["9:99 RF0023"]),
        ("{ tcp: { destinationPort: {} } }", &["9:99 RF0080"]),
        ("{ tcp: { destinationPort: { number: 0 } } }", &["9:109 RF0045"]),
        ("{ tcp: { destinationPort: { number: 65536 } } }", &["9:109 RF0045"]),
        ("{ tcp: { destinationPort: { number: '80' } } }", &["9:109 RF0023"]),
        ("{ tcp: { destinationPort: { number: http } } }", &["9:109 RF0023"]),
        ("{ tcp: { destinationPort: { range: { start: 1 } } } }", &["9:108 RF0022"]),
        ("{ tcp: { destinationPort: { range: { start: 9, end: 9 } } } }", &["9:125 RF0086"]),
        ("{ tcp: { destinationPort: { range: { start: 9, end: 8 } } } }", &["9:125 RF0086"]),
        ("{ tcp: { destinationPort: { range: { start: 0, end: 8 } } } }", &["9:117 RF0045"]),
        (
            "{ tcp: { destinationPort: { number: 9, range: { start: 1, end: 8 } } } }",
            &["9:112 RF0080"],
        ),
        ("{ tcp: { destinationPort: { number: 9 } }, destinationNamedPort: a }", &["9:116 RF0080"]),
        ("{ destinationNamedPort: '' }", &["9:97 RF0047"]),
        ("{ destinationNamedPort: HTTP }", &["9:97 RF0047"]),
        ("{ destinationNamedPort: 80 }", &["9:97 RF0024"]),
    ] {
        let from = "from: [ { namespaces: {} } ]";
        let rules = format!("  ingress: [ {{ action: Deny, {from}, protocols: [ {protocol} ] }} ]");
        assert_rules(&rules, expected);
    }
    assert_rules(
        "  ingress: [ { action: Deny, from: [ { namespaces: {} } ], protocols: [] } ]",
        &["9:71 RF0081"],
    );
}

#[test]
fn egress_peers() {
    for (peer, expected) in [
        ("{ networks: [] }", &["9:47 RF0081"][..]),
        ("{ networks: 10.0.0.0/8 }", &["9:47 RF0023"]),
        ("{ networks: [ 10.0.0.0 ] }", &["9:49 RF0042"]),
        ("{ networks: [ 10.0.0.1/8 ] }", &["9:49 RF0044"]),
        ("{ networks: [ \"::ffff:10.0.0.0/104\" ] }", &["9:49 RF0042"]),
        ("{ networks: [ 10.0.0.0/8, 10.0.0.0/8 ] }", &["9:61 RF0027"]),
        ("{ nodes: {} }", &["9:37 RF0082"]),
        ("{ nodes: { matchLabels: { a: b } } }", &["9:37 RF0082"]),
        ("{ domainNames: [ example.com ] }", &["9:37 RF0083"]),
        ("{ domainNames: [] }", &["9:37 RF0083"]),
        ("{ networks: [ 10.0.0.0/8 ], namespaces: {} }", &["9:63 RF0080"]),
        ("{ ipBlock: {} }", &["9:37 RF0021"]),
    ] {
        assert_rules(&format!("  egress: [ {{ action: Deny, to: [ {peer} ] }} ]"), expected);
    }
    assert_rules(
        "  egress:\n  - action: Accept\n    to: [ { namespaces: {} }, { networks: [ 10.0.0.0/8 ] } ]\n    \
         protocols: [ { destinationNamedPort: http } ]",
        &["12:42 RF0084"],
    );
}

#[test]
fn what_cannot_be_enforced_is_refused_whatever_the_validation() {
    let text = cluster_policy(&format!(
        "{SUBJECT}  egress: [ {{ action: Deny, to: [ {{ nodes: {{}} }}, {{ domainNames: [ a.b ] }} ] }} ]\n"
    ));
    let older = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\n";
    // A peer of a field that a later version of the API may bring names nobody.
    let newer = cluster_policy(&format!(
        "{SUBJECT}  egress: [ {{ action: Deny, to: [ {{ services: {{}} }} ] }} ]\n"
    ));
    for validation in [Validation::Strict, Validation::Warn, Validation::Ignore] {
        let report = read_with(&text, validation);
        assert_eq!(found(&report), ["9:37 RF0082", "9:52 RF0083"], "{validation:?}");
        assert_eq!(found(&read_with(older, validation)), ["2:7 RF0088"], "{validation:?}");
        assert!(read_with(&newer, validation).has_errors(), "{validation:?}");
    }
}

#[test]
fn counts() {
    let rules = |count: usize| {
        let rules: Vec<String> = (1..=count)
            .map(|port| {
                format!(
                    "{{ action: Deny, from: [ {{ namespaces: {{}} }} ], \
                     protocols: [ {{ tcp: {{ destinationPort: {{ number: {port} }} }} }} ] }}"
                )
            })
            .collect();
        read(&cluster_policy(&format!("{SUBJECT}  ingress: [ {} ]\n", rules.join(", "))))
    };
    assert_clean(&rules(25));
    let codes: Vec<_> = rules(26).diagnostics.iter().map(|found| found.code.as_str()).collect();
    assert_eq!(codes, ["RF0085"]);
    let egress = |networks: usize, peers: usize| {
        let networks: Vec<String> = (0..networks).map(|i| format!("10.{i}.0.0/16")).collect();
        let peer = format!("{{ networks: [ {} ] }}", networks.join(", "));
        let peers = vec![peer; peers].join(", ");
        let rule = format!("{{ action: Deny, to: [ {peers} ] }}");
        found(&read(&cluster_policy(&format!("{SUBJECT}  egress: [ {rule} ]\n")))).len()
    };
    assert_eq!([egress(25, 25), egress(26, 1), egress(1, 26)], [0, 1, 1]);
}

#[test]
fn spec_and_metadata() {
    let version = "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n";
    let rules =
        "subject: { namespaces: {} }, ingress: [ { action: Deny, from: [ { namespaces: {} } ] } ]";
    let spec = |head: &str| format!("metadata: {{ name: a }}\nspec: {{ {head}, {rules} }}\n");
    for (rest, expected) in [
        (spec("tier: Admin, priority: 0"), &[][..]),
        (spec("tier: Admin, priority: 1000"), &[]),
        (spec("tier: Admin, priority: 1001"), &["4:32 RF0027"]),
        (spec("tier: Admin, priority: -1"), &["4:32 RF0027"]),
        (spec("tier: Admin, priority: '5'"), &["4:32 RF0023"]),
        (spec("tier: Admin"), &["4:7 RF0022"]),
        (spec("priority: 5"), &["4:7 RF0022"]),
        (spec("tier: admin, priority: 5"), &["4:15 RF0027"]),
        (spec("tier: NetworkPolicy, priority: 5"), &["4:15 RF0027"]),
        (spec("tier: Admin, priority: 5, policyTypes: []"), &["4:35 RF0021"]),
        ("metadata: { name: a }\n".to_owned(), &["1:1 RF0022"]),
        (
            "metadata: { name: a }\nspec: { tier: Admin, priority: 5 }\n".to_owned(),
            &["4:7 RF0022", "4:7 RF0093"],
        ),
        (
            "metadata: { name: a }\nspec: { tier: Admin, priority: 5, subject: {} }\n".to_owned(),
            &["4:44 RF0080", "4:7 RF0093"],
        ),
        (
            spec("tier: Admin, priority: 5").replace("name: a", "name: a, namespace: shop"),
            &["3:33 RF0087"],
        ),
        (spec("tier: Admin, priority: 5").replace("name: a", "name: A"), &["3:19 RF0026"]),
        (
            "metadata: { name: a }\nspec: { tier: Admin, priority: 5, subject: { namespaces: {} } }\n"
                .to_owned(),
            &["4:7 RF0093"],
        ),
    ] {
        let report = read(&format!("{version}{rest}"));
        let mut found = found(&report);
        found.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{rest}\n{}", report.render(false));
    }
}

#[test]
fn versions_and_kinds() {
    for (version, kind, expected, help) in [
        ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", "2:7 RF0088", "tier: Admin"),
        (
            "policy.networking.k8s.io/v1alpha1",
            "BaselineAdminNetworkPolicyList",
            "2:7 RF0088",
            "tier: Baseline",
        ),
        (
            "policy.networking.k8s.io/v1alpha1",
            "ClusterNetworkPolicy",
            "1:13 RF0020",
            "policy.networking.k8s.io/v1alpha2",
        ),
    ] {
        let report = read(&format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{}}\n"));
        assert_eq!(found(&report), [expected], "{kind}");
        let given = report.diagnostics[0].help.clone().expect("there is a way out");
        assert!(given.contains(help), "{given}");
    }
}

#[test]
fn a_name_is_free_for_each_kind_and_taken_once() {
    let guard = cluster_policy(&format!(
        "{SUBJECT}  ingress: [ {{ action: Deny, from: [ {{ namespaces: {{}} }} ] }} ]\n"
    ));
    let network = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                   metadata: { name: guard }\nspec: { podSelector: {} }\n";
    assert_clean(&read(&format!("{guard}{network}")));
    let report = read(&format!("{guard}---\n{guard}"));
    assert_eq!(found(&report), ["14:9 RF0028"], "{}", report.render(false));
}
