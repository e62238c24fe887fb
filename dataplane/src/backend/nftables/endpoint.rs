//! The chains of one endpoint: what it sends, and what is for it.

use std::fmt;
use std::net::IpAddr;

use ringfence_common::abi::config::essential;
use ringfence_common::abi::policy::Direction;
use ringfence_common::verdict::Reason;

use super::draft::Draft;
use super::hooks::{DHCP_TO_CLIENT, DHCP_TO_SERVER, V4_REPLIES, V6_REPLIES};
use super::side::{self, Orientation, Question};
use super::spelling::addresses;
use super::{Chain, Rule};
use crate::backend::chains::{About, Guard, HostGuard, Side};

/// TCP without a connection that does not open one: whatever is no SYN.
pub(super) const NO_SYN: &str = "tcp flags & (syn | ack) != syn";

/// An endpoint: a workload or the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint<'a> {
    /// `0000002a`, `host`.
    label: Label,
    name: &'a str,
    addresses: &'a [IpAddr],
    subject: u32,
    isolated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    Workload(u32),
    Host,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(number) => write!(f, "{number:08x}"),
            Self::Host => f.write_str("host"),
        }
    }
}

impl<'a> From<&'a Guard> for Endpoint<'a> {
    fn from(guard: &'a Guard) -> Self {
        Self {
            label: Label::Workload(guard.endpoint),
            name: &guard.name,
            addresses: &guard.addresses,
            subject: guard.subject,
            isolated: guard.isolated,
        }
    }
}

impl<'a> From<&'a HostGuard> for Endpoint<'a> {
    fn from(host: &'a HostGuard) -> Self {
        Self {
            label: Label::Host,
            name: &host.name,
            addresses: &host.addresses,
            subject: host.subject,
            isolated: host.isolated,
        }
    }
}

impl Endpoint<'_> {
    /// The chain for what it sends (egress) or gets (ingress).
    pub(super) fn chain(&self, direction: Direction) -> String {
        format!("{}_{}", word(direction), self.label)
    }

    /// The chain for what the host sends to it, where the host may always talk to it.
    pub(super) fn chain_from_host(&self, draft: &Draft<'_>) -> String {
        if self.isolated {
            "host_to_isolated".to_owned()
        } else if draft.side(self.subject, Direction::Egress).is_some() {
            format!("host_to_{}", self.label)
        } else {
            "host_to_open".to_owned()
        }
    }

    fn question(&self, direction: Direction, orientation: Orientation) -> Question {
        Question { subject: self.subject, direction, orientation }
    }
}

const fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "from",
        Direction::Ingress => "to",
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Egress => Direction::Ingress,
        Direction::Ingress => Direction::Egress,
    }
}

/// Writes the chain of `endpoint` for `direction`, and those that it leads to.
pub(super) fn chain(draft: &mut Draft<'_>, endpoint: Endpoint<'_>, direction: Direction) {
    let mut chain = Chain::named(endpoint.chain(direction), title(endpoint, direction));
    if endpoint.label != Label::Host {
        chain.rules.extend(essential(draft, endpoint, direction));
    }
    chain.rules.push(Rule::leads("jump invalid", "Invalid"));
    chain.rules.extend(picked_up(draft, endpoint, direction));
    chain.rules.extend(strays(draft, endpoint, direction));
    if endpoint.label == Label::Host && direction == Direction::Egress {
        chain.rules.extend(to_workloads(draft));
    }
    chain.rules.push(match draft.side(endpoint.subject, direction) {
        Some(side) => {
            let question = endpoint.question(direction, Orientation::Forward);
            Rule::leads(format!("goto {}", side::chain(draft, question, side)), "Policy")
        }
        None => draft.outcomes.passes("", Reason::NotIsolated),
    });
    draft.chain(chain);
}

fn title(endpoint: Endpoint<'_>, direction: Direction) -> String {
    match direction {
        Direction::Egress => format!("What {} sends", endpoint.name),
        Direction::Ingress => format!("What is for {}", endpoint.name),
    }
}

/// Writes the chain for what the host sends to `endpoint`: whatever could open a connection.
pub(super) fn chain_from_host(draft: &mut Draft<'_>, endpoint: Endpoint<'_>) {
    let name = endpoint.chain_from_host(draft);
    if !draft.begins(&name) {
        return;
    }
    let mut chain = Chain::named(&name, "What the host sends to workloads that nothing isolates");
    chain.rules.push(Rule::leads("jump invalid", "Invalid"));
    if endpoint.isolated {
        chain.title = "What the host sends to workloads that policy isolates".to_owned();
        chain.rules.push(Rule::leads("jump stray", "Stray"));
    } else if let Some(side) = draft.side(endpoint.subject, Direction::Egress) {
        chain.title = format!("What the host sends to {}", endpoint.name);
        let question = endpoint.question(Direction::Egress, Orientation::Backward);
        let next = side::chain(draft, question, side);
        chain.rules.extend(each_stray(&format!("goto {next}")));
    }
    chain.rules.push(draft.outcomes.passes("", Reason::HostToWorkload));
    draft.chain(chain);
}

