//! Cases on real networks, for each backend that can be tried there.
use ringfence_common::verdict::{Reason, Verdict};
use ringfence_testbed::case::{self, Case};
use ringfence_testbed::require;
use ringfence_testbed::suite::Item;
use ringfence_testbed::suite::live::{self, Backend, Report, Wrong};

const CASES: &str = include_str!("cases.yaml");

/// Backends that write rules.
const CHAINS: [Backend; 4] =
    [Backend::IptablesLegacy, Backend::IptablesNft, Backend::Ipset, Backend::Nftables];

/// The probes and frames of [`CASES`] that no real network can be asked, and why.
const NOT_ASKED: [(Item, &str); 5] = [
    (Item::Frame(0), "a frame is not a connection; try it without --live"),
    (Item::Probe(0), "neither end is on this host"),
    (Item::Probe(1), "nobody can listen on port 0"),
    (Item::Probe(2), "no interface can have the address 224.0.0.9"),
    (Item::Probe(3), "the network itself needs the address 169.254.1.1"),
];

fn cases() -> Vec<Case> {
    case::read_text("cases.yaml", CASES).unwrap_or_else(|errors| panic!("{errors}"))
}

fn try_on(backend: Backend, cases: &[Case]) -> Report {
    live::run(cases, backend, &mut |_| {}).unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

fn assert_all_as_expected(backend: Backend) {
    let cases = cases();
    let report = try_on(backend, &cases);
    let wrong: Vec<String> = report.wrong.iter().map(ToString::to_string).collect();
    assert_eq!(wrong, [] as [&str; 0], "{backend}");
    let skipped: Vec<(Item, &str)> =
        report.skipped.iter().map(|one| (one.asked.item, one.why.as_str())).collect();
    assert_eq!(skipped, NOT_ASKED, "{backend}");
    let probes: usize = cases.iter().map(|case| case.probes.len()).sum();
    assert_eq!(report.probes, probes - 4, "{backend}");
}

/// Expects the opposite of every probe, and that each of them is reported.
fn flipped(backend: Backend) -> Vec<Wrong> {
    let mut cases = cases();
    cases.retain(|case| case.name == "every-kind-of-packet");
    for probe in &mut cases[0].probes {
        probe.expect = match probe.expect {
            Verdict::Allow => Verdict::Deny,
            _ => Verdict::Allow,
        };
        (probe.expect_egress, probe.expect_ingress, probe.reason) = (None, None, None);
    }
    let report = try_on(backend, &cases);
    // What a workload sends to itself can be seen to pass, and not to be stopped.
    let skipped: Vec<&str> = report.skipped.iter().map(|one| one.why.as_str()).collect();
    assert_eq!(skipped, ["what an end sends to itself passes no interface"]);
    assert_eq!((report.probes, report.wrong.len()), (21, 21), "{:#?}", report.wrong);
    report.wrong
}

#[test]
fn ebpf_does_what_cases_expect() {
    let Some(_granted) = require::kernel() else { return };
    assert_all_as_expected(Backend::Ebpf);
}

#[test]
fn userspace_does_what_cases_expect() {
    let Some(_granted) = require::privileged() else { return };
    assert_all_as_expected(Backend::Userspace);
}

#[test]
fn rule_chains_do_what_cases_expect() {
    for backend in CHAINS {
        let Some(_granted) = require::tools(backend.tools()) else { continue };
        assert_all_as_expected(backend);
    }
}

#[test]
fn every_wrong_expectation_of_ebpf_is_reported_with_reason_and_rule() {
    let Some(_granted) = require::kernel() else { return };
    let wrong = flipped(Backend::Ebpf);
    let allowed = &wrong[0];
    assert_eq!(allowed.expected, Verdict::Deny);
    assert_eq!(allowed.actual, "allow");
    let denied = &wrong[1];
    assert_eq!((denied.actual.as_str(), denied.reason), ("deny", Some(Reason::NoRule)));
    let line = denied.to_string();
    let expected = "every-kind-of-packet: probe 2 shop/a-name-that-is-too-long-for-an-interface -> \
                    shop/api 8081/TCP [10.1.0.2 -> 10.1.0.3]: ebpf live: expected allow, actual \
                    deny, reason NoRule, no rule";
    assert_eq!(line, expected);
    let by_rule = wrong.iter().filter(|one| one.reason == Some(Reason::Rule));
    let rules: Vec<&str> = by_rule.filter_map(|one| one.rule.as_deref()).collect();
    assert!(rules.contains(&"networkpolicy/shop/api ingress[0]"), "{rules:?}");
}

#[test]
fn every_wrong_expectation_of_rule_chains_is_reported() {
    for backend in CHAINS {
        let Some(_granted) = require::tools(backend.tools()) else { continue };
        let wrong = flipped(backend);
        let actual: Vec<&str> = wrong[..3].iter().map(|one| one.actual.as_str()).collect();
        assert_eq!(actual, ["allow", "deny", "allow"], "{backend}");
    }
}

#[test]
fn every_wrong_expectation_of_userspace_is_reported() {
    let Some(_granted) = require::privileged() else { return };
    let wrong = flipped(Backend::Userspace);
    let actual: Vec<&str> = wrong[..3].iter().map(|one| one.actual.as_str()).collect();
    assert_eq!(actual, ["allow", "deny", "allow"]);
}
