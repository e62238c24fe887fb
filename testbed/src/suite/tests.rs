//! That what is wrong is found: by every backend, at every hook, on either side.

use ringfence_common::verdict::{Reason, Verdict};

use super::{BackendName, Item, Report, Side, Totals, run};
use crate::case::{self, Case, Step};
use crate::require;

/// A shop whose database is for its api alone, in both families, on a host that is described.
const SHOP: &str = r#"
name: shop
policies: |
  apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: { namespace: shop, name: db }
  spec:
    podSelector: { matchLabels: { app: db } }
    policyTypes: [Ingress, Egress]
    ingress: [ { from: [ { podSelector: { matchLabels: { app: api } } } ],
                 ports: [ { protocol: TCP, port: sql } ] },
               { from: [ { podSelector: { matchLabels: { app: api } } } ],
                 ports: [ { protocol: UDP, port: 53 } ] } ]
    egress: [ { to: [ { ipBlock: { cidr: 203.0.113.0/24 } } ] } ]
pods:
  - { namespace: shop, name: api, labels: { app: api }, ips: [10.1.0.2, "fd00::2"] }
  - { namespace: shop, name: db, labels: { app: db }, ips: [10.1.0.3, "fd00::3"],
      ports: [ { name: sql, protocol: TCP, port: 5432 } ] }
  - { namespace: shop, name: node, ip: 10.1.0.1, host: true }
probes:
  - { from: shop/api, to: shop/db, protocol: TCP, port: sql, expect: allow,
      expect_egress: allow, expect_ingress: allow, reason: Rule }
  - { from: shop/api, to: shop/db, protocol: TCP, port: 22, expect: deny,
      expect_egress: allow, expect_ingress: deny, reason: NoRule }
  - { from: shop/db, to: shop/api, protocol: SCTP, port: 9, expect: deny,
      expect_egress: deny, expect_ingress: allow }
  - { from: shop/db, to: 203.0.113.9, protocol: ICMP, expect: allow, expect_egress: allow }
  - { from: shop/db, to: 198.51.100.9, protocol: 47, expect: deny, expect_egress: deny }
  - { from: 198.51.100.9, to: shop/db, protocol: UDP, port: 53, expect: deny,
      expect_ingress: deny }
  - { from: shop/node, to: shop/db, protocol: TCP, port: 22, expect: allow,
      expect_ingress: allow, reason: HostToWorkload }
  - { from: shop/db, to: shop/node, protocol: TCP, port: 22, expect: deny }
  - { from: shop/node, to: shop/node, protocol: TCP, port: 22, expect: allow }
"#;

/// A connection and what comes of it when time passes and policy changes; then a broken frame.
const STORY: &str = r#"
name: story
policies: |
  apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: { namespace: shop, name: db }
  spec:
    podSelector: { matchLabels: { app: db } }
    ingress: [ { ports: [ { protocol: UDP, port: 53 } ] } ]
    egress: []
    policyTypes: [Ingress, Egress]
pods:
  - { namespace: shop, name: db, labels: { app: db }, ip: 10.1.0.3 }
frames:
  - { at: shop/db, direction: egress, hex: "REPLY", expect: deny, reason: NoRule }
  - { at: shop/db, direction: ingress, hex: "QUERY", expect: allow, reason: Rule,
      rule: "networkpolicy/shop/db ingress[0]" }
  - { at: shop/db, direction: egress, hex: "REPLY", expect: allow, reason: Reply, after: 20 }
  - { at: shop/db, direction: egress, hex: "REPLY", expect: allow, reason: Reply, after: 110 }
  - { at: shop/db, direction: egress, hex: "REPLY", expect: deny, reason: NoRule, after: 130 }
  - { at: shop/db, direction: ingress, hex: "QUERY", expect: allow, reason: Rule }
  - { name: nothing may come in, apply: "POLICY" }
  - { at: shop/db, direction: egress, hex: "REPLY", expect: deny, reason: Revoked }
  - { at: shop/db, direction: egress, hex: "45", expect: deny, reason: TruncatedEthernet }
"#;

const QUERY: &str = "020000000002020000000001 0800 4500001c00000000401100000a0100090a010003 \
                     c000003500080000";
const REPLY: &str = "020000000001020000000002 0800 4500001c00000000401100000a0100030a010009 \
                     0035c00000080000";
const NOTHING: &str = "apiVersion: networking.k8s.io/v1\\nkind: NetworkPolicy\\nmetadata: \
                       { namespace: shop, name: db }\\nspec: { podSelector: {}, policyTypes: \
                       [Ingress, Egress] }";

