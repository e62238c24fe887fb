//! What a terminal shows at the end of a run.

use comfy_table::{CellAlignment, Table, presets};
use ringfence_testbed::lab::{Case, Contender, Mismatch};

use super::figures::{Figure, Figures, Question};
use super::{Measurement, Record, choice, number, statistic, variant};

/// The contender with which the others are compared.
const OURS: Contender = Contender::EbpfTcx;
/// How long a line of a table may be.
const LINE: usize = 100;
/// Spaces about a column.
const GAP: usize = 2;

/// A table of contenders and what was measured of each, with how many times it is what eBPF takes.
/// What was not measured is a dash, and why is said below.
#[must_use]
pub fn summary(record: &Record) -> String {
    let figures = Figures::of(&record.samples);
    let columns = columns(&figures, false);
    let mut text = String::new();
    if !record.run.complete {
        text.push_str("Partial: the run was stopped; these are the figures until then.\n\n");
    }
    if record.machine.is_busy() {
        let load = record.machine.load;
        text.push_str(&format!(
            "Busy: load {load} before the first measurement; figures may be too high.\n\n"
        ));
    }
    for block in blocks(&columns) {
        text.push_str(&table(block));
        text.push('\n');
    }
    for note in notes(record) {
        text.push_str(&note);
        text.push('\n');
    }
    text
}

/// The columns that stand beside each other, as many as a line has room for.
fn blocks(columns: &[Column]) -> Vec<&[Column]> {
    let names = Contender::ALL.iter().map(|contender| contender.title().len()).max();
    let names = names.unwrap_or_default() + GAP;
    let (mut blocks, mut from, mut taken) = (Vec::new(), 0, names);
    for (place, column) in columns.iter().enumerate() {
        let width = column.width() + GAP;
        if place > from && taken + width > LINE {
            blocks.push(&columns[from..place]);
            (from, taken) = (place, names);
        }
        taken += width;
    }
    blocks.push(&columns[from..]);
    blocks
}

