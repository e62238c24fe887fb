//! `ringfence matrix -f …`: who may talk to whom.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context;
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets};
use ringfence_dataplane::compile::{self, Answers, ServiceDescription, Tables};
use ringfence_dataplane::model::{Inventory, PolicySet};
use serde::Serialize;

use crate::exit::{self, Failure, Outcome};
use crate::inputs::{HostArguments, HostInput};
use crate::service::{Resolved, Service};

/// The version of the JSON output; it changes when a field changes its meaning or goes away.
const JSON_VERSION: u32 = 1;

/// Addresses for documentation (RFC 5737, RFC 3849), which stand for those that nobody has.
const WORLD: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1)),
];

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    inputs: HostArguments,
    /// A service to ask about, as `80/tcp`, `http/tcp` or `icmp`; can be repeated. Without it: all
    /// ports that policies or workloads name, and one that none does
    #[arg(long = "port", value_name = "PORT/PROTOCOL")]
    ports: Vec<Service>,
    /// The form of the output
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// What is decided about one source, destination and service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Cell {
    Allow,
    DenyEgress,
    DenyIngress,
    DenyBoth,
    /// Some addresses of the two may, others may not.
    Mixed,
    /// No addresses of one family, or no such port at the destination.
    NoFlow,
    /// Source and destination are the same.
    Itself,
}

impl Cell {
    const LEGEND: [(Self, &'static str); 7] = [
        (Self::Allow, "allowed"),
        (Self::DenyEgress, "denied by the source's egress policy"),
        (Self::DenyIngress, "denied by the destination's ingress policy"),
        (Self::DenyBoth, "denied by both"),
        (Self::Mixed, "depends on the address"),
        (Self::Itself, "the workload itself"),
        (Self::NoFlow, "no such flow: no addresses of one family, or no port of that name"),
    ];

    const fn symbol(self) -> &'static str {
        match self {
            Self::Allow => "+",
            Self::DenyEgress => "e",
            Self::DenyIngress => "i",
            Self::DenyBoth => "x",
            Self::Mixed => "~",
            Self::NoFlow => "?",
            Self::Itself => ".",
        }
    }
}

/// An end: a workload, or the world.
struct End {
    name: String,
    addresses: Vec<IpAddr>,
}

/// One truth table, for services that are treated alike everywhere.
struct Matrix {
    services: Vec<Service>,
    /// By source, then by destination.
    cells: Vec<Vec<Cell>>,
}

pub fn run(arguments: &Arguments) -> exit::Result {
    let HostInput { policies, .. } = arguments.inputs.load()?;
    let tables = compile::compile(&policies)
        .context("cannot compile these policies")
        .map_err(Failure::Usage)?;
    let ends = ends(&policies.inventory);
    let services = if arguments.ports.is_empty() {
        default_services(&policies, &tables)
    } else {
        arguments.ports.clone()
    };
    let matrices = matrices(&policies.inventory, &tables, &ends, services);
    let mut out = anstream::stdout();
    match arguments.output {
        Output::Text => write_text(&mut out, &ends, &matrices)?,
        Output::Json => {
            writeln!(out, "{}", serde_json::to_string_pretty(&Json::of(&ends, &matrices))?)?;
        }
    }
    Ok(Outcome::Success)
}

/// All workloads, and the world as the last.
fn ends(inventory: &Inventory) -> Vec<End> {
    let workloads = inventory.workloads().map(|workload| End {
        name: workload.name.to_string(),
        addresses: workload.addresses.clone(),
    });
    let world = End { name: "world".into(), addresses: WORLD.to_vec() };
    workloads.chain([world]).collect()
}

/// The first port of every range that some entry singles out, the ports that workloads name, and
/// a port that nobody names.
fn default_services(policies: &PolicySet, tables: &Tables) -> Vec<Service> {
    let mut services: BTreeSet<Resolved> = BTreeSet::new();
    for entry in tables.entries() {
        if let ServiceDescription::Class { protocol, first, .. } = entry.service {
            services.insert(Resolved { protocol, port: Some(first) });
        }
    }
    let named = Service::named_in(&policies.inventory);
    services.extend(named.iter().filter_map(|service| service.resolve(None)));
    let tcp = ringfence_dataplane::model::Protocol::Tcp.number();
    let unnamed = (1..=u16::MAX).rev().map(|port| Resolved { protocol: tcp, port: Some(port) });
    services
        .extend(unnamed.filter(|service| !services.contains(service)).take(1).collect::<Vec<_>>());
    services.into_iter().filter_map(Service::of).collect()
}

