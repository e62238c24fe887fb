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

/// Frames that no rule chain ever sees, at most: most of them are damaged, or fragments.
const INAPPLICABLE: usize = 910;

/// What the kernel's connection tracking is known to see otherwise than Ringfence's own, in how
/// many frames of the corpus at most.
const LIMITS: [(&str, usize); 19] = [
    ("a connection that policy refuses is deleted when it is applied, and may begin anew", 10),
    ("addresses that no wire may carry are refused where packets arrive", 2),
    ("frames before it were fragments, which no chain sees before they are whole", 2),
    ("how long the kernel remembers a silent connection is its own setting", 15),
    ("the kernel does not count extension headers", 6),
    ("the kernel does not mind the order of extension headers", 8),
    ("the kernel does not remember that audit mode has let a connection through", 22),
    ("the kernel follows jumbograms", 2),
    ("the kernel lets TCP of a connection pass that was reset, until it is forgotten", 8),
    ("the kernel lets TCP pass that its own view of the connection may be wrong about", 4),
    ("the kernel lets TCP pass that repeats what was acknowledged", 2),
    ("the kernel lets a reset pass whose number is not exactly the next", 10),
    ("the kernel looks at no numbers of a connection that it has picked up", 4),
    ("the kernel reads no more of a quote than what tells its connection", 9),
    ("the kernel refuses routing headers where it obeys them, not in chains", 6),
    ("the kernel takes ICMP of the other family for invalid", 2),
    ("the kernel takes an error for related that quotes an answer nobody has sent", 2),
    ("the kernel tracks nothing that says it has no next header", 6),
    ("the kernel's tracking checks the checksums of transports", 36),
];

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

/// Rules for iptables, ipset and nftables are read as text and walked in process.
#[test]
fn the_text_of_rule_chains_agrees_too() {
    let cases = corpus();
    let report = run(&cases, &[BackendName::Iptables, BackendName::Ipset, BackendName::Nftables]);
    assert!(report.is_good(), "\n{}", failures(&report));
    let mut left_out: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for one in report.not_asked.iter().filter(|one| !one.inapplicable) {
        *left_out.entry((one.run.to_string(), one.why)).or_default() += 1;
    }
    for ((run, why), count) in left_out {
        let limit = LIMITS.iter().find(|(limit, _)| *limit == why);
        let most = limit.map_or(0, |(_, most)| *most);
        assert!(count <= most, "{run}: {count} frames and not {most} at most: {why}");
    }
    for (backend, totals) in &report.backends {
        assert_eq!((totals.probes, totals.frames), (report.probes, report.frames), "{backend}");
        assert!(totals.inapplicable <= INAPPLICABLE, "{backend}: {totals:#?}");
    }
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
