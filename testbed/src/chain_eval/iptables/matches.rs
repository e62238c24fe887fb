//! What rules ask of packets.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::chain_eval::Seen;
use crate::chain_eval::conntrack::State;
use crate::chain_eval::ipset::{End, Sets};
use crate::chain_eval::packet::{Packet, protocol};

/// A question about a packet; `bool`s are whether `!` stands before it.
#[derive(Clone, Debug)]
pub enum Match {
    Source(IpNet, bool),
    Destination(IpNet, bool),
    Input(Interface, bool),
    Output(Interface, bool),
    Protocol(u8, bool),
    State(Vec<State>, bool),
    Ports { which: Which, ports: Ports, negated: bool },
    TcpFlags { mask: u8, set: u8, negated: bool },
    Icmp { kind: u8, code: Option<u8>, negated: bool },
    Set { name: String, ends: Vec<End>, negated: bool },
    From(Timestamp),
    Until(Timestamp),
    HopLimit(u8, bool),
    Local(Which, bool),
    Range { which: Which, first: IpAddr, last: IpAddr, negated: bool },
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Yes,
    No,
    /// The header that it is about is cut: the kernel drops such a packet.
    Unreadable,
}

/// Which end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Source,
    Destination,
}

/// Ports from first to last.
#[derive(Clone, Debug)]
pub struct Ports {
    pub ranges: Vec<(u16, u16)>,
    /// Whether the whole header has to be there, or the ports alone.
    pub needs_header: bool,
}

/// An interface's name, or how it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    name: String,
    is_prefix: bool,
}

impl Interface {
    /// Reads a name; `+` at its end stands for any ending.
    pub fn read(text: &str) -> Result<Self, String> {
        let is_prefix = text.ends_with('+');
        let name = text.strip_suffix('+').unwrap_or(text);
        let odd = |letter: char| letter == '/' || letter.is_whitespace();
        if text.is_empty() || text.len() > 15 || name.contains(odd) {
            return Err(format!("`{text}` is no interface"));
        }
        Ok(Self { name: name.to_owned(), is_prefix })
    }

    fn is(&self, name: Option<&str>) -> bool {
        match name {
            _ if self.is_prefix && self.name.is_empty() => true,
            None => false,
            Some(name) if self.is_prefix => name.starts_with(&self.name),
            Some(name) => name == self.name,
        }
    }
}

impl Match {
    pub fn applies(&self, seen: &Seen<'_>, sets: &Sets) -> Outcome {
        let packet = seen.packet;
        let end = |which: Which| match which {
            Which::Source => packet.source,
            Which::Destination => packet.destination,
        };
        let (is_so, negated) = match self {
            Self::Source(net, negated) => (net.contains(&packet.source), *negated),
            Self::Destination(net, negated) => (net.contains(&packet.destination), *negated),
            Self::Input(interface, negated) => (interface.is(seen.input), *negated),
            Self::Output(interface, negated) => (interface.is(seen.output), *negated),
            Self::Protocol(number, negated) => match packet.protocol {
                // `ipv6_find_hdr` finds no protocol.
                None => return Outcome::Unreadable,
                Some(found) => (found == *number, *negated),
            },
            Self::State(states, negated) => (states.contains(&seen.tracked.state), *negated),
            Self::Ports { which, ports, negated } => match ports.read(packet) {
                None => return Outcome::Unreadable,
                Some((source, destination)) => {
                    let port = if *which == Which::Source { source } else { destination };
                    let is_in = |(first, last): &(u16, u16)| (*first..=*last).contains(&port);
                    (ports.ranges.iter().any(is_in), *negated)
                }
            },
            Self::TcpFlags { mask, set, negated } => match packet.tcp() {
                None => return Outcome::Unreadable,
                Some(tcp) => (tcp.flags & mask == *set, *negated),
            },
            Self::Icmp { kind, code, negated } => match packet.icmp() {
                Some((known, with)) if packet.transport.len() >= 8 => {
                    (known == *kind && code.is_none_or(|code| code == with), *negated)
                }
                _ => return Outcome::Unreadable,
            },
            Self::Set { name, ends, negated } => (sets.holds(name, ends, seen), *negated),
            Self::From(date) => (seen.now.as_second() >= date.as_second(), false),
            Self::Until(date) => (seen.now.as_second() <= date.as_second(), false),
            Self::HopLimit(limit, negated) => (packet.hop_limit == *limit, *negated),
            Self::Local(which, negated) => {
                let address = end(*which);
                (seen.host.contains(&address) || address.is_loopback(), *negated)
            }
            Self::Range { which, first, last, negated } => {
                ((*first..=*last).contains(&end(*which)), *negated)
            }
        };
        if is_so == negated { Outcome::No } else { Outcome::Yes }
    }
}

impl Ports {
    fn read(&self, packet: &Packet) -> Option<(u16, u16)> {
        let header = match packet.protocol {
            Some(protocol::TCP) => 20,
            Some(protocol::UDP) => 8,
            Some(protocol::SCTP) => 12,
            _ => return None,
        };
        let is_there = !self.needs_header || packet.transport.len() >= header;
        packet.ports().filter(|_| is_there)
    }
}
