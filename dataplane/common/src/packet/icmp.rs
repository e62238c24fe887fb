//! ICMP (RFC 792) and ICMPv6 (RFC 4443): errors, queries and their replies.

use super::{Packet, PacketRead, transport};
use crate::abi::flow::family;
use crate::abi::policy::protocol;
use crate::verdict::Reason;

const HEADER: usize = 8;

/// What kind of message a packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Icmp {
    /// Not ICMP.
    #[default]
    None = 0,
    /// A message that is none of the others, redirects among them: they ask for another route
    /// and report no error.
    Other = 1,
    /// Quotes the packet it is about.
    Error = 2,
    /// Asks, with an identifier.
    Query = 3,
    /// Answers a query of the same identifier.
    Reply = 4,
    /// Router solicitation and advertisement, neighbour solicitation and advertisement.
    Neighbour = 5,
    /// Multicast listener query, report and done.
    MulticastListener = 6,
}

/// Reads the ICMP header at `offset`, which ends before `end`. The family and protocol have to
/// fit each other (ICMP in IPv6, or ICMPv6 in IPv4, is no ICMP to anyone).
#[inline(always)]
pub fn parse<R: PacketRead + ?Sized>(
    frame: &R,
    offset: usize,
    end: usize,
    packet: &mut Packet,
) -> Result<(), Reason> {
    let own = if packet.family == family::V4 { protocol::ICMP } else { protocol::ICMPV6 };
    if packet.protocol != own {
        return Ok(());
    }
    if offset + HEADER > end {
        return Err(transport::cut(packet, Reason::TruncatedIcmp));
    }
    let header = frame.read::<HEADER>(offset).ok_or(Reason::TruncatedIcmp)?;
    packet.icmp = icmp_kind(packet.family, header[0]);
    packet.destination_port = u16::from_be_bytes([header[0], header[1]]);
    match packet.icmp {
        Icmp::Query | Icmp::Reply => {
            packet.source_port = u16::from_be_bytes([header[4], header[5]]);
        }
        Icmp::Error => packet.embedded_at = (offset + HEADER) as u32,
        _ => {}
    }
    Ok(())
}

/// The kind of a message type (IANA's registries "ICMP Type Numbers" and "ICMPv6 type Numbers").
#[must_use]
#[inline(always)]
pub const fn icmp_kind(of_family: u8, message: u8) -> Icmp {
    if of_family == family::V4 {
        match message {
            3 | 4 | 11 | 12 => Icmp::Error,
            8 | 13 | 15 | 17 => Icmp::Query,
            0 | 14 | 16 | 18 => Icmp::Reply,
            _ => Icmp::Other,
        }
    } else {
        match message {
            1..=4 => Icmp::Error,
            128 => Icmp::Query,
            129 => Icmp::Reply,
            130..=132 | 143 => Icmp::MulticastListener,
            133..=136 => Icmp::Neighbour,
            _ => Icmp::Other,
        }
    }
}
