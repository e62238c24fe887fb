//! The probes of a case.

use std::net::IpAddr;

use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::model::{Inventory, PolicySet, Protocol, Workload, WorkloadName};
use serde_saphyr::Location;

use super::pods::{PROTOCOLS, address, is_block};
use super::tree::{Node, Value};
use super::walk::{Object, Walk, suggestion};
use super::{End, Probe, Service};

/// The words for verdicts.
const VERDICTS: [(&str, Verdict); 3] =
    [("allow", Verdict::Allow), ("deny", Verdict::Deny), ("audit", Verdict::Audit)];

/// ICMP and ICMPv6 (IANA protocol numbers), and their echo requests (RFC 792, RFC 4443).
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;

/// Protocol numbers that IPv6 uses for extension headers and for nothing inside (RFC 8200 §4,
/// RFC 4302, RFC 6275, RFC 7401, RFC 5533): no packet of a protocol of its own.
const HEADERS: [u8; 8] = [0, 43, 44, 51, 59, 60, 135, 139];

pub(super) fn read(walk: &mut Walk, case: &Object, policies: &PolicySet) -> Vec<Probe> {
    let items = walk.items(case, "probes");
    items.iter().filter_map(|item| probe(walk, item, &policies.inventory)).collect()
}

fn probe(walk: &mut Walk, node: &Node, inventory: &Inventory) -> Option<Probe> {
    const KEYS: [&str; 11] = [
        "name",
        "from",
        "to",
        "protocol",
        "port",
        "type",
        "code",
        "expect",
        "expect_egress",
        "expect_ingress",
        "reason",
    ];
    let probe = walk.object(node, "a probe")?;
    walk.unknown_keys(&probe, &KEYS);
    let name = walk.name_of(&probe, "name");
    let from = walk.required(&probe, "from").and_then(|node| end(walk, node, inventory));
    let to = walk.required(&probe, "to").and_then(|node| end(walk, node, inventory));
    let expect = expectation(walk, &probe);
    let expect_egress = side(walk, &probe, "expect_egress");
    let expect_ingress = side(walk, &probe, "expect_ingress");
    let reason = reason(walk, &probe, expect);
    contradiction(walk, &probe, expect, [expect_egress, expect_ingress]);
    let (from, to) = (from?, to?);
    if let End::Address(address) = from
        && is_no_source(address)
    {
        let message = format!("`{address}` is no source address; write a frame that has it");
        walk.error(probe.at, message);
    }
    let service = service(walk, &probe, &to, inventory)?;
    let pairs = pairs(walk, probe.at, [&from, &to], &service, inventory)?;
    let (place, expect) = (walk.place(probe.at), expect?);
    Some(Probe {
        place,
        name,
        from,
        to,
        service,
        pairs,
        expect,
        expect_egress,
        expect_ingress,
        reason,
    })
}

/// `expect`.
pub(super) fn expectation(walk: &mut Walk, object: &Object) -> Option<Verdict> {
    let node = walk.required(object, "expect")?;
    walk.word(node, "`expect`", &VERDICTS)
}

fn side(walk: &mut Walk, probe: &Object, key: &str) -> Option<Verdict> {
    let node = probe.get(key)?;
    walk.word(node, &format!("`{key}`"), &VERDICTS)
}

/// Warns where `expect` cannot come of what the two sides are said to decide: the packet passes
/// where both let it pass.
fn contradiction(
    walk: &mut Walk,
    probe: &Object,
    expect: Option<Verdict>,
    sides: [Option<Verdict>; 2],
) {
    let weight = |verdict| match verdict {
        Verdict::Allow => 0,
        Verdict::Audit => 1,
        Verdict::Deny => 2,
    };
    let Some(expect) = expect else { return };
    let heaviest = sides.iter().flatten().copied().max_by_key(|verdict| weight(*verdict));
    let Some(heaviest) = heaviest else { return };
    let at = probe.get("expect").map_or(probe.at, |node| node.at);
    let word = |verdict| {
        let found = VERDICTS.iter().find(|(_, known)| *known == verdict);
        found.map_or("", |(word, _)| word)
    };
    if weight(heaviest) > weight(expect) {
        let (expect, heaviest) = (word(expect), word(heaviest));
        let message = format!(
            "`expect` is `{expect}`, but one side is said to give `{heaviest}`; one is wrong"
        );
        walk.warning(at, message);
    } else if weight(heaviest) < weight(expect) && sides.iter().all(Option::is_some) {
        let (expect, heaviest) = (word(expect), word(heaviest));
        let message = format!(
            "`expect` is `{expect}`, but neither side is said to do more than `{heaviest}`; one is \
             wrong"
        );
        walk.warning(at, message);
    }
}