/// DHCP, and what it sends to itself.
fn essential(draft: &Draft<'_>, endpoint: Endpoint<'_>, direction: Direction) -> Vec<Rule> {
    let mut rules = Vec::new();
    if draft.is_essential(essential::DHCP) {
        let matches = match direction {
            Direction::Egress => DHCP_TO_SERVER,
            Direction::Ingress => DHCP_TO_CLIENT,
        };
        rules.extend(matches.map(|matches| draft.outcomes.passes(matches, Reason::Dhcp)));
    }
    if draft.is_essential(essential::SELF) {
        let of = |v4: bool| -> Vec<IpAddr> {
            endpoint.addresses.iter().copied().filter(|address| address.is_ipv4() == v4).collect()
        };
        for (family, own) in [("ip", of(true)), ("ip6", of(false))] {
            if !own.is_empty() {
                let own = addresses(&own);
                let matches = format!("{family} saddr {own} {family} daddr {own}");
                rules.push(draft.outcomes.passes(&matches, Reason::SelfTraffic));
            }
        }
    }
    rules
}

/// The host to its own workloads.
fn to_workloads(draft: &Draft<'_>) -> Vec<Rule> {
    towards_workloads(draft, "daddr", "counter return")
}

/// Rules about packets between the host and a workload of this host that the host may always talk
/// to; `field` is the workload's address.
fn towards_workloads(draft: &Draft<'_>, field: &str, end: &str) -> Vec<Rule> {
    if !draft.is_essential(essential::HOST_TO_WORKLOAD) {
        return Vec::new();
    }
    let known = [("ip", "workloads4"), ("ip6", "workloads6")];
    let known = known.into_iter().filter(|(_, set)| draft.has_map(set));
    let rule = |(family, set)| Rule {
        text: format!("{family} {field} @{set} {end}"),
        about: About::Reason(Reason::HostToWorkload),
    };
    known.map(rule).collect()
}

/// Semantics 10: until the time that the settings say, TCP that opens nothing passes if policy
/// allows the connection in one orientation or the other.
fn picked_up(draft: &mut Draft<'_>, endpoint: Endpoint<'_>, direction: Direction) -> Option<Rule> {
    let until = draft.plan.settings.pick_up_until?;
    let matches = format!("{} {NO_SYN}", before(until));
    let there = endpoint.question(direction, Orientation::Forward);
    let back = endpoint.question(opposite(direction), Orientation::Backward);
    let sides = (
        draft.side(endpoint.subject, there.direction),
        draft.side(endpoint.subject, back.direction),
    );
    let (Some(forward), Some(backward)) = sides else {
        return Some(draft.outcomes.passes(&matches, Reason::PickedUp));
    };
    let refused = refused_by_both(draft, endpoint, there, forward);
    let last = side::chain_before(draft, back, backward, &refused);
    let first = side::chain_before(draft, there, forward, &last);
    let about = About::Reason(Reason::PickedUp);
    Some(Rule { text: format!("{matches} goto {first}"), about })
}

/// The match for packets before a time in seconds since the epoch.
pub(super) fn before(until: u64) -> String {
    format!("meta time < \"{until}\"")
}

/// The chain for what policy allows in neither orientation. Where nobody isolates the endpoint a
/// rule has denied it: that of the packet's own orientation.
fn refused_by_both(
    draft: &mut Draft<'_>,
    endpoint: Endpoint<'_>,
    there: Question,
    side: &Side,
) -> String {
    let name = format!("pick_up_{}_refused", there.chain());
    if draft.begins(&name) {
        let title = "What policy allows in neither orientation";
        let mut chain = Chain::named(&name, title);
        chain.rules.push(if endpoint.isolated {
            draft.outcomes.refuses("", Reason::NoConnection)
        } else {
            Rule::leads(format!("goto {}", side::chain(draft, there, side)), "Policy")
        });
        draft.chain(chain);
    }
    name
}

/// What belongs to no connection and opens none: refused where the endpoint is isolated, else it
/// has to be allowed in both orientations.
fn strays(draft: &mut Draft<'_>, endpoint: Endpoint<'_>, direction: Direction) -> Vec<Rule> {
    if endpoint.isolated {
        return vec![Rule::leads("jump stray", "Stray")];
    }
    let Some(backward) = draft.side(endpoint.subject, opposite(direction)) else {
        return Vec::new();
    };
    let back = endpoint.question(opposite(direction), Orientation::Backward);
    let last = side::chain(draft, back, backward);
    let name = format!("stray_{}", endpoint.chain(direction));
    let title = format!("{}, without a connection", title(endpoint, direction));
    let mut chain = Chain::named(&name, title);
    let is_host = endpoint.label == Label::Host;
    if is_host && direction == Direction::Egress {
        chain.rules.extend(towards_workloads(draft, "daddr", &format!("goto {last}")));
    }
    if let Some(side) = draft.side(endpoint.subject, direction) {
        let there = endpoint.question(direction, Orientation::Forward);
        let first = side::chain(draft, there, side);
        chain.rules.push(Rule::leads(format!("jump {first}"), "Policy"));
    }
    if is_host && direction == Direction::Ingress {
        chain.rules.extend(towards_workloads(draft, "saddr", "counter return"));
    }
    // What answers the host: the host may have asked.
    if !is_host && direction == Direction::Egress && draft.is_essential(essential::HOST_TO_WORKLOAD)
    {
        chain.rules.push(draft.outcomes.passes("fib daddr type local", Reason::HostToWorkload));
    }
    chain.rules.push(Rule::leads(format!("goto {last}"), "Policy"));
    draft.chain(chain);
    each_stray(&format!("goto {name}"))
}

/// A rule for each kind of packet that belongs to no connection and opens none.
fn each_stray(end: &str) -> Vec<Rule> {
    let rule = |matches: &str| Rule::leads(format!("{matches} {end}"), "Stray");
    vec![rule(NO_SYN), rule(V4_REPLIES), rule(V6_REPLIES)]
}
