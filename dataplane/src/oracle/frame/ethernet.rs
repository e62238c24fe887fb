//! Ethernet and VLAN tags.

use ringfence_common::verdict::Reason;

use super::start;
use crate::oracle::limits::VLAN_TAGS;

pub const IPV4: u16 = 0x0800;
pub const IPV6: u16 = 0x86dd;

/// What says that a tag follows: 802.1Q, 802.1ad, and the two that came before it.
const TAGS: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];

/// Two addresses and a type.
const HEADER: usize = 14;

/// The type behind all tags, and what follows it.
pub fn read(frame: &[u8]) -> Result<(u16, &[u8]), Reason> {
    let header: [u8; HEADER] = start(frame).ok_or(Reason::TruncatedEthernet)?;
    let mut ether_type = u16::from_be_bytes([header[12], header[13]]);
    let mut rest = &frame[HEADER..];
    let mut tags = 0;
    while TAGS.contains(&ether_type) {
        tags += 1;
        if tags > VLAN_TAGS {
            return Err(Reason::TooManyVlanTags);
        }
        let [_, _, high, low] = start(rest).ok_or(Reason::TruncatedEthernet)?;
        ether_type = u16::from_be_bytes([high, low]);
        rest = &rest[4..];
    }
    Ok((ether_type, rest))
}