/// Columns of contenders beside each other.
fn table(columns: &[Column]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let heads = columns.iter().map(|column| column.head.clone());
    table.set_header(std::iter::once(String::new()).chain(heads));
    for (contender, cells) in rows(columns) {
        table.add_row(std::iter::once(contender.title().to_owned()).chain(cells));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// What the columns say of each contender of which they say anything.
pub fn rows(columns: &[Column]) -> Vec<(Contender, Vec<String>)> {
    let row = |contender| {
        let cells: Vec<String> = columns.iter().map(|column| column.cell(contender)).collect();
        (contender, cells)
    };
    let is_empty = |cells: &[String]| cells.iter().all(|cell| cell == choice::BLANK);
    Contender::ALL.into_iter().map(row).filter(|(_, cells)| !is_empty(cells)).collect()
}

/// One column: a figure of each contender.
#[derive(Debug)]
pub struct Column {
    /// What it is, in lines.
    pub head: String,
    figures: Vec<(Contender, Figure)>,
    measurement: Measurement,
    statistic: String,
}

impl Column {
    fn width(&self) -> usize {
        let heads = self.head.lines().map(|line| line.chars().count());
        let cells = Contender::ALL.map(|contender| self.cell(contender).chars().count());
        heads.chain(cells).max().unwrap_or_default()
    }

    fn cell(&self, contender: Contender) -> String {
        let of = |asked: Contender| {
            self.figures.iter().find(|(found, _)| *found == asked).map(|(_, figure)| figure)
        };
        let Some(figure) = of(contender) else { return choice::BLANK.to_owned() };
        let value = match self.statistic.as_str() {
            statistic::RATE => number::rate_short(figure.value),
            statistic => number::in_unit(self.measurement, statistic, figure.value),
        };
        if contender == OURS {
            return value;
        }
        match of(OURS).and_then(|ours| self.times(figure, ours)) {
            Some(times) => format!("{value} {times}"),
            None => value,
        }
    }

    /// How many times it is ours; at least so many times where ours is no more than its error, and
    /// nothing where it is no more than its own.
    fn times(&self, figure: &Figure, ours: &Figure) -> Option<String> {
        let is_known = |figure: &Figure| figure.value > figure.stated.absolute;
        if !is_known(figure) {
            return None;
        }
        if is_known(ours) {
            return Some(number::factor(figure.value / ours.value));
        }
        Some(format!("≥{}", number::factor(figure.value / ours.stated.absolute)))
    }
}

/// The columns for which there are figures: those that fit a terminal, or, with `all`, some more.
pub fn columns(figures: &Figures, all: bool) -> Vec<Column> {
    let mut columns = added(figures);
    // With and without in turns: the clock's speed, which changes, is not in it.
    let question = Question::new(Measurement::RoundTrip, variant::UNLOADED, statistic::ADDED_P50);
    columns.extend(shown(figures, &question, "added to a round trip", "p50"));
    let rates = [(Measurement::LossFree, "without loss"), (Measurement::Drop, "denied")];
    for (measurement, title) in if all { &rates[..] } else { &rates[..1] } {
        let variant = choice::variants(figures, *measurement).into_iter().next();
        let variant = variant.unwrap_or_default();
        let question = Question::new(*measurement, &variant, statistic::RATE);
        columns.extend(shown(figures, &question, title, &variant));
    }
    for change in [choice::ONE_CHANGE, choice::FULL_LOAD] {
        let Some(rules) = choice::shown_rules(figures, Measurement::Change) else { continue };
        let took = |contender| {
            let found = change.by_rules(figures, contender);
            found.get(&rules).map(|(_, figure)| (*figure).clone())
        };
        let head = format!("{}\n{} rules", change.title, number::rules(rules));
        columns.push(column(head, Measurement::Change, statistic::CALL, took));
    }
    columns.retain(|column| column.figures.iter().any(|(contender, _)| !contender.is_control()));
    columns
}

/// What the last rule adds to a packet, at the numbers of rules of which the essays speak, or else
/// at the most there are.
fn added(figures: &Figures) -> Vec<Column> {
    let there = figures.rules(Measurement::Send);
    let essays = there.iter().copied().filter(|rules| matches!(rules, 1_000 | 10_000));
    let mut counts: Vec<usize> = essays.collect();
    if counts.is_empty() {
        counts.extend(there.last());
    }
    let cases = counts
        .into_iter()
        .flat_map(|rules| [Mismatch::Address, Mismatch::Port].map(|mismatch| (rules, mismatch)));
    let column = |(rules, mismatch)| {
        let question = Question::new(Measurement::Send, "", statistic::MEDIAN).last(mismatch);
        let added = |contender| at(figures.added(&question, contender), contender, rules);
        let differ = choice::differ_in(mismatch);
        let head = format!("added by last\nof {} rules\n{differ}", number::rules(rules));
        column(head, Measurement::Send, statistic::ADDED, added)
    };
    cases.map(column).collect()
}

/// The figures that answer a question, at the one number of rules that is shown.
fn shown(figures: &Figures, question: &Question<'_>, title: &str, which: &str) -> Option<Column> {
    let rules = choice::shown_rules(figures, question.measurement)?;
    let head = format!("{title}\n{} rules\n{which}", number::rules(rules));
    let figure = |contender| choice::at_rules(figures, question, contender, rules).cloned();
    let head = head.trim_end().to_owned();
    Some(column(head, question.measurement, question.statistic, figure))
}

fn at(
    mut found: std::collections::BTreeMap<usize, (Case, Figure)>,
    contender: Contender,
    rules: usize,
) -> Option<Figure> {
    let figure = found.remove(&rules).map(|(_, figure)| figure);
    let any = found.pop_last().map(|(_, (_, figure))| figure);
    if contender.is_control() { figure.or(any) } else { figure }
}

fn column(
    head: String,
    measurement: Measurement,
    statistic: &str,
    figure: impl Fn(Contender) -> Option<Figure>,
) -> Column {
    let of = |contender| figure(contender).map(|figure| (contender, figure));
    let figures = Contender::ALL.into_iter().filter_map(of).collect();
    Column { head, figures, measurement, statistic: statistic.to_owned() }
}

fn notes(record: &Record) -> Vec<String> {
    let mut notes = vec![
        format!("×: how many times the figure of {OURS} (≥: of its error, where that is all that is known of it); none where the figure is within its own error."),
        "Added: what a packet, or a round trip, takes more than without a filter; IPv4, rules differ in address or in port.".to_owned(),
        "Bare: a chain or a set and nothing else. The others track connections, refuse what is spoofed, and report.".to_owned(),
        "One rule changed: without the time of starting a tool's process.".to_owned(),
    ];
    for why in choice::left_out(&record.omissions) {
        notes.push(format!("{} not measured: {why}", choice::BLANK));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::synthetic;

    #[test]
    fn every_contender_is_compared_with_ours() {
        let text = summary(&synthetic::record());
        let line = |title: &str| {
            let found = text.lines().find(|line| line.trim_start().starts_with(title));
            found.unwrap_or_else(|| panic!("{title} is not in\n{text}")).to_owned()
        };
        for contender in Contender::ALL {
            line(contender.title());
        }
        // By formula 6 ns for each of 10,000 rules and 100 ns, beside 80 ns.
        let chain = line("bare iptables chain");
        assert!(chain.contains("60.4 µs ×751"), "{chain}");
        assert!(line("eBPF, tcx").matches('×').count() == 0, "{text}");
        let mut tables = text.lines().take_while(|line| !line.starts_with('×'));
        assert!(tables.all(|line| line.chars().count() <= LINE), "{text}");
        assert!(text.contains("not measured: bare iptables chain"), "{text}");
        assert!(!text.contains("Partial") && !text.contains("Busy"), "{text}");
    }

    #[test]
    fn a_stopped_run_and_a_busy_machine_are_said_first() {
        let mut record = synthetic::record();
        record.run.complete = false;
        record.machine.load = 2.0;
        let text = summary(&record);
        assert!(text.starts_with("Partial: "), "{text}");
        assert!(text.contains("Busy: load 2 before"), "{text}");
    }

    #[test]
    fn what_is_within_its_error_has_no_factor() {
        let mut record = synthetic::record();
        record.samples.retain(|sample| sample.measurement == Measurement::Send);
        let ours = record.samples.iter_mut().filter(|sample| sample.case.contender == OURS);
        ours.filter(|sample| sample.statistic == statistic::ADDED).for_each(|s| s.value = 20.0);
        let text = summary(&record);
        let chain = text.lines().find(|line| line.contains("bare iptables chain")).unwrap();
        // 60.4 µs beside an error of 40 ns.
        assert!(chain.contains("60.4 µs ≥×1,510"), "{chain}");
        let empty = text.lines().find(|line| line.contains("empty program, tcx")).unwrap();
        assert!(empty.contains("30.") && !empty.contains('×'), "{empty}");
    }
}
