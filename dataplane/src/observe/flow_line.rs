//! A verdict event as one line, in the shape that Hubble prints flows in.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use jiff::Zoned;
use ringfence_common::abi::event::Event;
use ringfence_common::abi::policy::{Direction, protocol};
use ringfence_common::verdict::{Reason, Verdict};

use crate::model::Inventory;

/// The TCP flags in the order of their bits (RFC 9293 3.1).
const TCP_FLAGS: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

/// The line for `event`, which happened `at`; `inventory` gives names to addresses.
///
/// `Nov 22 02:00:00.123: shop/web:41230 (ID:1234) -> shop/db:5432 (ID:5678) policy-verdict:none
/// INGRESS DENIED (TCP Flags: SYN)`. What policy decided is a `policy-verdict` and says whether a
/// `rule` matched or `none`; every other decision is `DROPPED` or `FORWARDED` with its reason.
#[must_use]
pub fn flow_line(event: &Event, inventory: &Inventory, at: &Zoned) -> String {
    let mut line = at.strftime("%b %d %H:%M:%S%.3f: ").to_string();
    let ports = ports(event);
    let (source, destination) = addresses(event);
    line += &end(source, ports.map(|(port, _)| port), event.source_identity, inventory);
    line += " -> ";
    line += &end(destination, ports.map(|(_, port)| port), event.destination_identity, inventory);
    line.push(' ');
    line += &decision(event);
    let _ = write!(line, " ({})", packet(event));
    line
}

/// Source and destination of an event's packet. An event of a packet that was not understood has
/// unspecified addresses.
#[must_use]
pub fn addresses(event: &Event) -> (IpAddr, IpAddr) {
    let address = |bytes: [u8; 16]| match event.family {
        4 => IpAddr::from([bytes[12], bytes[13], bytes[14], bytes[15]]),
        _ => IpAddr::V6(Ipv6Addr::from(bytes)),
    };
    (address(event.source), address(event.destination))
}

fn ports(event: &Event) -> Option<(u16, u16)> {
    matches!(event.protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
        .then_some((event.source_port, event.destination_port))
}

fn end(address: IpAddr, port: Option<u16>, identity: u32, inventory: &Inventory) -> String {
    match (inventory.owner(address), port) {
        (Some(owner), Some(port)) => format!("{}:{port} (ID:{identity})", owner.name),
        (Some(owner), None) => format!("{} (ID:{identity})", owner.name),
        (None, Some(port)) => format!("{} (world)", SocketAddr::new(address, port)),
        (None, None) => format!("{address} (world)"),
    }
}

pub(super) fn decision(event: &Event) -> String {
    let direction = match event.direction {
        direction if direction == Direction::Ingress as u8 => "INGRESS",
        _ => "EGRESS",
    };
    let verdict = |deny, allow| match event.verdict {
        verdict if verdict == Verdict::Deny as u8 => deny,
        verdict if verdict == Verdict::Audit as u8 => "AUDITED",
        _ => allow,
    };
    let policy =
        |found| format!("policy-verdict:{found} {direction} {}", verdict("DENIED", "ALLOWED"));
    match Reason::from_number(event.reason) {
        Some(Reason::Rule | Reason::DenyRule) => policy("rule"),
        Some(Reason::NoRule | Reason::NotIsolated | Reason::Revoked) => policy("none"),
        Some(reason) => format!("{} {}", reason.name(), verdict("DROPPED", "FORWARDED")),
        None => format!("reason {} {}", event.reason, verdict("DROPPED", "FORWARDED")),
    }
}

fn packet(event: &Event) -> String {
    let icmp = |version| {
        let [kind, code] = event.destination_port.to_be_bytes();
        format!("{version} type {kind} code {code}")
    };
    match event.protocol {
        protocol::TCP => {
            let set = TCP_FLAGS.iter().enumerate();
            let set = set.filter(|(bit, _)| event.tcp_flags & (1 << bit) != 0);
            let names: Vec<_> = set.map(|(_, name)| *name).collect();
            format!("TCP Flags: {}", names.join(", "))
        }
        protocol::UDP => "UDP".to_owned(),
        protocol::SCTP => "SCTP".to_owned(),
        protocol::ICMP => icmp("ICMPv4"),
        protocol::ICMPV6 => icmp("ICMPv6"),
        number => format!("protocol {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, Workload, WorkloadName};

    fn inventory() -> Inventory {
        let mut inventory = Inventory::default();
        for (name, last) in [("web", 11), ("db", 13)] {
            let workload = Workload {
                name: WorkloadName::new("shop", name),
                labels: Labels::new(),
                addresses: vec![IpAddr::from([10, 20, 0, last])],
                ports: Vec::new(),
                interface: None,
                host: false,
            };
            inventory.add_workload(workload).unwrap();
        }
        inventory
    }

    fn v4(last: u8) -> [u8; 16] {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 20, 0, last]
    }

    fn denied_syn() -> Event {
        Event {
            source_identity: 1234,
            destination_identity: 5678,
            source: v4(11),
            destination: v4(13),
            source_port: 41230,
            destination_port: 5432,
            protocol: protocol::TCP,
            family: 4,
            verdict: Verdict::Deny as u8,
            reason: Reason::NoRule as u8,
            direction: Direction::Ingress as u8,
            tcp_flags: 0x02,
            ..Event::default()
        }
    }

    fn line(event: &Event) -> String {
        let at = "2026-11-22T02:00:00.123456[UTC]".parse().unwrap();
        flow_line(event, &inventory(), &at)
    }

    #[test]
    fn a_denied_syn_looks_as_hubble_prints_it() {
        assert_eq!(
            line(&denied_syn()),
            "Nov 22 02:00:00.123: shop/web:41230 (ID:1234) -> shop/db:5432 (ID:5678) \
             policy-verdict:none INGRESS DENIED (TCP Flags: SYN)"
        );
    }

    #[test]
    fn other_decisions_say_their_reason() {
        let audited = Event { verdict: Verdict::Audit as u8, tcp_flags: 0x12, ..denied_syn() };
        assert!(line(&audited).ends_with("INGRESS AUDITED (TCP Flags: SYN, ACK)"));

        let spoofed = Event {
            reason: Reason::Spoofed as u8,
            source: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            family: 6,
            protocol: protocol::UDP,
            ..denied_syn()
        };
        assert!(line(&spoofed).contains(" [2001:db8::1]:41230 (world) -> "), "{}", line(&spoofed));
        assert!(line(&spoofed).ends_with(" Spoofed DROPPED (UDP)"), "{}", line(&spoofed));

        let echo = Event {
            verdict: Verdict::Allow as u8,
            reason: Reason::Rule as u8,
            protocol: protocol::ICMP,
            destination_port: 8 << 8,
            direction: Direction::Egress as u8,
            ..denied_syn()
        };
        assert_eq!(
            line(&echo),
            "Nov 22 02:00:00.123: shop/web (ID:1234) -> shop/db (ID:5678) \
             policy-verdict:rule EGRESS ALLOWED (ICMPv4 type 8 code 0)"
        );
    }
}
