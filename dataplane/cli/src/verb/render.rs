//! `ringfence render iptables|ipset|nftables -f …`

use std::io::Write as _;

use clap::{Args, Subcommand, ValueEnum};
use ringfence_dataplane::backend::chains::Plan;
use ringfence_dataplane::backend::iptables::Family;
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::enforce::{self, HostView, Options, RenderedText, Rendering};
use serde::Serialize;

use crate::backend::LayoutChoice;
use crate::exit::{Failure, Outcome, Result};
use crate::inputs::{HostArguments, HostInput};
use crate::mode::ModeChoice;

/// The version of the JSON output; it changes when a field changes its meaning or goes away.
const JSON_VERSION: u32 = 1;

#[derive(Debug, Args)]
#[command(after_help = "\
Without --here, a workload whose document names an `interface:` is known by it, any other by its \
addresses.

  ringfence render iptables -f policies/ | iptables-restore --noflush --test
  ringfence render iptables -f policies/ --family 6 | ip6tables-restore --noflush --test
  ringfence render ipset -f policies/ | ipset restore
  ringfence render ipset -f policies/ --part rules | iptables-restore --noflush
  ringfence render nftables -f policies/ | nft -c -f -")]
pub struct Arguments {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// Text for `iptables-restore --noflush` and `ip6tables-restore --noflush`
    Iptables {
        #[command(flatten)]
        shared: Shared,
        /// How the rules of policy are arranged
        #[arg(long, env = "RINGFENCE_LAYOUT", default_value = "structured", value_name = "LAYOUT")]
        layout: LayoutChoice,
        /// For `iptables-restore`, for `ip6tables-restore`, or the one after the other, to read
        #[arg(long, default_value = "4", value_name = "FAMILY")]
        family: FamilyChoice,
    },
    /// Text for `ipset restore`, and for `iptables-restore` with rules that ask the sets
    Ipset {
        #[command(flatten)]
        shared: Shared,
        /// The sets, for `ipset restore`, or the rules, for `iptables-restore`
        #[arg(long, default_value = "sets", value_name = "PART")]
        part: Part,
        /// Of which family the rules are; the sets are of both
        #[arg(long, default_value = "4", value_name = "FAMILY")]
        family: FamilyChoice,
    },
    /// Text for `nft -f`, IPv4 and IPv6 in one table
    Nftables {
        #[command(flatten)]
        shared: Shared,
    },
}

#[derive(Debug, Args)]
struct Shared {
    #[command(flatten)]
    inputs: HostArguments,
    /// Whether denied traffic is denied, or passes and is logged
    #[arg(long, env = "RINGFENCE_MODE", default_value = "enforce", value_name = "MODE")]
    mode: ModeChoice,
    /// For the workloads of this host alone, behind the interfaces where `apply` finds them
    #[arg(long)]
    here: bool,
    /// The form of the output
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FamilyChoice {
    /// IPv4
    #[value(name = "4")]
    V4,
    /// IPv6
    #[value(name = "6")]
    V6,
    /// IPv4, then IPv6
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// For `ipset restore`
    Sets,
    /// For `iptables-restore` or `ip6tables-restore`, when the sets are there
    Rules,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// What the tool reads
    Text,
    /// Each line with the rule that it comes from
    Json,
}

pub fn run(arguments: &Arguments) -> Result {
    let (shared, renderings) = match &arguments.tool {
        Tool::Iptables { shared, layout, family } => {
            let of = |family| Rendering::Iptables { family, layout: (*layout).into() };
            (shared, family.each().into_iter().map(of).collect())
        }
        Tool::Ipset { shared, part: Part::Sets, .. } => (shared, vec![Rendering::IpsetSets]),
        Tool::Ipset { shared, part: Part::Rules, family } => {
            let of = |family| Rendering::IpsetRules { family };
            (shared, family.each().into_iter().map(of).collect())
        }
        Tool::Nftables { shared } => (shared, vec![Rendering::Nftables]),
    };
    let HostInput { policies, .. } = shared.inputs.load()?;
    let tables = compile(&policies).map_err(|error| Failure::Usage(error.into()))?;
    let placement = if shared.here {
        enforce::place(&tables, &HostView::read()?)?
    } else {
        enforce::described(&tables)
    };
    for warning in &placement.warnings {
        crate::output::warn(warning);
    }
    let options = Options { mode: shared.mode.into(), ..Options::default() };
    let desired = enforce::desired(&tables, &placement, &options)
        .map_err(|error| Failure::Usage(error.into()))?;
    let plan = Plan::of(&desired);
    let texts: Vec<RenderedText> = renderings
        .into_iter()
        .map(|rendering| enforce::rendered(&plan, rendering))
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| Failure::Usage(error.into()))?;
    match shared.output {
        Output::Text => print(&texts)?,
        Output::Json => print_json(&texts, &plan)?,
    }
    Ok(Outcome::Success)
}

impl FamilyChoice {
    fn each(self) -> Vec<Family> {
        match self {
            Self::V4 => vec![Family::V4],
            Self::V6 => vec![Family::V6],
            Self::Both => vec![Family::V4, Family::V6],
        }
    }
}

/// Where there are several texts, a comment says whom each is for.
fn print(texts: &[RenderedText]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for text in texts {
        if texts.len() > 1 {
            writeln!(out, "# for {}", text.program)?;
        }
        write!(out, "{}", text.script)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Json<'p> {
    version: u32,
    lines: Vec<Line<'p>>,
}

/// A line, the program that it is for, and the rule of a document that it comes from.
#[derive(Serialize)]
struct Line<'p> {
    program: &'static str,
    text: &'p str,
    rule: Option<&'p str>,
    origin: Option<&'p str>,
}

fn print_json(texts: &[RenderedText], plan: &Plan) -> anyhow::Result<()> {
    let lines = texts.iter().flat_map(|text| {
        text.script.lines.iter().map(|line| {
            let rule = plan.rules.get(&line.rule);
            Line {
                program: text.program,
                text: &line.text,
                rule: rule.map(|rule| rule.name.as_str()),
                origin: rule.and_then(|rule| rule.origin.as_deref()),
            }
        })
    });
    let json = Json { version: JSON_VERSION, lines: lines.collect() };
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&json)?)?;
    Ok(())
}
