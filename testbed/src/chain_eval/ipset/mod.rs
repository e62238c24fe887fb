//! The text of sets, read as `ipset restore` does and asked as the kernel does (ipset(8);
//! net/netfilter/ipset/ip_set_hash_gen.h, ip_set_hash_net*.c, ip_set_getport.c).
//!
//! Of prefixes that overlap the longest decides, and one that was added with `nomatch` is an
//! exception. Only what rules of ours use is known; every other word is an error with its line.

mod element;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use self::element::Other;
use super::packet::{Packet, protocol};
use super::{Seen, Unread};

/// Sets by their names.
#[derive(Clone, Debug, Default)]
pub struct Sets {
    sets: BTreeMap<String, Set>,
}

/// Which end of a packet a set is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `src`.
    Source,
    /// `dst`.
    Destination,
}

/// A set.
#[derive(Clone, Debug)]
struct Set {
    kind: Kind,
    is_v6: bool,
    comments: bool,
    most: usize,
    elements: BTreeMap<(IpNet, Other), Element>,
    /// Lengths of prefixes in it.
    lengths: BTreeSet<u8>,
}

/// What is said of an element.
#[derive(Clone, Debug)]
struct Element {
    /// `nomatch`
    is_exception: bool,
    /// Empty where there is none.
    comment: String,
}

/// Types of sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `hash:net`
    Net,
    /// `hash:net,port`
    NetPort,
    /// `hash:net,iface`
    NetInterface,
}

impl Kind {
    const fn dimensions(self) -> usize {
        match self {
            Self::Net => 1,
            Self::NetPort | Self::NetInterface => 2,
        }
    }
}

impl Sets {
    /// Reads what `ipset restore` is given, on a host that has no sets.
    ///
    /// # Errors
    ///
    /// [`Unread`] for the first line that the tool would not take or that is not understood.
    pub fn read(text: &str) -> Result<Self, Unread> {
        read::sets(text)
    }

    /// Whether a rule may ask the set about these ends of a packet.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn check(&self, name: &str, ends: &[End]) -> Result<(), String> {
        let set = self.sets.get(name).ok_or_else(|| format!("there is no set `{name}`"))?;
        let count = set.kind.dimensions();
        if ends.len() == count {
            return Ok(());
        }
        Err(format!("set `{name}` is asked about {count} things, not {}", ends.len()))
    }

    /// Whether the set holds what the packet has at these ends. A set of the other family holds
    /// nothing, and neither does one about ports of which the packet has none.
    pub(super) fn holds(&self, name: &str, ends: &[End], seen: &Seen<'_>) -> bool {
        self.find(name, ends, seen).is_some_and(|element| !element.is_exception)
    }

    /// The comment of the element by which it does, if there is one.
    pub(super) fn comment(&self, name: &str, ends: &[End], seen: &Seen<'_>) -> Option<&String> {
        let element = self.find(name, ends, seen)?;
        (!element.comment.is_empty()).then_some(&element.comment)
    }

    fn find(&self, name: &str, ends: &[End], seen: &Seen<'_>) -> Option<&Element> {
        let set = self.sets.get(name)?;
        let packet = seen.packet;
        if packet.is_v6() != set.is_v6 {
            return None;
        }
        let other = match (set.kind, ends) {
            (Kind::NetPort, [_, end]) => service_of(packet, *end)?,
            (Kind::NetInterface, [_, End::Source]) => Other::Interface(seen.input?.to_owned()),
            (Kind::NetInterface, [_, End::Destination]) => {
                Other::Interface(seen.output?.to_owned())
            }
            _ => Other::Nothing,
        };
        set.longest(ends.first()?.of(packet), &other)
    }
}

impl End {
    const fn of(self, packet: &Packet) -> IpAddr {
        match self {
            Self::Source => packet.source,
            Self::Destination => packet.destination,
        }
    }
}

impl Set {
    /// The longest prefix decides.
    fn longest(&self, address: IpAddr, other: &Other) -> Option<&Element> {
        self.lengths.iter().rev().find_map(|length| {
            let net = IpNet::new(address, *length).ok()?.trunc();
            self.elements.get(&(net, other.clone()))
        })
    }
}

/// What sets call the port of a packet (`ip_set_get_ip4_port`): type and code of ICMP, zero where
/// a protocol has none; nothing where the header is cut.
fn service_of(packet: &Packet, end: End) -> Option<Other> {
    let number = packet.protocol?;
    let header = match number {
        protocol::TCP => 20,
        protocol::SCTP => 12,
        protocol::UDP | protocol::UDP_LITE | protocol::ICMP | protocol::ICMPV6 => 8,
        _ => return Some(Other::Service { protocol: number, port: 0 }),
    };
    let bytes = packet.transport.get(..header)?;
    let at = |index: usize| u16::from_be_bytes([bytes[index], bytes[index + 1]]);
    let port = match (number, end) {
        (protocol::ICMP | protocol::ICMPV6, _) | (_, End::Source) => at(0),
        (_, End::Destination) => at(2),
    };
    Some(Other::Service { protocol: number, port })
}

#[cfg(test)]
mod tests;
