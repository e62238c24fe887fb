//! Ethernet II, 802.1Q and 802.1ad.

use super::{Packet, PacketRead};
use crate::abi::limits::VLAN_TAGS;
use crate::verdict::Reason;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;

const HEADER: usize = 14;
const TYPE_AT: usize = 12;
const TAG: usize = 4;

/// Walks the Ethernet header and its VLAN tags (IEEE 802.1Q: TPID 0x8100, 802.1ad: 0x88a8, and
/// the older QinQ TPIDs 0x9100 and 0x9200). Returns the EtherType behind them (or an 802.3
/// length, which is below 0x0600) and leaves the cursor at the network header.
#[inline(always)]
pub fn parse<R: PacketRead + ?Sized>(frame: &R, packet: &mut Packet) -> Result<u16, Reason> {
    let [high, low] = frame.read::<2>(TYPE_AT).ok_or(Reason::TruncatedEthernet)?;
    let mut ethertype = u16::from_be_bytes([high, low]);
    let mut offset = HEADER;
    let mut tags = frame.tags_outside();
    for _ in 0..=VLAN_TAGS {
        if !is_tag(ethertype) {
            packet.cursor = offset as u32;
            return Ok(ethertype);
        }
        tags += 1;
        if tags > VLAN_TAGS {
            return Err(Reason::TooManyVlanTags);
        }
        let [_, _, high, low] = frame.read::<TAG>(offset).ok_or(Reason::TruncatedEthernet)?;
        ethertype = u16::from_be_bytes([high, low]);
        offset += TAG;
    }
    Err(Reason::TooManyVlanTags)
}

#[inline(always)]
const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8 | 0x9100 | 0x9200)
}
