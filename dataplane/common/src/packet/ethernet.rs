//! Ethernet II, 802.1Q and 802.1ad.

use super::PacketRead;
use crate::abi::limits::VLAN_TAGS;
use crate::verdict::Reason;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;

const HEADER: usize = 14;
const TYPE_AT: usize = 12;
const TAG: usize = 4;

/// Where the network header starts, and which it is.
pub struct Network {
    /// EtherType behind the tags (or an 802.3 length, which is below 0x0600).
    pub ethertype: u16,
    /// Offset of the network header.
    pub offset: usize,
}

/// Walks the Ethernet header and its VLAN tags (IEEE 802.1Q: TPID 0x8100, 802.1ad: 0x88a8, and
/// the older QinQ TPIDs 0x9100 and 0x9200).
#[inline(always)]
pub fn parse<R: PacketRead + ?Sized>(frame: &R) -> Result<Network, Reason> {
    let [high, low] = frame.read::<2>(TYPE_AT).ok_or(Reason::TruncatedEthernet)?;
    let mut ethertype = u16::from_be_bytes([high, low]);
    let mut offset = HEADER;
    let mut tags = frame.tags_outside();
    for _ in 0..=VLAN_TAGS {
        if !is_tag(ethertype) {
            return Ok(Network { ethertype, offset });
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
