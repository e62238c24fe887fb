//! What is refused or warned about, at which line and column.

use crate::{found, policy, read};

/// Reads a policy with these ingress rules (indented by four; the first is on line 9).
fn rules(rules: &str) -> Vec<String> {
    let report = read(&policy(&format!("  podSelector: {{}}\n  ingress:\n{rules}")));
    found(&report)
}

#[test]
fn peers() {
    for (peers, expected) in [
        ("[ {} ]", &["9:15 RF0040"][..]),
        ("[ { podSelector: null } ]", &["9:15 RF0040"]),
        ("[ { podSelector: {}, ipBlock: { cidr: 10.0.0.0/8 } } ]", &["9:34 RF0041"]),
        ("[ { namespaceSelector: {}, ipBlock: { cidr: 10.0.0.0/8 } } ]", &["9:40 RF0041"]),
        ("{ podSelector: {} }", &["9:13 RF0023"]),
        ("{}", &["9:13 RF0023"]),
        ("[ null ]", &["9:15 RF0023"]),
        ("[ podSelector ]", &["9:15 RF0023"]),
        ("[ { podselector: {} } ]", &["9:17 RF0021"]),
        ("[ { ipBlock: {} } ]", &["9:26 RF0022"]),
        ("[ { ipBlock: { cidr: 10.0.0.0 } } ]", &["9:34 RF0042"]),
        ("[ { ipBlock: { cidr: 10.0.0.0/33 } } ]", &["9:34 RF0042"]),
        ("[ { ipBlock: { cidr: 010.0.0.0/8 } } ]", &["9:34 RF0042"]),
        ("[ { ipBlock: { cidr: 10.0.0.0/08 } } ]", &["9:34 RF0042"]),
        ("[ { ipBlock: { cidr: 10.0.0.0/+8 } } ]", &["9:34 RF0042"]),
        ("[ { ipBlock: { cidr: 10.0.0.0/ } } ]", &["9:34 RF0042"]),
        ("[ { ipBlock: { cidr: \"fe80::%eth0/64\" } } ]", &["9:34 RF0042"]),
        ("[ { ipBlock: { cidr: \"::ffff:10.0.0.0/104\" } } ]", &["9:34 RF0042"]),
        ("[ { ipBlock: { cidr: 10.0.0.1/8 } } ]", &["9:34 RF0044"]),
        ("[ { ipBlock: { cidr: 10.0.0.0/8, except: [ 10.0.0.0/8 ] } } ]", &["9:56 RF0043"]),
        ("[ { ipBlock: { cidr: 10.0.0.0/8, except: [ \"2001:db8::/32\" ] } } ]", &["9:56 RF0043"]),
        ("[ { ipBlock: { cidr: 10.0.0.0/8, except: [ 0.0.0.0/0 ] } } ]", &["9:56 RF0043"]),
        ("[ { ipBlock: { cidr: 10.0.0.0/8, except: 10.1.0.0/16 } } ]", &["9:54 RF0023"]),
    ] {
        assert_eq!(rules(&format!("    - from: {peers}\n")), expected, "{peers}");
    }
}

#[test]
fn ports() {
    for (port, expected) in [
        ("{ port: 0 }", &["9:24 RF0045"][..]),
        ("{ port: 65536 }", &["9:24 RF0045"]),
        ("{ port: -1 }", &["9:24 RF0045"]),
        ("{ port: 80.5 }", &["9:24 RF0023"]),
        ("{ port: '80' }", &["9:24 RF0046"]),
        ("{ port: 0x50 }", &["9:24 RF0025"]),
        ("{ port: 0755 }", &["9:24 RF0025"]),
        ("{ port: no }", &["9:24 RF0023"]),
        ("{ port: [ 80 ] }", &["9:24 RF0023"]),
        ("{ port: HTTP }", &["9:24 RF0047"]),
        ("{ port: a-name-with-too-many-letters }", &["9:24 RF0047"]),
        ("{ port: a--b }", &["9:24 RF0047"]),
        ("{ port: '' }", &["9:24 RF0047"]),
        ("{ endPort: 90 }", &["9:18 RF0048"]),
        ("{ port: http, endPort: 90 }", &["9:30 RF0048"]),
        ("{ port: 90, endPort: 89 }", &["9:37 RF0049"]),
        ("{ port: 90, endPort: '91' }", &["9:37 RF0023"]),
        ("{ port: 90, endPort: 65536 }", &["9:37 RF0045"]),
        ("{ port: 80, protocol: tcp }", &["9:38 RF0027"]),
        ("{ port: 80, protocol: ICMP }", &["9:38 RF0027"]),
        ("{ port: 80, prot: TCP }", &["9:28 RF0021"]),
        ("80", &["9:16 RF0023"]),
    ] {
        assert_eq!(rules(&format!("    - ports: [ {port} ]\n")), expected, "{port}");
    }
}

