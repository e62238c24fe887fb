//! The figures of all contenders.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_testbed::lab::{Case, Contender, Family, Mismatch, Position, Tracking};

use super::Page;
use crate::record::figures::{Figure, Figures, Question};
use crate::record::{Measurement, choice, number, statistic, summary, variant};

/// Writes all tables for which there are figures.
pub fn write(page: &mut Page, figures: &Figures) {
    page.section("Figures");
    page.paragraph("IPv4, the last rule matches, unless said otherwise. Each figure is the mean of the passes' medians. An asterisk marks passes that do not agree within the stated error. A dash was not measured; *Left out* says why. *Bare* is a chain or a set and nothing else; the others track connections, refuse what is spoofed or malformed, and report.");
    write_main(page, figures);
    for mismatch in [Mismatch::Address, Mismatch::Port] {
        let question = Question::new(Measurement::Send, "", statistic::MEDIAN).last(mismatch);
        let title = format!(
            "Added to each packet by the last rule, rules differ in {}",
            choice::differ_in(mismatch)
        );
        let found = |contender| owned_case(figures.added(&question, contender));
        let mut filters = Contender::ALL.into_iter().filter(|contender| !contender.is_control());
        if filters.all(|contender| found(contender).is_empty()) {
            continue;
        }
        by_rules(page, &title, Measurement::Send, statistic::ADDED, found);
    }
    write_circumstances(page, figures);
    for decision in choice::DECISIONS {
        let question = decision.question();
        let title = format!("A decision in the kernel: {}", decision.title);
        let found = |contender| owned(figures.by_rules(&question, contender));
        by_rules(page, &title, Measurement::Decision, statistic::MEDIAN, found);
    }
    for (statistic, who) in
        [(statistic::P50, "half of them"), (statistic::P99, "the slowest of a hundred")]
    {
        write_round_trips(page, figures, statistic, who);
    }
    for (change, what) in [
        (choice::ONE_CHANGE, "less the start of a tool's process"),
        (choice::FULL_LOAD, "a tool's process included"),
    ] {
        let title = format!("{}, {what}", capital(change.title));
        let found = |contender| owned(change.by_rules(figures, contender));
        by_rules(page, &title, Measurement::Change, statistic::CALL, found);
    }
    let question = Question::new(Measurement::Change, variant::ONE_RULE, statistic::VISIBLE);
    let found = |contender| owned(figures.by_rules(&question, contender));
    let title = "One rule changed, from the call to the first packet that obeys";
    by_rules(page, title, Measurement::Change, statistic::VISIBLE, found);
    write_rates(page, figures);
    let found = |contender| choice::memory_per_rule(figures, contender);
    by_rules(page, "Memory for each rule", Measurement::Memory, statistic::KERNEL, found);
    write_disturbance(page, figures);
}

/// The table that a terminal shows at the end of a run, and some more columns.
fn write_main(page: &mut Page, figures: &Figures) {
    let columns = summary::columns(figures, true);
    if columns.is_empty() {
        return;
    }
    page.part("In short");
    page.paragraph("×: how many times the figure of eBPF at tcx; ≥: how many times its error, where no more is known of it; none where the figure is within its own error. One rule changed: less the start of a tool's process.");
    write_columns(page, &columns);
}

/// The same columns as in a terminal.
pub fn write_front(page: &mut Page, figures: &Figures) {
    write_columns(page, &summary::columns(figures, false));
}

fn write_columns(page: &mut Page, columns: &[summary::Column]) {
    let heads = columns.iter().map(|column| column.head.replace('\n', ", "));
    let heads: Vec<String> = std::iter::once("contender".to_owned()).chain(heads).collect();
    let rows = summary::rows(columns).into_iter();
    let row = |(contender, cells): (Contender, Vec<String>)| {
        std::iter::once(contender.title().to_owned()).chain(cells).collect()
    };
    page.table(&heads, &rows.map(row).collect::<Vec<_>>(), 1);
}

type ByRules = BTreeMap<usize, Figure>;

fn owned(found: BTreeMap<usize, (Case, &Figure)>) -> ByRules {
    found.into_iter().map(|(rules, (_, figure))| (rules, figure.clone())).collect()
}

fn owned_case(found: BTreeMap<usize, (Case, Figure)>) -> ByRules {
    found.into_iter().map(|(rules, (_, figure))| (rules, figure)).collect()
}

/// A table with a column for each number of rules.
fn by_rules(
    page: &mut Page,
    title: &str,
    measurement: Measurement,
    statistic: &str,
    found: impl Fn(Contender) -> ByRules,
) {
    let all: Vec<(Contender, ByRules)> =
        Contender::ALL.into_iter().map(|contender| (contender, found(contender))).collect();
    let counts: BTreeSet<usize> = all.iter().flat_map(|(_, found)| found.keys().copied()).collect();
    let columns = counts.iter().map(|count| match count {
        0 => "no rules".to_owned(),
        _ => format!("{} rules", number::rules(*count)),
    });
    let rows = all.iter().map(|(contender, found)| {
        let cells = counts.iter().map(|count| cell(measurement, statistic, found.get(count)));
        (*contender, cells.collect())
    });
    contenders(page, title, columns.collect(), rows.collect());
}

