//! `ringfence verify --live`: the same cases, with real packets.

mod json;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::Context as _;
use ringfence_testbed::case::Case;
use ringfence_testbed::interrupt::on_interrupt;
use ringfence_testbed::suite::live::{self, Backend, LiveError, Report, Skipped};

use super::bar::Bar;
use super::{Arguments, Output, kept, read, write_extra};
use crate::arguments::Global;
use crate::exit::{self, Failure, Outcome};
use crate::output::counted;

/// Who is asked where the command line does not say.
const BACKENDS: [Backend; 2] = [Backend::Ebpf, Backend::Userspace];

/// Exit code of a process that a signal ended, less the signal's number (as shells count).
const SIGNAL_BASE: i32 = 128;

pub fn run(arguments: &Arguments, global: &Global) -> exit::Result {
    let backends = backends(arguments)?;
    let cases = read(arguments, global)?;
    for backend in &backends {
        backend.check()?;
    }
    on_interrupt(|signal| {
        // The networks and all that is on them belong to this process and end with it.
        anstream::eprintln!("\ninterrupted; nothing is left behind");
        std::process::exit(SIGNAL_BASE + signal as i32);
    })
    .context("cannot wait for Ctrl-C")?;
    let play = |backend: &Backend| play(&cases, *backend, global.quiet);
    let reports: Vec<Report> = backends.iter().map(play).collect::<Result<_, _>>()?;
    let mut out = anstream::stdout();
    match arguments.output {
        Output::Text => write_text(&mut out, &cases, &reports, global.verbose > 0)?,
        Output::Json => {
            let json = json::Json::new(&cases, &reports);
            writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?;
        }
    }
    let is_good = reports.iter().all(|report| report.wrong.is_empty());
    let unasked = reports.iter().filter(|one| one.probes == 0 && !one.skipped.is_empty());
    let mut is_asked = true;
    for Report { backend, skipped, .. } in unasked {
        let count = skipped.len();
        anstream::eprintln!("nothing was tried on {backend}: all {count} were skipped");
        is_asked = false;
    }
    Ok(if is_good && is_asked { Outcome::Success } else { Outcome::Negative })
}

/// The backends asked for, each once.
fn backends(arguments: &Arguments) -> Result<BTreeSet<Backend>, Failure> {
    if arguments.backends.is_empty() {
        return Ok(BACKENDS.into());
    }
    let backends = arguments.backends.iter().map(|name| Backend::named(name));
    let backends = backends.collect::<Result<Vec<_>, _>>();
    backends
        .map(|all| all.into_iter().flatten().collect())
        .map_err(|error| Failure::Usage(error.into()))
}

/// Tries the cases, with a bar.
fn play(cases: &[Case], backend: Backend, quiet: bool) -> Result<Report, Failure> {
    let template = "{prefix}: {bar:40} {pos} of {len} cases, {eta} left, {wide_msg}";
    let bar = Bar::new(cases.len(), template, quiet);
    bar.update(|bar| bar.set_prefix(backend.to_string()));
    let report = live::run(cases, backend, &mut |progress| {
        bar.update(|bar| {
            bar.set_position(progress.done as u64);
            bar.set_message(progress.now.to_owned());
        });
    });
    bar.clear();
    report.map_err(|error| match error {
        LiveError::Compile { .. } => Failure::Usage(error.into()),
        error => Failure::Operation(error.into()),
    })
}

fn write_text(
    out: &mut impl Write,
    cases: &[Case],
    reports: &[Report],
    verbose: bool,
) -> std::io::Result<()> {
    let others = if verbose { None } else { kept(cases) };
    if verbose {
        write_extra(out, cases)?;
    }
    for wrong in reports.iter().flat_map(|report| &report.wrong) {
        writeln!(out, "\x1b[1;31mWRONG\x1b[0m {wrong}")?;
        if verbose {
            writeln!(out, "      {}", wrong.asked.place)?;
        }
    }
    for report in reports {
        write_skipped(out, report, verbose)?;
    }
    let probes: usize = cases.iter().map(|case| case.probes.len()).sum();
    let cases = counted(cases.len(), "case", "cases");
    writeln!(out, "{cases}, {}, live", counted(probes, "probe", "probes"))?;
    for Report { backend, probes, wrong, skipped } in reports {
        let (wrong, skipped) = (wrong.len(), skipped.len());
        let name = backend.name();
        let probes = counted(*probes, "probe", "probes");
        writeln!(out, "{name:<15} {wrong} wrong of {probes}, {skipped} skipped")?;
    }
    others.map_or(Ok(()), |line| writeln!(out, "{line}"))
}

/// Why something was not tried, once with how often; with `verbose` each time.
fn write_skipped(out: &mut impl Write, report: &Report, verbose: bool) -> std::io::Result<()> {
    let mut reasons: BTreeMap<&str, Vec<&Skipped>> = BTreeMap::new();
    for skipped in &report.skipped {
        reasons.entry(&skipped.why).or_default().push(skipped);
    }
    for (why, all) in reasons {
        writeln!(out, "skipped: {} live, {} of them: {why}", report.backend, all.len())?;
        for skipped in all.iter().filter(|_| verbose) {
            writeln!(out, "      {}", skipped.asked)?;
        }
    }
    Ok(())
}
