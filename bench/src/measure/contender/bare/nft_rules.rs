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

/// `said` is what the tool has said of the change before: rules go by the numbers that the kernel
/// gave them when they came.
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
            vec![Invocation::line("nft", "-e -a -f -").reading(text)]
        }
        (Form::Hundred, Direction::Back) => {
            let numbers = numbers(said, changed.len())?;
            let delete = |number: &u64| format!("delete rule {CHAIN} handle {number}\n");
            vec![script(numbers.iter().map(delete).collect())]
        }
        (_, Direction::There) => {
            let add = |address| format!("-e -a add rule {CHAIN} {}", rule(address));
            changed.iter().map(|address| Invocation::line("nft", &add(address))).collect()
        }
        (_, Direction::Back) => {
            let numbers = numbers(said, changed.len())?;
            let delete = |number| format!("delete rule {CHAIN} handle {number}");
            numbers.iter().map(|number| Invocation::line("nft", &delete(number))).collect()
        }
    })
}

/// The numbers of rules that the tool has said.
fn numbers(said: &str, count: usize) -> Result<Vec<u64>, MeasureError> {
    let told = said.lines().filter_map(|line| line.rsplit_once("# handle ")?.1.trim().parse().ok());
    let numbers: Vec<u64> = told.collect();
    if numbers.len() == count {
        return Ok(numbers);
    }
    let why = format!("it told the numbers of {} rules, not of {count}: {said}", numbers.len());
    Err(MeasureError::wrong("nft", why))
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
