//! IPv6 (RFC 8200) and its extension headers, walked to a stated limit.

use super::{Depth, Fragment, Packet, PacketRead, transport};
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

/// Reads the packet at `offset`; nothing of it lies at or behind `limit`.
#[inline(always)]
pub fn parse<R: PacketRead + ?Sized>(
    frame: &R,
    offset: usize,
    limit: usize,
    depth: Depth,
    packet: &mut Packet,
) -> Result<(), Reason> {
    if offset + HEADER > limit {
        return Err(Reason::TruncatedIpv6);
    }
    let fixed = frame.read::<8>(offset).ok_or(Reason::TruncatedIpv6)?;
    if fixed[0] >> 4 != 6 {
        return Err(Reason::MalformedIpv6);
    }
    packet.source = frame.read::<16>(offset + 8).ok_or(Reason::TruncatedIpv6)?;
    packet.destination = frame.read::<16>(offset + 24).ok_or(Reason::TruncatedIpv6)?;
    packet.hop_limit = fixed[7];
    let payload = u16::from_be_bytes([fixed[4], fixed[5]]) as usize;
    let end = match depth {
        Depth::Outer => {
            if payload == 0 && fixed[6] == HOP_BY_HOP {
                // Only a jumbogram (RFC 2675) has no length and a hop-by-hop header.
                return Err(Reason::Unsupported);
            }
            if offset + HEADER + payload > limit {
                return Err(Reason::BadIpv6Length);
            }
            offset + HEADER + payload
        }
        Depth::Embedded => limit,
    };
    packet.end = end as u32;
    let at = walk(frame, offset + HEADER, end, fixed[6], depth, packet)?;
    if packet.fragment.is_later() {
        return Ok(());
    }
    transport::parse(frame, at, end, depth, packet)
}

/// Walks the chain; leaves the transport's protocol in `packet` and returns its offset.
#[inline(always)]
fn walk<R: PacketRead + ?Sized>(
    frame: &R,
    start: usize,
    end: usize,
    first: u8,
    depth: Depth,
    packet: &mut Packet,
) -> Result<usize, Reason> {
    let mut next = first;
    let mut offset = start;
    for index in 0..=EXTENSION_HEADERS {
        if !is_extension(next) {
            packet.protocol = next;
            return Ok(offset);
        }
        if index == EXTENSION_HEADERS {
            return Err(Reason::TooManyExtensions);
        }
        if next == HOP_BY_HOP && index != 0 {
            return Err(Reason::MisplacedExtension);
        }
        if offset + EXTENSION > end {
            return Err(cut(packet));
        }
        let header = frame.read::<EXTENSION>(offset).ok_or(Reason::TruncatedExtension)?;
        if next == ROUTING && header[2] == 0 && header[3] != 0 {
            return Err(Reason::SourceRouted);
        }
        let length = length(next, header[1]);
        if offset + length > end {
            return Err(cut(packet));
        }
        offset += length;
        if next == FRAGMENT {
            if packet.fragment.protocol != 0 {
                return Err(Reason::MisplacedExtension);
            }
            fragment(&header, end.wrapping_sub(offset), depth, packet)?;
            if packet.fragment.is_later() {
                packet.protocol = header[0];
                return Ok(offset);
            }
        }
        next = header[0];
    }
    Err(Reason::TooManyExtensions)
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
