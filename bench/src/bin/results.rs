//! Reads records of measurements: `cargo xtask results`.
#![deny(unsafe_code)]

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use ringfence_bench::record::{self, Comparison, Record, RecordError};

/// Compare records of measurements, or draw one anew
#[derive(Debug, Parser)]
#[command(name = "cargo xtask results")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Compare two records, case by case; exit code 1 when any differs by more than both errors
    Compare {
        /// The folder of the first record
        first: PathBuf,
        /// The folder of the second record
        second: PathBuf,
        /// How to print
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
        /// Print also the cases that do not differ
        #[arg(long)]
        all: bool,
    },
    /// Print a record's main table in Markdown
    Table {
        /// The folder of the record
        record: PathBuf,
    },
    /// Write a record's plots and its README once more, from its CSV files
    Plot {
        /// The folder of the record
        record: PathBuf,
        /// The folder to make; a record is never changed
        #[arg(long, value_name = "FOLDER")]
        into: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// A table of what differs
    #[default]
    Table,
    /// An object: machines, doubts, cases, only_first, only_second
    Json,
}

/// Exit code when something differs.
const DIFFERENT: u8 = 1;
/// Exit code when a record cannot be read, or what is asked for is wrong.
const UNREADABLE: u8 = 2;

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Compare { first, second, output, all } => compare(&first, &second, output, all),
        Task::Table { record } => table(&record),
        Task::Plot { record, into } => plot(&record, &into),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {}", chain(&error));
        ExitCode::from(UNREADABLE)
    })
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum ResultsError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("`{}` and `{}` have no case in common", first.display(), second.display())]
    NothingInCommon { first: PathBuf, second: PathBuf },
    #[error("cannot make `{}`", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot write JSON")]
    Json(#[from] serde_json::Error),
}

fn compare(
    first: &Path,
    second: &Path,
    output: Output,
    all: bool,
) -> Result<ExitCode, ResultsError> {
    let comparison = record::compare(&Record::read(first)?, &Record::read(second)?);
    if comparison.cases.is_empty() {
        let (first, second) = (first.to_owned(), second.to_owned());
        return Err(ResultsError::NothingInCommon { first, second });
    }
    match output {
        Output::Table => print!("{}", record::comparison_table(&comparison, all)),
        Output::Json if all => println!("{}", serde_json::to_string_pretty(&comparison)?),
        Output::Json => {
            let cases = comparison.differences().cloned().collect();
            let shown = Comparison { cases, ..comparison.clone() };
            println!("{}", serde_json::to_string_pretty(&shown)?);
        }
    }
    let is_same = comparison.differences().next().is_none();
    Ok(if is_same { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

fn table(record: &Path) -> Result<ExitCode, ResultsError> {
    print!("{}", record::main_table(&Record::read(record)?));
    Ok(ExitCode::SUCCESS)
}

fn plot(record: &Path, into: &Path) -> Result<ExitCode, ResultsError> {
    let read = Record::read(record)?;
    let failed = |source| ResultsError::Folder { path: into.to_owned(), source };
    // An existing folder is refused: it might be a record.
    fs::create_dir(into).map_err(failed)?;
    read.write_into(into, &topic(record, &read))?;
    println!("{}", into.display());
    Ok(ExitCode::SUCCESS)
}

/// The topic in a record's name, `<date>-<commit>-<topic>`; else the whole name.
fn topic(folder: &Path, record: &Record) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let start = format!("{}-{}-", record.run.date(), record.run.commit);
    name.strip_prefix(&start).unwrap_or(&name).trim_end_matches("-partial").to_owned()
}

/// An error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
