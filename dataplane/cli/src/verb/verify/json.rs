//! The JSON output of `ringfence verify`.

use std::collections::BTreeMap;

use ringfence_testbed::case::Case;
use ringfence_testbed::packet::hex;
use ringfence_testbed::suite::{self, Item, Report, verdict_name};
use serde::Serialize;

/// The version of the JSON output; it changes when a field changes its meaning or goes away.
pub const JSON_VERSION: u32 = 1;

/// The whole JSON output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Json<'r> {
    version: u32,
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

/// `wrong` and `skipped` count probes and frames.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    probes: usize,
    frames: usize,
    wrong: usize,
    skipped: usize,
    inapplicable: usize,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    hooks: BTreeMap<&'static str, Totals>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    layouts: BTreeMap<&'static str, Totals>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'r> {
    case: &'r str,
    file: &'r str,
    line: u32,
    /// `probe` or `frame`, and its number in the list, from 1.
    kind: &'static str,
    number: usize,
    probe: &'r str,
    backend: &'static str,
    hook: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<&'static str>,
    /// `egress` or `ingress` where the decision of one end is wrong.
    side: Option<&'static str>,
    addresses: Option<[String; 2]>,
    expected: &'static str,
    expected_reason: Option<&'static str>,
    expected_rule: Option<&'r str>,
    actual: &'static str,
    reason: &'static str,
    rules: &'r [String],
    frame: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotAsked<'r> {
    case: &'r str,
    kind: &'static str,
    number: usize,
    probe: &'r str,
    backend: &'static str,
    hook: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<&'static str>,
    inapplicable: bool,
    why: &'r str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Extra<'r> {
    case: &'r str,
    keys: serde_json::Map<String, serde_json::Value>,
}

/// What is odd about a case, or about its policy documents; these stand where their text begins.
#[derive(Serialize)]
pub struct Warning<'r> {
    file: &'r str,
    line: u32,
    message: &'r str,
}

impl<'r> Json<'r> {
    pub fn new(cases: &'r [Case], report: &'r Report) -> Self {
        let backend = |(name, totals): &(suite::BackendName, suite::Totals)| {
            (name.name(), Totals::new(totals))
        };
        Self {
            version: JSON_VERSION,
            cases: report.cases,
            probes: report.probes,
            frames: report.frames,
            backends: report.backends.iter().map(backend).collect(),
            failures: report.failures.iter().map(Failure::new).collect(),
            not_asked: report.not_asked.iter().map(NotAsked::new).collect(),
            extra: Extra::all(cases),
            warnings: Warning::all(cases),
        }
    }
}

impl<'r> Extra<'r> {
    /// Those of `cases`.
    pub fn all(cases: &'r [Case]) -> Vec<Self> {
        let extra = cases.iter().filter(|case| !case.extra.is_empty());
        extra
            .map(|case| Self { case: &case.name, keys: case.extra.iter().cloned().collect() })
            .collect()
    }
}

impl<'r> Warning<'r> {
    /// Those of `cases`.
    pub fn all(cases: &'r [Case]) -> Vec<Self> {
        cases.iter().flat_map(Self::of).collect()
    }

    fn of(case: &'r Case) -> impl Iterator<Item = Self> {
        let own = case.warnings.iter().map(|one| (&one.place, &one.message));
        let documents = case.document_warnings.iter();
        let documents =
            documents.flat_map(|one| one.messages.iter().map(|message| (&one.place, message)));
        own.chain(documents).map(|(place, message)| Self {
            file: &place.file,
            line: place.line,
            message,
        })
    }
}

impl Totals {
    fn new(totals: &suite::Totals) -> Self {
        let hook = |(run, totals): (&suite::Run, &suite::Totals)| {
            Some((run.arrival?.name(), Self::new(totals)))
        };
        let layout = |(run, totals): (&suite::Run, &suite::Totals)| {
            Some((run.layout_name()?, Self::new(totals)))
        };
        Self {
            probes: totals.probes,
            frames: totals.frames,
            wrong: totals.wrong,
            skipped: totals.skipped,
            inapplicable: totals.inapplicable,
            hooks: totals.runs.iter().filter_map(hook).collect(),
            layouts: totals.runs.iter().filter_map(layout).collect(),
        }
    }
}

impl<'r> Failure<'r> {
    fn new(failure: &'r suite::Failure) -> Self {
        let wrong = &failure.wrong;
        let (kind, number) = number(failure.item);
        Self {
            case: &failure.case,
            file: &failure.place.file,
            line: failure.place.line,
            kind,
            number,
            probe: &failure.asked,
            backend: failure.run.backend.name(),
            hook: failure.run.arrival.map(suite::Way::name),
            layout: failure.run.layout_name(),
            side: wrong.side.name(),
            addresses: wrong.addresses.map(|(a, b)| [a.to_string(), b.to_string()]),
            expected: verdict_name(wrong.expected.verdict),
            expected_reason: wrong.expected.reason.map(|reason| reason.name()),
            expected_rule: wrong.expected.rule.as_deref(),
            actual: verdict_name(wrong.actual),
            reason: wrong.reason.name(),
            rules: &wrong.rules,
            frame: hex(&wrong.frame),
        }
    }
}

impl<'r> NotAsked<'r> {
    fn new(one: &'r suite::NotAsked) -> Self {
        let (kind, number) = number(one.item);
        Self {
            case: &one.case,
            kind,
            number,
            probe: &one.asked,
            backend: one.run.backend.name(),
            hook: one.run.arrival.map(suite::Way::name),
            layout: one.run.layout_name(),
            inapplicable: one.inapplicable,
            why: one.why,
        }
    }
}

pub fn number(item: Item) -> (&'static str, usize) {
    match item {
        Item::Probe(index) => ("probe", index + 1),
        Item::Frame(index) => ("frame", index + 1),
    }
}