#[test]
fn selectors() {
    for (selector, expected) in [
        ("{ matchLabel: { app: web } }", &["7:18 RF0021"][..]),
        ("{ app: web }", &["7:18 RF0021"]),
        ("{ matchLabels: [ app ] }", &["7:31 RF0023"]),
        ("{ matchLabels: { app: 1 } }", &["7:38 RF0024"]),
        ("{ matchLabels: { app: no } }", &["7:38 RF0024"]),
        ("{ matchLabels: { app: null } }", &["7:38 RF0024"]),
        ("{ matchLabels: { on: web } }", &["7:33 RF0024"]),
        ("{ matchLabels: { -app: web } }", &["7:33 RF0030"]),
        ("{ matchLabels: { a/b/c: web } }", &["7:33 RF0030"]),
        ("{ matchLabels: { app: -web } }", &["7:38 RF0031"]),
        ("{ matchExpressions: { key: app } }", &["7:36 RF0023"]),
        ("{ matchExpressions: [ { operator: Exists } ] }", &["7:38 RF0022"]),
        ("{ matchExpressions: [ { key: app } ] }", &["7:38 RF0022"]),
        ("{ matchExpressions: [ { key: app, operator: Is } ] }", &["7:60 RF0027"]),
        ("{ matchExpressions: [ { key: app, operator: In } ] }", &["7:38 RF0032"]),
        ("{ matchExpressions: [ { key: app, operator: NotIn, values: [] } ] }", &["7:75 RF0032"]),
        (
            "{ matchExpressions: [ { key: app, operator: DoesNotExist, values: [ a ] } ] }",
            &["7:82 RF0032"],
        ),
        (
            "{ matchExpressions: [ { key: app, operator: In, values: [ a b, 1 ] } ] }",
            &["7:74 RF0031", "7:79 RF0024"],
        ),
    ] {
        let report = read(&policy(&format!("  podSelector: {selector}\n")));
        assert_eq!(found(&report), expected, "{selector}");
    }
}

#[test]
fn spec_and_metadata() {
    let version = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n";
    for (rest, expected) in [
        (
            "metadata: { name: web }\nspec:\n  podSelector: {}\n  policyTypes: [ ingress ]\n",
            &["6:18 RF0027"][..],
        ),
        (
            "metadata: { name: web }\nspec:\n  podSelector: {}\n  \
             policyTypes: [ Ingress, Egress, Ingress ]\n",
            &["6:16 RF0027"],
        ),
        (
            "metadata: { name: web }\nspec:\n  podSelector: {}\n  policyTypes: [ Egress ]\n  \
             ingress: [ {} ]\n",
            &["7:3 RF0050"],
        ),
        ("metadata: { name: web }\nspec:\n  policyTypes: [ Ingress ]\n", &["5:3 RF0051"]),
        ("metadata: { name: web }\n", &["1:1 RF0051"]),
        ("metadata: { name: web }\nspec:\n  podSelector: {}\n  ingress: {}\n", &["6:12 RF0023"]),
        ("metadata: { name: web }\nspec: { podSelector: {} }\nsepc: {}\n", &["5:1 RF0021"]),
        ("metadata: { name: Web }\nspec: { podSelector: {} }\n", &["3:19 RF0026"]),
        ("metadata: { name: web, namespace: a.b }\nspec: { podSelector: {} }\n", &["3:35 RF0026"]),
        ("metadata: { name: 1e3 }\nspec: { podSelector: {} }\n", &["3:19 RF0024"]),
        ("metadata: { namespace: shop }\nspec: { podSelector: {} }\n", &["3:11 RF0022"]),
        ("metadata: { name: web, generation: x }\nspec: { podSelector: {} }\n", &["3:36 RF0023"]),
        (
            "metadata: { name: web, annotations: { a: true } }\nspec: { podSelector: {} }\n",
            &["3:42 RF0024"],
        ),
        ("spec: { podSelector: {} }\n", &["1:1 RF0022"]),
    ] {
        let report = read(&format!("{version}{rest}"));
        assert_eq!(found(&report), expected, "{rest}\n{}", report.render(false));
    }
}

