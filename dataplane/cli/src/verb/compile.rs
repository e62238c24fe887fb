//! `ringfence compile -f …`

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;

use anyhow::Context;
use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use ringfence_dataplane::compile::{self, Size, Tables};
use ringfence_dataplane::model::Direction;
use serde::Serialize;

use crate::exit::{self, Failure, Outcome};
use crate::inputs::{HostArguments, HostInput};

mod entry;

use entry::Entry;

/// The version of the JSON output; it changes when a field changes its meaning or goes away.
const JSON_VERSION: u32 = 1;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    inputs: HostArguments,
    /// The form of the output
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

pub fn run(arguments: &Arguments) -> exit::Result {
    let HostInput { policies, .. } = arguments.inputs.load()?;
    let start = Instant::now();
    let tables = compile::compile(&policies)
        .context("cannot compile these policies")
        .map_err(Failure::Usage)?;
    let took = start.elapsed();
    let mut out = anstream::stdout();
    match arguments.output {
        Output::Text => write_text(&mut out, &tables)?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&Json::of(&tables))?)?,
    }
    writeln!(
        anstream::stderr(),
        "{} policies over {} workloads: {} map entries in {:.1} ms",
        policies.policies.len(),
        policies.inventory.workloads().count(),
        tables.size().entries(),
        took.as_secs_f64() * 1e3
    )?;
    Ok(Outcome::Success)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    table
}

fn write_text(out: &mut impl Write, tables: &Tables) -> std::io::Result<()> {
    let mut addresses: BTreeMap<u32, usize> = BTreeMap::new();
    for identity in tables.addresses.values() {
        *addresses.entry(*identity).or_default() += 1;
    }
    let mut identities = table(&["IDENTITY", "ADDRESSES", "STANDS FOR"]);
    for (number, description) in &tables.identities {
        let addresses = match addresses.get(number) {
            Some(count) => count.to_string(),
            None => "-".into(),
        };
        identities.add_row([number.to_string(), addresses, description.to_string()]);
    }
    writeln!(out, "{identities}\n")?;
    let mut subjects = table(&["SUBJECT", "INGRESS", "EGRESS"]);
    for (number, subject) in &tables.subjects {
        let side = |direction| if subject.forms(direction) == 0 { "open" } else { "enforced" };
        let (ingress, egress) = (side(Direction::Ingress), side(Direction::Egress));
        subjects.add_row([number.to_string(), ingress.into(), egress.into()]);
    }
    writeln!(out, "{subjects}\n")?;
    let mut entries = table(&["SUBJECT", "DIRECTION", "PEER", "SERVICE", "ACTION", "RULE", "AT"]);
    for entry in Entry::all(tables) {
        entries.add_row([
            entry.subject.to_string(),
            entry.direction.into(),
            entry.peer.map_or("anyone".into(), |peer| peer.to_string()),
            entry.service,
            format!("{}{}", entry.action, if entry.log { " log" } else { "" }),
            entry.rule.unwrap_or("(default)").into(),
            entry.origin.unwrap_or("-").into(),
        ]);
    }
    writeln!(out, "{entries}\n")?;
    write_sizes(out, &tables.size())
}

fn write_sizes(out: &mut impl Write, size: &Size) -> std::io::Result<()> {
    let mut maps = table(&["MAP", "ENTRIES", "ROOM FOR", "BYTES"]);
    for map in &size.maps {
        let (entries, limit, bytes) = (map.entries, map.map.limit(), map.bytes);
        maps.add_row([
            map.map.name().into(),
            entries.to_string(),
            limit.to_string(),
            bytes.to_string(),
        ]);
    }
    maps.add_row([
        "all".into(),
        size.entries().to_string(),
        String::new(),
        size.bytes().to_string(),
    ]);
    for column in maps.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(out, "{maps}")?;
    writeln!(
        out,
        "Kernel memory {} KiB; {} KiB while one generation replaces another.",
        size.bytes().div_ceil(1_024),
        (2 * size.bytes()).div_ceil(1_024)
    )
}

/// The whole JSON output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'t> {
    version: u32,
    identities: Vec<Identity<'t>>,
    prefixes: BTreeMap<String, u32>,
    classes: BTreeMap<u8, Vec<u16>>,
    endpoints: Vec<Endpoint<'t>>,
    entries: Vec<Entry<'t>>,
    maps: Vec<Map>,
    bytes: u64,
    peak_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'t> {
    number: u32,
    workload: bool,
    namespace_labels: &'t BTreeMap<String, String>,
    labels: &'t BTreeMap<String, String>,
    ports: Vec<&'t str>,
    blocks: Vec<&'t str>,
    addresses: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint<'t> {
    number: u32,
    name: &'t str,
    subject: u32,
    addresses: Vec<String>,
    interface: Option<&'t str>,
    host: bool,
    ingress_enforced: bool,
    egress_enforced: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Map {
    name: &'static str,
    entries: u64,
    limit: u64,
    bytes: u64,
}

impl<'t> Json<'t> {
    fn of(tables: &'t Tables) -> Self {
        let mut addresses: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for (address, identity) in &tables.addresses {
            addresses.entry(*identity).or_default().push(address.to_string());
        }
        let identities = tables.identities.iter().map(|(number, description)| Identity {
            number: *number,
            workload: description.workload,
            namespace_labels: &description.namespace_labels,
            labels: &description.labels,
            ports: description.ports.iter().map(String::as_str).collect(),
            blocks: description.blocks.iter().map(String::as_str).collect(),
            addresses: addresses.remove(number).unwrap_or_default(),
        });
        let enforced = |subject: u32, direction| {
            tables.subjects.get(&subject).is_some_and(|subject| subject.forms(direction) != 0)
        };
        let endpoints = tables.endpoints.iter().map(|(number, endpoint)| Endpoint {
            number: *number,
            name: &endpoint.name,
            subject: endpoint.subject,
            addresses: endpoint.addresses.iter().map(ToString::to_string).collect(),
            interface: endpoint.interface.as_deref(),
            host: endpoint.host,
            ingress_enforced: enforced(endpoint.subject, Direction::Ingress),
            egress_enforced: enforced(endpoint.subject, Direction::Egress),
        });
        let size = tables.size();
        let maps = size.maps.iter().map(|map| Map {
            name: map.map.name(),
            entries: map.entries,
            limit: map.map.limit(),
            bytes: map.bytes,
        });
        let classes =
            tables.classes.iter().map(|(p, starts)| (*p, starts.iter().copied().collect()));
        Self {
            version: JSON_VERSION,
            identities: identities.collect(),
            prefixes: tables.prefixes.iter().map(|(p, i)| (p.to_string(), *i)).collect(),
            classes: classes.collect(),
            endpoints: endpoints.collect(),
            entries: Entry::all(tables).collect(),
            maps: maps.collect(),
            bytes: size.bytes(),
            peak_bytes: 2 * size.bytes(),
        }
    }
}
