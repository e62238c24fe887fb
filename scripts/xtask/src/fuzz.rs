//! `cargo xtask fuzz`: builds the targets of `dataplane/fuzz` with stable Rust, and runs them.
//!
//! cargo-fuzz does the same, and works on the same folders: `cargo fuzz run --sanitizer none NAME`.
//! It has to be built first, though, and without a sanitizer all it does is pass these flags.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{child, ebpf};

/// Below the checkout.
const FOLDER: &str = "dataplane/fuzz";

const TARGETS: [&str; 3] = ["documents", "packet", "verdict"];

/// What libFuzzer asks of the compiler: every edge of the control flow counts how often it is
/// taken, says which one it is, and comparisons tell their operands. They are all options of the
/// stable compiler; only the address sanitizer is not, which safe code can do without.
const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg",
    "fuzzing",
];

/// A single input may take so many seconds and the process so many megabytes.
const LIMITS: [&str; 2] = ["-timeout=20", "-rss_limit_mb=2048"];

/// Lines of libFuzzer's report that are shown when a target fails.
const SHOWN: usize = 40;

/// `cargo xtask fuzz`
#[derive(Debug, Args)]
pub struct Arguments {
    /// The targets; all of them when none is named
    #[arg(value_parser = TARGETS)]
    targets: Vec<String>,
    /// How long each runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// After how many inputs each ends at the latest, the seeds included
    #[arg(long, value_name = "N")]
    runs: Option<u32>,
    /// The seed of libFuzzer's random numbers; another one each time when none is given
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
}

/// Builds the targets and runs them, all at the same time.
pub fn run(arguments: &Arguments) -> Result<()> {
    let checkout = ebpf::checkout()?;
    let folder = checkout.join(FOLDER);
    write_seeds(&checkout)?;
    let begin = Instant::now();
    let programs = build(&folder)?;
    println!("built in {} s", begin.elapsed().as_secs());
    let all = TARGETS.map(str::to_owned);
    let targets = if arguments.targets.is_empty() { &all[..] } else { &arguments.targets };
    let results: Vec<Result<String>> = thread::scope(|scope| {
        let run = |target| run_target(&folder, &programs, target, arguments);
        let running: Vec<_> =
            targets.iter().map(|target| scope.spawn(move || run(target))).collect();
        let end = |one: ScopedJoinHandle<'_, _>| {
            one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(end).collect()
    });
    let failed = results.iter().filter(|result| result.is_err()).count();
    for result in results {
        match result {
            Ok(summary) => println!("{summary}"),
            Err(error) => eprintln!("{error:#}"),
        }
    }
    if failed > 0 {
        bail!("{failed} of {} targets failed", targets.len());
    }
    Ok(())
}

/// The inputs to begin with are made by the testbed, which is built the ordinary way for that.
fn write_seeds(checkout: &Path) -> Result<()> {
    let mut cargo = child::clean("cargo");
    cargo.current_dir(checkout).args(["run", "--quiet", "--locked"]);
    cargo.args(["--package", "ringfence-testbed", "--example", "fuzz_seeds", "--"]);
    child::run(cargo.arg(seeds(&checkout.join(FOLDER))))
}

fn seeds(folder: &Path) -> PathBuf {
    folder.join("corpus/seeds")
}

/// Builds all targets; the folder of their programs.
fn build(folder: &Path) -> Result<PathBuf> {
    if child::find_in_path(&["c++"]).is_none() {
        bail!("c++ is not in PATH: libFuzzer is C++ (apt-get install g++)");
    }
    let host = host()?;
    let mut cargo = child::clean("cargo");
    cargo.current_dir(folder).env("RUSTFLAGS", FLAGS.join(" "));
    // With a target of their own, programs that run while building do without the flags.
    cargo.args(["build", "--quiet", "--locked", "--release", "--bins", "--target", &host]);
    child::run(&mut cargo).with_context(|| {
        format!(
            "the fuzz targets cannot be built; if only their lock file is out of date: cargo \
             update --workspace --manifest-path {FOLDER}/Cargo.toml"
        )
    })?;
    Ok(folder.join("target").join(host).join("release"))
}

/// The triple that the compiler builds for by default.
fn host() -> Result<String> {
    let version = child::output(child::clean("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` does not name its host")?.to_owned())
}

