//! IPv4 (RFC 791), with options and fragments.

use super::{Depth, Fragment, Packet, PacketRead};
use crate::verdict::Reason;

const HEADER: usize = 20;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// Reads the header at the cursor; nothing of the packet lies at or behind `packet.end`, which
/// becomes the packet's own end.
#[inline(never)]
pub fn parse<R: PacketRead + ?Sized>(
    frame: &R,
    depth: Depth,
    packet: &mut Packet,
) -> Result<(), Reason> {
    let (offset, limit) = (packet.cursor as usize, packet.end as usize);
    if offset + HEADER > limit {
        return Err(Reason::TruncatedIpv4);
    }
    let header = frame.read::<HEADER>(offset).ok_or(Reason::TruncatedIpv4)?;
    let words = (header[0] & 0x0f) as usize;
    if header[0] >> 4 != 4 || words < 5 {
        return Err(Reason::MalformedIpv4);
    }
    let payload = offset + words * 4;
    if payload > limit {
        return Err(Reason::TruncatedIpv4);
    }
    let total = u16::from_be_bytes([header[2], header[3]]) as usize;
    if depth == Depth::Outer {
        if offset + total < payload || offset + total > limit {
            return Err(Reason::BadIpv4Length);
        }
        packet.end = (offset + total) as u32;
    }
    packet.source[12..].copy_from_slice(&[header[12], header[13], header[14], header[15]]);
    packet.destination[12..].copy_from_slice(&[header[16], header[17], header[18], header[19]]);
    packet.protocol = header[9];
    packet.hop_limit = header[8];
    packet.cursor = payload as u32;
    packet.fragment = fragment(&header, (packet.end as usize).wrapping_sub(payload), depth)?;
    Ok(())
}

/// The fragment fields, checked: a middle piece is a multiple of eight bytes long, and no piece
/// is empty or ends past the largest packet.
#[inline(always)]
fn fragment(header: &[u8; HEADER], payload: usize, depth: Depth) -> Result<Fragment, Reason> {
    let field = u16::from_be_bytes([header[6], header[7]]);
    let more = field & MORE_FRAGMENTS != 0;
    let start = ((field & OFFSET_MASK) as usize) * 8;
    if !more && start == 0 {
        return Ok(Fragment::default());
    }
    let end = start + payload;
    if depth == Depth::Outer
        && (payload == 0 || end > 0xffff || (more && !payload.is_multiple_of(8)))
    {
        return Err(Reason::BadFragment);
    }
    Ok(Fragment {
        identification: u16::from_be_bytes([header[4], header[5]]) as u32,
        start: start as u16,
        end: end as u16,
        present: true,
        more,
        protocol: header[9],
    })
}
