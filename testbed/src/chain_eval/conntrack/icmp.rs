//! ICMP (RFC 792, RFC 950) and ICMPv6 (RFC 4443, RFC 4861, RFC 2710), after
//! `nf_conntrack_proto_icmp.c` and `nf_conntrack_proto_icmpv6.c`.

use super::{Conntrack, Direction, Fault, SILENCE, State, Tracked};
use crate::chain_eval::conntrack::tuple::Tuple;
use crate::chain_eval::packet::{self, Packet, protocol};

/// Bytes before the packet that an error quotes.
const HEADER: usize = 8;

/// The highest type that the kernel knows in IPv4.
const LAST_V4: u8 = 18;

/// What the kernel does not ask of an error.
const UNREAD: &str = "the kernel reads no more of a quote than what tells its connection";

/// What the other family has no use for.
const OTHER: &str = "the kernel takes ICMP of the other family for invalid";

/// What it does not ask either.
const UNSENT: &str = "the kernel takes an error for related that quotes an answer nobody has sent";

/// Whether the message may begin a connection. Each family's own ICMP alone is tracked.
pub fn may_open(packet: &Packet) -> bool {
    match packet.icmp() {
        Some((kind, _)) if packet.is_v6() => matches!(kind, 128 | 139),
        Some((kind, _)) => matches!(kind, 8 | 13 | 15 | 17),
        None => false,
    }
}

/// The type of the message that belongs to `kind`, question or answer.
pub const fn answer_of(number: u8, kind: u8) -> Option<u8> {
    Some(match (number, kind) {
        (protocol::ICMP, 8) => 0,
        (protocol::ICMP, 0) => 8,
        (protocol::ICMP, 13 | 15 | 17) | (protocol::ICMPV6, 128 | 139) => kind + 1,
        (protocol::ICMP, 14 | 16 | 18) | (protocol::ICMPV6, 129 | 140) => kind - 1,
        _ => return None,
    })
}

impl Conntrack {
    /// What is decided about ICMP before a connection is looked for; nothing about other packets
    /// and about questions and answers.
    pub(super) fn icmp(&self, packet: &Packet, arrives: bool) -> Option<Tracked> {
        let number = packet.protocol?;
        if !matches!(number, protocol::ICMP | protocol::ICMPV6) {
            return None;
        }
        let invalid = Some(Tracked::invalid(Fault::Damaged));
        let is_own = (number == protocol::ICMPV6) == packet.is_v6();
        if packet.transport.len() < HEADER {
            return invalid;
        }
        if !is_own {
            return Some(Tracked { leniency: Some(OTHER), ..Tracked::invalid(Fault::Untold) });
        }
        if arrives && !packet.checksum_is_right() {
            let leniency = Some(super::CHECKSUM);
            return Some(Tracked { leniency, ..Tracked::invalid(Fault::Checksum) });
        }
        let kind = packet.transport[0];
        if number == protocol::ICMPV6 {
            match kind {
                // Discovery of listeners, routers and neighbours; redirects (137) are not among
                // them.
                130..=136 | 143 => Some(Tracked::without(State::Untracked)),
                128.. => None,
                _ => Some(self.error(packet)),
            }
        } else if kind > LAST_V4 {
            Some(Tracked::invalid(Fault::Untold))
        } else {
            matches!(kind, 3 | 4 | 5 | 11 | 12).then(|| self.error(packet))
        }
    }

    /// `nf_conntrack_inet_error`.
    fn error(&self, packet: &Packet) -> Tracked {
        let bytes = &packet.transport[HEADER..];
        let quoted = packet::quoted(bytes, packet.is_v6());
        let about = quoted.as_ref().and_then(Tuple::of);
        let answer = about.as_ref().and_then(Tuple::inverse);
        let Some((index, direction)) = answer.and_then(|answer| self.find(&answer)) else {
            let was_deleted = about.is_some_and(|tuple| self.was_deleted(&tuple));
            return Tracked { was_deleted, ..Tracked::invalid(Fault::Unrelated) };
        };
        let entry = &self.entries[index];
        if entry.is_over() {
            return Tracked { leniency: Some(SILENCE), ..Tracked::invalid(Fault::Unrelated) };
        }
        if answer.is_none_or(|answer| answer.destination != packet.destination) {
            return Tracked::invalid(Fault::Unrelated);
        }
        // The quoted packet is of the other direction than its answer; whether it was ever sent is
        // not asked.
        let was_sent = direction == Direction::Reply || entry.is_answered;
        Tracked {
            direction: Some(direction),
            known: true,
            connection: Some(entry.number),
            leniency: (!was_sent)
                .then_some(UNSENT)
                .or_else(|| (!is_readable(bytes, packet.is_v6())).then_some(UNREAD))
                .or(entry.lenient),
            ..Tracked::without(State::Related)
        }
    }
}

/// Whether the quoted packet has the right version, no odd headers, and the eight bytes of its
/// transport that every error quotes (RFC 792, RFC 4443 §2.4).
fn is_readable(bytes: &[u8], is_v6: bool) -> bool {
    let version = if is_v6 { 6 } else { 4 };
    let is_of_version = bytes.first().is_some_and(|first| first >> 4 == version);
    let is_whole = packet::quoted(bytes, is_v6).is_some_and(|inner| inner.transport.len() >= 8);
    is_of_version && is_whole && packet::oddity(bytes, is_v6).is_none()
}
