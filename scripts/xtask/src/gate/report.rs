//! What came of a comparison, for people, for a page of CI, and for programs.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::row::{Row, Verdict};

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines
    #[default]
    Text,
    /// A page, for the summary of a CI job
    Markdown,
    /// One object
    Json,
}

/// All that was compared.
#[derive(Debug)]
pub struct Report {
    /// What base is called, and the number of its tree.
    pub base: [String; 2],
    /// The same of head.
    pub head: [String; 2],
    /// The machine, as head's probe describes it.
    pub machine: Value,
    /// What was counted and timed.
    pub rows: Vec<Row>,
    /// What could not be, and why.
    pub missing: Vec<String>,
}

/// What of the machine decides about figures.
const MACHINE: [&str; 6] = ["processor", "cores", "kernel", "jit", "load", "mitigations"];

/// How a comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is worse.
    Passed,
    /// Something is.
    Regression,
    /// Nothing that was measured is, but not all was.
    Incomplete,
}

impl End {
    /// The exit code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Regression => 1,
            Self::Incomplete => 3,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Regression => "regression",
            Self::Incomplete => "incomplete",
        }
    }
}

impl Report {
    /// How it ended.
    pub fn end(&self) -> End {
        if self.worse().next().is_some() {
            End::Regression
        } else if self.missing.is_empty() {
            End::Passed
        } else {
            End::Incomplete
        }
    }

    /// The report.
    pub fn print(&self, output: Output) -> String {
        match output {
            Output::Text => self.text(),
            Output::Markdown => self.markdown(),
            Output::Json => format!("{:#}\n", self.json()),
        }
    }

    fn worse(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.verdict == Verdict::Worse)
    }

    /// What is to be read first: how it ended, and why.
    pub fn findings(&self) -> Vec<String> {
        let mut said: Vec<String> = self.worse().map(Row::cause).collect();
        said.extend(self.missing.iter().map(|missing| format!("not measured: {missing}")));
        said
    }

    fn machine(&self) -> String {
        let say = |name: &&str| match &self.machine[*name] {
            Value::String(text) => Some(format!("{name} {text}")),
            Value::Number(number) => Some(format!("{name} {number}")),
            _ => None,
        };
        let told: Vec<String> = MACHINE.iter().filter_map(say).collect();
        if told.is_empty() { "machine unknown".to_owned() } else { told.join(" · ") }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "base  {} ({})\nhead  {} ({})\n{}\n\n",
            self.base[0],
            self.base[1],
            self.head[0],
            self.head[1],
            self.machine(),
        );
        for row in &self.rows {
            let name = format!("{} of {}", row.what, row.of);
            let (base, head) = (row.number(row.base), row.number(row.head));
            let (change, word) = (row.percent().unwrap_or_default(), row.verdict.word());
            _ = writeln!(text, "{name:74} {base:>14} {head:>14} {change:>9}  {word}");
        }
        _ = writeln!(text, "\n{}", self.end().word());
        for finding in self.findings() {
            _ = writeln!(text, "  {finding}");
        }
        text
    }

    fn markdown(&self) -> String {
        let [base, base_tree] = &self.base;
        let [head, head_tree] = &self.head;
        let mut text = format!(
            "## Performance gate: {}\n\n`{base}` (tree `{base_tree}`) → `{head}` (tree \
             `{head_tree}`)\n\n{}\n\n",
            self.end().word(),
            self.machine(),
        );
        for finding in self.findings() {
            _ = writeln!(text, "- **{finding}**");
        }
        let (said, quiet): (Vec<&Row>, Vec<&Row>) =
            self.rows.iter().partition(|row| row.verdict != Verdict::Same);
        text.push('\n');
        text.push_str(&table(&said));
        _ = writeln!(text, "\n<details><summary>{} figures are the same</summary>\n", quiet.len());
        text.push_str(&table(&quiet));
        text.push_str("\n</details>\n");
        text
    }

    fn json(&self) -> Value {
        let side = |[name, tree]: &[String; 2]| json!({ "revision": name, "tree": tree });
        json!({
            "verdict": self.end().word(),
            "findings": self.findings(),
            "base": side(&self.base),
            "head": side(&self.head),
            "machine": self.machine,
            "missing": self.missing,
            "rows": self.rows.iter().map(Row::json).collect::<Vec<Value>>(),
        })
    }
}

/// Rows as a table of Markdown; nothing if there are none.
fn table(rows: &[&Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "| figure | base | head | change | allowed | verdict |\n| --- | ---: | ---: | ---: | ---: | --- |\n",
    );
    for row in rows {
        let (base, head) = (row.number(row.base), row.number(row.head));
        let (change, allowed) = (row.percent().unwrap_or_default(), row.allowed * 100.0);
        let (what, of, word) = (&row.what, &row.of, row.verdict.word());
        // Types in the names of functions have the bars that end cells.
        let of = format!("{what} of {of}").replace('|', "\\|");
        _ = writeln!(text, "| {of} | {base} | {head} | {change} | +{allowed:.0} % | {word} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdicts: &[Verdict], missing: &[&str]) -> Report {
        let row = |verdict: &Verdict| Row {
            what: "helper calls".to_owned(),
            of: "IPv4 established, XDP".to_owned(),
            unit: "",
            base: Some(0.0),
            head: Some(if *verdict == Verdict::Worse { 1.0 } else { 0.0 }),
            change: None,
            allowed: 0.0,
            verdict: *verdict,
            note: String::new(),
        };
        Report {
            base: ["main".to_owned(), "aaaa".to_owned()],
            head: ["working tree".to_owned(), "bbbb".to_owned()],
            machine: json!({ "processor": "a processor", "kernel": "6.18", "load": 0.5 }),
            rows: verdicts.iter().map(row).collect(),
            missing: missing.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    #[test]
    fn a_regression_counts_for_more_than_what_is_missing() {
        use Verdict::{Allowed, Better, NotJudged, OnlyOne, Same, Worse};
        let fine = [Allowed, Better, NotJudged, OnlyOne, Same];
        assert_eq!(report(&fine, &[]).end().code(), 0);
        assert_eq!(report(&fine, &["root"]).end().code(), 3);
        assert_eq!(report(&[Same, Worse], &[]).end().code(), 1);
        assert_eq!(report(&[Same, Worse], &["root"]).end().code(), 1);
    }

    #[test]
    fn every_form_names_the_cause_what_is_missing_and_the_machine() {
        let report = report(&[Verdict::Same, Verdict::Worse], &["valgrind is not installed"]);
        for output in [Output::Text, Output::Markdown, Output::Json] {
            let text = report.print(output);
            for said in [
                "helper calls of IPv4 established, XDP: 0 → 1",
                "not measured: valgrind is not installed",
                "a processor",
                "0.5",
                "regression",
                "bbbb",
            ] {
                assert!(text.contains(said), "{output:?}: {text}");
            }
        }
        let markdown = report.print(Output::Markdown);
        assert!(markdown.contains("| 0 | 1 |  | +0 % | REGRESSION |"), "{markdown}");
        assert!(markdown.contains("1 figures are the same"));
    }
}
