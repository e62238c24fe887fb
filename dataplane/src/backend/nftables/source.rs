//! Who may send from where: asked before connections are tracked, so that nobody moves a
//! connection's state with an address that is not his.

use std::net::IpAddr;

use ringfence_common::abi::config::essential;
use ringfence_common::verdict::Reason;

use super::draft::{Draft, Shape};
use super::hooks::{DHCP_TO_CLIENT, DISCOVERY_TYPES, LISTENER_TYPES, discovery, listeners};
use super::spelling::interface;
use super::{Chain, RenderError, Rule};
use crate::backend::chains::{Entry, HostGuard};

/// Addresses that interfaces have without being told.
const ANYBODY: &str = "ip6 saddr { ::, fe80::/10 }";
/// No address yet.
const V4_NOBODY: &str = "ip saddr 0.0.0.0";
/// As [`V4_NOBODY`].
const V6_NOBODY: &str = "ip6 saddr ::";
/// Router advertisements that have crossed no router.
const ADVERTISEMENT: &str = "icmpv6 type nd-router-advert ip6 hoplimit 255";

/// Writes the sets of interfaces and addresses that all chains share.
///
/// # Errors
///
/// [`RenderError::Interface`] when an interface has a name that nft cannot say.
pub(super) fn sets(draft: &mut Draft<'_>) -> Result<(), RenderError> {
    let plan = draft.plan;
    for guard in &plan.guards {
        for address in &guard.addresses {
            address_set(draft, "workloads", *address, &guard.name);
        }
        let (Entry::Interface(name) | Entry::Shared(name)) = &guard.entry else { continue };
        let quoted = quoted(name, &guard.name)?;
        draft.member("workloads", Shape::exact("ifname"), quoted.clone(), &guard.name);
        for address in &guard.addresses {
            let (set, kind) = if address.is_ipv4() {
                ("sources4", "ifname . ipv4_addr")
            } else {
                ("sources6", "ifname . ipv6_addr")
            };
            let key = format!("{quoted} . {address}");
            draft.member(set, Shape::exact(kind), key, &guard.name);
            // Where a workload without an interface sits is not known: it may be anywhere.
            address_set(draft, "local", *address, &guard.name);
        }
    }
    let Some(host) = &plan.host else { return Ok(()) };
    for name in &host.uplinks {
        let quoted = quoted(name, &host.name)?;
        draft.member("uplinks", Shape::exact("ifname"), quoted, &host.name);
    }
    for address in &host.addresses {
        address_set(draft, "local", *address, &host.name);
    }
    Ok(())
}

fn quoted(name: &str, workload: &str) -> Result<String, RenderError> {
    interface(name).map_err(|why| RenderError::Interface {
        interface: name.to_owned(),
        workload: workload.to_owned(),
        why,
    })
}

fn address_set(draft: &mut Draft<'_>, prefix: &str, address: IpAddr, about: &str) {
    let (family, kind) = if address.is_ipv4() { ("4", "ipv4_addr") } else { ("6", "ipv6_addr") };
    draft.member(&format!("{prefix}{family}"), Shape::exact(kind), address.to_string(), about);
}

/// Writes `source` and the chains that it leads to; none of them where nobody's packets can be
/// told by where they come from.
pub(super) fn chains(draft: &mut Draft<'_>) {
    let (has_workloads, host) = (draft.has_map("workloads"), draft.plan.host.as_ref());
    if !has_workloads && host.is_none() {
        return;
    }
    martian(draft);
    let mut source = Chain::named("source", "Whatever arrives, before connections are tracked");
    source.hook = Some("type filter hook prerouting priority raw".to_owned());
    if has_workloads {
        source.rules.push(Rule::leads("iifname @workloads goto source_workload", "Workload"));
        of_workloads(draft);
    }
    if let Some(host) = host {
        let place = if host.uplinks.is_empty() { "iifname != \"lo\"" } else { "iifname @uplinks" };
        source.rules.push(Rule::leads(format!("{place} goto source_uplink"), "Uplink"));
        of_network(draft, host);
    }
    draft.chain(source);
}

/// Destinations that may not be on a wire.
const V4_NOWHERE: &str = "ip daddr { 0.0.0.0, 127.0.0.0/8 }";
/// As [`V4_NOWHERE`].
const V6_NOWHERE: &str = "ip6 daddr { ::/127, ::ffff:0.0.0.0/96 }";

