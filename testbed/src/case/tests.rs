//! What is read, and what is refused.

use super::*;

const SHOP: &str = r#"
name: shop-db-only-from-api
source: semantics 1
title: kept
tags: [a, 1]
policies: |
  apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: { namespace: shop, name: db }
  spec:
    podSelector: { matchLabels: { app: db } }
    ingress: [ { from: [ { podSelector: { matchLabels: { app: api } } } ] } ]
namespaces:
  shop: { team: web }
pods:
  - { namespace: shop, name: api, labels: { app: api }, ips: [10.1.0.2, "fd00::2"] }
  - { namespace: shop, name: db, labels: { app: db }, ips: [10.1.0.3, "fd00::3"],
      ports: [ { name: sql, protocol: TCP, port: 5432 } ] }
  - { namespace: shop, name: node, ip: 10.1.0.1, host: true }
mode: audit
established: keep
pick_up: 30
essential_off: [dhcp, self]
probes:
  - { from: shop/api, to: shop/db, protocol: TCP, port: sql, expect: allow }
  - { from: 203.0.113.7, to: shop/db, protocol: 1, expect: audit, reason: NoRule, expected: 3 }
frames:
  - { at: shop/db, direction: ingress, hex: "00 0a", expect: audit, reason: TruncatedEthernet }
  - { apply: "", after: 0.5 }
"#;