/// A table with a row for each contender that has a figure.
fn contenders(
    page: &mut Page,
    title: &str,
    columns: Vec<String>,
    rows: Vec<(Contender, Vec<String>)>,
) {
    let has_figure = |cells: &[String]| cells.iter().any(|cell| cell != choice::BLANK);
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .filter(|(_, cells)| has_figure(cells))
        .map(|(contender, cells)| {
            std::iter::once(contender.title().to_owned()).chain(cells).collect()
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    page.part(title);
    let heads: Vec<String> = std::iter::once("contender".to_owned()).chain(columns).collect();
    page.table(&heads, &rows, 1);
}

fn cell(measurement: Measurement, statistic: &str, figure: Option<&Figure>) -> String {
    let Some(figure) = figure else { return choice::BLANK.to_owned() };
    let doubt = if figure.agrees() { "" } else { "\\*" };
    format!("{}{doubt}", number::in_unit(measurement, statistic, figure.value))
}

/// What other positions, families and knowledge of connections change.
fn write_circumstances(page: &mut Page, figures: &Figures) {
    let Some(rules) = choice::shown_rules(figures, Measurement::Send) else { return };
    let usual = Question::new(Measurement::Send, "", statistic::MEDIAN).last(Mismatch::Address);
    let columns: [(&str, Question<'_>); 6] = [
        ("first rule", Question { position: Some(Position::First), ..usual }),
        ("middle rule", Question { position: Some(Position::Middle), ..usual }),
        ("last rule", usual),
        ("known connection", Question { tracking: Some(Tracking::Established), ..usual }),
        ("IPv6", Question { family: Family::V6, ..usual }),
        ("denied (whole, not added)", Question { position: Some(Position::None), ..usual }),
    ];
    let row = |contender: Contender| {
        let cells = columns.iter().map(|(_, question)| {
            let figure = match question.position {
                Some(Position::None) => {
                    figures.at(question, contender, rules).map(|(_, figure)| figure.clone())
                }
                _ => figures.added(question, contender).remove(&rules).map(|(_, figure)| figure),
            };
            cell(Measurement::Send, statistic::ADDED, figure.as_ref())
        });
        (contender, cells.collect())
    };
    let title = format!("Added to each packet at {} rules, by circumstances", number::rules(rules));
    let heads = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    contenders(page, &title, heads, Contender::ALL.into_iter().map(row).collect());
}

fn write_round_trips(page: &mut Page, figures: &Figures, statistic: &str, who: &str) {
    let Some(rules) = choice::shown_rules(figures, Measurement::RoundTrip) else { return };
    let loads = [variant::LOADS.as_slice(), &[variant::FIRST_PACKET]].concat();
    let figure = |load: &str, contender| {
        let question = Question::new(Measurement::RoundTrip, load, statistic);
        choice::at_rules(figures, &question, contender, rules)
    };
    let is_there =
        |load: &&str| Contender::ALL.iter().any(|contender| figure(load, *contender).is_some());
    let loads: Vec<&str> = loads.into_iter().filter(is_there).collect();
    let row = |contender| {
        let cells = loads
            .iter()
            .map(|load| cell(Measurement::RoundTrip, statistic, figure(load, contender)));
        (contender, cells.collect())
    };
    let title = format!("Round trips at {} rules, {statistic}: {who}", number::rules(rules));
    let heads = loads.iter().map(|load| (*load).to_owned()).collect();
    contenders(page, &title, heads, Contender::ALL.into_iter().map(row).collect());
}

fn write_rates(page: &mut Page, figures: &Figures) {
    let rates = [
        (Measurement::LossFree, "Packets let through without loss"),
        (Measurement::Drop, "Packets denied"),
        (Measurement::Stream, "TCP, bulk data"),
        (Measurement::Connect, "TCP connections"),
    ];
    for (measurement, title) in rates {
        for variant in choice::variants(figures, measurement) {
            let question = Question::new(measurement, &variant, statistic::RATE);
            let comma = if variant.is_empty() { "" } else { ", " };
            let found = |contender| owned(figures.by_rules(&question, contender));
            let title = format!("{title}{comma}{variant}");
            by_rules(page, &title, measurement, statistic::RATE, found);
        }
    }
    for variant in choice::variants(figures, Measurement::Cpu) {
        let question = Question::new(Measurement::Cpu, &variant, statistic::MEDIAN);
        let found = |contender| owned(figures.by_rules(&question, contender));
        by_rules(
            page,
            "Time of all cores for each packet",
            Measurement::Cpu,
            statistic::MEDIAN,
            found,
        );
    }
}

/// What became of packets while one rule was changed over and over.
fn write_disturbance(page: &mut Page, figures: &Figures) {
    let Some(rules) = choice::shown_rules(figures, Measurement::Disturbance) else { return };
    let statistics = [statistic::SENT, statistic::LOST, statistic::WRONG];
    for variant in choice::variants(figures, Measurement::Disturbance) {
        let row = |contender| {
            let cells = statistics.iter().map(|statistic| {
                let question = Question::new(Measurement::Disturbance, &variant, statistic);
                let found = figures.at(&question, contender, rules);
                cell(Measurement::Disturbance, statistic, found.map(|(_, figure)| figure))
            });
            (contender, cells.collect())
        };
        let title = format!(
            "Packets while policy changes over and over, {} rules: {variant}",
            number::rules(rules)
        );
        let heads = statistics.map(str::to_owned).into();
        contenders(page, &title, heads, Contender::ALL.into_iter().map(row).collect());
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}
