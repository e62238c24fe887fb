//! Rules for iptables whose peers and ports are in sets.
//!
//! # Goals
//!
//! 1. The chains are those of [`super::iptables`]; only how peers and ports are matched differs.
//! 2. A chain has a handful of rules, however many entries policy has.
//! 3. A changed rule of a document changes elements, and no chain, where it can.
//! 4. Each element says which rule it comes from, in its comment.
//!
//! # Design
//!
//! One set holds what the lines of one [`Form`](super::chains::Form) of a side decide alike, for
//! one family: `rf4-in-1a2b3c4d-1a` is what subject `1a2b3c4d` accepts (`in`) by lines of the first
//! form that allow (`a`). Lines of one form never contradict each other, so the order of the sets
//! of a form does not matter for packets; those that refuse come first all the same, so that a
//! change can be made element by element (1, 3). The letters: `a` allowed and `d` denied by a rule,
//! `o` open and `n` refused where no rule decides, and `l` behind them where packets are reported.
//!
//! What ipset can hold decides the types:
//!
//! - Peer and port: `hash:net,port`, elements `10.0.0.0/24,tcp:80` and `10.0.0.0/24,icmp:8/0`.
//!   A range of ports becomes an element for each, so ranges of more than [`EXPANDED`] ports, and
//!   whole types of ICMP, are matched by the rule, with their peers in a `hash:net` of their own
//!   (`rf4-in-1a2b3c4d-1at1f402328` for TCP 8,000 to 9,000: the ports in hex).
//! - Peer and protocol: the type has no wildcard for ports, so `hash:net` for each protocol
//!   (`…-2at`), the protocol in the rule. Peer alone: `hash:net`.
//! - Everyone and port: `hash:net,port` again, with the two halves of the address space, because
//!   hash types do not take `/0`. `bitmap:port` would need half a megabyte for each protocol and
//!   side once elements have comments. Wide ranges and whole protocols are rules.
//! - Senders: `hash:net,iface` says in one look-up whether an address belongs behind the interface;
//!   `hash:net` holds all local addresses for the check at the uplinks.
//!
//! # Not done
//!
//! Which chain a workload's packets enter is still a rule for each interface: the kernel has no set
//! that leads to chains. Packets of known connections do not get there.

mod answers;
mod backend;
mod sets;
mod source;
mod text;

#[cfg(test)]
mod tests;

use super::chains::{About, Plan};
use super::iptables::{Family, RenderError, Ruleset, Style, Writer};

pub use self::answers::EXPANDED;
pub use self::backend::Ipset;
pub use self::sets::{Set, Sets};
pub use self::text::{create_line, element_line, script, set_lines};

/// Elements that a set is made for, at most. It is only a bound: room is taken when needed, and a
/// set that has it never has to be made anew because it has grown.
pub const ELEMENTS: usize = 1 << 20;

/// The sets of both families, and the rules of each (IPv4, then IPv6), that do what the plan says.
///
/// # Errors
///
/// [`RenderError`] where the tools have no words for it.
pub fn rules(plan: &Plan) -> Result<(Sets, [Ruleset; 2]), RenderError> {
    let (v4, mut sets) = Writer::new(plan, Family::V4, Style::Sets)?.write();
    let (v6, more) = Writer::new(plan, Family::V6, Style::Sets)?.write();
    sets.extend(more);
    sets.iter().try_for_each(|(name, set)| fits(name, set))?;
    Ok((sets, [v4, v6]))
}

fn fits(name: &str, set: &Set) -> Result<(), RenderError> {
    let elements = set.elements.len();
    if elements <= ELEMENTS {
        return Ok(());
    }
    let named = |about: &About| match about {
        About::Rule { name, .. } => Some(name.clone()),
        About::Reason(_) | About::Way(_) => None,
    };
    let rule = set.elements.values().find_map(named).unwrap_or_default();
    Err(RenderError::Elements { set: name.to_owned(), elements, limit: ELEMENTS, rule })
}
