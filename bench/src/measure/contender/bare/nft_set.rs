//! One rule of nftables and a set.

use std::net::Ipv4Addr;

use super::Difference;
use crate::measure::contender::{Direction, Form};
use crate::measure::scene::{Invocation, PORT, SERVER};

pub const FORMS: &[Form] =
    &[Form::One, Form::InSession, Form::Hundred, Form::Loaded, Form::Rebuilt, Form::Flushed];

/// What names the set.
const SET: &str = "ip measured allowed";

/// The set, empty, and the rule that asks it.
pub fn base() -> Invocation {
    script(format!(
        "table ip measured {{\n  set allowed {{ type ipv4_addr . inet_service; }}\n  \
         chain forward {{\n    type filter hook forward priority 0; policy drop;\n    \
         ip daddr {SERVER} ip saddr . udp dport @allowed accept\n  }}\n}}\n"
    ))
}

/// Everything anew, in one transaction.
pub fn whole(allowed: &[Ipv4Addr]) -> Invocation {
    script(format!("flush set {SET}\n{}", elements("add", allowed)))
}

pub fn processes(form: Form, change: &Difference) -> Vec<Invocation> {
    let Difference { direction, all, changed } = change;
    match form {
        Form::Loaded => vec![script(elements("add", all))],
        Form::Rebuilt => vec![whole(all)],
        Form::Flushed => {
            let flush = Invocation::line("nft", &format!("flush set {SET}"));
            vec![flush, script(elements("add", all))]
        }
        Form::Hundred => vec![script(elements(verb(*direction), changed))],
        _ => vec![Invocation::line("nft", elements(verb(*direction), changed).trim())],
    }
}

/// What a session is told, and how its answer begins. It says nothing of what it adds or deletes,
/// unless it is to echo, for which it reads the whole set first. So it is asked after that to describe
/// an expression, for which it asks nobody, and the answer to that is waited for.
pub fn told(change: &Difference) -> (String, &'static str) {
    let command = elements(verb(change.direction), &change.changed);
    (format!("{command}describe meta mark\n"), "meta expression")
}

fn verb(direction: Direction) -> &'static str {
    match direction {
        Direction::There => "add",
        Direction::Back => "delete",
    }
}

/// A line that adds or deletes elements; nothing for none.
fn elements(verb: &str, addresses: &[Ipv4Addr]) -> String {
    if addresses.is_empty() {
        return String::new();
    }
    let elements: Vec<String> =
        addresses.iter().map(|address| format!("{address} . {PORT}")).collect();
    format!("{verb} element {SET} {{ {} }}\n", elements.join(", "))
}

fn script(text: String) -> Invocation {
    Invocation::line("nft", "-f -").reading(text)
}
