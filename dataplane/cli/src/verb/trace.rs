//! `ringfence trace -f … -s WHO -d WHO --dport 5432/tcp`

use std::io::Write;
use std::net::IpAddr;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use ringfence_dataplane::compile::{self, Answers};
use ringfence_dataplane::model::{Inventory, PolicySet};
use ringfence_dataplane::oracle::{Flow, Oracle, Trace};

use crate::exit::{self, Failure, Outcome};
use crate::inputs::{HostArguments, HostInput};
use crate::service::{Resolved, Service};
use crate::who::Who;

mod json;
mod text;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    inputs: HostArguments,
    /// Who opens the connection: `namespace/name`, a name, or an address
    #[arg(short, long = "src", value_name = "WHO")]
    source: String,
    /// To whom: `namespace/name`, a name, or an address
    #[arg(short, long = "dst", value_name = "WHO")]
    destination: String,
    /// The destination's service: `5432/tcp`, the name of a port as in `http/tcp`, or `icmp`
    #[arg(long, value_name = "PORT/PROTOCOL")]
    dport: Service,
    /// The form of the output
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    output: Output,
    /// Exit with 1 if the final verdict is DENIED
    #[arg(long)]
    exit_code: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// What was traced: all pairs of addresses that are treated alike.
struct Traced {
    source: Who,
    destination: Who,
    service: Resolved,
    trace: Trace,
}

pub fn run(arguments: &Arguments) -> exit::Result {
    let HostInput { policies, .. } = arguments.inputs.load()?;
    let traced = trace(arguments, &policies)?;
    let mut out = anstream::stdout();
    match arguments.output {
        Output::Text => text::write(&mut out, &traced, &arguments.dport)?,
        Output::Json => {
            writeln!(out, "{}", serde_json::to_string_pretty(&json::Json::of(&traced))?)?;
        }
    }
    let allowed = traced.iter().all(|traced| traced.trace.answer.allowed());
    Ok(if arguments.exit_code && !allowed { Outcome::Negative } else { Outcome::Success })
}

/// Traces every pair of addresses of one family.
fn trace(arguments: &Arguments, policies: &PolicySet) -> Result<Vec<Traced>, Failure> {
    let inventory = &policies.inventory;
    let find = |who| Who::find(who, inventory, arguments.inputs.default_namespace());
    let (source, destination) = (find(&arguments.source)?, find(&arguments.destination)?);
    let service = resolve(&arguments.dport, &destination, inventory)?;
    let tables = compile::compile(policies)
        .context("cannot compile these policies")
        .map_err(Failure::Usage)?;
    let (oracle, answers) = (Oracle::new(policies), Answers::new(&tables));

    let mut traced: Vec<Traced> = Vec::new();
    for (from, to) in pairs(&source, &destination) {
        let Resolved { protocol, port } = service;
        let trace = oracle.trace(&Flow { source: from, destination: to, protocol, port });
        let compiled = answers.ask(from, to, protocol, port.unwrap_or(0));
        if compiled.allowed() != trace.answer.allowed() {
            return Err(Failure::Operation(anyhow!(
                "the compiled tables and the policies disagree about {from} -> {to}: the tables \
                 say {compiled:?}, the policies say {:?}; this is a fault of ringfence, please \
                 report it with these documents",
                trace.answer
            )));
        }
        match traced.last_mut().filter(|last| last.trace == trace) {
            Some(last) => {
                last.source.addresses.push(from);
                last.destination.addresses.push(to);
            }
            None => traced.push(Traced {
                source: Who { addresses: vec![from], ..source.clone() },
                destination: Who { addresses: vec![to], ..destination.clone() },
                service,
                trace,
            }),
        }
    }
    if traced.is_empty() {
        return Err(Failure::Usage(anyhow!(
            "`{}` and `{}` have no addresses of one family (IPv4 or IPv6)",
            source.name,
            destination.name
        )));
    }
    Ok(traced)
}

fn pairs(source: &Who, destination: &Who) -> Vec<(IpAddr, IpAddr)> {
    let from = source.addresses.iter();
    from.flat_map(|from| destination.addresses.iter().map(move |to| (*from, *to)))
        .filter(|(from, to)| from.is_ipv4() == to.is_ipv4())
        .collect()
}

fn resolve(
    service: &Service,
    destination: &Who,
    inventory: &Inventory,
) -> Result<Resolved, Failure> {
    let workload = destination.addresses.first().and_then(|address| inventory.owner(*address));
    service.resolve(workload).ok_or_else(|| {
        let has: Vec<String> = workload
            .into_iter()
            .flat_map(|workload| &workload.ports)
            .map(|port| format!("`{}/{}`", port.name, port.protocol))
            .collect();
        let hint = if has.is_empty() {
            "it names none".to_owned()
        } else {
            format!("it names {}", has.join(", "))
        };
        Failure::Usage(anyhow!("`{}` has no port called `{service}`; {hint}", destination.name))
    })
}
