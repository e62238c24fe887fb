//! Tables as text, one line per entry, for people, golden files and diffs.

use std::collections::BTreeSet;
use std::fmt;

use ringfence_common::abi::identity::identity;
use ringfence_common::abi::policy::{
    Direction, PolicyEntry, PolicyKey, action, entry_flags, forms, protocol as number,
};

use super::{EndpointDescription, IdentityDescription, RuleDescription, Subject, Tables};

/// The name of a protocol, or its number.
pub(super) fn protocol(protocol: u8) -> String {
    match protocol {
        number::TCP => "TCP".into(),
        number::UDP => "UDP".into(),
        number::SCTP => "SCTP".into(),
        number::ICMP => "ICMP".into(),
        number::ICMPV6 => "ICMPv6".into(),
        other => format!("protocol {other}"),
    }
}

/// `a,b`; `-` for nothing.
pub(super) fn list<T: ToString>(things: &BTreeSet<T>) -> String {
    if things.is_empty() {
        return "-".into();
    }
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// `1234 ingress from 5678 TCP class 80`.
pub(super) fn key(key: &PolicyKey) -> String {
    let (direction, preposition) = match key.direction() {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let peer = match key.peer {
        identity::ANY => "anyone".into(),
        peer => peer.to_string(),
    };
    let service = match key.protocol_and_class() {
        None => "everything".into(),
        Some((of, None)) => protocol(of),
        Some((of, Some(class))) => format!("{} class {class}", protocol(of)),
    };
    format!("{} {direction} {preposition} {peer} {service}", key.subject)
}

/// `allow log by networkpolicy/shop/web ingress[0]`.
fn entry(tables: &Tables, entry: &PolicyEntry) -> String {
    let action = if entry.action == action::ALLOW { "allow" } else { "deny" };
    let log = if entry.flags & entry_flags::LOG == 0 { "" } else { " log" };
    match tables.rules.get(&entry.rule) {
        Some(rule) => format!("{action}{log} by {}", rule.name),
        None => format!("{action}{log} by default"),
    }
}

fn forms(forms: u8) -> String {
    let names = [
        (forms::ENFORCED, "enforced"),
        (forms::ISOLATED, "isolated"),
        (forms::PEER_CLASS, "peer+class"),
        (forms::PEER_PROTOCOL, "peer+protocol"),
        (forms::PEER, "peer"),
        (forms::ANY_CLASS, "class"),
        (forms::ANY_PROTOCOL, "protocol"),
        (forms::ANY, "anyone"),
    ];
    let set: Vec<&str> =
        names.iter().filter(|(bit, _)| forms & bit != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { "open".into() } else { set.join(" ") }
}

impl fmt::Display for IdentityDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.workload { "workload" } else { "addresses" })?;
        for (key, value) in &self.namespace_labels {
            write!(f, " namespace:{key}={value}")?;
        }
        for (key, value) in &self.labels {
            write!(f, " {key}={value}")?;
        }
        for port in &self.ports {
            write!(f, " port:{port}")?;
        }
        for block in &self.blocks {
            write!(f, " in:{}", block.replace(' ', "~"))?;
        }
        Ok(())
    }
}

impl fmt::Display for EndpointDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: BTreeSet<_> = self.addresses.iter().collect();
        write!(f, "{} subject {} addresses {}", self.name, self.subject, list(&addresses))?;
        if let Some(interface) = &self.interface {
            write!(f, " interface {interface}")?;
        }
        if self.host {
            f.write_str(" host")?;
        }
        Ok(())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ingress {}; egress {}", forms(self.ingress_forms), forms(self.egress_forms))
    }
}

impl fmt::Display for RuleDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.origin.as_ref().map_or(Ok(()), |origin| write!(f, " at {origin}"))
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, identity) in &self.identities {
            writeln!(f, "identity {number}: {identity}")?;
        }
        for (address, identity) in &self.addresses {
            writeln!(f, "address {address}: {identity}")?;
        }
        for (prefix, identity) in &self.prefixes {
            writeln!(f, "prefix {prefix}: {identity}")?;
        }
        for (of, starts) in &self.classes {
            writeln!(f, "classes {}: {}", protocol(*of), list(starts))?;
        }
        for (number, endpoint) in &self.endpoints {
            writeln!(f, "endpoint {number}: {endpoint}")?;
        }
        for (number, subject) in &self.subjects {
            writeln!(f, "subject {number}: {subject}")?;
        }
        for (of, value) in &self.policy {
            writeln!(f, "entry {}: {}", key(of), entry(self, value))?;
        }
        for (number, rule) in &self.rules {
            writeln!(f, "rule {number}: {rule}")?;
        }
        Ok(())
    }
}
