//! IPv4 (RFC 791), with options and fragments.

use super::{Depth, Fragment, Packet, PacketRead, transport};
use crate::verdict::Reason;

const HEADER: usize = 20;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

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
        return Err(Reason::TruncatedIpv4);
    }
    let header = frame.read::<HEADER>(offset).ok_or(Reason::TruncatedIpv4)?;
    let words = (header[0] & 0x0f) as usize;
    if header[0] >> 4 != 4 || words < 5 {
        return Err(Reason::MalformedIpv4);
    }
    let header_length = words * 4;
    let total = u16::from_be_bytes([header[2], header[3]]) as usize;
    let end = match depth {
        Depth::Outer => {
            if offset + header_length > limit {
                return Err(Reason::TruncatedIpv4);
            }
            if total < header_length || offset + total > limit {
                return Err(Reason::BadIpv4Length);
            }
            offset + total
        }
        Depth::Embedded => limit,
    };
    packet.source[12..].copy_from_slice(&[header[12], header[13], header[14], header[15]]);
    packet.destination[12..].copy_from_slice(&[header[16], header[17], header[18], header[19]]);
    packet.protocol = header[9];
    packet.hop_limit = header[8];
    packet.end = end as u32;
    let payload = offset + header_length;
    packet.fragment = fragment(&header, end.wrapping_sub(payload), depth)?;
    if packet.fragment.is_later() {
        return Ok(());
    }
    transport::parse(frame, payload, end, depth, packet)
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
