//! Plots against the number of rules.

use std::collections::BTreeMap;

use ringfence_testbed::lab::{Case, Contender, Mismatch};

use super::axis::Axis;
use super::chart::{Chart, Line, Panel, Point};
use crate::record::choice;
use crate::record::figures::{Figure, Figures, Question};
use crate::record::{Measurement, number, statistic};

/// Added costs below this are drawn on the lowest line.
const LEAST_ADDED_NS: f64 = 10.0;

/// What is on the axis of added costs.
const ADDED: &str = "added time for each packet";

/// What is on the axis of decisions.
const DECISION: &str = "time of a decision";

/// What the last rule adds to the cost of sending a packet.
pub fn send(figures: &Figures) -> Chart {
    let question = Question::new(Measurement::Send, "", statistic::MEDIAN);
    let panel = |mismatch, title: &str| {
        let lines = lines(|contender| of(figures.added(&question.last(mismatch), contender)));
        panel(title, ADDED, lines, LEAST_ADDED_NS, number::time_tick)
    };
    Chart {
        file: "send-cost.svg",
        title: "What a filter adds to each packet, by number of rules".to_owned(),
        note: format!(
            "Sending over veth through the router on one core, minus the same without a filter; the last rule matches, IPv4. \
             Both axes are logarithmic. Less than {} is drawn on the lowest line or just above: it is within the error.",
            number::time(LEAST_ADDED_NS)
        ),
        panels: [
            panel(Mismatch::Address, "rules differ in address"),
            panel(Mismatch::Port, "rules differ in port"),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
    .with_one_height(|values| Axis::log(ADDED, values, LEAST_ADDED_NS, number::time_tick))
}

/// A decision in the kernel.
pub fn decision(figures: &Figures) -> Chart {
    let panels = choice::DECISIONS.into_iter().filter_map(|decision| {
        let question = decision.question();
        let lines = lines(|contender| owned(figures.by_rules(&question, contender)));
        panel(decision.title, DECISION, lines, 1.0, number::time_tick)
    });
    Chart {
        file: "decision.svg",
        title: "A decision in the kernel, by number of rules".to_owned(),
        note: "BPF_PROG_TEST_RUN, parsing included. The empty programs are what such a run takes by itself. Both axes are logarithmic.".to_owned(),
        panels: panels.collect(),
    }
    .with_one_height(|values| Axis::log(DECISION, values, 1.0, number::time_tick))
}

/// Packets a second, let through and denied.
pub fn throughput(figures: &Figures) -> Chart {
    let rates =
        [(Measurement::LossFree, "let through without loss"), (Measurement::Drop, "denied")];
    Chart {
        file: "throughput.svg",
        title: "Packets a second, by number of rules".to_owned(),
        note: "Small packets through one queue. Both axes are logarithmic; more is better."
            .to_owned(),
        panels: rates
            .into_iter()
            .flat_map(|(measurement, title)| rate(figures, measurement, title, "packets"))
            .collect(),
    }
}

/// TCP.
pub fn connections(figures: &Figures) -> Chart {
    let streams = rate(figures, Measurement::Stream, "bulk data", "bits");
    let connects = rate(figures, Measurement::Connect, "new connections", "connections");
    Chart {
        file: "connections.svg",
        title: "TCP through the filter, by number of rules".to_owned(),
        note: "Both axes are logarithmic; more is better.".to_owned(),
        panels: streams.into_iter().chain(connects).collect(),
    }
}

/// Changes of policy.
pub fn change(figures: &Figures) -> Chart {
    let changes = [choice::ONE_CHANGE, choice::FULL_LOAD];
    let panels = changes.into_iter().filter_map(|change| {
        let lines = lines(|contender| owned(change.by_rules(figures, contender)));
        panel(change.title, "time of the change", lines, 100.0, number::time_tick)
    });
    Chart {
        file: "change.svg",
        title: "What a change of policy takes, by number of rules".to_owned(),
        note: "Where a tool is started for the change, the time of starting a process is taken off. Both axes are logarithmic.".to_owned(),
        panels: panels.collect(),
    }
}

/// Memory for each rule.
pub fn memory(figures: &Figures) -> Chart {
    let lines = lines(|contender| choice::memory_per_rule(figures, contender));
    Chart {
        file: "memory.svg",
        title: "Memory for each rule".to_owned(),
        note: "What rules add to the memory of kernel and process, by their number. Less than one byte is drawn on the lowest line. Both axes are logarithmic.".to_owned(),
        panels: panel("kernel and process", "memory for each rule", lines, 1.0, number::bytes_tick).into_iter().collect(),
    }
}

fn rate(figures: &Figures, measurement: Measurement, title: &str, unit: &str) -> Vec<Panel> {
    let variants = choice::variants(figures, measurement);
    let panel = |variant: &String| {
        let question = Question::new(measurement, variant, statistic::RATE);
        let lines = lines(|contender| owned(figures.by_rules(&question, contender)));
        let title =
            if variant.is_empty() { title.to_owned() } else { format!("{title}, {variant}") };
        panel(&title, unit_label(unit), lines, 1.0, number::rate_tick)
    };
    variants.iter().filter_map(panel).collect()
}

fn unit_label(unit: &str) -> String {
    format!("{unit} a second")
}

type ByRules = BTreeMap<usize, Figure>;

fn of(found: BTreeMap<usize, (Case, Figure)>) -> ByRules {
    found.into_iter().map(|(rules, (_, figure))| (rules, figure)).collect()
}

fn owned(found: BTreeMap<usize, (Case, &Figure)>) -> ByRules {
    found.into_iter().map(|(rules, (_, figure))| (rules, figure.clone())).collect()
}

/// A line for each contender of which there is a figure. A logarithm has no place for no rules, so
/// what does not filter is drawn level from the fewest rules to the most.
fn lines(by_rules: impl Fn(Contender) -> ByRules) -> Vec<Line> {
    let all: Vec<(Contender, ByRules)> =
        Contender::ALL.into_iter().map(|contender| (contender, by_rules(contender))).collect();
    let counts = || all.iter().flat_map(|(_, found)| found.keys()).filter(|rules| **rules > 0);
    let ends: Vec<usize> = counts().min().into_iter().chain(counts().max()).copied().collect();
    let line = |(contender, found): &(Contender, ByRules)| {
        let point = |rules: usize, figure: &Figure| Point {
            x: rules as f64,
            y: figure.value,
            range: figure.range(),
        };
        let with_rules = || found.iter().filter(|(rules, _)| **rules > 0);
        let points = match found.get(&0) {
            Some(level) if contender.is_control() && with_rules().next().is_none() => {
                ends.iter().map(|rules| point(*rules, level)).collect()
            }
            _ => with_rules().map(|(rules, figure)| point(*rules, figure)).collect(),
        };
        Line { contender: *contender, points }
    };
    all.iter().map(line).filter(|line| !line.points.is_empty()).collect()
}

fn panel(
    title: &str,
    label: impl Into<String>,
    lines: Vec<Line>,
    least: f64,
    write: impl Fn(f64) -> String,
) -> Option<Panel> {
    let points = || lines.iter().flat_map(|line| &line.points);
    points().next()?;
    let in_words = |rules: f64| number::rules(rules.round() as usize);
    let x = Axis::tight("rules", points().map(|point| point.x), in_words);
    let y = Axis::log(label, points().map(|point| point.y), least, write);
    Some(Panel { title: title.to_owned(), x, y, lines })
}
