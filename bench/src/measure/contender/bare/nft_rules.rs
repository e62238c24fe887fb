//! A chain of nftables with a rule for each peer.

use std::net::Ipv4Addr;

use super::{Difference, lines};
use crate::kernel::MeasureError;
use crate::measure::contender::{Direction, Form};
use crate::measure::scene::{Invocation, PORT, SERVER};

pub const FORMS: &[Form] = &[Form::One, Form::Hundred, Form::Loaded, Form::Rebuilt, Form::Flushed];

/// What names the chain.
const CHAIN: &str = "ip measured forward";

/// The chain, empty.
pub fn base() -> Invocation {
    script(
        "table ip measured {\n  chain forward {\n    \
         type filter hook forward priority 0; policy drop;\n  }\n}\n"
            .to_owned(),
    )
}

/// Everything anew, in one transaction.
pub fn whole(allowed: &[Ipv4Addr]) -> Invocation {
    script(format!("flush chain {CHAIN}\n{}", block(allowed)))
}

/// All rules with the numbers that the kernel gave them when they came, by which they go.
pub fn listed() -> Invocation {
    Invocation::line("nft", &format!("-a list chain {CHAIN}"))
}

/// `said` is what the tool has said last, for what is to go a list of what there is.
pub fn processes(
    form: Form,
    change: &Difference,
    said: &str,
) -> Result<Vec<Invocation>, MeasureError> {
    let Difference { direction, all, changed } = change;
    Ok(match (form, direction) {
        (Form::Loaded, _) => vec![script(block(all))],
        (Form::Rebuilt, _) => vec![whole(all)],
        (Form::Flushed, _) => {
            vec![Invocation::line("nft", &format!("flush chain {CHAIN}")), script(block(all))]
        }
        (Form::Hundred, Direction::There) => {
            let text = lines(changed, |address| format!("add rule {CHAIN} {}", rule(address)));
            vec![script(text)]
        }
        (Form::Hundred, Direction::Back) => {
            let numbers = numbers(said, changed.len())?;
            let delete = |number: &u64| format!("delete rule {CHAIN} handle {number}\n");
            vec![script(numbers.iter().map(delete).collect())]
        }
        (_, Direction::There) => {
            let add = |address| format!("add rule {CHAIN} {}", rule(address));
            changed.iter().map(|address| Invocation::line("nft", &add(address))).collect()
        }
        (_, Direction::Back) => {
            let numbers = numbers(said, changed.len())?;
            let delete = |number| format!("delete rule {CHAIN} handle {number}");
            numbers.iter().map(|number| Invocation::line("nft", &delete(number))).collect()
        }
    })
}

/// The numbers of the last so many rules of a list.
fn numbers(listed: &str, count: usize) -> Result<Vec<u64>, MeasureError> {
    let rules = listed.lines().filter(|line| line.contains(" accept # handle "));
    let told = rules.filter_map(|line| line.rsplit_once("# handle ")?.1.trim().parse().ok());
    let numbers: Vec<u64> = told.collect();
    match numbers.len().checked_sub(count) {
        Some(others) => Ok(numbers[others..].to_vec()),
        None => {
            let why = format!("it lists {} rules, and {count} are to go", numbers.len());
            Err(MeasureError::wrong("nft", why))
        }
    }
}

/// Rules as a text of the chain.
fn block(allowed: &[Ipv4Addr]) -> String {
    let rules = lines(allowed, rule);
    format!("table ip measured {{\nchain forward {{\n{rules}}}\n}}\n")
}

fn rule(address: &Ipv4Addr) -> String {
    format!("ip saddr {address} ip daddr {SERVER} udp dport {PORT} accept")
}

fn script(text: String) -> Invocation {
    Invocation::line("nft", "-f -").reading(text)
}
