//! `cargo xtask gate`: is the working tree slower than a revision?
//!
//! Goals: (a) what got slower is found, and its cause named; (b) noise is never taken for it: two
//! equal revisions always pass; (c) whoever has a checkout can ask, on any machine.
//!
//! Design. Both revisions' probes (`bench/probe`) are built and asked. What can be counted decides
//! alone (a): instructions, calls and memory of the programs in the kernel, and the instructions that
//! this process's hot parts take under callgrind. Counts have no noise, so that each has a small
//! tolerance ([`figures`]). What has to be timed is timed in turns ([`timing`]) and judged by a sign
//! test ([`sign`]): only what is slower by more than five percent, in so many rounds that chance makes
//! it once in a hundred times, and again when it is repeated, fails (b). No time in nanoseconds, no
//! percentile and no packet rate is ever compared with a limit: those differ from one machine to the
//! next (c).
//!
//! Not done: rewriting history. A revision before the probe cannot be compared.

mod bounded;
mod build;
mod callgrind;
mod figures;
mod report;
mod row;
mod self_test;
mod server;
mod sign;
mod timing;
mod trees;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use self::figures::Figure;
use self::report::{Output, Report};
use self::row::Row;
use self::trees::{Repository, Tree};
use crate::{child, ebpf};

/// What both probes and this comparison have to agree on.
const PROTOCOL: u64 = 1;

/// Exit code for a wrong question.
const USAGE: u8 = 2;
/// Exit code when something could not be measured.
const NOT_MEASURED: u8 = 3;

/// Counting loads a dozen programs and fills their tables.
const COUNTING: Duration = Duration::from_secs(300);

/// Arguments of `cargo xtask gate`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("question").required(true).args(["base", "self_test"]))]
pub struct Arguments {
    /// The revision that the working tree is compared with
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// Only count; time nothing
    #[arg(long)]
    exact: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// Rounds of timing; with fewer than 25 nothing that is timed is judged
    #[arg(long, value_name = "COUNT", default_value_t = timing::ROUNDS)]
    rounds: usize,
    /// Slow two copies of the working tree down; the gate has to notice, and name the cause
    #[arg(long, conflicts_with_all = ["base", "exact", "output", "rounds"])]
    self_test: bool,
}

/// Compares, prints, and gives the exit code.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    match compare(arguments) {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(error) => {
            eprintln!("error: {error:#}");
            Ok(ExitCode::from(NOT_MEASURED))
        }
    }
}

fn compare(arguments: &Arguments) -> Result<u8> {
    let gate = Gate::open()?;
    let head = gate.repository.working()?;
    let Some(name) = &arguments.base else {
        return self_test::run(&gate, &head);
    };
    let Some(base) = gate.repository.revision(name) else {
        eprintln!(
            "error: there is no revision `{name}` here; a shallow clone may have to fetch it"
        );
        return Ok(USAGE);
    };
    if !gate.repository.has(&base, build::PROBE)? {
        bail!("`{name}` is older than the gate: it has no `{}`", build::PROBE);
    }
    let rounds = (!arguments.exact).then_some(arguments.rounds);
    let report = gate.compare([name, "working tree"], [&base, &head], rounds)?;
    print!("{}", report.print(arguments.output));
    Ok(report.end().code())
}

/// The repository, and the folder in which revisions are built and looked at.
struct Gate {
    checkout: PathBuf,
    own: PathBuf,
    repository: Repository,
    /// Held as long as the folder is used.
    _lock: File,
}

impl Gate {
    fn open() -> Result<Self> {
        let checkout = ebpf::checkout()?;
        let own = checkout.join("target/gate");
        fs::create_dir_all(&own).with_context(|| format!("cannot make `{}`", own.display()))?;
        let lock = File::create(own.join("lock")).context("cannot make the gate's lock")?;
        if lock.try_lock().is_err() {
            eprintln!("waiting for another gate in this checkout");
            lock.lock().context("cannot wait for the other gate")?;
        }
        let repository = Repository::open(&checkout, &own)?;
        Ok(Self { checkout, own, repository, _lock: lock })
    }

