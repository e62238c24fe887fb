//! The whole corpus on every backend and hook: all agree with every case, and nothing that is
//! supported goes without a case.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ringfence_testbed::case::{self, Case};
use ringfence_testbed::require;
use ringfence_testbed::suite::{self, BackendName, Report, coverage};

/// What the corpus has at least.
const CASES: usize = 390;
const FRAMES: usize = 2_800;

#[test]
fn oracle_and_userspace_filter_agree_with_the_corpus() {
    let cases = corpus();
    let report = run(&cases, &[BackendName::Oracle, BackendName::Userspace]);
    assert!(report.cases >= CASES, "only {} cases", report.cases);
    assert!(report.frames >= FRAMES, "only {} frames", report.frames);
    assert_good(&report);
    assert!(report.not_asked.is_empty(), "{:#?}", report.not_asked);
}

#[test]
fn the_kernels_programs_agree_too_and_everything_supported_has_a_case() {
    let Some(_granted) = require::kernel() else { return };
    let cases = corpus();
    let report = run(&cases, &[BackendName::Oracle, BackendName::Userspace, BackendName::Ebpf]);
    let missing = coverage::missing(&cases, &report);
    assert!(missing.is_empty(), "\n{}\n{}", missing.join("\n"), failures(&report));
    assert_good(&report);
}

/// What rules for iptables, ipset and nftables say is walked in process.
#[test]
fn the_text_of_rule_chains_agrees_too() {
    let cases = corpus();
    let report = run(&cases, &[BackendName::Iptables, BackendName::Ipset, BackendName::Nftables]);
    let mut left_out: BTreeMap<(String, bool, &str), usize> = BTreeMap::new();
    for one in &report.not_asked {
        *left_out.entry((one.run.to_string(), one.inapplicable, one.why)).or_default() += 1;
    }
    println!("{left_out:#?}");
    assert!(report.is_good(), "\n{}", failures(&report));
}

fn corpus() -> Vec<Case> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"));
    case::read(&[folder]).unwrap_or_else(|errors| panic!("{errors}"))
}

fn run(cases: &[Case], backends: &[BackendName]) -> Report {
    suite::run(cases, backends, &|| {}).expect("the backends run")
}

fn assert_good(report: &Report) {
    assert!(report.is_good(), "\n{}", failures(report));
    for (backend, totals) in &report.backends {
        assert_eq!((totals.wrong, totals.skipped), (0, 0), "{backend}: {totals:#?}");
        let asked = (totals.probes, totals.frames);
        assert_eq!(asked, (report.probes, report.frames), "{backend}");
    }
}

fn failures(report: &Report) -> String {
    let lines: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
