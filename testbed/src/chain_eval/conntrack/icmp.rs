//! ICMP (RFC 792, RFC 950) and ICMPv6 (RFC 4443, RFC 4861, RFC 2710), after
//! `nf_conntrack_proto_icmp.c` and `nf_conntrack_proto_icmpv6.c`.

use super::{Conntrack, Direction, Fault, State, Tracked};
use crate::chain_eval::conntrack::tuple::Tuple;
use crate::chain_eval::packet::{self, Packet, protocol};

/// Bytes before the packet that an error quotes.
const HEADER: usize = 8;

/// The highest type that the kernel knows in IPv4.
const LAST_V4: u8 = 18;

/// What the kernel does not ask of an error.
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
            return Some(Tracked::invalid(Fault::Untold));
        }
        if arrives && !packet.checksum_is_right() {
            return invalid;
        }
        let kind = packet.transport[0];
        if number == protocol::ICMPV6 {
            match kind {
                // Discovery of listeners, routers and neighbours; redirects (137) are not among
                // them.
                130..=136 | 143 => return Some(Tracked::without(State::Untracked)),
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
        let quoted = packet::quoted(&packet.transport[HEADER..], packet.is_v6());
        let found = quoted
            .as_ref()
            .and_then(Tuple::of)
            .and_then(|tuple| tuple.inverse())
            .and_then(|answer| Some((answer, self.find(&answer)?)));
        let Some((answer, (index, direction))) = found else {
            let about = quoted.and_then(|quoted| Tuple::of(&quoted));
            let was_deleted = about.is_some_and(|tuple| self.was_deleted(&tuple));
            return Tracked { was_deleted, ..Tracked::invalid(Fault::Unrelated) };
        };
        let entry = &self.entries[index];
        if answer.destination != packet.destination || entry.is_over() {
            return Tracked::invalid(Fault::Unrelated);
        }
        // The quoted packet is of the other direction than its answer; whether it was ever sent is
        // not asked.
        let was_sent = direction == Direction::Reply || entry.is_answered;
        Tracked {
            direction: Some(direction),
            known: true,
            connection: Some(entry.number),
            leniency: (!was_sent).then_some(UNSENT),
            ..Tracked::without(State::Related)
        }
    }
}
