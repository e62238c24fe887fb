//! One rule of iptables-legacy and a hash of ipset.

use std::net::Ipv4Addr;

use super::{Difference, iptables, lines};
use crate::measure::contender::{Direction, Form};
use crate::measure::scene::{Invocation, PORT, SERVER};

pub const FORMS: &[Form] = &[Form::One, Form::Hundred, Form::Loaded, Form::Rebuilt, Form::Flushed];

/// What is created of a set; the size of its table is the tool's own choice, and grows.
const TYPE: &str = "hash:ip,port maxelem 262144";

/// The set, empty, and the rule that asks it.
pub fn base() -> Vec<Invocation> {
    let mut rule = iptables::whole(iptables::LEGACY, &[]);
    let asks = format!("-A FORWARD -d {SERVER}/32 -m set --match-set allowed src,dst -j ACCEPT\n");
    rule.input = rule.input.replace("COMMIT", &format!("{asks}COMMIT"));
    vec![Invocation::line("ipset", &format!("create allowed {TYPE}")), rule]
}

/// Everything anew, after the set was emptied.
pub fn flushed(allowed: &[Ipv4Addr]) -> Invocation {
    restore(format!("flush allowed\n{}", elements("add allowed", allowed)))
}

pub fn processes(form: Form, change: &Difference) -> Vec<Invocation> {
    let Difference { direction, all, changed } = change;
    let command = match direction {
        Direction::There => "add allowed",
        Direction::Back => "del allowed",
    };
    match form {
        Form::Loaded => vec![restore(elements("add allowed", all))],
        Form::Rebuilt => {
            let elements = elements("add another", all);
            vec![restore(format!(
                "create another {TYPE}\n{elements}swap allowed another\ndestroy another\n"
            ))]
        }
        Form::Flushed => vec![flushed(all)],
        Form::Hundred => vec![restore(elements(command, changed))],
        _ => {
            let elements = changed.iter().map(|address| format!("{command} {address},udp:{PORT}"));
            elements.map(|line| Invocation::line("ipset", &line)).collect()
        }
    }
}

fn restore(text: String) -> Invocation {
    Invocation::line("ipset", "restore").reading(text)
}

fn elements(command: &str, addresses: &[Ipv4Addr]) -> String {
    lines(addresses, |address| format!("{command} {address},udp:{PORT}"))
}