/// `reason`, which has to go with `expect`.
pub(super) fn reason(walk: &mut Walk, object: &Object, expect: Option<Verdict>) -> Option<Reason> {
    let node = object.get("reason")?;
    let text = walk.text(node, "`reason`")?;
    let Some(reason) = Reason::ALL.iter().copied().find(|reason| reason.name() == text) else {
        let like = suggestion(text, Reason::ALL.iter().map(|reason| reason.name()));
        let message = format!(
            "there is no reason `{text}`{like}; the names are those that events and counters use"
        );
        walk.error(node.at, message);
        return None;
    };
    let expect = expect?;
    if reason.denies() != (expect != Verdict::Allow) {
        let kind = if reason.denies() { "deny" } else { "allow" };
        let message = format!("`{text}` is a reason to {kind}; `expect` says otherwise");
        walk.error(node.at, message);
    }
    Some(reason)
}

fn end(walk: &mut Walk, node: &Node, inventory: &Inventory) -> Option<End> {
    let text = walk.text(node, "an end of a probe")?;
    if text.contains('/') && !is_block(text) {
        return workload(walk, node, inventory).map(|found| End::Workload(found.name.clone()));
    }
    address(walk, node).map(End::Address)
}

/// The workload that `node` names as `namespace/name`.
pub(super) fn workload<'i>(
    walk: &mut Walk,
    node: &Node,
    inventory: &'i Inventory,
) -> Option<&'i Workload> {
    let text = walk.text(node, "a pod's name")?;
    let (namespace, name) = text.split_once('/').unwrap_or(("", text));
    let found = inventory.workload(&WorkloadName::new(namespace, name));
    if found.is_none() {
        let known: Vec<String> = inventory.workloads().map(|one| one.name.to_string()).collect();
        let like = suggestion(text, known.iter().map(String::as_str));
        let message = format!("there is no pod `{text}`{like}; pods are named `namespace/name`");
        walk.error(node.at, message);
    }
    found
}

fn service(walk: &mut Walk, probe: &Object, to: &End, inventory: &Inventory) -> Option<Service> {
    let known = protocol(walk, probe)?;
    if let Some(protocol) = Protocol::ALL.into_iter().find(|one| one.number() == known) {
        needless(walk, probe, &["type", "code"], "which only ICMP has");
        return port(walk, probe, protocol, to, inventory);
    }
    needless(walk, probe, &["port"], "and its protocol has none");
    if known != ICMP && known != ICMPV6 {
        needless(walk, probe, &["type", "code"], "which only ICMP has");
        return Some(Service::Other(known));
    }
    let v6 = known == ICMPV6;
    let mut number = |key: &str, absent| match probe.get(key) {
        Some(node) => walk.number(node, &format!("`{key}`"), 0..=255).map(|number| number as u8),
        None => Some(absent),
    };
    let kind = number("type", if v6 { ECHO_REQUEST_V6 } else { ECHO_REQUEST })?;
    Some(Service::Icmp { v6, kind, code: number("code", 0)? })
}