/// Step 5 of [`ringfence_common::decide`], a chain for each family.
fn martian(draft: &mut Draft<'_>) {
    let refuse = |matches: &str| draft.outcomes.refuses(matches, Reason::Martian);
    // Nobody may ask for an address, or discover neighbours and groups, whatever becomes of it.
    let nobody = |matches: &str| Rule::leads(format!("{matches} return"), "Nobody");
    let mut v4 = Chain::named("martian", "Addresses that may not be on a wire");
    v4.rules = vec![
        Rule::leads("meta nfproto ipv6 goto martian_ipv6", "Family"),
        refuse(V4_NOWHERE),
        refuse("ip saddr { 127.0.0.0/8, 224.0.0.0/4, 255.255.255.255 }"),
        nobody(&format!("{V4_NOBODY} udp sport 68 udp dport 67")),
        refuse(V4_NOBODY),
    ];
    let mut v6 = Chain::named("martian_ipv6", "The same for IPv6");
    v6.rules = vec![
        refuse(V6_NOWHERE),
        refuse("ip6 saddr { ::1, ::ffff:0.0.0.0/96, ff00::/8 }"),
        nobody(&format!("{V6_NOBODY} {DISCOVERY_TYPES}")),
        nobody(&format!("{V6_NOBODY} {LISTENER_TYPES}")),
        refuse(V6_NOBODY),
    ];
    draft.chain(v4);
    draft.chain(v6);
}

/// What workloads send: from their own addresses, and from none or a link-local one what needs
/// it. Each packet of a workload comes here, so what is usual is asked first.
fn of_workloads(draft: &mut Draft<'_>) {
    let mut chain = Chain::named("source_workload", "What a workload sends, by its source");
    chain.rules.push(draft.outcomes.refuses(V4_NOWHERE, Reason::Martian));
    let own = |family: &str, set: &str| {
        draft.has_map(set).then(|| format!("iifname . {family} saddr @{set}"))
    };
    let passes = |own: String| Rule::leads(format!("{own} counter return"), "Own");
    chain.rules.extend(own("ip", "sources4").map(passes));
    chain.rules.push(draft.outcomes.refuses(V6_NOWHERE, Reason::Martian));
    let own = own("ip6", "sources6");
    for rogue in own.as_deref().into_iter().chain([ANYBODY]) {
        let matches = format!("{ADVERTISEMENT} {rogue}");
        chain.rules.push(draft.outcomes.refuses(&matches, Reason::RogueRouter));
    }
    chain.rules.extend(own.map(passes));
    chain.rules.push(Rule::leads("jump martian", "OnTheWire"));
    let mut pass = |bit, matches: &str, reason| {
        if draft.is_essential(bit) {
            chain.rules.push(draft.outcomes.passes(matches, reason));
        }
    };
    let discovers = format!("{ANYBODY} {}", discovery());
    pass(essential::NEIGHBOUR_DISCOVERY, &discovers, Reason::NeighbourDiscovery);
    let listens = format!("{ANYBODY} {}", listeners());
    pass(essential::MULTICAST_LISTENER, &listens, Reason::MulticastListener);
    let asks = [
        "ip saddr 0.0.0.0 udp sport 68 udp dport 67",
        "ip6 saddr fe80::/10 udp sport 546 udp dport 547",
    ];
    for asks in asks {
        pass(essential::DHCP, asks, Reason::Dhcp);
    }
    chain.rules.push(draft.outcomes.refuses("", Reason::Spoofed));
    draft.chain(chain);
}

/// What the network sends: from any address but those of this host and its workloads.
fn of_network(draft: &mut Draft<'_>, host: &HostGuard) {
    let title = format!("What the network sends to {}, by its source", host.name);
    let mut chain = Chain::named("source_uplink", title);
    chain.rules.push(Rule::leads("jump martian", "OnTheWire"));
    let mut pass = |bit, matches: &str, reason| {
        if draft.is_essential(bit) {
            chain.rules.push(draft.outcomes.passes(matches, reason));
        }
    };
    pass(essential::NEIGHBOUR_DISCOVERY, &discovery(), Reason::NeighbourDiscovery);
    pass(essential::MULTICAST_LISTENER, &listeners(), Reason::MulticastListener);
    for answers in DHCP_TO_CLIENT {
        pass(essential::DHCP, answers, Reason::Dhcp);
    }
    for (family, set) in [("ip", "local4"), ("ip6", "local6")] {
        if draft.has_map(set) {
            let matches = format!("{family} saddr @{set}");
            chain.rules.push(draft.outcomes.refuses(&matches, Reason::Spoofed));
        }
    }
    draft.chain(chain);
}