fn errors(text: &str) -> Vec<String> {
    let errors = read_text("case.yaml", text).expect_err("the case has errors");
    errors.0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_case_is_read_with_all_it_says() {
    let cases = read_text("shop.yaml", SHOP).unwrap();
    let [case] = cases.as_slice() else { panic!("{} cases", cases.len()) };
    assert_eq!(case.name, "shop-db-only-from-api");
    assert_eq!((case.mode, case.settings.keep_established), (Mode::Audit, true));
    assert_eq!(case.settings.pick_up_seconds, 30);
    let off = ESSENTIAL.iter().filter(|(_, bit)| case.settings.essential & bit == 0);
    assert_eq!(off.map(|(name, _)| *name).collect::<Vec<_>>(), ["dhcp", "self"]);
    let title = ("title".to_owned(), serde_json::json!("kept"));
    assert_eq!(case.extra, [title, ("tags".to_owned(), serde_json::json!(["a", 1]))]);
    assert_eq!(case.policies.policies.len(), 1);
    assert_eq!(case.policies.inventory.namespace("shop").unwrap().labels()["team"], "web");
    assert!(case.pods[2].host && !case.pods[1].host);
}

#[test]
fn probes_and_frames_are_resolved() {
    let case = read_text("shop.yaml", SHOP).unwrap().remove(0);
    let [named, icmp] = case.probes.as_slice() else { panic!("{:?}", case.probes) };
    assert_eq!(named.to_string(), "shop/api -> shop/db sql (5432)/TCP");
    assert_eq!(named.pairs.len(), 2, "{:?}", named.pairs);
    assert_eq!(icmp.service, Service::Icmp { v6: false, kind: 8, code: 0 });
    assert_eq!((icmp.expect, icmp.reason), (Verdict::Audit, Some(Reason::NoRule)));
    assert_eq!((icmp.place.line, icmp.place.column), (26, 5));
    let warnings: Vec<String> = case.warnings.iter().map(ToString::to_string).collect();
    let like = "a probe has no key `expected` (did you mean `expect`?); it is left out";
    assert_eq!(warnings, [format!("shop.yaml:26:83: {like}")]);
    let [Step::Frame(frame), Step::Apply(apply)] = case.frames.as_slice() else {
        panic!("{:?}", case.frames)
    };
    assert_eq!((frame.bytes.as_slice(), frame.after), ([0x00, 0x0a].as_slice(), Duration::ZERO));
    assert_eq!((apply.policies.policies.len(), apply.after.as_millis()), (0, 500));
    assert!(apply.policies.inventory.owner("10.1.0.3".parse().unwrap()).is_some());
}

#[test]
fn a_file_holds_several_cases_and_policies_may_be_absent() {
    let one = "pods: [ { namespace: a, name: b, ip: 10.0.0.1 } ]\n\
               probes: [ { from: a/b, to: 10.0.0.9, protocol: UDP, port: 1, expect: allow } ]\n";
    let text = format!("name: first\n{one}---\npolicies: |\n  # none\n{one}");
    let cases = read_text("some/two.yaml", &text).unwrap();
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["first", "two"]);
    assert!(cases.iter().all(|case| case.policies.policies.is_empty()));
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_place() {
    let text = r#"
pods:
  - { namespace: shop, name: api, ip: 10.1.0 }
  - { namespace: Shop, name: db, ip: 10.1.0.3 }
  - { namespace: shop, name: one, ip: 10.1.0.3 }
  - { namespace: shop, name: web, ip: 10.1.0.4, host: 1 }
mode: off
essential_off: [arp]
probes:
  - { from: shop/wbe, to: Shop/db, protocol: TCP, port: 80, expect: allow }
  - { from: shop/web, to: Shop/db, protocol: TCP, port: http, expect: allow }
  - { from: shop/web, to: Shop/db, protocol: ICMP, port: 1, expect: maybe }
  - { from: shop/web, to: "fd00::1", protocol: 17, port: 1, expect: deny }
  - { from: 10.1.0.300, to: shop/web, protocol: UDP, port: 7 }
  - { from: 127.0.0.1, to: shop/web, protocol: 51, expect: deny, reason: NoRules }
  - { from: shop/web, to: Shop/db, protocol: TPC, port: 1 }
frames:
  - { at: shop/web, direction: in, hex: "0g", expect: deny, reason: Rule, rule: x }
  - { at: shop/web, direction: ingress, hex: "012", expect: deny, after: -1 }
  - { apply: "kind: Nothing" }
"#;
    let expected = [
        ":3:39: `10.1.0` is no address; write one like `10.1.0.2` or `fd00::2`",
        ":4:18: `Shop` cannot be the name of a namespace",
        ":6:55: `host` is a number; it has to be true or false",
        ":7:7: `mode` is `off`; it has to be `enforce` or `audit`",
        ":8:17: there is no essential rule `arp`; the rules are non-ip, neighbour-discovery,",
        ":5:5: address `10.1.0.3` of `shop/one` belongs to `Shop/db` already; give each its own",
        ":10:13: there is no pod `shop/wbe` (did you mean `shop/web`?); pods are named",
        ":11:57: `Shop/db` has no port called `http/TCP`; it names no port",
        ":12:69: `expect` is `maybe`; it has to be `allow` or `deny` or `audit`",
        ":13:5: `shop/web` and `fd00::1` do not both have an address of one family (IPv4 or IPv6)",
        ":14:13: `10.1.0.300` is no address",
        ":14:5: a probe has no `expect`; add it",
        ":15:74: there is no reason `NoRules` (did you mean `NoRule`?)",
        ":15:5: `127.0.0.1` is no source address; write a frame that has it",
        ":15:48: protocol 51 is a header of IPv6; write a frame that has it",
        ":16:5: a probe has no `expect`; add it",
        ":16:46: there is no protocol `TPC`; write TCP, UDP, SCTP, ICMP, ICMPv6 or a number",
        ":18:32: `direction` is `in`; it has to be `ingress` or `egress`",
        ":18:41: `hex` has `g` as digit 2, which is not hexadecimal",
        ":18:69: `Rule` is a reason to allow; `expect` says otherwise",
        ":18:81: no policy has a rule `x`; rules are named like",
        ":19:46: `hex` has 3 digits, half a byte too many",
        ":19:74: `after` has to be a number of seconds, 2592000 at most",
        ":20:14: these documents cannot be used\n\nerror[RF0022]: `apiVersion` is missing",
    ];
    let found = errors(text);
    for (found, expected) in found.iter().zip(expected) {
        let found = found.strip_prefix("case.yaml").unwrap();
        assert!(found.starts_with(expected), "{found}\nis not\n{expected}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn what_stays_open_on_the_host_is_a_policy_of_the_case() {
    let text = |list: &str| {
        format!(
            "policies: '{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: \
             closed, namespace: infra}}, spec: {{podSelector: {{}}}}}}'\nfailsafe: {list}\npods:\n  \
             - {{ namespace: infra, name: node, ip: 192.0.2.1, host: true }}\nprobes:\n  - {{ from: \
             203.0.113.7, to: infra/node, protocol: TCP, port: 22, expect: allow }}\n"
        )
    };
    let names = |list: &str| -> Vec<String> {
        let cases = read_text("case.yaml", &text(list)).expect("the case is right");
        let policies = cases[0].policies.policies.iter();
        policies.map(|policy| policy.name.to_string()).collect()
    };
    let closed = "networkpolicy/infra/closed".to_owned();
    assert_eq!(names("[in:22/tcp]"), ["failsafe/host".to_owned(), closed.clone()]);
    // Nothing is said about what the host sends.
    assert_eq!(names("[out:53/udp]"), std::slice::from_ref(&closed));
    assert_eq!(names("[]"), [closed]);
    let found = errors(&text("[in:22/tcp, ssh, 22]"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("case.yaml:2:23: `ssh` is no port"), "{}", found[0]);
    assert!(found[1].starts_with("case.yaml:2:28: "), "{}", found[1]);
}

#[test]
fn what_is_no_case_is_refused() {
    for (text, expected) in [
        ("", "`case.yaml` holds no case; give at least `pods`, and `probes` or `frames`"),
        ("- 1", "case.yaml:1:1: a case is a list; it has to be a mapping"),
        ("name: x", "case.yaml:1:1: the case asks nothing; give it `probes` or `frames`"),
        (
            "name: 1\nname: 2",
            "case.yaml:2:1: `name` is here a second time; leave out one of the two",
        ),
        ("~: 1", "case.yaml:1:1: a key is empty; keys are text"),
        ("name: [", "case.yaml:1:7: this is neither YAML nor JSON: "),
    ] {
        let found = errors(text);
        assert!(found[0].starts_with(expected), "{found:#?}\nis not\n{expected}");
        assert_eq!(found.len(), 1, "{found:#?}");
    }
}

#[test]
fn folders_are_read_in_lexical_order_and_missing_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let case = |name: &str| {
        format!(
            "name: {name}\npods: [ {{ namespace: a, name: b, ip: 10.0.0.1 }} ]\n\
             frames: [ {{ at: a/b, direction: ingress, hex: '', expect: deny }} ]\n"
        )
    };
    for file in ["b.yaml", "a.json", "c.yml", "d.txt"] {
        std::fs::write(folder.path().join(file), case(file)).unwrap();
    }
    std::fs::create_dir(folder.path().join("bb")).unwrap();
    std::fs::write(folder.path().join("bb/e.yaml"), case("bb/e.yaml")).unwrap();
    let cases = read(&[folder.path().to_owned()]).unwrap();
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["a.json", "b.yaml", "bb/e.yaml", "c.yml"]);

    let missing = [folder.path().join("nothing.yaml"), folder.path().join("d.txt")];
    let errors = read(&missing).expect_err("one file is missing");
    let [CaseError::Unreadable { path, .. }] = errors.0.as_slice() else { panic!("{errors:?}") };
    assert!(path.ends_with("nothing.yaml"), "{path}");
}

/// The messages of all warnings, with their places.
fn warnings(text: &str) -> Vec<String> {
    let cases = read_text("case.yaml", text).unwrap_or_else(|errors| panic!("{errors}"));
    cases.iter().flat_map(|case| &case.warnings).map(ToString::to_string).collect()
}

#[test]
fn what_contradicts_itself_is_a_warning() {
    let probe = |expect: &str| {
        format!(
            "pods: [ {{ namespace: a, name: b, ip: 10.0.0.1 }} ]\n\
             probes:\n- {{ from: a/b, to: 10.0.0.9, port: 1, expect: {expect} }}\n"
        )
    };
    for fine in [
        "allow, expect_egress: allow",
        "deny, expect_egress: allow",
        "deny, expect_egress: allow, expect_ingress: deny",
        "audit, expect_egress: audit, expect_ingress: allow",
    ] {
        assert_eq!(warnings(&probe(fine)), [""; 0], "{fine}");
    }
    for (odd, expected) in [
        ("allow, expect_egress: deny", "but one side is said to give `deny`"),
        ("audit, expect_ingress: deny", "but one side is said to give `deny`"),
        (
            "deny, expect_egress: allow, expect_ingress: allow",
            "but neither side is said to do more than `allow`",
        ),
    ] {
        let found = warnings(&probe(odd));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("case.yaml:3:47: `expect` is "), "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
}

const TWO: &str = "pods:\n- { namespace: a, name: b, ip: 10.0.0.1, host: true }\n\
                   - { namespace: c, name: d, ip: 10.0.0.2 }\n\
                   probes: [ { from: a/b, to: c/d, port: 1, expect: allow } ]\n";

#[test]
fn there_is_one_host_among_pods_and_documents() {
    let workload = |name: &str, address: &str| {
        format!(
            "  ---\n  apiVersion: ringfence.dev/v1alpha1\n  kind: Workload\n  metadata: {{ name: \
             {name} }}\n  spec: {{ addresses: [{address}], host: true }}\n"
        )
    };
    let one = workload("e", "10.0.0.3");
    let found = errors(&format!("{TWO}policies: |\n{one}"));
    let both = "`default/e` and `a/b` both are the host; there is one";
    assert_eq!(found, [format!("case.yaml:2:3: {both}")]);
    let found = errors(&format!("{TWO}policies: |\n{one}{}", workload("f", "10.0.0.4")));
    let both = "`default/e` and `default/f` both are the host; there is one";
    assert_eq!(found, [format!("case.yaml:6:3: {both}")]);
    let found = errors(&TWO.replace("10.0.0.2 }", "10.0.0.2, host: true }"));
    assert_eq!(found, ["case.yaml:3:3: `a/b` and `c/d` both are the host; there is one"]);
}

#[test]
fn a_namespace_has_one_set_of_labels_at_a_time() {
    let document = "policies: |\n  apiVersion: v1\n  kind: Namespace\n  metadata: { name: c, labels: \
                    { t: one } }\n";
    let labels = |stated: &str, document: &str| {
        let text = format!("{TWO}{document}namespaces: {{ c: {stated} }}\n");
        let cases = read_text("case.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
        let apply = cases[0].frames.first().map(|step| match step {
            Step::Apply(apply) => apply.policies.clone(),
            Step::Frame(_) => panic!("no frame is in the case"),
        });
        let policies = apply.as_ref().unwrap_or(&cases[0].policies);
        policies.inventory.namespace("c").unwrap().labels().get("t").cloned()
    };
    assert_eq!(labels("", document).as_deref(), Some("one"));
    assert_eq!(labels("null", document).as_deref(), Some("one"));
    assert_eq!(labels("{ t: one }", document).as_deref(), Some("one"));
    assert_eq!(labels("{ t: two }", "").as_deref(), Some("two"));
    let apply = format!("frames:\n- apply: |\n{}", document.split_once("|\n").unwrap().1);
    assert_eq!(labels("{ t: two }", &apply.replace("\n  ", "\n    ")).as_deref(), Some("one"));
    for other in ["{ t: two }", "{}"] {
        let found = errors(&format!("{TWO}{document}namespaces: {{ c: {other} }}\n"));
        let message = "namespace `c` has other labels here than in its Namespace document; leave \
                       out one of the two";
        assert_eq!(found, [format!("case.yaml:9:15: {message}")]);
    }
}

#[test]
fn whom_documents_select_is_looked_up_among_the_pods_too() {
    let documents = "policies: |\n  apiVersion: ringfence.dev/v1alpha1\n  kind: Workload\n  metadata: \
                     { name: e }\n  spec: { addresses: [10.0.0.3] }\n  ---\n  apiVersion: \
                     networking.k8s.io/v1\n  kind: NetworkPolicy\n  metadata: { namespace: c, name: p \
                     }\n  spec: { podSelector: {}, ingress: [ { from: [ { ipBlock: { cidr: \
                     10.0.0.1/8 } } ] } ] }\n";
    let cases = read_text("case.yaml", &format!("{TWO}{documents}")).unwrap();
    let [warnings] = cases[0].document_warnings.as_slice() else {
        panic!("{:?}", cases[0].document_warnings)
    };
    let message = "RF0044: `10.0.0.1/8` has bits beyond its prefix (line 9 of these documents)";
    assert_eq!(warnings.messages, [message], "the policy selects `c/d`");
    assert_eq!(warnings.place.to_string(), "case.yaml:6:3");
}

/// A step of a sequence that asks nothing.
fn step(step: u32, steps: u32) -> String {
    format!("sequence: rollout\nstep: {step}\nsteps: {steps}\n")
}

#[test]
fn steps_of_a_sequence_fit_together_and_need_not_ask() {
    let whole = format!("{}---\n{}", step(1, 2), step(2, 2));
    assert_eq!(warnings(&whole), [""; 0]);
    let missing = "sequence `rollout` has 4 steps, and 2 of them are not here, the first is step 1";
    let some = format!("{}---\n{}", step(4, 4), step(2, 4));
    assert_eq!(warnings(&some), [format!("case.yaml:1:1: {missing}")]);
    let found = errors(&format!("{whole}---\n{}", step(2, 2)));
    let twice =
        "step 2 of sequence `rollout` is at case.yaml:5:1 already; give each its own number";
    assert_eq!(found, [format!("case.yaml:9:1: {twice}")]);
    let found = errors(&format!("{}---\n{}", step(1, 2), step(2, 3)));
    let differ = "sequence `rollout` has 3 steps here and 2 at case.yaml:1:1; say the same in both";
    assert_eq!(found, [format!("case.yaml:5:1: {differ}")]);
    let alone = warnings(&format!("{TWO}step: 1\n"));
    assert_eq!(alone, ["case.yaml:5:7: `step` means nothing without `sequence`; add its name"]);
}

#[test]
fn sequences_of_two_folders_are_two() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("1.yaml"), step(1, 1)).unwrap();
    }
    let cases = read(&[folder.path().to_owned()]).unwrap_or_else(|errors| panic!("{errors}"));
    let names: Vec<_> = cases.iter().filter_map(Case::sequence_name).collect();
    assert_eq!(names.len(), 2);
    assert_ne!(names[0], names[1]);
}

#[test]
fn pods_have_addresses_and_port_names_of_their_own() {
    let pod = |rest: &str| format!("pods:\n- {{ namespace: a, name: b, {rest} }}\n");
    let reach = "is no address of a pod; give the one that others reach it at";
    for (rest, expected) in [
        ("ip: 127.0.0.1", format!(":2:32: `127.0.0.1` {reach}")),
        ("ip: '::'", format!(":2:32: `::` {reach}")),
        ("ips: [ 224.0.0.1 ]", format!(":2:35: `224.0.0.1` {reach}")),
        (
            "ip: '::ffff:10.0.0.1'",
            ":2:32: `::ffff:10.0.0.1` is no address of a pod; write IPv4 addresses as IPv4"
                .to_owned(),
        ),
        (
            "ip: 10.0.0.0/8",
            ":2:32: `10.0.0.0/8` is a CIDR block; write one address, like `10.1.0.2`".to_owned(),
        ),
        (
            "ports: [ { name: x, port: 1 }, { name: x, port: 2 } ]",
            ":2:59: `x/TCP` is the name of port 1 already; give each its own name".to_owned(),
        ),
        (
            "ports: [ { name: x, port: '80' } ]",
            ":2:54: `port` is text; write 80 without quotes".to_owned(),
        ),
    ] {
        let found = errors(&format!("{}sequence: s\nstep: 1\nsteps: 1\n", pod(rest)));
        assert_eq!(found, [format!("case.yaml{expected}")], "{rest}");
    }
    let ports = "ip: 10.0.0.1, ports: [ { name: x, port: 1 }, { name: x, port: 1 }, \
                 { name: x, protocol: UDP, port: 2 } ]";
    let good = format!("{}sequence: s\nstep: 1\nsteps: 1\n", pod(ports));
    assert_eq!(warnings(&good), [""; 0]);
}

#[test]
fn names_with_control_characters_are_refused_and_never_printed() {
    let odd = r#""e\e[31mvil""#;
    let text = TWO
        .replace("name: d", &format!("name: {odd}"))
        .replace("from: a/b, to: c/d", &format!("name: {odd}, from: a/b, to: 10.0.0.2"));
    let frame = format!("frames: [ {{ name: {odd}, apply: '' }} ]\nname: {odd}\nsequence: {odd}\n");
    let found = errors(&format!("{text}{frame}step: 1\nsteps: 1\n"));
    let control = "has the control character U+001B; leave it out";
    let expected = [
        (":3:25", "name"),
        (":4:19", "name"),
        (":5:19", "name"),
        (":6:7", "name"),
        (":7:11", "sequence"),
    ];
    let expected = expected.map(|(place, key)| format!("case.yaml{place}: `{key}` {control}"));
    assert_eq!(found, expected);
    let found = errors(&TWO.replace("to: c/d", r#"to: "c/\ed""#));
    assert!(found[0].contains("there is no pod `c/\u{fffd}d`"), "{found:?}");
}

#[test]
fn what_is_meant_is_said_of_values_of_another_type() {
    for (change, expected) in [
        ("port: '80'", ":4:39: `port` is text; write 80 without quotes"),
        ("port: 1, name: [x]", ":4:48: `name` is a list; it has to be text"),
        ("port: 1, name: 3", ":4:48: `name` is a number; it has to be text; put it in quotes"),
    ] {
        let found = errors(&TWO.replace("port: 1", change));
        assert_eq!(found, [format!("case.yaml{expected}")], "{change}");
    }
    let found = errors(&TWO.replace("from: a/b", "from: 10.0.0.0/8"));
    let block = "`10.0.0.0/8` is a CIDR block; write one address, like `10.1.0.2`";
    assert_eq!(found, [format!("case.yaml:4:19: {block}")]);
}

#[test]
fn too_many_values_are_refused_in_plain_words() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..8 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        text += &format!("a{level}: &a{level} [{below}]\n");
    }
    let found = errors(&text);
    let [found] = found.as_slice() else { panic!("{found:?}") };
    let words = ": there are too many values in this file, or its aliases make too many; split it";
    assert!(found.contains(words), "{found}");
}
