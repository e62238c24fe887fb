//! The chains that the kernel calls, and those that all endpoints share.

use ringfence_common::abi::config::essential;
use ringfence_common::abi::policy::Direction;
use ringfence_common::verdict::Reason;

use super::draft::{Draft, Shape};
use super::endpoint::{Endpoint, NO_SYN, before};
use super::spelling::{interface, one_of};
use super::{Chain, Element, Rule};
use crate::backend::chains::{About, Entry, Guard};

/// DHCP and DHCPv6 from a client to a server (RFC 2131, RFC 8415).
pub(super) const DHCP_TO_SERVER: [&str; 2] = [
    "meta nfproto ipv4 udp sport 68 udp dport 67",
    "meta nfproto ipv6 udp sport 546 udp dport 547",
];
/// DHCP and DHCPv6 from a server to a client.
pub(super) const DHCP_TO_CLIENT: [&str; 2] = [
    "meta nfproto ipv4 udp sport 67 udp dport 68",
    "meta nfproto ipv6 udp sport 547 udp dport 546",
];
/// Neighbour and router discovery (RFC 4861).
pub(super) const DISCOVERY_TYPES: &str = "icmpv6 type { nd-router-solicit, nd-router-advert, \
     nd-neighbor-solicit, nd-neighbor-advert }";
/// Multicast listener discovery (RFC 2710, RFC 3810).
pub(super) const LISTENER_TYPES: &str = "icmpv6 type { mld-listener-query, mld-listener-report, \
     mld-listener-done, mld2-listener-report }";

/// Neighbour and router discovery that has crossed no router (RFC 4861 §7.1).
pub(super) fn discovery() -> String {
    format!("{DISCOVERY_TYPES} ip6 hoplimit 255")
}

/// Multicast listener discovery that stays on its link (RFC 3810 §5).
pub(super) fn listeners() -> String {
    format!("{LISTENER_TYPES} ip6 hoplimit 1")
}

/// As [`listeners`], where packets are forwarded. The kernel counts the hop limit down before: what
/// has 1 left may have come with 2 for someone behind this router. Groups are what listeners speak
/// to.
fn forwarded_listeners() -> String {
    format!("ip6 daddr ff00::/8 {}", listeners())
}

/// Errors, which quote the packet that they are about.
const V4_ERRORS: &str =
    "icmp type { destination-unreachable, source-quench, time-exceeded, parameter-problem }";
/// As [`V4_ERRORS`].
const V6_ERRORS: &str =
    "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }";
/// Whatever does not ask.
const V4_NO_QUERY: &str =
    "icmp type != { echo-request, timestamp-request, info-request, address-mask-request }";
/// As [`V4_NO_QUERY`].
const V6_NO_QUERY: &str = "icmpv6 type != echo-request";
/// Answers to queries.
pub(super) const V4_REPLIES: &str =
    "icmp type { echo-reply, timestamp-reply, info-reply, address-mask-reply }";
/// As [`V4_REPLIES`].
pub(super) const V6_REPLIES: &str = "icmpv6 type echo-reply";

/// The field of the workload's interface, and that of its address.
#[derive(Clone, Copy, Debug)]
struct Fields {
    interface: &'static str,
    address: &'static str,
}

const SENDER: Fields = Fields { interface: "iifname", address: "saddr" };
const RECEIVER: Fields = Fields { interface: "oifname", address: "daddr" };

/// Writes `forward`, `input` and `output`.
pub(super) fn chains(draft: &mut Draft<'_>) {
    let mut forward = hook("forward", "forward", "What passes through this host");
    forward.rules.extend(known_and_discovery(draft, &forwarded_listeners()));
    let senders = from_workloads(draft);
    forward.rules.extend(senders.clone());
    let receivers =
        to_workloads(draft, "to", |guard, _| Endpoint::from(guard).chain(Direction::Ingress));
    forward.rules.extend(checked_receivers(draft));
    forward.rules.extend(receivers.clone());
    forward.rules.extend(shared_dhcp(draft));
    forward.rules.extend(unknown_receivers(draft));
    draft.chain(forward);

    let mut input = hook("input", "input", "What is for this host itself");
    input.rules.extend(loopback("iifname"));
    input.rules.extend(known_and_discovery(draft, &listeners()));
    input.rules.extend(dhcp(draft, SENDER, DHCP_TO_SERVER, DHCP_TO_CLIENT));
    input.rules.extend(picked_up(draft, SENDER));
    input.rules.extend(senders);
    input.rules.extend(of_host(draft, SENDER, Direction::Ingress));
    draft.chain(input);

    let mut output = hook("output", "output", "What this host itself sends");
    output.rules.extend(loopback("oifname"));
    output.rules.extend(known_and_discovery(draft, &listeners()));
    output.rules.extend(dhcp(draft, RECEIVER, DHCP_TO_CLIENT, DHCP_TO_SERVER));
    output.rules.extend(picked_up(draft, RECEIVER));
    output.rules.extend(of_host(draft, RECEIVER, Direction::Egress));
    if draft.is_essential(essential::HOST_TO_WORKLOAD) {
        let always = to_workloads(draft, "host_to", |guard, draft| {
            Endpoint::from(guard).chain_from_host(draft)
        });
        output.rules.extend(always);
    } else {
        output.rules.extend(receivers);
    }
    output.rules.extend(unknown_receivers(draft));
    draft.chain(output);
}

