//! TCP (RFC 9293), UDP (RFC 768), SCTP (RFC 9260), and the way to ICMP.

use super::{Depth, Packet, PacketRead, icmp};
use crate::abi::policy::protocol;
use crate::verdict::Reason;

/// Bits of the TCP flags byte.
pub mod tcp {
    #![allow(missing_docs, reason = "the names are the RFC's")]
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
}

const PORTS: usize = 4;
/// What an ICMP error quotes of a packet's payload at least (RFC 792, RFC 1122 §3.2.2).
const QUOTED: usize = 8;
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const SCTP_HEADER: usize = 12;

/// Reads the transport header at the cursor.
#[inline(never)]
pub fn parse<R: PacketRead + ?Sized>(
    frame: &R,
    depth: Depth,
    packet: &mut Packet,
) -> Result<(), Reason> {
    let (offset, end) = (packet.cursor as usize, packet.end as usize);
    match (packet.protocol, depth) {
        (protocol::TCP, Depth::Outer) => tcp_header(frame, offset, end, packet),
        (protocol::UDP, Depth::Outer) => udp_header(frame, offset, end, packet),
        (protocol::SCTP, Depth::Outer) => sctp_header(frame, offset, end, packet),
        (protocol::TCP | protocol::UDP | protocol::SCTP, Depth::Embedded) => {
            if offset + QUOTED > end {
                return Err(Reason::MalformedEmbedded);
            }
            let ports = frame.read::<PORTS>(offset).ok_or(Reason::MalformedEmbedded)?;
            packet.source_port = u16::from_be_bytes([ports[0], ports[1]]);
            packet.destination_port = u16::from_be_bytes([ports[2], ports[3]]);
            Ok(())
        }
        (protocol::ICMP | protocol::ICMPV6, _) => icmp::parse(frame, offset, end, packet),
        _ => Ok(()),
    }
}

/// What a cut header means: a first fragment that small hides the ports from filters.
#[inline(always)]
pub(super) const fn cut(packet: &Packet, whole: Reason) -> Reason {
    if packet.fragment.present { Reason::TinyFragment } else { whole }
}

#[inline(always)]
fn tcp_header<R: PacketRead + ?Sized>(
    frame: &R,
    offset: usize,
    end: usize,
    packet: &mut Packet,
) -> Result<(), Reason> {
    if offset + TCP_HEADER > end {
        return Err(cut(packet, Reason::TruncatedTcp));
    }
    let header = frame.read::<TCP_HEADER>(offset).ok_or(Reason::TruncatedTcp)?;
    let data_offset = (header[12] >> 4) as usize * 4;
    if data_offset < TCP_HEADER {
        return Err(Reason::BadTcpOffset);
    }
    if offset + data_offset > end {
        return Err(cut(packet, Reason::BadTcpOffset));
    }
    let flags = header[13];
    if !valid_flags(flags) {
        return Err(Reason::BadTcpFlags);
    }
    packet.source_port = u16::from_be_bytes([header[0], header[1]]);
    packet.destination_port = u16::from_be_bytes([header[2], header[3]]);
    packet.tcp_sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    packet.tcp_acknowledgement = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    packet.tcp_flags = flags;
    packet.tcp_length = end.wrapping_sub(offset + data_offset) as u32
        + (flags & tcp::SYN != 0) as u32
        + (flags & tcp::FIN != 0) as u32;
    Ok(())
}

/// The combinations a stack sends (Linux' connection tracking knows the same ones): SYN, SYN+ACK,
/// RST with or without ACK, FIN+ACK, ACK; PSH, ECE and CWR with any, URG with those that carry
/// data.
#[inline(always)]
pub(super) const fn valid_flags(flags: u8) -> bool {
    let main = flags & (tcp::FIN | tcp::SYN | tcp::RST | tcp::ACK);
    let urgent = flags & tcp::URG != 0;
    match main {
        tcp::SYN | tcp::ACK => true,
        _ if main == tcp::FIN | tcp::ACK => true,
        tcp::RST => !urgent,
        _ if main == tcp::RST | tcp::ACK || main == tcp::SYN | tcp::ACK => !urgent,
        _ => false,
    }
}

#[inline(always)]
fn udp_header<R: PacketRead + ?Sized>(
    frame: &R,
    offset: usize,
    end: usize,
    packet: &mut Packet,
) -> Result<(), Reason> {
    if offset + UDP_HEADER > end {
        return Err(cut(packet, Reason::TruncatedUdp));
    }
    let header = frame.read::<UDP_HEADER>(offset).ok_or(Reason::TruncatedUdp)?;
    let length = u16::from_be_bytes([header[4], header[5]]) as usize;
    // A first fragment states the length of the whole datagram.
    if length < UDP_HEADER || (!packet.fragment.present && offset + length > end) {
        return Err(Reason::BadUdpLength);
    }
    packet.source_port = u16::from_be_bytes([header[0], header[1]]);
    packet.destination_port = u16::from_be_bytes([header[2], header[3]]);
    Ok(())
}

#[inline(always)]
fn sctp_header<R: PacketRead + ?Sized>(
    frame: &R,
    offset: usize,
    end: usize,
    packet: &mut Packet,
) -> Result<(), Reason> {
    if offset + SCTP_HEADER > end {
        return Err(cut(packet, Reason::TruncatedSctp));
    }
    let ports = frame.read::<PORTS>(offset).ok_or(Reason::TruncatedSctp)?;
    packet.source_port = u16::from_be_bytes([ports[0], ports[1]]);
    packet.destination_port = u16::from_be_bytes([ports[2], ports[3]]);
    Ok(())
}