fn cases() -> Vec<Case> {
    let story = STORY.replace("QUERY", QUERY).replace("REPLY", REPLY).replace("POLICY", NOTHING);
    let text = format!("{SHOP}---\n{story}");
    case::read_text("cases.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn backends() -> Vec<BackendName> {
    let mut backends = vec![BackendName::Oracle, BackendName::Userspace];
    if require::kernel().is_some() {
        backends.push(BackendName::Ebpf);
    }
    backends
}

fn report(cases: &[Case], backends: &[BackendName]) -> Report {
    run(cases, backends, &|| {}).expect("the backends run")
}

fn other(verdict: Verdict) -> Verdict {
    if verdict == Verdict::Allow { Verdict::Deny } else { Verdict::Allow }
}

#[test]
fn all_backends_agree_with_what_is_right() {
    let (cases, backends) = (cases(), backends());
    let report = report(&cases, &backends);
    let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    assert_eq!((report.cases, report.probes, report.frames), (2, 9, 8));
    for (backend, totals) in &report.backends {
        let Totals { probes, frames, wrong, skipped, inapplicable, .. } = totals;
        assert_eq!((*probes, *frames, *wrong, *skipped), (9, 8, 0, 0), "{backend}");
        // The kernel cannot be tried on one byte.
        assert_eq!(*inapplicable, usize::from(*backend == BackendName::Ebpf));
    }
}

#[test]
fn a_wrong_verdict_is_found_by_each_backend_at_each_hook() {
    let (mut cases, backends) = (cases(), backends());
    for case in &mut cases {
        for probe in &mut case.probes {
            probe.expect = other(probe.expect);
        }
        for step in &mut case.frames {
            if let Step::Frame(frame) = step {
                frame.expect = other(frame.expect);
            }
        }
    }
    let report = report(&cases, &backends);
    assert!(!report.is_good());
    for (backend, totals) in &report.backends {
        for (run, totals) in &totals.runs {
            let asked = totals.probes + totals.frames - totals.inapplicable;
            assert_eq!(totals.wrong, asked, "{run} of {backend}");
        }
    }
}

#[test]
fn a_wrong_side_reason_or_rule_is_found_by_each_backend_at_each_hook() {
    let (mut cases, backends) = (cases(), backends());
    for probe in &mut cases[0].probes {
        probe.expect_ingress = probe.expect_ingress.map(other);
        probe.reason = None;
    }
    let count_of = |side: fn(&case::Probe) -> Option<Verdict>, cases: &[Case]| {
        cases[0].probes.iter().filter(|probe| side(probe).is_some()).count()
    };
    let ingress = count_of(|probe| probe.expect_ingress, &cases);
    for step in &mut cases[1].frames {
        let Step::Frame(frame) = step else { continue };
        match &mut frame.rule {
            Some(rule) => *rule = "networkpolicy/shop/db egress[0]".to_owned(),
            None => frame.reason = Some(Reason::DenyRule),
        }
    }
    let report = report(&cases, &backends);
    for (run, totals) in report.backends.iter().flat_map(|(_, totals)| &totals.runs) {
        let of = |is_probe: bool| {
            let mine = report.failures.iter().filter(|failure| failure.run == *run);
            mine.filter(|failure| matches!(failure.item, Item::Probe(_)) == is_probe)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(true).len(), ingress, "{run}");
        assert!(of(true).iter().all(|failure| failure.wrong.side == Side::Ingress), "{run}");
        assert_eq!(of(false).len(), totals.frames - totals.inapplicable, "{run}");
    }

    let mut cases = self::cases();
    for probe in &mut cases[0].probes {
        probe.expect_egress = probe.expect_egress.map(other);
    }
    let egress = count_of(|probe| probe.expect_egress, &cases);
    let report = self::report(&cases, &backends);
    for (run, totals) in report.backends.iter().flat_map(|(_, totals)| &totals.runs) {
        assert_eq!(totals.wrong, egress, "{run}");
    }
    assert!(report.failures.iter().all(|failure| failure.wrong.side == Side::Egress));
}

#[test]
fn a_failure_names_case_probe_backend_and_what_was_said() {
    let mut cases = cases();
    cases.truncate(1);
    cases[0].probes.truncate(1);
    cases[0].probes[0].expect = Verdict::Deny;
    let report = report(&cases, &[BackendName::Userspace]);
    let lines: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    let line = |way: &str| {
        format!(
            "shop: probe 1 shop/api -> shop/db sql (5432)/TCP [10.1.0.2 -> 10.1.0.3]: userspace \
             {way}: expected deny (Rule), actual allow, reason Rule, rule networkpolicy/shop/db \
             ingress[0]"
        )
    };
    assert_eq!(lines, [line("xdp"), line("tc")]);
}

#[test]
fn backends_are_known_by_name() {
    for backend in BackendName::ALL {
        assert_eq!(backend.name().parse(), Ok(backend));
    }
    let unknown = "ebfp".parse::<BackendName>().expect_err("there is none");
    assert_eq!(
        unknown.to_string(),
        "there is no backend `ebfp`; choose among oracle, userspace, ebpf, iptables, ipset and nftables"
    );
}

#[test]
fn what_is_said_of_an_end_that_nobody_has_is_checked_too() {
    let probes = "  - { from: shop/db, to: 203.0.113.9, protocol: ICMP, expect: allow, expect_ingress: \
                  deny }\n  - { from: 198.51.100.9, to: shop/api, protocol: UDP, port: 53, expect: \
                  allow, expect_egress: deny }\n  - { from: shop/node, to: shop/node, port: 22, \
                  expect: allow, expect_ingress: deny, expect_egress: allow }\n";
    let (before, _) = SHOP.split_once("probes:\n").unwrap();
    let cases = case::read_text("case.yaml", &format!("{before}probes:\n{probes}")).unwrap();
    let contradicts = "`expect` is `allow`, but one side is said to give `deny`; one is wrong";
    let warnings: Vec<&str> =
        cases[0].warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(warnings, [contradicts; 3]);
    for backend in backends() {
        let report = report(&cases, &[backend]);
        let found: Vec<(Item, Side, Verdict, Reason)> = report
            .failures
            .iter()
            .filter(|failure| failure.run.arrival.is_none_or(|way| way.name() == "tc"))
            .map(|failure| {
                let wrong = &failure.wrong;
                (failure.item, wrong.side, wrong.actual, wrong.reason)
            })
            .collect();
        let wrong = |number, side, reason| (Item::Probe(number), side, Verdict::Allow, reason);
        let expected = [
            wrong(0, Side::Ingress, Reason::NotSubject),
            wrong(1, Side::Egress, Reason::NotSubject),
            wrong(2, Side::Ingress, Reason::SelfTraffic),
        ];
        assert_eq!(found, expected, "{backend}");
    }
}
