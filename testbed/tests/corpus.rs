//! The whole corpus on every backend and hook: all agree with every case, and nothing that is
//! supported goes without a case.

use std::path::PathBuf;

use ringfence_testbed::case::{self, Case};
use ringfence_testbed::require;
use ringfence_testbed::suite::{self, BackendName, Report, coverage};

/// What the corpus has at least.
const CASES: usize = 150;
const FRAMES: usize = 25;

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
fn the_kernels_programs_agree_with_the_corpus() {
    let Some(_granted) = require::kernel() else { return };
    let cases = corpus();
    let report = run(&cases, &[BackendName::Ebpf]);
    assert_good(&report);
    assert_eq!(report.backends[0].1.frames, report.frames);
}

#[test]
fn everything_that_is_supported_has_a_case() {
    let Some(_granted) = require::kernel() else { return };
    let cases = corpus();
    let report = run(&cases, &[BackendName::Oracle, BackendName::Userspace, BackendName::Ebpf]);
    let missing = coverage::missing(&cases, &report);
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

fn corpus() -> Vec<Case> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"));
    case::read(&[folder]).unwrap_or_else(|errors| panic!("{errors}"))
}

fn run(cases: &[Case], backends: &[BackendName]) -> Report {
    suite::run(cases, backends, &|| {}).expect("the backends run")
}

fn assert_good(report: &Report) {
    let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    for (backend, totals) in &report.backends {
        assert_eq!((totals.wrong, totals.skipped), (0, 0), "{backend}: {totals:#?}");
        assert_eq!(totals.probes, report.probes, "{backend}");
    }
}
