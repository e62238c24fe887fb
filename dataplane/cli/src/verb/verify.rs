//! `ringfence verify PATH…`: case files against backends.

mod bar;
mod json;
mod live;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use ringfence_testbed::case::{self, Case};
use ringfence_testbed::packet::hex;
use ringfence_testbed::suite::{self, BackendName, NotAsked, Report, SuiteError, Totals};

use self::bar::Bar;
use crate::arguments::Global;
use crate::exit::{self, Failure, Outcome};
use crate::output::counted;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Case files, folders of them (`*.yaml`, `*.yml`, `*.json`), or `-` for stdin
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Backends to ask, each at all its hooks: oracle, userspace, ebpf (root; changes nothing on
    /// this host), iptables, ipset, nftables (by their text) [default: oracle,userspace; with
    /// --live: ebpf,userspace]
    #[arg(long = "backend", value_name = "NAME,…", value_delimiter = ',')]
    backends: Vec<String>,
    /// Apply each backend on a network of namespaces and send real packets, the steps of a
    /// sequence one after the other to the running state: ebpf, userspace, iptables-legacy,
    /// iptables-nft, iptables (both variants), ipset (with the variant that `iptables` is),
    /// nftables; needs root, and nothing of this host is touched
    #[arg(long)]
    live: bool,
    /// The form of the output: a line for each wrong verdict and totals, or JSON
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Who is asked where the command line does not say.
const BACKENDS: [BackendName; 2] = [BackendName::Oracle, BackendName::Userspace];

pub fn run(arguments: &Arguments, global: &Global) -> exit::Result {
    if arguments.live {
        return live::run(arguments, global);
    }
    let backends = backends(&arguments.backends)?;
    let cases = read(arguments, global)?;
    for backend in &backends {
        backend.check().map_err(|error| Failure::Operation(error.into()))?;
    }
    let report = play(&cases, &backends, global.quiet)?;
    let mut out = anstream::stdout();
    match arguments.output {
        Output::Text => write_text(&mut out, &cases, &report, global.verbose > 0)?,
        Output::Json => {
            let json = json::Json::new(&cases, &report);
            writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?;
        }
    }
    Ok(if report.is_good() { Outcome::Success } else { Outcome::Negative })
}

/// The backends called so; without any, those that always can be asked.
fn backends(names: &[String]) -> Result<Vec<BackendName>, Failure> {
    if names.is_empty() {
        return Ok(BACKENDS.to_vec());
    }
    let known = |name: &String| match name.parse() {
        Err(_) if is_variant(name) => {
            Err(anyhow!("only the kernel tells `{name}` from `iptables`: add `--live` or ask that"))
        }
        parsed => parsed.map_err(anyhow::Error::new),
    };
    names.iter().map(known).collect::<Result<_, _>>().map_err(Failure::Usage)
}

/// Whether `name` is of a backend that has no text of its own.
fn is_variant(name: &str) -> bool {
    name != "iptables" && name.starts_with("iptables") && suite::live::Backend::named(name).is_ok()
}

/// Reads the cases, and says on stderr what is odd about them.
fn read(arguments: &Arguments, global: &Global) -> Result<Vec<Case>, Failure> {
    let cases = case::read(&arguments.paths).map_err(|error| Failure::Usage(error.into()))?;
    if !global.quiet {
        for warning in cases.iter().flat_map(|case| &case.warnings) {
            anstream::eprintln!("\x1b[1;33mwarning\x1b[0m: {warning}");
        }
        for warnings in cases.iter().flat_map(|case| &case.document_warnings) {
            anstream::eprint!("{}", warnings.drawn);
        }
    }
    Ok(cases)
}

/// Runs the cases, with a bar.
fn play(cases: &[Case], backends: &[BackendName], quiet: bool) -> Result<Report, Failure> {
    let runs: usize = backends.iter().map(|backend| backend.runs().len()).sum();
    let template = "{bar:40} {pos} of {len} runs of a case, {eta} left";
    let bar = Bar::new(cases.len() * runs, template, quiet);
    let report = suite::run(cases, backends, &|| bar.update(|bar| bar.inc(1)));
    bar.clear();
    report.map_err(|error| match error {
        SuiteError::Compile { .. } => Failure::Usage(error.into()),
        error => Failure::Operation(error.into()),
    })
}

fn write_text(
    out: &mut impl Write,
    cases: &[Case],
    report: &Report,
    verbose: bool,
) -> std::io::Result<()> {
    let others = if verbose { None } else { kept(cases) };
    if verbose {
        write_extra(out, cases)?;
    }
    for failure in &report.failures {
        writeln!(out, "\x1b[1;31mWRONG\x1b[0m {failure}")?;
        if verbose {
            writeln!(out, "      {}, frame {}", failure.place, hex(&failure.wrong.frame))?;
        }
    }
    write_not_asked(out, report, verbose)?;
    let Report { cases, probes, frames, .. } = report;
    let cases = counted(*cases, "case", "cases");
    let (probes, frames) =
        (counted(*probes, "probe", "probes"), counted(*frames, "frame", "frames"));
    writeln!(out, "{cases}, {probes}, {frames}")?;
    for (backend, totals) in &report.backends {
        writeln!(out, "{:<12} {}", backend.name(), line(totals))?;
        for (run, totals) in &totals.runs {
            if let Some(part) = run.part() {
                writeln!(out, "  {part:<10} {}", line(totals))?;
            }
        }
    }
    others.map_or(Ok(()), |line| writeln!(out, "{line}"))
}

/// The names of the keys that mean nothing here, in how many cases each.
fn kept(cases: &[Case]) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (key, _) in cases.iter().flat_map(|case| &case.extra) {
        *counts.entry(key).or_default() += 1;
    }
    let count = |(key, count): (&str, usize)| {
        format!("{} ({})", visible(key), counted(count, "case", "cases"))
    };
    let keys: Vec<String> = counts.into_iter().map(count).collect();
    (!keys.is_empty()).then(|| format!("other keys kept: {}; -v shows them", keys.join(", ")))
}

