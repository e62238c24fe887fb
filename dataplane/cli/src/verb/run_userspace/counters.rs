//! What passed and what did not, for people and programs.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use ringfence_common::verdict::Verdict;
use ringfence_dataplane::backend::userspace::live::{Way, WayCounters, WireCounters};

pub fn print_text(wires: &[WireCounters], flows: usize) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    for wire in wires {
        for (way, counters) in Way::ALL.into_iter().zip(&wire.ways) {
            let (from, to) = ends(wire, way);
            writeln!(
                out,
                "{from} -> {to}: {} passed, {} denied",
                counters.passed(),
                counters.denied()
            )?;
            let table = table(counters);
            if !table.is_empty() {
                writeln!(out, "{table}")?;
            }
        }
    }
    writeln!(out, "Flows remembered at the end: {flows}")
}

fn table(counters: &WayCounters) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for ((verdict, reason), counter) in &counters.decided {
        table.add_row([
            word(*verdict).to_owned(),
            reason.name().to_owned(),
            format!("{} packets", counter.packets),
            format!("{} bytes", counter.bytes),
        ]);
    }
    let others = [
        ("deny", "came incomplete", counters.cut),
        ("lost", "could not be read", counters.unreadable),
        ("lost", "came too fast", counters.lost),
    ];
    let not_sent =
        counters.not_sent.iter().map(|(cause, count)| ("lost", cause.description(), *count));
    for (what, why, count) in others.into_iter().chain(not_sent).filter(|(.., count)| *count > 0) {
        table.add_row([what.to_owned(), why.to_owned(), format!("{count} packets")]);
    }
    table
}

pub fn print_json(wires: &[WireCounters], flows: usize) -> anyhow::Result<()> {
    let way = |wire: &WireCounters, way: Way, counters: &WayCounters| {
        let (from, to) = ends(wire, way);
        let decided = counters.decided.iter().map(|((verdict, reason), counter)| {
            serde_json::json!({
                "verdict": word(*verdict),
                "reason": reason.name(),
                "packets": counter.packets,
                "bytes": counter.bytes,
            })
        });
        let not_sent = counters
            .not_sent
            .iter()
            .map(|(cause, count)| serde_json::json!({ "cause": cause.name(), "packets": count }));
        serde_json::json!({
            "from": from,
            "to": to,
            "passed": counters.passed(),
            "denied": counters.denied(),
            "decisions": decided.collect::<Vec<_>>(),
            "incomplete": counters.cut,
            "unreadable": counters.unreadable,
            "lost": counters.lost,
            "notSent": not_sent.collect::<Vec<_>>(),
        })
    };
    let ways: Vec<serde_json::Value> = wires
        .iter()
        .flat_map(|wire| {
            let both = Way::ALL.into_iter().zip(&wire.ways);
            both.map(|(direction, counters)| way(wire, direction, counters)).collect::<Vec<_>>()
        })
        .collect();
    let document = serde_json::json!({ "version": 1, "ways": ways, "flows": flows });
    writeln!(anstream::stdout().lock(), "{}", serde_json::to_string_pretty(&document)?)?;
    Ok(())
}

fn ends(wire: &WireCounters, way: Way) -> (&str, &str) {
    match way {
        Way::Out => (&wire.inside, &wire.outside),
        Way::In => (&wire.outside, &wire.inside),
    }
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Audit => "audit",
    }
}