    /// Compares two trees; without `rounds` nothing is timed.
    fn compare(
        &self,
        names: [&str; 2],
        trees: [&Tree; 2],
        rounds: Option<usize>,
    ) -> Result<Report> {
        let mut probes = Vec::new();
        for (name, tree) in names.into_iter().zip(trees) {
            eprintln!("building the probe of {name}");
            let probe = build::probe(&self.repository, tree, &self.own);
            probes.push(probe.with_context(|| format!("building the probe of {name}"))?);
        }
        let mut missing = Vec::new();
        let mut machine = Value::Null;
        let mut rows = Vec::new();
        eprintln!("counting in the kernel");
        match self.kernel(&probes)? {
            Counted::Rows(counted, told) => {
                rows.extend(counted);
                machine = told;
            }
            Counted::Missing(why) => missing.push(format!("the kernel's programs: {why}")),
        }
        match child::find_in_path(&["valgrind"]) {
            Some(valgrind) => {
                eprintln!("counting instructions of the hot parts");
                rows.extend(self.process(&valgrind, &probes)?);
            }
            None => {
                let how = "apt-get install valgrind";
                missing.push(format!(
                    "instructions of the hot parts: valgrind is not installed ({how})"
                ));
            }
        }
        if let Some(rounds) = rounds {
            eprintln!("timing {rounds} rounds in turns");
            let timed = timing::compare(&probes[0], &probes[1], rounds)?;
            rows.extend(timed.rows);
            missing
                .extend(timed.missing.map(|why| format!("time of the kernel's programs: {why}")));
        }
        let side = |at: usize| [names[at].to_owned(), trees[at].0.clone()];
        Ok(Report { base: side(0), head: side(1), machine, rows, missing })
    }

    /// What the kernel tells of the programs of both.
    fn kernel(&self, probes: &[PathBuf]) -> Result<Counted> {
        let mut told = Vec::new();
        for probe in probes {
            let ended = bounded::run(Command::new(probe).arg("counted"), COUNTING)?;
            if ended.status.code() == Some(i32::from(NOT_MEASURED)) {
                return Ok(Counted::Missing(ended.stderr.trim().to_owned()));
            }
            ensure!(ended.status.success(), "counting in the kernel: {}", ended.stderr.trim());
            told.push(figures::read(&ended.stdout)?);
        }
        let (head, machine) = told.pop().context("head told nothing")?;
        let (base, _) = told.pop().context("base told nothing")?;
        Ok(Counted::Rows(figures::compare(&base, &head)?, machine))
    }

    /// Instructions of the hot parts of both, which are counted side by side: nothing is timed.
    fn process(&self, valgrind: &Path, probes: &[PathBuf]) -> Result<Vec<Row>> {
        let count = |at: usize| {
            // Names of equal length, so that arguments move nothing on the stack.
            callgrind::count(valgrind, &probes[at], &self.own.join(format!("counted-{at}")))
        };
        let (base, head): (Result<Vec<Figure>>, Result<Vec<Figure>>) = thread::scope(|scope| {
            let base = scope.spawn(|| count(0));
            let head = count(1);
            (base.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), head)
        });
        figures::compare(&base?, &head?)
    }
}

/// What came of counting in the kernel.
enum Counted {
    Rows(Vec<Row>, Value),
    /// Why it cannot be.
    Missing(String),
}

/// That a probe speaks as this comparison does.
fn check_protocol(told: &Value) -> Result<()> {
    let protocol = told["protocol"].as_u64();
    ensure!(
        protocol == Some(PROTOCOL),
        "a probe speaks protocol {protocol:?} and not {PROTOCOL}: that revision cannot be compared"
    );
    Ok(())
}
