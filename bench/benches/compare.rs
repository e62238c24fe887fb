//! What one would gain over iptables, ipset and nftables on this machine: `cargo bench`.
#![deny(unsafe_code)]

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use ringfence_bench::goals::{self, Goal, Row};
use ringfence_bench::kernel::MeasureError;
use ringfence_bench::machine::Machine;
use ringfence_bench::plan::{self, Form, Results, Watch};
use ringfence_bench::record::{self, GoalLine, Record, RecordError, Run, Running};
use ringfence_testbed::interrupt::on_interrupt;

/// Compare Ringfence with iptables, ipset and nftables on this machine
///
/// Everything happens between network namespaces that end with the command; nothing of the host is
/// touched. Takes root.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --")]
struct Arguments {
    /// Measure everything, which takes most of an hour, instead of what fits a coffee break
    #[arg(long, conflicts_with = "smoke")]
    full: bool,
    /// Only try whether everything works: ten rules, a moment each
    #[arg(long)]
    smoke: bool,
    /// The folder in which the record is made [default: `results`; of a trial nothing is kept]
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// What cargo tells every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// Where records are made.
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../results");

/// The last part of a record's name.
const TOPIC: &str = "compare";

/// Exit code when nothing could be measured.
const FAILED: u8 = 3;
/// Added to a signal's number to make the exit code, as shells do.
const SIGNAL_BASE: u8 = 128;
const SIGINT: u8 = 2;

/// How often what was measured so far is written down.
const KEPT_EVERY: Duration = Duration::from_secs(30);

static IS_OVER: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // `cargo test` runs benchmarks too, without this word: then it is enough that they work.
    let form = match (arguments.full, arguments.smoke || !arguments.bench) {
        (true, _) => Form::Full,
        (false, true) => Form::Smoke,
        (false, false) => Form::Short,
    };
    match compare(form, arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("cannot make a temporary folder")]
    Temporary(#[source] std::io::Error),
    #[error("cannot wait for Ctrl-C")]
    Signals(#[source] std::io::Error),
}

fn compare(form: Form, arguments: Arguments) -> Result<ExitCode, CompareError> {
    on_interrupt(|signal| {
        if IS_OVER.swap(true, Ordering::Relaxed) {
            // All that was made belongs to this process and ends with it.
            std::process::exit(i32::from(SIGNAL_BASE) + signal as i32);
        }
        eprintln!("\ninterrupted: what was measured is kept; once more ends it at once");
    })
    .map_err(CompareError::Signals)?;
    // Before the measurements make load of their own.
    let machine = Machine::this();
    println!("{}", machine.lines());
    for warning in machine.warnings() {
        println!("{warning}");
    }
    let command = match form {
        Form::Full => "cargo bench -- --full",
        Form::Short => "cargo bench",
        Form::Smoke => "cargo bench -- --smoke",
    };
    let not_kept = match (&arguments.into, form) {
        (None, Form::Smoke) => Some(tempfile::tempdir().map_err(CompareError::Temporary)?),
        _ => None,
    };
    let into = match (&not_kept, arguments.into) {
        (Some(folder), _) => folder.path().to_owned(),
        (None, into) => into.unwrap_or_else(|| RESULTS.into()),
    };
    let keeper = Keeper::new(machine, Run::begin(command), into);
    let mut results = plan::run(form, &keeper)?;
    let mut rows = plan::goal_rows(&results);
    if form == Form::Full && !keeper.is_over() {
        let rest = Goal::ALL.into_iter().filter(|goal| rows.iter().all(|row| row.goal != *goal));
        match goals::measure(&rest.collect(), &keeper) {
            Ok(more) => rows.extend(more),
            Err(error) => eprintln!("the other goals: {error}"),
        }
        rows.sort_by_key(|row| row.goal);
    }
    results.complete &= !keeper.is_over();
    let is_complete = results.complete;
    let unmeasured = plan::unmeasured(form, &results);
    let (record, place) = keeper.finish(results, &rows)?;
    print!("\n{}", record::summary(&record));
    if not_kept.is_none() {
        println!("\nrecord: {}", tidy(&place).display());
    }
    if !is_complete {
        return Ok(ExitCode::from(SIGNAL_BASE + SIGINT));
    }
    for what in &unmeasured {
        eprintln!("error: of nobody could be measured: {}", what.file());
    }
    Ok(if unmeasured.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The path as people write it.
fn tidy(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Shows progress, and writes down from time to time what there is.
struct Keeper {
    bar: ProgressBar,
    machine: Machine,
    running: Running,
    into: PathBuf,
    kept: Mutex<Kept>,
}

/// What was written down last.
struct Kept {
    place: Option<PathBuf>,
    at: Instant,
}

impl Keeper {
    fn new(machine: Machine, running: Running, into: PathBuf) -> Self {
        let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {msg}");
        let bar = ProgressBar::new(0);
        let bar = match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        let kept = Mutex::new(Kept { place: None, at: Instant::now() });
        Self { bar, machine, running, into, kept }
    }

    fn record(&self, results: &Results, rows: &[Row]) -> Record {
        let run = if results.complete { self.running.end() } else { self.running.so_far() };
        Record {
            machine: self.machine.clone(),
            run,
            samples: results.samples.clone(),
            omissions: results.omissions.clone(),
            goals: rows.iter().map(GoalLine::from).collect(),
        }
    }

    /// Writes a record, and takes away the one that was written before it.
    fn write(&self, record: &Record) -> Result<PathBuf, RecordError> {
        let place = record.write(&self.into, TOPIC)?;
        let mut kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(earlier) = kept.place.replace(place.clone())
            && let Err(error) = fs::remove_dir_all(&earlier)
        {
            eprintln!("cannot remove `{}`: {error}", earlier.display());
        }
        kept.at = Instant::now();
        Ok(place)
    }

    fn finish(mut self, results: Results, rows: &[Row]) -> Result<(Record, PathBuf), CompareError> {
        self.bar.finish_and_clear();
        self.machine.finish();
        let record = self.record(&results, rows);
        let place = self.write(&record)?;
        Ok((record, place))
    }

    fn show(&self, what: &str) {
        if std::io::stderr().is_terminal() {
            self.bar.set_message(what.to_owned());
        } else {
            eprintln!("{what}");
        }
    }
}

impl Watch for Keeper {
    fn begin(&self, what: &str, done: usize, all: usize) {
        self.show(what);
        goals::Progress::step(self, done, all);
    }

    fn keep(&self, results: &Results) {
        let is_due = {
            let kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            kept.at.elapsed() >= KEPT_EVERY
        };
        if is_due {
            // Whoever cannot write now is told at the end, when it is tried again.
            if let Err(error) = self.write(&self.record(results, &[])) {
                eprintln!("cannot keep what was measured so far: {error}");
            }
        }
    }

    fn is_over(&self) -> bool {
        IS_OVER.load(Ordering::Relaxed)
    }
}

impl goals::Progress for Keeper {
    fn begin(&self, what: &str) {
        self.show(what);
    }

    fn step(&self, done: usize, all: usize) {
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
    }
}
