//! The text of a record.
//!
//! Whoever reads it and nothing else can say what was measured, how, where it may mislead, and
//! repeat it. Every figure in it is computed from the record's samples.

mod agreement;
mod claims;
mod left_out;
mod method;
mod overview;
mod tables;

use comfy_table::{CellAlignment, Table, presets};

use super::figures::Figures;
use super::plot::Plot;
use super::{Measurement, Record};

/// The README of a record.
pub fn text(record: &Record, topic: &str, plots: &[Plot]) -> String {
    let figures = Figures::of(&record.samples);
    let mut page =
        Page::new(&format!("{topic}, {}, commit {}", record.run.date(), record.run.commit));
    overview::write(&mut page, record, &figures);
    claims::write(&mut page, &figures);
    tables::write(&mut page, &figures);
    write_plots(&mut page, plots);
    write_goals(&mut page, record);
    method::write(&mut page, record);
    agreement::write(&mut page, &figures);
    left_out::write(&mut page, record);
    write_files(&mut page, record);
    page.text
}

/// The table that a terminal shows at the end of a run, in Markdown: for pages that quote a record.
#[must_use]
pub fn main_table(record: &Record) -> String {
    let mut page = Page { text: String::new() };
    tables::write_front(&mut page, &Figures::of(&record.samples));
    page.text.trim_start().to_owned()
}

/// A page of Markdown.
struct Page {
    text: String,
}

impl Page {
    fn new(title: &str) -> Self {
        Self { text: format!("# {title}\n") }
    }

    fn section(&mut self, title: &str) {
        self.text.push_str(&format!("\n## {title}\n"));
    }

    fn part(&mut self, title: &str) {
        self.text.push_str(&format!("\n### {title}\n"));
    }

    fn paragraph(&mut self, text: &str) {
        self.text.push_str(&format!("\n{text}\n"));
    }

    fn list(&mut self, points: impl IntoIterator<Item = String>) {
        self.text.push('\n');
        for point in points {
            self.text.push_str(&format!("- {point}\n"));
        }
    }

    fn code(&mut self, language: &str, text: &str) {
        self.text.push_str(&format!("\n```{language}\n{}\n```\n", text.trim_end()));
    }

    /// A table whose columns after the first `left` are numbers.
    fn table(&mut self, heads: &[String], rows: &[Vec<String>], left: usize) {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let escaped = |cell: &String| cell.replace('|', "\\|");
        table.set_header(heads.iter().map(escaped));
        for row in rows {
            table.add_row(row.iter().map(escaped));
        }
        for column in table.column_iter_mut().skip(left) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        self.text.push('\n');
        for line in table.lines() {
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }
}

fn write_plots(page: &mut Page, plots: &[Plot]) {
    if plots.is_empty() {
        return;
    }
    page.section("Plots");
    for plot in plots {
        page.paragraph(&format!("![{}]({})", plot.title, plot.file));
    }
}

fn write_goals(page: &mut Page, record: &Record) {
    page.section("Goals");
    if record.goals.is_empty() {
        page.paragraph("No goal was measured in this run.");
        return;
    }
    let missed = record.goals.iter().filter(|goal| !goal.met).count();
    page.paragraph(&format!(
        "{} of {} are met. The figures are from the same run.",
        record.goals.len() - missed,
        record.goals.len()
    ));
    let heads = ["goal", "case", "to reach", "measured", "", "made of"].map(str::to_owned);
    let row = |goal: &super::GoalLine| {
        let unit = &goal.unit;
        vec![
            goal.goal.clone(),
            goal.case.clone(),
            format!("{} {} {unit}", goal.bound, super::number::digits(goal.limit)),
            format!("{} {unit}", super::number::digits(goal.measured)),
            if goal.met { "met".to_owned() } else { "**missed**".to_owned() },
            goal.reading.clone(),
        ]
    };
    page.table(&heads, &record.goals.iter().map(row).collect::<Vec<_>>(), 6);
}

fn write_files(page: &mut Page, record: &Record) {
    page.section("Files");
    let is_there = |measurement: &Measurement| {
        record.samples.iter().any(|sample| sample.measurement == *measurement)
    };
    let there = Measurement::ALL.into_iter().filter(is_there);
    let sheets = there.map(|measurement| {
        let (file, column) = (measurement.file(), measurement.column());
        format!("`{file}.csv`: {}; value in column `{column}`", method::what(measurement))
    });
    let others = [
        "`left-out.csv`: what was not measured, and why",
        "`goals.csv`: the goals",
        "`machine.txt`: the machine, the commit and the command",
        "`*.svg`: the plots, drawn from the CSV files alone",
    ];
    page.list(sheets.chain(others.map(str::to_owned)));
    page.paragraph("Each line of a measurement's file is one round. Its columns: `contender`; `rules`; `position` of the rule that matches; `mismatch`, why the others do not; `tracking`, what is known of the connection; `family`; `variant` and `statistic`, see above; `pass`; `round`; the value, with its unit in the column's name.");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Sample, plot, synthetic};

    fn page(record: &Record) -> String {
        text(record, "compare", &plot::draw(record).unwrap())
    }

    #[test]
    fn the_page_of_a_synthetic_record() {
        use ringfence_testbed::lab::Contender::{
            BareIptables, BareNftSet, EbpfTcx, EmptyTcx, None,
        };
        let mut record = synthetic::record();
        let shown = [None, EmptyTcx, EbpfTcx, BareIptables, BareNftSet];
        record.samples.retain(|sample| shown.contains(&sample.case.contender));
        // One case whose passes are too far apart.
        let of_pass = |sample: &&mut Sample| {
            let Sample { measurement, case, pass, .. } = **sample;
            (measurement, case.contender, case.rules, pass)
                == (Measurement::Drop, EbpfTcx, 1_000, 2)
        };
        record.samples.iter_mut().filter(of_pass).for_each(|sample| sample.value *= 0.5);
        insta::assert_snapshot!(page(&record));
    }

    #[test]
    fn what_was_not_measured_is_not_answered() {
        let mut record = synthetic::record();
        record.samples.clear();
        record.omissions.clear();
        record.goals.clear();
        let page = page(&record);
        let claims = page.split("\n## ").find(|part| part.starts_with("Claimed")).unwrap();
        let rows: Vec<&str> = claims.lines().filter(|line| line.starts_with('|')).skip(2).collect();
        assert!(rows.len() > 30, "{claims}");
        for row in rows {
            let verdict = row.trim_end_matches(['|', ' ', '*']);
            let is_open = verdict.ends_with("not measured") || row.contains("out of scope");
            assert!(is_open, "{row}");
        }
        assert!(page.contains("Nothing was measured in two passes"), "{page}");
        assert!(page.contains("No goal was measured in this run."), "{page}");
    }

    #[test]
    fn what_may_mislead_stands_on_top() {
        let mut record = synthetic::record();
        record.run.complete = false;
        record.run.tree = crate::record::Tree::Changed;
        record.machine.load = 0.8;
        let page = page(&record);
        let top: String = page.lines().take(12).collect::<Vec<_>>().join("\n");
        for word in ["**Partial:**", "**Busy:**", "**Changed:**"] {
            assert!(top.contains(word), "{word} in\n{top}");
        }
    }
}
