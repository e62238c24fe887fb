//! A chain with a rule for each peer.

use std::net::Ipv4Addr;

use super::{Difference, lines};
use crate::measure::contender::{Direction, Form};
use crate::measure::scene::{Invocation, PORT, SERVER};

/// The commands of one variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    one: &'static str,
    many: &'static str,
}

pub const LEGACY: Tool = Tool { one: "iptables-legacy", many: "iptables-legacy-restore" };
pub const NFT: Tool = Tool { one: "iptables-nft", many: "iptables-nft-restore" };

pub const FORMS: &[Form] =
    &[Form::One, Form::Inserted, Form::Hundred, Form::Loaded, Form::Rebuilt, Form::Flushed];

/// All rules at once, in the place of all that there are.
pub fn whole(tool: Tool, allowed: &[Ipv4Addr]) -> Invocation {
    let rules = lines(allowed, |address| format!("-A FORWARD {}", rule(address)));
    let text = format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n"
    );
    Invocation::line(tool.many, "").reading(text)
}

pub fn processes(tool: Tool, form: Form, change: &Difference) -> Vec<Invocation> {
    let Difference { direction, all, changed } = change;
    let command = match (direction, form) {
        (Direction::Back, _) => "-D FORWARD",
        (Direction::There, Form::Inserted) => "-I FORWARD 1",
        (Direction::There, _) => "-A FORWARD",
    };
    match form {
        Form::Loaded | Form::Rebuilt => vec![whole(tool, all)],
        Form::Flushed => {
            vec![Invocation::line(tool.one, "-F FORWARD"), more(tool, "-A FORWARD", all)]
        }
        Form::Hundred => vec![more(tool, command, changed)],
        _ => {
            let rules = changed.iter().map(rule);
            rules.map(|rule| Invocation::line(tool.one, &format!("{command} {rule}"))).collect()
        }
    }
}

/// Many rules at once, beside those that there are.
fn more(tool: Tool, command: &str, rules: &[Ipv4Addr]) -> Invocation {
    let rules = lines(rules, |address| format!("{command} {}", rule(address)));
    Invocation::line(tool.many, "--noflush").reading(format!("*filter\n{rules}COMMIT\n"))
}

fn rule(address: &Ipv4Addr) -> String {
    format!("-s {address}/32 -d {SERVER}/32 -p udp -m udp --dport {PORT} -j ACCEPT")
}