#[test]
fn kinds() {
    for (header, expected, help) in [
        ("apiVersion: v1\nkind: Pods\n", "2:7 RF0020", "did you mean `Pod`?"),
        (
            "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\n",
            "1:13 RF0020",
            "use `apiVersion: networking.k8s.io/v1`",
        ),
        ("kind: Pod\n", "1:1 RF0022", "add `apiVersion:`"),
        ("apiVersion: v1\nknd: Pod\n", "1:1 RF0022", "`knd` looks like a slip of it"),
        ("apiVersion: 1\nkind: Pod\n", "1:13 RF0024", "quote it: `\"1\"`"),
        (
            "just text\n",
            "1:1 RF0023",
            "check the indentation, and look for a `-` too many or too few",
        ),
    ] {
        let report = read(header);
        assert_eq!(found(&report), [expected], "{header}");
        assert_eq!(report.diagnostics[0].help.as_deref(), Some(help), "{header}");
    }
}

#[test]
fn workloads() {
    let header = "apiVersion: ringfence.dev/v1alpha1\nkind: Workload\nmetadata: { name: db }\n";
    for (spec, expected) in [
        ("{ address: [ 10.0.0.1 ] }", &["4:9 RF0021"][..]),
        ("{ addresses: [ 10.0.0.1/32 ] }", &["4:22 RF0060"]),
        (
            "{ addresses: [ 0.0.0.0, 127.0.0.1, 224.0.0.1 ] }",
            &["4:22 RF0060", "4:31 RF0060", "4:42 RF0060"],
        ),
        (
            "{ addresses: [ \"fe80::1%eth0\", \"::ffff:10.0.0.1\" ] }",
            &["4:22 RF0060", "4:38 RF0060"],
        ),
        ("{ addresses: 10.0.0.1 }", &["4:20 RF0023"]),
        ("{ ports: [ { port: 80 } ] }", &["4:18 RF0022"]),
        ("{ ports: [ { name: http } ] }", &["4:18 RF0022"]),
        ("{ ports: [ { name: http, port: 0 } ] }", &["4:38 RF0045"]),
        ("{ ports: [ { name: HTTP, port: 80 } ] }", &["4:26 RF0047"]),
        ("{ ports: [ { name: a, port: 1 }, { name: a, port: 2 } ] }", &["4:48 RF0063"]),
        ("{ interface: veth/0 }", &["4:20 RF0064"]),
        ("{ interface: a-very-long-interface }", &["4:20 RF0064"]),
        ("{ host: 1 }", &["4:15 RF0023"]),
    ] {
        let report = read(&format!("{header}spec: {spec}\n"));
        assert_eq!(found(&report), expected, "{spec}\n{}", report.render(false));
    }
}

#[test]
fn contradictions_name_both_places() {
    let workload = |name: &str, address: &str| {
        format!(
            "apiVersion: ringfence.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: {name} }}\n\
             spec: {{ addresses: [ {address} ] }}\n---\n"
        )
    };
    let pod = |name: &str, address: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: {name} }}\n\
             status: {{ podIP: {address} }}\n---\n"
        )
    };
    let text = [
        workload("a", "10.0.0.1"),
        pod("b", "10.0.0.1"),
        pod("a", "10.0.0.2"),
        workload("c", "10.0.0.3"),
    ]
    .concat();
    let report = read(&text);
    assert_eq!(found(&report), ["9:18 RF0061", "13:19 RF0028"]);
    let related: Vec<_> = report
        .diagnostics
        .iter()
        .flat_map(|diagnostic| &diagnostic.related)
        .map(|(place, label)| format!("{}:{} {label}", place.line, place.column))
        .collect();
    assert_eq!(related, ["4:22 `default/a` has it here", "3:19 here first"]);
}

/// Applying nothing takes everything away, so nothing has to be said plainly (`off`).
#[test]
fn an_empty_list_is_nothing_to_read() {
    for text in [
        "apiVersion: v1\nkind: List\nitems: []\n",
        "{\"apiVersion\": \"v1\", \"kind\": \"PodList\", \"items\": []}",
        "",
        "# only a comment\n",
    ] {
        let report = read(text);
        let codes: Vec<_> = report.diagnostics.iter().map(|found| found.code.to_string()).collect();
        assert_eq!(codes, ["RF0011"], "{text}");
        assert!(report.policies.is_none(), "{text}");
    }
}
