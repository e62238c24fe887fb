//! What a filter has in the kernel, and what it has dropped.

use std::collections::BTreeMap;
use std::fs;

use ringfence_dataplane::backend::tool::{ToolError, Tools};
use ringfence_dataplane::enforce::{self, Paths, Status};
use serde_json::Value;

use super::bare::{NAME, table_family};
use super::{Asked, Contender, Family, LabError};

/// What a filter has in the kernel, and what it has dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Rules of chains.
    pub rules: usize,
    /// Elements of sets, or entries of the map with the policy.
    pub elements: usize,
    /// Packets denied so far.
    pub denied: u64,
}

/// Looks, in the router's namespace, at what `asked` has there. The filter in user space is not
/// there.
pub(super) fn survey(asked: &Asked) -> Result<Survey, LabError> {
    let tools = Tools::on_path();
    let v6 = asked.case.family == Family::V6;
    let own = |v4, of_v6| if v6 { of_v6 } else { v4 };
    match asked.case.contender {
        Contender::None | Contender::EmptyTcx | Contender::EmptyXdp | Contender::Userspace => {
            Ok(Survey::default())
        }
        Contender::BareIptables => {
            bare_chain(&tools, own("iptables-legacy-save", "ip6tables-legacy-save"))
        }
        Contender::BareIptablesNft => {
            bare_chain(&tools, own("iptables-nft-save", "ip6tables-nft-save"))
        }
        Contender::BareIpset => {
            let chain = bare_chain(&tools, own("iptables-legacy-save", "ip6tables-legacy-save"))?;
            Ok(Survey { elements: entries(&tools)?, ..chain })
        }
        Contender::BareNft | Contender::BareNftSet => bare_nft(asked, &tools),
        Contender::EbpfTcx | Contender::EbpfXdp => engine(0),
        Contender::IptablesFlat | Contender::Iptables | Contender::Ipset => {
            engine(saved(&tools, ["iptables-legacy-save", "ip6tables-legacy-save"])?)
        }
        Contender::IptablesNft => {
            engine(saved(&tools, ["iptables-nft-save", "ip6tables-nft-save"])?)
        }
        Contender::Nftables => {
            let listed = ["--json", "--terse", "list", "table", "inet", "ringfence"];
            engine(json_rules(&tools.ask("nft", &listed)?)?)
        }
    }
}

/// Connections that the kernel knows in the calling thread's namespace.
pub(super) fn connections() -> u64 {
    // Where the kernel has no such file it tracks nothing.
    let count = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count");
    count.ok().and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// What the engine says of itself, from the kernel.
fn engine(rules: usize) -> Result<Survey, LabError> {
    let all = enforce::status(&Paths::default())?;
    let [Status { installed, counters, .. }] = all.as_slice() else {
        let why = format!("{} backends say that they do", all.len());
        return Err(LabError::refused::<String>("say which backend enforces")(why));
    };
    let fill = &installed.fill;
    // Programs have maps for other things as well.
    let policy = fill.iter().find(|map| map.map == "policy");
    let elements: u64 =
        policy.map_or_else(|| fill.iter().map(|set| set.entries).sum(), |map| map.entries);
    let denied = counters.reasons.iter().filter(|count| count.reason.denies());
    let denied = denied.map(|count| count.count.packets).sum();
    Ok(Survey { rules, elements: elements as usize, denied })
}

/// Rules of all tables and both families, the kernel's own chains' among them.
fn saved(tools: &Tools, savers: [&str; 2]) -> Result<usize, ToolError> {
    let mut rules = 0;
    for saver in savers {
        let text = tools.ask(saver, &[])?;
        rules += text.lines().filter(|line| line.starts_with("-A ")).count();
    }
    Ok(rules)
}

fn json_rules(text: &str) -> Result<usize, LabError> {
    let unreadable = |why: String| LabError::refused("read what `nft` lists")(why);
    let listed: BTreeMap<String, Vec<BTreeMap<String, Value>>> =
        serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    let objects = listed.get("nftables").ok_or_else(|| unreadable("it lists nothing".into()))?;
    Ok(objects.iter().filter(|object| object.contains_key("rule")).count())
}

/// The chain FORWARD, in which only the last rule drops.
fn bare_chain(tools: &Tools, saver: &str) -> Result<Survey, LabError> {
    let text = tools.ask(saver, &["-c", "-t", "filter"])?;
    let rules = text.lines().filter(|line| line.contains("] -A FORWARD ")).count();
    let dropping = text.lines().rev().find(|line| line.ends_with(" -j DROP"));
    let packets = dropping.and_then(|line| line.strip_prefix('[')?.split(':').next()?.parse().ok());
    let denied = packets.ok_or_else(|| absent(saver, "the rule that drops"))?;
    Ok(Survey { rules, elements: 0, denied })
}

/// `ipset list --terse` has a line `Number of entries: 10`.
fn entries(tools: &Tools) -> Result<usize, LabError> {
    let text = tools.ask("ipset", &["list", NAME, "-terse"])?;
    let line = text.lines().find_map(|line| line.strip_prefix("Number of entries: "));
    line.and_then(|count| count.trim().parse().ok()).ok_or_else(|| absent("ipset", "the entries"))
}

fn bare_nft(asked: &Asked, tools: &Tools) -> Result<Survey, LabError> {
    let family = table_family(asked);
    let elements = match asked.case.contender {
        Contender::BareNftSet => {
            let text = tools.ask("nft", &["list", "set", family, NAME, "peers"])?;
            // The set's type is written as its elements are.
            text.matches(" . ").count().saturating_sub(1)
        }
        _ => 0,
    };
    let chain = tools.ask("nft", &["list", "chain", family, NAME, "forward"])?;
    let lines = || chain.lines().map(str::trim);
    let rules = lines().filter(|line| line.ends_with("accept") || line.ends_with("drop")).count();
    let dropping = lines().find(|line| line.ends_with(" drop"));
    let packets = dropping
        .and_then(|line| line.split_once("counter packets ")?.1.split(' ').next()?.parse().ok());
    Ok(Survey { rules, elements, denied: packets.ok_or_else(|| absent("nft", "the last rule"))? })
}

fn absent(tool: &str, what: &str) -> LabError {
    LabError::refused::<String>(format!("list what `{tool}` has installed"))(format!(
        "{what} cannot be found"
    ))
}