/// A chain that the kernel calls at a hook for filters.
fn hook(name: &str, hook: &str, title: &str) -> Chain {
    let hook = Some(format!("type filter hook {hook} priority filter"));
    Chain { hook, ..Chain::named(name, title) }
}

/// Writes the chains that refuse what belongs to no connection.
pub(super) fn strays(draft: &mut Draft<'_>) {
    let title = "What no connection knows and the kernel cannot place in one";
    let mut invalid = Chain::named("invalid", title);
    let mut refuse = |matches: &str, reason| {
        invalid.rules.push(draft.outcomes.refuses(matches, reason));
    };
    if !draft.is_essential(essential::RELATED_ERRORS) {
        refuse(&format!("ct state related {V4_ERRORS}"), Reason::EssentialOff);
        refuse(&format!("ct state related {V6_ERRORS}"), Reason::EssentialOff);
    }
    refuse(V4_ERRORS, Reason::Unrelated);
    refuse(V6_ERRORS, Reason::Unrelated);
    // What is neither query nor reply nor error is invalid to the kernel and a question to policy;
    // so are replies to nothing where nobody isolates. A query is invalid if it is cut.
    // To the kernel all of UDP-Lite is invalid: it takes its checksum for UDP's.
    for no_query in [V4_NO_QUERY, V6_NO_QUERY, "meta l4proto udplite"] {
        invalid.rules.push(Rule::leads(format!("ct state invalid {no_query} return"), "Message"));
    }
    invalid.rules.push(draft.outcomes.refuses("ct state invalid", Reason::InvalidTransition));
    draft.chain(invalid);

    let mut stray = Chain::named("stray", "What opens no connection and belongs to none");
    let mut refuse = |matches: &str, reason| {
        stray.rules.push(draft.outcomes.refuses(matches, reason));
    };
    refuse(V4_REPLIES, Reason::UnexpectedReply);
    refuse(V6_REPLIES, Reason::UnexpectedReply);
    refuse(NO_SYN, Reason::NoConnection);
    draft.chain(stray);
}

fn loopback(field: &str) -> [Rule; 1] {
    [Rule::leads(format!("{field} \"lo\" counter return"), "Loopback")]
}

/// Packets of known connections and errors about them, and what IPv6 cannot do without.
fn known_and_discovery(draft: &Draft<'_>, listeners: &str) -> Vec<Rule> {
    let mut rules = vec![draft.outcomes.passes("ct state established", Reason::Established)];
    let mut pass = |bit, matches: &str, reason| {
        if draft.is_essential(bit) {
            rules.push(draft.outcomes.passes(matches, reason));
        }
    };
    for errors in [V4_ERRORS, V6_ERRORS] {
        let matches = format!("ct state related {errors}");
        pass(essential::RELATED_ERRORS, &matches, Reason::Related);
    }
    pass(essential::NEIGHBOUR_DISCOVERY, &discovery(), Reason::NeighbourDiscovery);
    pass(essential::MULTICAST_LISTENER, listeners, Reason::MulticastListener);
    rules
}

/// The host's own DHCP: workloads and the host are clients, and each is asked for on its side.
fn dhcp(
    draft: &Draft<'_>,
    fields: Fields,
    of_workloads: [&str; 2],
    of_host: [&str; 2],
) -> Vec<Rule> {
    if !draft.is_essential(essential::DHCP) {
        return Vec::new();
    }
    let mut rules = Vec::new();
    let mut pass = |place: &str, matches: [&str; 2]| {
        rules.extend(
            matches
                .map(|matches| draft.outcomes.passes(&format!("{place} {matches}"), Reason::Dhcp)),
        );
    };
    if draft.has_map("workloads") {
        pass(&format!("{} @workloads", fields.interface), of_workloads);
    }
    if let Some(place) = uplinks(draft, fields) {
        pass(&place, of_host);
    }
    rules
}

/// The match for the interfaces between the host and the network; nothing where no document
/// describes the host.
fn uplinks(draft: &Draft<'_>, fields: Fields) -> Option<String> {
    let host = draft.plan.host.as_ref()?;
    let field = fields.interface;
    Some(if !host.uplinks.is_empty() {
        format!("{field} @uplinks")
    } else if draft.has_map("workloads") {
        format!("{field} != @workloads")
    } else {
        format!("{field} != \"lo\"")
    })
}

/// The host and its workloads may have talked before there were chains.
fn picked_up(draft: &Draft<'_>, fields: Fields) -> Option<Rule> {
    let until = draft.plan.settings.pick_up_until?;
    let always = draft.is_essential(essential::HOST_TO_WORKLOAD) && draft.has_map("workloads");
    let matches = format!("{} {} @workloads {NO_SYN}", before(until), fields.interface);
    always.then(|| draft.outcomes.passes(&matches, Reason::PickedUp))
}