/// A key without control characters, which could be a terminal's.
fn visible(key: &str) -> String {
    key.replace(char::is_control, "\u{fffd}")
}

/// The keys of cases that mean nothing here.
fn write_extra(out: &mut impl Write, cases: &[Case]) -> std::io::Result<()> {
    for case in cases {
        for (key, value) in &case.extra {
            writeln!(out, "{}: {}: {}", case.name, visible(key), visible(&value.to_string()))?;
        }
    }
    Ok(())
}

/// Why something was not asked, once for each backend and hook with how often; with `verbose` each
/// time.
fn write_not_asked(out: &mut impl Write, report: &Report, verbose: bool) -> std::io::Result<()> {
    let mut reasons: BTreeMap<_, Vec<&NotAsked>> = BTreeMap::new();
    for one in &report.not_asked {
        reasons.entry((one.run, one.why)).or_default().push(one);
    }
    for ((run, why), all) in reasons {
        let word = if all[0].inapplicable { "not applicable" } else { "skipped" };
        writeln!(out, "{word}: {run}, {} of them: {why}", all.len())?;
        for NotAsked { case, asked, .. } in all.iter().filter(|_| verbose) {
            writeln!(out, "      {case}: {asked}")?;
        }
    }
    Ok(())
}

fn line(totals: &Totals) -> String {
    let Totals { probes, frames, wrong, skipped, inapplicable, .. } = totals;
    let (probes, frames) =
        (counted(*probes, "probe", "probes"), counted(*frames, "frame", "frames"));
    let mut line = format!("{wrong} wrong of {probes} and {frames}, {skipped} skipped");
    if *inapplicable > 0 {
        line += &format!(", {inapplicable} not applicable");
    }
    line
}
