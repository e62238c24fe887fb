//! Which hooks a packet passes, and in which order.
//!
//! What arrives meets the table `raw`, then connection tracking, then either `INPUT` (it is for
//! the host, or for a group) or `FORWARD`; what the host sends meets connection tracking, then
//! `OUTPUT` (include/uapi/linux/netfilter_ipv4.h lists the hooks and priorities). An entry of
//! connection tracking that a packet has begun counts only once the packet has passed all of them
//! (`nf_conntrack_confirm`).

use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;

use super::conntrack::{Conntrack, Tracked};
use super::packet::{Packet, Unseen};
use super::{Hook, Ruleset, Seen, Step};

/// Where a packet is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side<'n> {
    /// It arrives on this interface; where it goes is not asked.
    Arrives(&'n str),
    /// It leaves through this interface; where it comes from is not asked.
    Leaves(&'n str),
}

/// What became of a packet at all its hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// The hook that dropped it; nothing where it passes.
    pub dropped: Option<Hook>,
    /// What connection tracking said of it; nothing where it was dropped before.
    pub tracked: Option<Tracked>,
    /// All rules that matched, hook by hook.
    pub steps: Vec<(Hook, Step)>,
}

/// The hooks of rules that a packet meets after connection tracking. `host` are the host's own
/// addresses.
#[must_use]
pub fn hook_of(packet: &Packet, side: Side<'_>, host: &[IpAddr]) -> Hook {
    match side {
        Side::Arrives(_) if is_to_group(packet.destination) => Hook::Input,
        Side::Arrives(_) if host.contains(&packet.destination) => Hook::Input,
        Side::Leaves(_) if host.contains(&packet.source) => Hook::Output,
        Side::Arrives(_) | Side::Leaves(_) => Hook::Forward,
    }
}

/// Why a packet that has arrived somewhere never comes to the hooks behind routing, though it may
/// come to those before it (`ip_route_input_slow`, `ip6_forward`).
#[must_use]
pub fn unrouted(packet: &Packet) -> Option<Unseen> {
    let is_impossible = match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let is_odd = |address: Ipv4Addr| address.is_loopback() || address.octets()[0] == 0;
            let is_group = source.is_multicast() || source.is_broadcast();
            is_odd(source) || is_odd(destination) || is_group
        }
        (IpAddr::V6(source), _) => source.is_unspecified(),
        _ => false,
    };
    is_impossible.then_some(Unseen("the kernel forwards no packet with such an address"))
}

/// Takes a packet through all its hooks. A packet that leaves and is not the host's has arrived
/// somewhere, so it meets the table `raw` too, on an interface that nobody has named.
pub fn walk(
    rules: &dyn Ruleset,
    conntrack: &mut Conntrack,
    packet: &Packet,
    side: Side<'_>,
    host: &[IpAddr],
    now: Timestamp,
) -> Walked {
    let (input, output) = match side {
        Side::Arrives(name) => (Some(name), None),
        Side::Leaves(name) => (None, Some(name)),
    };
    let hook = hook_of(packet, side, host);
    let mut walked = Walked { dropped: None, tracked: None, steps: Vec::new() };
    if hook != Hook::Output {
        let tracked = Tracked::UNASKED;
        let seen = Seen { hook: Hook::Source, packet, tracked, input, output: None, host, now };
        walked.add(rules, &seen);
    }
    if walked.dropped.is_none() {
        let tracked = conntrack.see(packet, hook != Hook::Output);
        walked.tracked = Some(tracked);
        walked.add(rules, &Seen { hook, packet, tracked, input, output, host, now });
        conntrack.settle(walked.dropped.is_none());
    }
    walked
}

impl Walked {
    fn add(&mut self, rules: &dyn Ruleset, seen: &Seen<'_>) {
        let verdict = rules.verdict(seen);
        self.dropped = verdict.dropped.then_some(seen.hook);
        self.steps.extend(verdict.steps.into_iter().map(|step| (seen.hook, step)));
    }
}

/// Whether the kernel delivers what is for the address to the host as well: groups and everyone.
fn is_to_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}