fn matrices(
    inventory: &Inventory,
    tables: &Tables,
    ends: &[End],
    services: Vec<Service>,
) -> Vec<Matrix> {
    let answers = Answers::new(tables);
    let mut matrices: Vec<Matrix> = Vec::new();
    for service in services {
        let row =
            |from| ends.iter().map(|to| cell(inventory, &answers, from, to, &service)).collect();
        let cells: Vec<Vec<Cell>> = ends.iter().map(row).collect();
        match matrices.iter_mut().find(|matrix| matrix.cells == cells) {
            Some(matrix) => matrix.services.push(service),
            None => matrices.push(Matrix { services: vec![service], cells }),
        }
    }
    matrices
}

fn cell(
    inventory: &Inventory,
    answers: &Answers<'_>,
    from: &End,
    to: &End,
    service: &Service,
) -> Cell {
    if from.name == to.name {
        return Cell::Itself;
    }
    let destination = to.addresses.first().and_then(|address| inventory.owner(*address));
    let Some(Resolved { protocol, port }) = service.resolve(destination) else {
        return Cell::NoFlow;
    };
    let pairs = from.addresses.iter().flat_map(|a| to.addresses.iter().map(move |b| (*a, *b)));
    let mut cells = pairs.filter(|(a, b)| a.is_ipv4() == b.is_ipv4()).map(|(a, b)| {
        let sides = answers.ask(a, b, protocol, port.unwrap_or(0));
        match (sides.egress.passes(), sides.ingress.passes()) {
            (true, true) => Cell::Allow,
            (false, true) => Cell::DenyEgress,
            (true, false) => Cell::DenyIngress,
            (false, false) => Cell::DenyBoth,
        }
    });
    let Some(first) = cells.next() else { return Cell::NoFlow };
    if cells.all(|cell| cell == first) { first } else { Cell::Mixed }
}

fn names(services: &[Service]) -> Vec<String> {
    services.iter().map(ToString::to_string).collect()
}

fn write_text(out: &mut impl Write, ends: &[End], matrices: &[Matrix]) -> io::Result<()> {
    let used: Vec<Cell> = matrices.iter().flat_map(|m| m.cells.iter().flatten().copied()).collect();
    for matrix in matrices {
        writeln!(out, "{}", names(&matrix.services).join(", "))?;
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let columns = (1..=ends.len()).map(|number| number.to_string());
        table.set_header(["from \\ to".to_owned()].into_iter().chain(columns));
        for (index, (end, cells)) in ends.iter().zip(&matrix.cells).enumerate() {
            let symbols = cells.iter().map(|cell| cell.symbol().to_owned());
            table.add_row([format!("{} {}", index + 1, end.name)].into_iter().chain(symbols));
        }
        writeln!(out, "{table}\n")?;
    }
    for (cell, meaning) in Cell::LEGEND {
        if used.contains(&cell) {
            writeln!(out, "{} {meaning}", cell.symbol())?;
        }
    }
    let [v4, v6] = WORLD;
    writeln!(out, "Columns have the numbers of the rows. `world` is {v4} and {v6}.")
}

/// The whole JSON output.
#[derive(Serialize)]
struct Json<'m> {
    version: u32,
    ends: Vec<JsonEnd<'m>>,
    matrices: Vec<JsonMatrix<'m>>,
}

#[derive(Serialize)]
struct JsonEnd<'m> {
    name: &'m str,
    addresses: Vec<String>,
}

/// `cells[source][destination]`, in the order of `ends`.
#[derive(Serialize)]
struct JsonMatrix<'m> {
    services: Vec<String>,
    cells: &'m [Vec<Cell>],
}

impl<'m> Json<'m> {
    fn of(ends: &'m [End], matrices: &'m [Matrix]) -> Self {
        let end = |end: &'m End| JsonEnd {
            name: &end.name,
            addresses: end.addresses.iter().map(ToString::to_string).collect(),
        };
        let matrix = |m: &'m Matrix| JsonMatrix { services: names(&m.services), cells: &m.cells };
        Self {
            version: JSON_VERSION,
            ends: ends.iter().map(end).collect(),
            matrices: matrices.iter().map(matrix).collect(),
        }
    }
}
