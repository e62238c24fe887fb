//! IPv6 (RFC 8200) and its extension headers, walked to a stated limit.

use super::{Depth, Fragment, Packet, PacketRead};
use crate::abi::limits::EXTENSION_HEADERS;
use crate::verdict::Reason;

const HEADER: usize = 40;
/// Every extension header is at least this long.
const EXTENSION: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// Reads the header at the cursor and the extension headers behind it; nothing of the packet lies
/// at or behind `packet.end`, which becomes the packet's own end.
#[inline(never)]
pub fn parse<R: PacketRead + ?Sized>(
    frame: &R,
    depth: Depth,
    packet: &mut Packet,
) -> Result<(), Reason> {
    let (offset, limit) = (packet.cursor as usize, packet.end as usize);
    if offset + HEADER > limit {
        return Err(Reason::TruncatedIpv6);
    }
    let fixed = frame.read::<8>(offset).ok_or(Reason::TruncatedIpv6)?;
    if fixed[0] >> 4 != 6 {
        return Err(Reason::MalformedIpv6);
    }
    packet.source = frame.read::<16>(offset + 8).ok_or(Reason::TruncatedIpv6)?;
    packet.destination = frame.read::<16>(offset + 24).ok_or(Reason::TruncatedIpv6)?;
    packet.protocol = fixed[6];
    packet.hop_limit = fixed[7];
    packet.cursor = (offset + HEADER) as u32;
    if depth == Depth::Outer {
        let payload = u16::from_be_bytes([fixed[4], fixed[5]]) as usize;
        if payload == 0 && fixed[6] == HOP_BY_HOP {
            // Only a jumbogram (RFC 2675) has no length and a hop-by-hop header.
            return Err(Reason::Unsupported);
        }
        if offset + HEADER + payload > limit {
            return Err(Reason::BadIpv6Length);
        }
        packet.end = (offset + HEADER + payload) as u32;
    }
    for index in 0..=EXTENSION_HEADERS {
        if !is_extension(packet.protocol) || packet.fragment.is_later() {
            return Ok(());
        }
        if index == EXTENSION_HEADERS {
            return Err(Reason::TooManyExtensions);
        }
        if packet.protocol == HOP_BY_HOP && index != 0 {
            return Err(Reason::MisplacedExtension);
        }
        extension(frame, depth, packet)?;
    }
    Err(Reason::TooManyExtensions)
}

/// Reads the extension header at the cursor, whose kind is `packet.protocol`, and moves on to
/// what it announces.
#[inline(never)]
fn extension<R: PacketRead + ?Sized>(
    frame: &R,
    depth: Depth,
    packet: &mut Packet,
) -> Result<(), Reason> {
    let (offset, end, kind) = (packet.cursor as usize, packet.end as usize, packet.protocol);
    if offset + EXTENSION > end {
        return Err(cut(packet));
    }
    let header = frame.read::<EXTENSION>(offset).ok_or(Reason::TruncatedExtension)?;
    if kind == ROUTING && header[2] == 0 && header[3] != 0 {
        return Err(Reason::SourceRouted);
    }
    let next = offset + length(kind, header[1]);
    if next > end {
        return Err(cut(packet));
    }
    packet.cursor = next as u32;
    packet.protocol = header[0];
    if kind != FRAGMENT {
        return Ok(());
    }
    if packet.fragment.protocol != 0 {
        return Err(Reason::MisplacedExtension);
    }
    fragment(&header, end.wrapping_sub(next), depth, packet)
}

#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS)
}

/// The header's length in bytes: in units of eight after the first eight, of four after the first
/// eight for AH (RFC 4302 §2.2), and fixed for the fragment header.
#[inline(always)]
const fn length(kind: u8, units: u8) -> usize {
    match kind {
        FRAGMENT => EXTENSION,
        AUTHENTICATION => (units as usize + 2) * 4,
        _ => (units as usize + 1) * 8,
    }
}

/// A first fragment has to hold the whole chain (RFC 7112), any other packet too.
#[inline(always)]
const fn cut(packet: &Packet) -> Reason {
    if packet.fragment.present { Reason::TinyFragment } else { Reason::TruncatedExtension }
}

/// Reads a fragment header. An atomic one (RFC 6946) leaves the packet whole.
#[inline(always)]
fn fragment(
    header: &[u8; EXTENSION],
    payload: usize,
    depth: Depth,
    packet: &mut Packet,
) -> Result<(), Reason> {
    let field = u16::from_be_bytes([header[2], header[3]]);
    let more = field & 1 != 0;
    let start = (field & 0xfff8) as usize;
    // Remembered until the walk ends: a second fragment header is refused.
    packet.fragment.protocol = FRAGMENT;
    if !more && start == 0 {
        return Ok(());
    }
    let end = start + payload;
    if depth == Depth::Outer
        && (payload == 0 || end > 0xffff || (more && !payload.is_multiple_of(8)))
    {
        return Err(Reason::BadFragment);
    }
    packet.fragment = Fragment {
        identification: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        start: start as u16,
        end: end as u16,
        present: true,
        more,
        protocol: FRAGMENT,
    };
    Ok(())
}
