//! `ringfence apply -f …`

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::enforce::{self, HookChoice, Options, Paths, Summary};

use crate::backend::BackendArguments;
use crate::exit::{Failure, Outcome, Result};
use crate::inputs::{HostArguments, HostInput};
use crate::mode::ModeChoice;
use crate::output;

/// Warnings printed.
const WARNINGS: usize = 20;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    inputs: HostArguments,
    #[command(flatten)]
    backend: BackendArguments,
    /// Whether denied traffic is denied, or passes and is reported
    #[arg(long, env = "RINGFENCE_MODE", default_value = "enforce", value_name = "MODE")]
    mode: ModeChoice,
    /// Where the backend ebpf sees arriving frames; `auto` is tcx for workloads and XDP for uplinks
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
    let HostInput { policies, digests } = arguments.inputs.load()?;
    let started = Instant::now();
    let tables = compile(&policies).map_err(|error| Failure::Usage(error.into()))?;
    let compiled = started.elapsed();
    let options = Options {
        backend: arguments.backend.into(),
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
    warnings.extend(summary.host_warnings.iter().cloned());
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
    warnings.iter().take(WARNINGS).for_each(output::warn);
    if let Some(more) = warnings.len().checked_sub(WARNINGS).filter(|more| *more > 0) {
        output::warn(format!("and {more} more warnings (`-o json` has all)"));
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
    let mut value = serde_json::json!({
        "version": 1,
        "backend": summary.backend.name(),
        "policies": summary.policies,
        "warnings": warnings,
        "workloads": { "local": summary.local, "remote": summary.remote },
        "policyEntries": { "total": summary.policy_entries, "compiled": compiled_entries },
        "hooks": summary.hooks,
        "steps": summary.steps,
        "removed": summary.removed.lines().collect::<Vec<_>>(),
        "revokedConnections": summary.revoked,
        "generation": summary.generation,
        "how": summary.how,
        "mode": summary.mode.to_string(),
        "dryRun": summary.dry_run,
        "milliseconds": {
            "compile": compiled.as_secs_f64() * 1e3,
            "apply": summary.duration.as_secs_f64() * 1e3,
        },
    });
    let changes = serde_json::json!({ "added": add, "changed": change, "removed": remove });
    let sizes = serde_json::json!({ "total": summary.installed, "touched": summary.touched });
    match summary.bytes {
        Some(bytes) => {
            extend(&mut value["policyEntries"], changes);
            value["mapEntries"] = sizes;
            value["memoryBytes"] = bytes.into();
        }
        None => {
            value["rules"] = sizes;
            extend(&mut value["rules"], changes);
        }
    }
    writeln!(anstream::stdout(), "{}", serde_json::to_string_pretty(&value)?)?;
    Ok(())
}

/// Adds the keys of one object to another.
fn extend(object: &mut serde_json::Value, more: serde_json::Value) {
    if let (Some(object), serde_json::Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
}
