//! How exact the figures are, and which passes do not agree.

use super::Page;
use crate::record::figures::{Figure, Figures, Key};
use crate::record::{Measurement, number, statistic, variant};

/// So many are shown of those that agree least; the files have all.
const SHOWN: usize = 25;

/// What an error is stated of: a measurement, its variant and its statistic, and what they are
/// called.
const STATED: [(Measurement, &str, &str, &str); 24] = [
    (Measurement::Decision, "", statistic::MEDIAN, "decision"),
    (Measurement::Send, "", statistic::MEDIAN, "sending a packet"),
    (Measurement::Send, "", statistic::ADDED, "added to a packet"),
    (
        Measurement::RoundTrip,
        variant::UNLOADED,
        statistic::P50,
        "round trip, idle or at 50%, p50, p90",
    ),
    (
        Measurement::RoundTrip,
        variant::STEERED_UNLOADED,
        statistic::P50,
        "round trip, steered, idle or at 50%, p50",
    ),
    (Measurement::RoundTrip, variant::UNLOADED, statistic::ADDED_P50, "added to a round trip, p50"),
    (Measurement::RoundTrip, variant::UNLOADED, statistic::RATIO_P50, "round trip, ratio of p50"),
    (Measurement::RoundTrip, variant::UNLOADED, statistic::P99, "round trip, idle or at 50%, p99"),
    (Measurement::RoundTrip, variant::NEARLY_FULL, statistic::P50, "round trip at 90%"),
    (Measurement::RoundTrip, variant::OVERLOAD, statistic::P50, "round trip at 120%"),
    (Measurement::RoundTrip, variant::UNLOADED, statistic::P999, "round trip, p99.9 and slowest"),
    (Measurement::RoundTrip, variant::OVERLOAD, statistic::LOST, "share of lost packets"),
    (Measurement::LossFree, "", statistic::RATE, "packets a second without loss"),
    (Measurement::Drop, "", statistic::RATE, "packets a second denied"),
    (Measurement::Stream, "", statistic::RATE, "TCP, bits a second"),
    (Measurement::Connect, "", statistic::RATE, "TCP, connections a second"),
    (
        Measurement::Change,
        variant::ONE_RULE,
        statistic::CALL,
        "change of one rule by its shortest way, call",
    ),
    (Measurement::Change, variant::ONE_RULE, statistic::VISIBLE, "the same, visible"),
    (Measurement::Change, "", statistic::CALL, "other change of policy, call"),
    (Measurement::Change, "", statistic::VISIBLE, "other change of policy, visible"),
    (Measurement::Change, "", statistic::NET, "change of policy, net"),
    (Measurement::Disturbance, "", statistic::LOST, "packets lost by changes"),
    (Measurement::Memory, "", statistic::KERNEL, "memory"),
    (Measurement::Cpu, "", statistic::MEDIAN, "time of all cores for a packet"),
];

/// Writes the stated errors, and the figures that do not keep them.
pub fn write(page: &mut Page, figures: &Figures) {
    page.section("How exact it is");
    page.paragraph("Everything is set up anew for each pass. Two passes of one case have to agree within the larger of two errors, which were stated before anything of this record was measured, from what runs before it had shown:");
    let heads = ["measured", "relative", "absolute", "because"].map(str::to_owned);
    let rows = STATED.map(|(measurement, variant, statistic, what)| {
        let error = measurement.error(variant, statistic);
        let absolute = match error.absolute {
            0.0 => String::new(),
            absolute => number::in_unit(measurement, statistic, absolute),
        };
        vec![
            what.to_owned(),
            format!("{:.0} %", error.relative * 100.0),
            absolute,
            error.because.to_owned(),
        ]
    });
    page.table(&heads, &rows, 4);
    page.paragraph(
        "A packet that is decided wrongly while policy changes has no error: there may be none.",
    );
    write_agreement(page, figures);
}

fn write_agreement(page: &mut Page, figures: &Figures) {
    let twice = || figures.iter().filter(|(_, figure)| figure.passes.len() > 1);
    let all = twice().count();
    let mut apart: Vec<(&Key, &Figure)> = twice().filter(|(_, figure)| !figure.agrees()).collect();
    if all == 0 {
        page.paragraph(
            "Nothing was measured in two passes, so nothing is known of their agreement.",
        );
        return;
    }
    page.paragraph(&format!(
        "Of {all} figures that were measured in two passes, {} agree within that error and {} do not.",
        all - apart.len(),
        apart.len()
    ));
    if apart.is_empty() {
        return;
    }
    apart.sort_by(|(_, one), (_, other)| beyond(other).total_cmp(&beyond(one)));
    let shown = &apart[..apart.len().min(SHOWN)];
    if shown.len() < apart.len() {
        page.paragraph(&format!("The {SHOWN} that are furthest apart; the files have all:"));
    }
    let heads = ["measured", "case", "variant", "statistic", "least", "greatest", "stated error"];
    let row = |(key, figure): &(&Key, &Figure)| {
        let (least, greatest) = figure.range();
        let unit = |value| number::in_unit(key.measurement, &key.statistic, value);
        vec![
            key.measurement.file().to_owned(),
            key.case.to_string(),
            key.variant.clone(),
            key.statistic.clone(),
            unit(least),
            unit(greatest),
            unit(figure.stated.at(greatest)),
        ]
    };
    let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
    page.table(&heads.map(str::to_owned), &rows, 4);
}

/// How many times the stated error the passes are apart.
fn beyond(figure: &Figure) -> f64 {
    let (least, greatest) = figure.range();
    (greatest - least) / figure.stated.at(greatest.abs().max(least.abs()))
}
