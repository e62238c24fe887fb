//! The headers behind IP: TCP (RFC 9293 §3.1), UDP (RFC 768), SCTP (RFC 9260 §3.1), ICMP.

use ringfence_common::verdict::Reason;

use super::icmp::{self, Message};
use super::{Fragment, protocol, start};

/// What is behind IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp(Segment),
    Udp {
        source: u16,
        destination: u16,
    },
    Sctp {
        source: u16,
        destination: u16,
    },
    /// ICMP in IPv4, ICMPv6 in IPv6.
    Icmp(Message),
    /// A protocol without ports.
    Other,
    /// The middle of something: a later fragment.
    Unseen,
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub source: u16,
    pub destination: u16,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub fin: bool,
    pub syn: bool,
    pub rst: bool,
    pub ack: bool,
    /// Bytes of data.
    pub data: usize,
}

/// Reads what is behind IP. `icmp` is the number of ICMP in the packet's family.
///
/// A header that a fragment cuts is tiny (RFC 1858, RFC 3128); one that the packet cuts is
/// truncated.
pub fn read(
    number: u8,
    icmp: u8,
    fragment: Option<&Fragment>,
    payload: &[u8],
) -> Result<Transport, Reason> {
    if fragment.is_some_and(|fragment| !fragment.is_first()) {
        return Ok(Transport::Unseen);
    }
    let part = fragment.is_some();
    let cut = |otherwise| if part { Reason::TinyFragment } else { otherwise };
    match number {
        protocol::TCP => tcp(payload, cut).map(Transport::Tcp),
        protocol::UDP => udp(payload, part),
        protocol::SCTP => {
            let header: [u8; 12] = start(payload).ok_or(cut(Reason::TruncatedSctp))?;
            let (source, destination) = ports(&header);
            Ok(Transport::Sctp { source, destination })
        }
        number if number == icmp => {
            let header = start(payload).ok_or(cut(Reason::TruncatedIcmp))?;
            Ok(Transport::Icmp(icmp::read(number, header, &payload[8..])))
        }
        _ => Ok(Transport::Other),
    }
}

/// Source and destination port, which every protocol that has them starts with.
fn ports(header: &[u8]) -> (u16, u16) {
    (u16::from_be_bytes([header[0], header[1]]), u16::from_be_bytes([header[2], header[3]]))
}

fn tcp(payload: &[u8], cut: impl Fn(Reason) -> Reason) -> Result<Segment, Reason> {
    let header: [u8; 20] = start(payload).ok_or(cut(Reason::TruncatedTcp))?;
    let (source, destination) = ports(&header);
    let number = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let length = usize::from(header[12] >> 4) * 4;
    if length < header.len() {
        return Err(Reason::BadTcpOffset);
    }
    let Some(data) = payload.len().checked_sub(length) else {
        return Err(cut(Reason::BadTcpOffset));
    };
    let flag = |bit: u8| header[13] & bit != 0;
    let (fin, syn, rst, ack, urgent) = (flag(1), flag(2), flag(4), flag(16), flag(32));
    // What a stack sends: one of SYN, FIN and RST or none; no segment without ACK but a SYN and a
    // RST; urgent data is not in a SYN+ACK or a RST. PSH and ECN mean nothing here.
    let sent = match (syn, fin, rst) {
        (true, false, false) => !(ack && urgent),
        (false, true, false) | (false, false, false) => ack,
        (false, false, true) => !urgent,
        _ => false,
    };
    if !sent {
        return Err(Reason::BadTcpFlags);
    }
    let (sequence, acknowledgement) = (number(4), number(8));
    Ok(Segment { source, destination, sequence, acknowledgement, fin, syn, rst, ack, data })
}

fn udp(payload: &[u8], part: bool) -> Result<Transport, Reason> {
    let cut = if part { Reason::TinyFragment } else { Reason::TruncatedUdp };
    let header: [u8; 8] = start(payload).ok_or(cut)?;
    let (source, destination) = ports(&header);
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    // The first fragment of a datagram is shorter than the datagram.
    if length < header.len() || (length > payload.len() && !part) {
        return Err(Reason::BadUdpLength);
    }
    Ok(Transport::Udp { source, destination })
}
