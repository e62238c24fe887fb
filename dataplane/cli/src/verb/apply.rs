//! `ringfence apply -f …`

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::enforce::{self, HookChoice, Options, Paths, Summary};

use crate::exit::{Failure, Outcome, Result};
use crate::inputs::InputArguments;
use crate::mode::ModeChoice;

/// Warnings printed.
const WARNINGS: usize = 20;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    inputs: InputArguments,
    /// What enforces
    #[arg(long, env = "RINGFENCE_BACKEND", default_value = "ebpf", value_name = "BACKEND")]
    backend: Backend,
    /// Whether denied traffic is denied, or passes and is reported
    #[arg(long, env = "RINGFENCE_MODE", default_value = "enforce", value_name = "MODE")]
    mode: ModeChoice,
    /// Where arriving frames are seen; `auto` is tcx for workloads and XDP for uplinks
    #[arg(long, env = "RINGFENCE_HOOK", default_value = "auto", value_name = "HOOK")]
    hook: Hook,
    /// Let established connections run on when policy no longer allows them
    #[arg(long)]
    keep_established: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// How to print
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: Format,
    /// Directory below which all of Ringfence's paths are
    #[arg(long, env = "RINGFENCE_ROOT", default_value = "/", value_name = "DIR")]
    root: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// XDP and tc programs in the kernel
    Ebpf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Hook {
    /// tcx for workloads, XDP for uplinks
    Auto,
    /// tcx everywhere
    Tcx,
    /// XDP everywhere; what leaves an interface is always seen at tcx
    Xdp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

pub fn run(arguments: &Arguments) -> Result {
    let (policies, report) = arguments.inputs.load()?;
    let digests: BTreeMap<String, String> = report
        .digests()
        .into_iter()
        .map(|(name, digest)| (name.to_string(), digest.to_string()))
        .collect();
    let started = Instant::now();
    let tables = compile(&policies).map_err(|error| Failure::Usage(error.into()))?;
    let compiled = started.elapsed();
    let Backend::Ebpf = arguments.backend;
    let options = Options {
        mode: arguments.mode.into(),
        hook: match arguments.hook {
            Hook::Auto => HookChoice::Auto,
            Hook::Tcx => HookChoice::Tcx,
            Hook::Xdp => HookChoice::Xdp,
        },
        settings: ringfence_dataplane::backend::Settings {
            keep_established: arguments.keep_established,
            ..Default::default()
        },
        dry_run: arguments.dry_run,
    };
    let paths = Paths::below(&arguments.root);
    let summary = enforce::apply(&paths, &tables, &digests, &options)?;
    let warnings = warnings(&summary);
    print_warnings(&warnings);
    match arguments.output {
        Format::Text => print_text(&summary, tables.policy.len(), compiled)?,
        Format::Json => print_json(&summary, &warnings, tables.policy.len(), compiled)?,
    }
    Ok(Outcome::Success)
}

/// What the user should know, in sentences.
fn warnings(summary: &Summary) -> Vec<String> {
    let mut warnings: Vec<String> = summary.warnings.iter().map(ToString::to_string).collect();
    if summary.local == 0 {
        warnings.push(format!(
            "none of the {} workloads is on this host, so nothing is enforced here; give a \
             workload's address a route to its interface, or name that with `interface:`",
            summary.remote
        ));
    }
    warnings
}

fn print_warnings(warnings: &[String]) {
    if !tracing::enabled!(tracing::Level::WARN) {
        return;
    }
    for warning in warnings.iter().take(WARNINGS) {
        anstream::eprintln!("\x1b[1;33mwarning\x1b[0m: {warning}");
    }
    if let Some(more) = warnings.len().checked_sub(WARNINGS).filter(|more| *more > 0) {
        anstream::eprintln!("… and {more} more warnings (`-o json` has all)");
    }
}

fn print_text(
    summary: &Summary,
    compiled_entries: usize,
    compiled: std::time::Duration,
) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    for line in summary.lines() {
        writeln!(out, "{line}")?;
    }
    let milliseconds = compiled.as_secs_f64() * 1e3;
    writeln!(
        out,
        "Compiled {compiled_entries} policy entries for all workloads in {milliseconds:.1} ms"
    )
}

fn print_json(
    summary: &Summary,
    warnings: &[String],
    compiled_entries: usize,
    compiled: std::time::Duration,
) -> anyhow::Result<()> {
    let [add, change, remove] = summary.entries;
    let value = serde_json::json!({
        "version": 1,
        "policies": summary.policies,
        "warnings": warnings,
        "workloads": { "local": summary.local, "remote": summary.remote },
        "policyEntries": {
            "added": add, "changed": change, "removed": remove,
            "total": summary.policy_entries, "compiled": compiled_entries,
        },
        "mapEntries": { "total": summary.map_entries, "touched": summary.touched },
        "memoryBytes": summary.bytes,
        "hooks": summary.hooks,
        "generation": summary.generation,
        "how": summary.how,
        "mode": summary.mode.to_string(),
        "dryRun": summary.dry_run,
        "milliseconds": {
            "compile": compiled.as_secs_f64() * 1e3,
            "apply": summary.duration.as_secs_f64() * 1e3,
        },
    });
    writeln!(anstream::stdout(), "{}", serde_json::to_string_pretty(&value)?)?;
    Ok(())
}