/// The number of `protocol`, which is TCP where a probe has none, as in a policy
/// (`NetworkPolicyPort.protocol` of the Kubernetes API).
fn protocol(walk: &mut Walk, probe: &Object) -> Option<u8> {
    let Some(node) = probe.get("protocol") else { return Some(Protocol::Tcp.number()) };
    let Value::Text(text) = &node.value else {
        let number = walk.number(node, "`protocol`", 0..=255)? as u8;
        if HEADERS.contains(&number) {
            let message =
                format!("protocol {number} is a header of IPv6; write a frame that has it");
            walk.error(node.at, message);
            return None;
        }
        return Some(number);
    };
    let with_ports = PROTOCOLS.iter().map(|(name, protocol)| (*name, protocol.number()));
    let mut known = with_ports.chain([("ICMP", ICMP), ("ICMPv6", ICMPV6)]);
    let found = known.find(|(name, _)| name.eq_ignore_ascii_case(text));
    if found.is_none() {
        let message = format!(
            "there is no protocol `{text}`; write TCP, UDP, SCTP, ICMP, ICMPv6 or a number"
        );
        walk.error(node.at, message);
    }
    found.map(|(_, number)| number)
}

/// Warns of keys that mean nothing for a probe of this protocol.
fn needless(walk: &mut Walk, probe: &Object, keys: &[&str], why: &str) {
    for key in keys {
        if let Some(node) = probe.get(key) {
            walk.warning(node.at, format!("the probe has a `{key}`, {why}; it is left out"));
        }
    }
}

fn port(
    walk: &mut Walk,
    probe: &Object,
    protocol: Protocol,
    to: &End,
    inventory: &Inventory,
) -> Option<Service> {
    let node = walk.required(probe, "port")?;
    let Value::Text(name) = &node.value else {
        let port = walk.number(node, "`port`", 0..=u16::MAX.into())? as u16;
        return Some(Service::Port { protocol, port, name: None });
    };
    let destination = match to {
        End::Workload(name) => inventory.workload(name),
        End::Address(address) => inventory.owner(*address),
    };
    let ports = destination.map(|found| found.ports.as_slice()).unwrap_or_default();
    let fits = |port: &&ringfence_dataplane::model::NamedPort| {
        port.name == *name && port.protocol == protocol
    };
    let Some(found) = ports.iter().find(fits) else {
        if let Ok(number) = name.parse::<u16>() {
            walk.error(node.at, format!("`port` is text; write {number} without quotes"));
            return None;
        }
        let named: Vec<String> =
            ports.iter().map(|port| format!("`{}/{}`", port.name, port.protocol)).collect();
        let named = if named.is_empty() { "no port".to_owned() } else { named.join(", ") };
        let message = format!("`{to}` has no port called `{name}/{protocol}`; it names {named}");
        walk.error(node.at, message);
        return None;
    };
    Some(Service::Port { protocol, port: found.port, name: Some(name.clone()) })
}

/// The addresses between which the probe is asked.
fn pairs(
    walk: &mut Walk,
    at: Location,
    ends: [&End; 2],
    service: &Service,
    inventory: &Inventory,
) -> Option<Vec<(IpAddr, IpAddr)>> {
    let of_family = |end: &End, v6: bool| match end {
        End::Workload(name) => {
            let addresses = &inventory.workload(name)?.addresses;
            addresses.iter().copied().find(|address| address.is_ipv6() == v6)
        }
        End::Address(address) => (address.is_ipv6() == v6).then_some(*address),
    };
    let exists = |v6: &bool| match service {
        Service::Icmp { v6: only, .. } => only == v6,
        _ => true,
    };
    let pair = |v6| Some((of_family(ends[0], v6)?, of_family(ends[1], v6)?));
    let pairs: Vec<_> = [false, true].into_iter().filter(exists).filter_map(pair).collect();
    if !pairs.is_empty() {
        return Some(pairs);
    }
    let [from, to] = ends;
    let family = match service {
        Service::Icmp { v6: true, .. } => "IPv6",
        Service::Icmp { v6: false, .. } => "IPv4",
        _ => "one family (IPv4 or IPv6)",
    };
    walk.error(at, format!("`{from}` and `{to}` do not both have an address of {family}"));
    None
}

/// Whether no connection can come from `address`.
fn is_no_source(address: IpAddr) -> bool {
    let is_special = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    is_special || address.is_loopback() || address.is_multicast() || address.is_unspecified()
}
