//! Who may send from where: asked before connections are tracked, so that nobody moves a
//! connection's state with an address that is not his.

use std::net::IpAddr;

use ringfence_common::abi::config::essential;
use ringfence_common::verdict::Reason;

use super::draft::{Draft, Shape};
use super::hooks::{DHCP_TO_CLIENT, DISCOVERY, LISTENERS};
use super::spelling::interface;
use super::{Chain, RenderError, Rule};
use crate::backend::chains::{Entry, HostGuard};

/// Addresses that interfaces have without being told.
const ANYBODY: &str = "ip6 saddr { ::, fe80::/10 }";
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

/// Step 5 of [`ringfence_common::decide`].
fn martian(draft: &mut Draft<'_>) {
    let mut chain = Chain::named("martian", "Addresses that may not be on a wire");
    let mut refuse = |matches: &str| {
        chain.rules.push(draft.outcomes.refuses(matches, Reason::Martian));
    };
    refuse("ip saddr { 127.0.0.0/8, 224.0.0.0/4, 255.255.255.255 }");
    refuse("ip daddr { 0.0.0.0, 127.0.0.0/8 }");
    refuse("ip6 saddr { ::1, ::ffff:0.0.0.0/96, ff00::/8 }");
    refuse("ip6 daddr { ::/127, ::ffff:0.0.0.0/96 }");
    // Nobody may ask for an address, or discover neighbours and groups, whatever becomes of it.
    let nobody = [
        "ip saddr 0.0.0.0 udp sport 68 udp dport 67",
        "ip6 saddr :: icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, \
         mld2-listener-report }",
        "ip6 saddr :: icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, \
         nd-neighbor-advert }",
    ];
    let nobody = nobody.map(|matches| Rule::leads(format!("{matches} return"), "Nobody"));
    chain.rules.extend(nobody);
    for matches in ["ip saddr 0.0.0.0", "ip6 saddr ::"] {
        chain.rules.push(draft.outcomes.refuses(matches, Reason::Martian));
    }
    draft.chain(chain);
}

/// What workloads send: from their own addresses, and from none or a link-local one what needs
/// it.
fn of_workloads(draft: &mut Draft<'_>) {
    let mut chain = Chain::named("source_workload", "What a workload sends, by its source");
    let own: Vec<String> = [("ip", "sources4"), ("ip6", "sources6")]
        .into_iter()
        .filter(|(_, set)| draft.has_map(set))
        .map(|(family, set)| format!("iifname . {family} saddr @{set}"))
        .collect();
    chain.rules.push(Rule::leads("jump martian", "Martian"));
    let rogues = own.iter().filter(|own| own.contains("ip6")).map(String::as_str);
    for rogue in rogues.chain([ANYBODY]) {
        let matches = format!("{rogue} {ADVERTISEMENT}");
        chain.rules.push(draft.outcomes.refuses(&matches, Reason::RogueRouter));
    }
    for own in own {
        chain.rules.push(Rule::leads(format!("{own} counter return"), "Own"));
    }
    let mut pass = |bit, matches: &str, reason| {
        if draft.is_essential(bit) {
            chain.rules.push(draft.outcomes.passes(matches, reason));
        }
    };
    let discovery = format!("{ANYBODY} {DISCOVERY}");
    pass(essential::NEIGHBOUR_DISCOVERY, &discovery, Reason::NeighbourDiscovery);
    let listeners = format!("{ANYBODY} {LISTENERS}");
    pass(essential::MULTICAST_LISTENER, &listeners, Reason::MulticastListener);
    for asks in [
        "ip saddr 0.0.0.0 udp sport 68 udp dport 67",
        "ip6 saddr fe80::/10 udp sport 546 udp dport 547",
    ] {
        pass(essential::DHCP, asks, Reason::Dhcp);
    }
    chain.rules.push(draft.outcomes.refuses("", Reason::Spoofed));
    draft.chain(chain);
}

/// What the network sends: from any address but those of this host and its workloads.
fn of_network(draft: &mut Draft<'_>, host: &HostGuard) {
    let title = format!("What the network sends to {}, by its source", host.name);
    let mut chain = Chain::named("source_uplink", title);
    chain.rules.push(Rule::leads("jump martian", "Martian"));
    let mut pass = |bit, matches: &str, reason| {
        if draft.is_essential(bit) {
            chain.rules.push(draft.outcomes.passes(matches, reason));
        }
    };
    pass(essential::NEIGHBOUR_DISCOVERY, DISCOVERY, Reason::NeighbourDiscovery);
    pass(essential::MULTICAST_LISTENER, LISTENERS, Reason::MulticastListener);
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