/// Runs one target; a line about how it went.
fn run_target(
    folder: &Path,
    programs: &Path,
    target: &str,
    arguments: &Arguments,
) -> Result<String> {
    let seconds = arguments.seconds;
    let (corpus, artifacts) =
        (folder.join("corpus").join(target), folder.join("artifacts").join(target));
    for made in [&corpus, &artifacts] {
        fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
    }
    let begins_anew = fs::read_dir(&corpus)?.next().is_none();
    let mut program = child::clean(programs.join(target));
    program.args(LIMITS).arg("-print_final_stats=1").arg(format!("-max_total_time={seconds}"));
    program.args(arguments.runs.map(|runs| format!("-runs={runs}")));
    program.args(arguments.seed.map(|seed| format!("-seed={seed}")));
    program.arg(format!("-artifact_prefix={}/", artifacts.display()));
    let dictionary = folder.join(format!("{target}.dict"));
    if dictionary.exists() {
        program.arg(format!("-dict={}", dictionary.display()));
    }
    // What is found goes to the first folder.
    program.arg(&corpus).arg(seeds(folder).join(target));
    let kept = folder.join("kept").join(target);
    if kept.exists() {
        program.arg(kept);
    }
    let output = program.output().with_context(|| format!("cannot start target `{target}`"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{}", failure(target, &output, &told));
    }
    let coverage = Coverage::of(&told).with_context(|| {
        format!("target `{target}` says nothing of coverage: {}", last_lines(&told))
    })?;
    if begins_anew && coverage.last <= coverage.first {
        bail!("coverage of target `{target}` does not grow: is the code instrumented?");
    }
    let runs = statistic(&told, "stat::number_of_executed_units:");
    let added = statistic(&told, "stat::new_units_added:");
    Ok(format!(
        "{target}: {runs} inputs in {seconds} s, {} edges covered, {} by the seeds; {added} inputs \
         are new",
        coverage.last, coverage.first
    ))
}

fn failure(target: &str, output: &Output, told: &str) -> String {
    format!(
        "{}\ntarget `{target}` ended with {}. The input is named above: copy it to \
         {FOLDER}/kept/{target}/ under a name that says what it shows, see it fail in `cargo test \
         --package ringfence-testbed --test fuzz`, then mend the fault",
        last_lines(told),
        output.status
    )
}

fn last_lines(told: &str) -> String {
    let lines: Vec<&str> = told.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

/// Edges taken by the seeds alone, and by all inputs.
#[derive(Debug, PartialEq, Eq)]
struct Coverage {
    first: u64,
    last: u64,
}

impl Coverage {
    /// From libFuzzer's lines, `#135 INITED cov: 2042 ft: …` and the like. Nothing if the seeds
    /// were not run to the end, or took no edge.
    fn of(told: &str) -> Option<Self> {
        let covered = |line: &str| {
            let (_, rest) = line.split_once(" cov: ")?;
            rest.split_whitespace().next()?.parse().ok()
        };
        let first = told.lines().find(|line| line.contains("INITED")).and_then(covered)?;
        let last = told.lines().rev().find_map(covered)?;
        (first > 0).then_some(Self { first, last })
    }
}

fn statistic<'a>(told: &'a str, name: &str) -> &'a str {
    let value = told.lines().find_map(|line| line.strip_prefix(name));
    value.map_or("unknown", str::trim)
}

#[cfg(test)]
mod tests {
    use super::{Coverage, statistic};

    const TOLD: &str = "INFO: Loaded 1 modules   (84723 inline 8-bit counters)\n\
                        #11\tINITED cov: 2042 ft: 9000 corp: 10/30Kb exec/s: 0 rss: 40Mb\n\
                        #12\tNEW    cov: 2050 ft: 9010 corp: 11/30Kb lim: 4 exec/s: 0 rss: 40Mb\n\
                        #99\tDONE   cov: 2077 ft: 9910 corp: 51/30Kb lim: 4 exec/s: 9 rss: 40Mb\n\
                        stat::number_of_executed_units: 99\n";

    #[test]
    fn coverage_is_that_of_the_seeds_and_that_of_the_end() {
        assert_eq!(Coverage::of(TOLD), Some(Coverage { first: 2_042, last: 2_077 }));
        assert_eq!(statistic(TOLD, "stat::number_of_executed_units:"), "99");
    }

    #[test]
    fn a_program_without_instrumentation_covers_nothing() {
        let told = "#2\tINITED exec/s: 0 rss: 40Mb\nWARNING: no interesting inputs were found";
        assert_eq!(Coverage::of(told), None);
        assert_eq!(Coverage::of(&TOLD.replace("2042", "0")), None);
    }
}
