//! Ordinary packets, read without a look at what they might be: an untagged IPv4 header without
//! options or IPv6 header without extensions, unfragmented, then TCP or UDP. What [`super::parse`]
//! would make of them, in every field; everything else is somebody else's. The numbers of a TCP
//! segment come in a second step, since most packets are decided without.

use super::{Header as _, Packet, PacketRead, tcp, transport};
use crate::abi::flow::family;
use crate::abi::identity::AddressBytes;
use crate::abi::policy::protocol;

const ETHERNET: usize = 14;
const IPV4: usize = ETHERNET + 20;
const IPV6: usize = ETHERNET + 40;
const TCP: usize = 20;
const UDP: usize = 8;

/// Kinds of ordinary packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With an IPv4 header.
    Ipv4,
    /// With an IPv6 header.
    Ipv6,
}

/// What kind of ordinary packet a frame may hold.
#[inline(always)]
pub fn kind<R: PacketRead + ?Sized>(frame: &R) -> Option<Kind> {
    match frame.header::<ETHERNET>(0)?.u16::<{ ETHERNET - 2 }>() {
        super::ethernet::IPV4 => Some(Kind::Ipv4),
        super::ethernet::IPV6 => Some(Kind::Ipv6),
        _ => None,
    }
}

/// Reads a frame of [`Kind::Ipv4`] into `packet`, which is as [`Packet::default`] makes it, but for
/// what [`numbers_v4`] reads; `None` if it is not ordinary, in whatever way, malformed ones among them.
#[inline(always)]
pub fn ipv4<R: PacketRead + ?Sized>(frame: &R, packet: &mut Packet) -> Option<()> {
    let header = frame.header::<{ IPV4 + UDP - ETHERNET }>(ETHERNET)?;
    let end = ETHERNET + header.u16::<2>() as usize;
    // More fragments, or an offset.
    let is_fragment = header.u16::<6>() & 0x3fff != 0;
    if header.u8::<0>() != 0x45 || is_fragment || end > frame.length_at_hand() {
        return None;
    }
    packet.family = family::V4;
    packet.source[12..].copy_from_slice(&header.u32::<12>().to_be_bytes());
    packet.destination[12..].copy_from_slice(&header.u32::<16>().to_be_bytes());
    packet.protocol = header.u8::<9>();
    packet.hop_limit = header.u8::<8>();
    packet.end = end as u32;
    transport::<IPV4, R>(frame, packet)
}

/// As [`ipv4`], for a frame of [`Kind::Ipv6`].
#[inline(always)]
pub fn ipv6<R: PacketRead + ?Sized>(frame: &R, packet: &mut Packet) -> Option<()> {
    let header = frame.header::<{ IPV6 + UDP - ETHERNET }>(ETHERNET)?;
    let end = IPV6 + header.u16::<4>() as usize;
    if header.u8::<0>() >> 4 != 6 || end > frame.length_at_hand() {
        return None;
    }
    packet.family = family::V6;
    packet.source = address(header.u64::<8>(), header.u64::<16>());
    packet.destination = address(header.u64::<24>(), header.u64::<32>());
    packet.protocol = header.u8::<6>();
    packet.hop_limit = header.u8::<7>();
    packet.end = end as u32;
    transport::<IPV6, R>(frame, packet)
}

#[inline(always)]
fn address(high: u64, low: u64) -> AddressBytes {
    ((high as u128) << 64 | low as u128).to_be_bytes()
}

/// Reads the transport header at `AT`, of which the first eight bytes are there.
#[inline(always)]
fn transport<const AT: usize, R: PacketRead + ?Sized>(
    frame: &R,
    packet: &mut Packet,
) -> Option<()> {
    let end = packet.end as usize;
    packet.cursor = AT as u32;
    if packet.protocol == protocol::UDP {
        let header = frame.header::<UDP>(AT)?;
        let length = header.u16::<4>() as usize;
        packet.source_port = header.u16::<0>();
        packet.destination_port = header.u16::<2>();
        return (length >= UDP && AT + length <= end && AT + UDP <= end).then_some(());
    }
    if packet.protocol != protocol::TCP || AT + TCP > end {
        return None;
    }
    let header = frame.header::<TCP>(AT)?;
    let length = (header.u8::<12>() >> 4) as usize * 4;
    let flags = header.u8::<13>();
    if length < TCP || AT + length > end || !transport::valid_flags(flags) {
        return None;
    }
    packet.source_port = header.u16::<0>();
    packet.destination_port = header.u16::<2>();
    packet.tcp_flags = flags;
    Some(())
}

/// Reads the numbers of the TCP segment that `packet` is, read by [`ipv4`] from the same frame.
#[inline(always)]
pub fn numbers_v4<R: PacketRead + ?Sized>(frame: &R, packet: &mut Packet) -> Option<()> {
    numbers::<IPV4, R>(frame, packet)
}

/// As [`numbers_v4`], for [`ipv6`].
#[inline(always)]
pub fn numbers_v6<R: PacketRead + ?Sized>(frame: &R, packet: &mut Packet) -> Option<()> {
    numbers::<IPV6, R>(frame, packet)
}

#[inline(always)]
fn numbers<const AT: usize, R: PacketRead + ?Sized>(frame: &R, packet: &mut Packet) -> Option<()> {
    if packet.protocol != protocol::TCP {
        return Some(());
    }
    let header = frame.header::<TCP>(AT)?;
    let length = (header.u8::<12>() >> 4) as usize * 4;
    packet.tcp_sequence = header.u32::<4>();
    packet.tcp_acknowledgement = header.u32::<8>();
    packet.tcp_length = (packet.end as usize).wrapping_sub(AT + length) as u32
        + (packet.tcp_flags & tcp::SYN != 0) as u32
        + (packet.tcp_flags & tcp::FIN != 0) as u32;
    Some(())
}

#[cfg(test)]
mod tests;
