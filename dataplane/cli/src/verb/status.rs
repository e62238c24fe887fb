//! `ringfence status`

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use comfy_table::{Table, presets};
use ringfence_common::abi::policy::Direction;
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::{ChainState, Mode, hook_name};
use ringfence_dataplane::enforce::{self, Paths, Status};

use crate::exit::{Outcome, Result};
use crate::output::counted;

/// Rules printed without `-o wide`.
const RULES: usize = 10;

#[derive(Debug, Args)]
pub struct Arguments {
    /// How to print
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: Format,
    /// Directory below which all of Ringfence's paths are
    #[arg(long, env = "RINGFENCE_ROOT", default_value = "/", value_name = "DIR")]
    root: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For people, with everything
    Wide,
    /// For programs
    Json,
}

pub fn run(arguments: &Arguments) -> Result {
    let (all, unreadable) = enforce::readable_status(&Paths::below(&arguments.root))?;
    let mut out = anstream::stdout().lock();
    match (all.split_first(), arguments.output) {
        // Something may be installed that cannot be read.
        (None, _) if unreadable.is_some() => {}
        (None, Format::Json) => writeln!(out, r#"{{"version":1,"installed":false}}"#)?,
        (None, _) => writeln!(out, "Nothing is installed: this host is open.")?,
        (Some((first, others)), Format::Json) => {
            let mut value = json(first);
            if !others.is_empty() {
                value["others"] = others.iter().map(json).collect();
            }
            writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?;
        }
        (Some(_), format) => {
            for (index, status) in all.iter().enumerate() {
                if index > 0 {
                    writeln!(out)?;
                }
                print(&mut out, status, format == Format::Wide)?;
            }
        }
    }
    match unreadable {
        None => Ok(Outcome::Success),
        Some(error) => Err(error.into()),
    }
}

fn print(out: &mut impl Write, status: &Status, wide: bool) -> io::Result<()> {
    let installed = &status.installed;
    let policies = match &status.policies {
        Some(policies) => counted(policies.len(), "policy", "policies"),
        None => "policies unknown (no record of this generation)".to_owned(),
    };
    writeln!(
        out,
        "Generation {} since {}, mode {}, {policies}, by {}",
        installed.generation,
        since(installed.installed_at),
        installed.mode,
        by(status),
    )?;
    if wide {
        for policy in status.policies.iter().flatten() {
            writeln!(out, "  {policy}")?;
        }
    }
    if installed.chains.is_empty() {
        hooks(out, status)?;
    } else {
        chains(out, status, wide)?;
    }
    fill(out, status)?;
    reasons(out, status)?;
    rules(out, status, wide)?;
    match status.counters.lost_events {
        Some(lost) => writeln!(out, "\nEvents lost: {lost}"),
        None => Ok(()),
    }
}

fn hooks(out: &mut impl Write, status: &Status) -> io::Result<()> {
    writeln!(out, "\nHooks")?;
    let mut table = table(["INTERFACE", "HOOK", "HOW", "STATE"]);
    for attached in &status.installed.attached {
        let interface = if attached.interface.is_empty() {
            format!("({})", attached.ifindex)
        } else {
            attached.interface.clone()
        };
        let state = if attached.alive { "attached" } else { "GONE: apply again" };
        table.add_row([
            interface,
            hook_name(attached.hook).to_owned(),
            attached.how.to_owned(),
            state.to_owned(),
        ]);
    }
    writeln!(out, "{table}")?;
    for foreign in &status.foreign {
        writeln!(
            out,
            "Not ours: program `{}` (id {}) on {} at {}",
            foreign.program,
            foreign.id,
            foreign.interface,
            hook_name(foreign.hook)
        )?;
    }
    Ok(())
}

/// `ebpf`, `iptables (iptables-nft, structured)`.
fn by(status: &Status) -> String {
    match &status.installed.variant {
        Some(variant) => format!("{} ({variant})", status.backend),
        None => status.backend.to_owned(),
    }
}

/// Those that are not as they were left, and with `wide` the others too.
fn chains(out: &mut impl Write, status: &Status, wide: bool) -> io::Result<()> {
    let all = &status.installed.chains;
    let in_place = all.iter().filter(|chain| chain.state == ChainState::InPlace).count();
    let count = counted(all.len(), "chain or jump", "chains and jumps");
    writeln!(out, "\nChains: {in_place} of {count} in place")?;
    let shown = all.iter().filter(|chain| wide || chain.state != ChainState::InPlace);
    let mut table = table(["TABLE", "CHAIN", "STATE"]);
    for chain in shown {
        let state = match chain.state {
            ChainState::InPlace => "in place",
            ChainState::Missing => "GONE: apply again",
            ChainState::Changed => "CHANGED: apply again",
        };
        table.add_row([&chain.table, &chain.chain, state]);
    }
    if table.is_empty() { Ok(()) } else { writeln!(out, "{table}") }
}

fn fill(out: &mut impl Write, status: &Status) -> io::Result<()> {
    if status.installed.fill.is_empty() {
        return Ok(());
    }
    let what = if status.installed.chains.is_empty() { ("Maps", "MAP") } else { ("Sets", "SET") };
    writeln!(out, "\n{}", what.0)?;
    let mut table = table([what.1, "ENTRIES", "OF AT MOST"]);
    for fill in &status.installed.fill {
        let capacity =
            fill.capacity.map_or_else(|| "-".to_owned(), |capacity| capacity.to_string());
        table.add_row([fill.map.clone(), fill.entries.to_string(), capacity]);
    }
    writeln!(out, "{table}")
}

fn reasons(out: &mut impl Write, status: &Status) -> io::Result<()> {
    let since = match status.installed.chains.is_empty() {
        true => "since the first apply",
        false => "counted by the rules as they are",
    };
    writeln!(out, "\nDecisions {since}")?;
    let mut table = table(["VERDICT", "REASON", "DIRECTION", "PACKETS", "BYTES"]);
    for count in &status.counters.reasons {
        table.add_row([
            verdict(count.reason, status.installed.mode).to_owned(),
            count.reason.name().to_owned(),
            count.direction.map_or("-", direction).to_owned(),
            count.count.packets.to_string(),
            count.count.bytes.to_string(),
        ]);
    }
    if status.counters.reasons.is_empty() {
        return writeln!(out, " none yet");
    }
    writeln!(out, "{table}")
}

fn rules(out: &mut impl Write, status: &Status, wide: bool) -> io::Result<()> {
    let shown = if wide { status.rules.len() } else { RULES.min(status.rules.len()) };
    writeln!(out, "\nRules that decided most packets")?;
    let mut table = table(["RULE", "PACKETS", "BYTES"]);
    for rule in status.rules.iter().take(shown) {
        table.add_row([
            rule.name.clone(),
            rule.count.packets.to_string(),
            rule.count.bytes.to_string(),
        ]);
    }
    if shown == 0 {
        return writeln!(out, " none yet");
    }
    writeln!(out, "{table}")?;
    if shown < status.rules.len() {
        writeln!(out, "… and {} more (`-o wide`)", status.rules.len() - shown)?;
    }
    Ok(())
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn json(status: &Status) -> serde_json::Value {
    let installed = &status.installed;
    serde_json::json!({
        "version": 1,
        "installed": true,
        "backend": status.backend,
        "variant": installed.variant,
        "generation": installed.generation,
        "since": since(installed.installed_at),
        "mode": installed.mode.to_string(),
        "policies": status.policies,
        "hooks": installed.attached.iter().map(|attached| serde_json::json!({
            "ifindex": attached.ifindex,
            "interface": attached.interface,
            "hook": hook_name(attached.hook),
            "how": attached.how,
            "alive": attached.alive,
        })).collect::<Vec<_>>(),
        "chains": installed.chains.iter().map(|chain| serde_json::json!({
            "table": chain.table, "chain": chain.chain, "state": chain.state.to_string(),
        })).collect::<Vec<_>>(),
        "foreign": status.foreign.iter().map(|foreign| serde_json::json!({
            "interface": foreign.interface,
            "hook": hook_name(foreign.hook),
            "program": foreign.program,
            "id": foreign.id,
        })).collect::<Vec<_>>(),
        "maps": installed.fill.iter().map(|fill| serde_json::json!({
            "map": fill.map, "entries": fill.entries, "capacity": fill.capacity,
        })).collect::<Vec<_>>(),
        "decisions": status.counters.reasons.iter().map(|count| serde_json::json!({
            "verdict": verdict(count.reason, status.installed.mode),
            "reason": count.reason.name(),
            "direction": count.direction.map(direction),
            "packets": count.count.packets,
            "bytes": count.count.bytes,
        })).collect::<Vec<_>>(),
        "rules": status.rules.iter().map(|rule| serde_json::json!({
            "number": rule.number,
            "name": rule.name,
            "packets": rule.count.packets,
            "bytes": rule.count.bytes,
        })).collect::<Vec<_>>(),
        "eventsLost": status.counters.lost_events,
    })
}

/// What the mode that is on makes of a reason; in audit mode a denial passes. What was counted
/// under another mode is counted under the same reason.
fn verdict(reason: Reason, mode: Mode) -> &'static str {
    match (reason.denies(), mode) {
        (false, _) => "allow",
        (true, Mode::Enforce) => "deny",
        (true, Mode::Audit) => "audit",
    }
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

/// The time, in RFC 3339's form and UTC.
fn since(nanoseconds: u64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanoseconds))
        .map_or_else(|_| "an unknown time".to_owned(), |time| format!("{time:.0}"))
}
