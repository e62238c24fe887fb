//! Measures the goals of performance: `cargo xtask goals`.
#![deny(unsafe_code)]

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use ringfence_bench::goals::{self, Goal, Machine, Progress};

/// Measure the goals of performance on this machine
#[derive(Debug, Parser)]
#[command(name = "cargo xtask goals")]
struct Arguments {
    /// Goals to measure, with commas between them [default: all]
    #[arg(value_delimiter = ',', value_name = "GOAL")]
    goals: Vec<Goal>,
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
    let goals: BTreeSet<Goal> = if arguments.goals.is_empty() {
        Goal::ALL.into()
    } else {
        arguments.goals.into_iter().collect()
    };
    let machine = Machine::this();
    let rows = match goals::measure(&goals, &Bar::new()) {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(FAILED);
        }
    };
    match arguments.output {
        Output::Table => print!("{}\n{}", machine.lines(), goals::table(&rows)),
        Output::Json => match goals::json(&rows) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(FAILED);
            }
        },
    }
    if rows.iter().all(|row| row.met) { ExitCode::SUCCESS } else { ExitCode::from(MISSED) }
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
