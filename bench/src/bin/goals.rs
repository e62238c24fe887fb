//! Measures the goals of performance: `cargo xtask goals`.
#![deny(unsafe_code)]

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use ringfence_bench::goals::{self, Goal, Machine, Progress};
use ringfence_bench::kernel::MeasureError;
use serde::Serialize;

/// Measure the goals of performance on this machine
#[derive(Debug, Parser)]
#[command(name = "cargo xtask goals")]
struct Arguments {
    /// Goals to measure, with commas between them [default: all]
    #[arg(value_delimiter = ',', value_name = "GOAL")]
    goals: Vec<Goal>,
    /// Instead of measuring, count what can be counted: instructions, calls, memory
    #[arg(long, conflicts_with = "goals")]
    exact: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// A table, after the machine
    #[default]
    Table,
    /// An array of objects: goal, limit, measured, met, detail
    Json,
}

/// Exit code when a goal is missed.
const MISSED: u8 = 1;
/// Exit code when nothing could be measured.
const FAILED: u8 = 3;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let printed = if arguments.exact {
        goals::exact().and_then(|exact| match arguments.output {
            Output::Table => Ok((exact.text(), true)),
            Output::Json => Ok((as_json(&exact)?, true)),
        })
    } else {
        measured(arguments)
    };
    match printed {
        Ok((text, is_met)) => {
            print!("{text}");
            if is_met { ExitCode::SUCCESS } else { ExitCode::from(MISSED) }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// What is printed of the goals, and whether all are met.
fn measured(arguments: Arguments) -> Result<(String, bool), MeasureError> {
    let goals: BTreeSet<Goal> = if arguments.goals.is_empty() {
        Goal::ALL.into()
    } else {
        arguments.goals.into_iter().collect()
    };
    // Before the measurements make load of their own.
    let machine = Machine::this();
    let rows = goals::measure(&goals, &Bar::new())?;
    let text = match arguments.output {
        Output::Table => format!("{}\n{}", machine.lines(), goals::table(&rows)),
        Output::Json => as_json(&rows)?,
    };
    Ok((text, rows.iter().all(|row| row.met)))
}

fn as_json(value: &impl Serialize) -> Result<String, MeasureError> {
    let text = serde_json::to_string_pretty(value);
    Ok(text.map_err(MeasureError::refused("write JSON"))? + "\n")
}

/// Progress on a terminal; elsewhere a line for each part.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {msg}");
        let bar = ProgressBar::new(0);
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }
}

impl Progress for Bar {
    fn begin(&self, what: &str) {
        if std::io::stderr().is_terminal() {
            self.0.set_message(what.to_owned());
            self.step(0, 0);
        } else {
            eprintln!("{what}");
        }
    }

    fn step(&self, done: usize, all: usize) {
        self.0.set_length(all as u64);
        self.0.set_position(done as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
