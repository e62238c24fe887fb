//! The JSON output of `ringfence verify --live`.

use std::collections::BTreeMap;

use ringfence_common::verdict::Reason;
use ringfence_testbed::case::Case;
use ringfence_testbed::suite::live::{self, Report};
use ringfence_testbed::suite::verdict_name;
use serde::Serialize;

use crate::verb::verify::json::{Extra, JSON_VERSION, Warning, number};

/// The whole JSON output, in the shape of that without `--live`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Json<'r> {
    version: u32,
    live: bool,
    cases: usize,
    probes: usize,
    frames: usize,
    backends: BTreeMap<&'static str, Totals>,
    failures: Vec<Failure<'r>>,
    not_asked: Vec<NotAsked<'r>>,
    /// Cases that have keys which mean nothing here, with these keys.
    extra: Vec<Extra<'r>>,
    warnings: Vec<Warning<'r>>,
}

/// `probes` counts those that were asked; `skipped` counts probes and frames. No frame is asked
/// live, and no hook is left that could not be.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    probes: usize,
    frames: usize,
    wrong: usize,
    skipped: usize,
    inapplicable: usize,
}

/// `actual` is a verdict, or says in words what was seen instead of one; `reason` and `rule` are
/// those of the backend, where it tells.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'r> {
    case: &'r str,
    file: &'r str,
    line: u32,
    kind: &'static str,
    number: usize,
    probe: String,
    backend: &'static str,
    /// Always absent: packets pass all hooks of their way.
    hook: Option<&'static str>,
    side: Option<&'static str>,
    addresses: [String; 2],
    expected: &'static str,
    expected_reason: Option<&'static str>,
    /// Always absent: only frames expect a rule.
    expected_rule: Option<&'static str>,
    actual: &'r str,
    reason: Option<&'static str>,
    rules: Vec<&'r str>,
    /// Always absent: the kernel has made the packet.
    frame: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotAsked<'r> {
    case: &'r str,
    kind: &'static str,
    number: usize,
    probe: String,
    backend: &'static str,
    /// Always absent, as in failures.
    hook: Option<&'static str>,
    inapplicable: bool,
    why: &'r str,
}

impl<'r> Json<'r> {
    pub fn new(cases: &'r [Case], reports: &'r [Report]) -> Self {
        let totals = |report: &Report| {
            let (wrong, skipped) = (report.wrong.len(), report.skipped.len());
            let totals =
                Totals { probes: report.probes, frames: 0, wrong, skipped, inapplicable: 0 };
            (report.backend.name(), totals)
        };
        let skipped = |report: &'r Report| {
            report.skipped.iter().map(move |one| NotAsked::new(report.backend, one))
        };
        Self {
            version: JSON_VERSION,
            live: true,
            cases: cases.len(),
            probes: cases.iter().map(|case| case.probes.len()).sum(),
            frames: cases.iter().map(|case| case.seen().count()).sum(),
            backends: reports.iter().map(totals).collect(),
            failures: reports.iter().flat_map(|one| &one.wrong).map(Failure::new).collect(),
            not_asked: reports.iter().flat_map(skipped).collect(),
            extra: Extra::all(cases),
            warnings: Warning::all(cases),
        }
    }
}

impl<'r> Failure<'r> {
    fn new(wrong: &'r live::Wrong) -> Self {
        let (kind, number) = number(wrong.asked.item);
        Self {
            case: &wrong.asked.case,
            file: &wrong.asked.place.file,
            line: wrong.asked.place.line,
            kind,
            number,
            probe: format!("{} {}", wrong.asked.item, wrong.asked.what),
            backend: wrong.backend.name(),
            hook: None,
            side: wrong.side.name(),
            addresses: [wrong.addresses.0.to_string(), wrong.addresses.1.to_string()],
            expected: verdict_name(wrong.expected),
            expected_reason: wrong.expected_reason.map(Reason::name),
            expected_rule: None,
            actual: &wrong.actual,
            reason: wrong.reason.map(Reason::name),
            rules: wrong.rule.as_deref().into_iter().collect(),
            frame: None,
        }
    }
}

impl<'r> NotAsked<'r> {
    fn new(backend: live::Backend, skipped: &'r live::Skipped) -> Self {
        let (kind, number) = number(skipped.asked.item);
        Self {
            case: &skipped.asked.case,
            kind,
            number,
            probe: format!("{} {}", skipped.asked.item, skipped.asked.what),
            backend: backend.name(),
            hook: None,
            inapplicable: false,
            why: &skipped.why,
        }
    }
}