/// Leads what comes from workloads to their chains.
fn from_workloads(draft: &mut Draft<'_>) -> Vec<Rule> {
    dispatch(draft, "from", SENDER, |guard, _| Endpoint::from(guard).chain(Direction::Egress))
}

/// Leads what is for workloads to the chains that `chain` says.
fn to_workloads(
    draft: &mut Draft<'_>,
    prefix: &str,
    chain: impl Fn(&Guard, &Draft<'_>) -> String,
) -> Vec<Rule> {
    dispatch(draft, prefix, RECEIVER, chain)
}

/// Leads packets of workloads to their chains: by the interface, by the interface and the address
/// where several workloads share it, by the address where the interface is not known.
fn dispatch(
    draft: &mut Draft<'_>,
    prefix: &str,
    fields: Fields,
    chain: impl Fn(&Guard, &Draft<'_>) -> String,
) -> Vec<Rule> {
    let plan = draft.plan;
    // What is for a workload has nothing before it but its chain.
    let step = if fields.address == SENDER.address { "jump" } else { "goto" };
    for guard in &plan.guards {
        let verdict = format!("{step} {}", chain(guard, draft));
        let element = Element { verdict, about: About::way(&guard.name) };
        let quoted = |name| interface(name).expect("names were looked at before");
        if let Entry::Interface(name) = &guard.entry {
            let shape = Shape::exact("ifname : verdict");
            draft.element(&format!("{prefix}_interface"), shape, quoted(name), element);
            continue;
        }
        for address in &guard.addresses {
            let (family, kind) =
                if address.is_ipv4() { ("4", "ipv4_addr") } else { ("6", "ipv6_addr") };
            let (map, kind, key) = match &guard.entry {
                Entry::Shared(name) => (
                    format!("{prefix}{family}_shared"),
                    format!("ifname . {kind} : verdict"),
                    format!("{} . {address}", quoted(name)),
                ),
                _ => (
                    format!("{prefix}{family}_address"),
                    format!("{kind} : verdict"),
                    address.to_string(),
                ),
            };
            draft.element(&map, Shape::exact(&kind), key, element.clone());
        }
    }
    let Fields { interface, address } = fields;
    let keys = [
        ("_interface", interface.to_owned()),
        ("4_shared", format!("{interface} . ip {address}")),
        ("6_shared", format!("{interface} . ip6 {address}")),
        ("4_address", format!("ip {address}")),
        ("6_address", format!("ip6 {address}")),
    ];
    let way = if address == SENDER.address { "Sender" } else { "Receiver" };
    let map = |suffix: &str| format!("{prefix}{suffix}");
    let known = keys.iter().filter(|(suffix, _)| draft.has_map(&map(suffix)));
    known.map(|(suffix, key)| Rule::leads(format!("{key} vmap @{}", map(suffix)), way)).collect()
}

/// Addresses that may not be on a wire, towards workloads; what comes from them was checked
/// before.
fn checked_receivers(draft: &Draft<'_>) -> Option<Rule> {
    let has_workloads = draft.has_map("workloads");
    has_workloads.then(|| Rule::leads("oifname @workloads jump martian", "OnTheWire"))
}

/// DHCP to someone behind an interface that several workloads share, who may have no address yet.
fn shared_dhcp(draft: &Draft<'_>) -> Vec<Rule> {
    let shared = shared_interfaces(draft).filter(|_| draft.is_essential(essential::DHCP));
    let pass = |shared: String| {
        DHCP_TO_CLIENT
            .map(|matches| draft.outcomes.passes(&format!("{shared} {matches}"), Reason::Dhcp))
    };
    shared.map(pass).into_iter().flatten().collect()
}

/// What goes to an interface that several workloads share, and to none of them.
fn unknown_receivers(draft: &Draft<'_>) -> Option<Rule> {
    let matches = shared_interfaces(draft)?;
    Some(draft.outcomes.refuses(&matches, Reason::UnknownEndpoint))
}

/// The match for packets that go to interfaces that several workloads share.
fn shared_interfaces(draft: &Draft<'_>) -> Option<String> {
    let shared = draft.plan.guards.iter().filter_map(|guard| match &guard.entry {
        Entry::Shared(name) => Some(interface(name).expect("names were looked at before")),
        _ => None,
    });
    let shared: std::collections::BTreeSet<String> = shared.collect();
    (!shared.is_empty()).then(|| format!("oifname {}", one_of(shared)))
}

/// Leads what is for the host, or from it, to its chain.
fn of_host(draft: &Draft<'_>, fields: Fields, direction: Direction) -> Vec<Rule> {
    let Some(host) = &draft.plan.host else { return Vec::new() };
    let chain = Endpoint::from(host).chain(direction);
    let rule = |matches: &str| Rule::leads(format!("{matches} jump {chain}"), "Host");
    let field = fields.interface;
    if host.uplinks.is_empty() {
        return vec![Rule::leads(format!("jump {chain}"), "Host")];
    }
    let mut rules = vec![rule(&format!("{field} @uplinks"))];
    if draft.has_map("workloads") {
        rules.push(rule(&format!("{field} @workloads")));
    }
    rules
}
