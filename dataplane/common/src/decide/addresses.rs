//! What an address or a port alone says about a packet.

use crate::abi::flow::family;
use crate::abi::identity::AddressBytes;
use crate::abi::policy::protocol;
use crate::packet::{Icmp, Packet};
use crate::table::halves;

/// Addresses that may not be on a wire: loopback on either side, a source that is a group or
/// nobody, an IPv6 address that embeds IPv4 (RFC 1122 §3.2.1.3, RFC 4291 §2.5, RFC 4942 §2.2).
/// Nobody (`0.0.0.0`, `::`) may ask for an address by DHCP, or discover neighbours and groups.
#[inline(always)]
pub fn is_martian(packet: &Packet) -> bool {
    if packet.family == family::V4 {
        let (source, destination) = (packet.source[12], packet.destination[12]);
        source == 127
            || destination == 127
            || (224..240).contains(&source)
            || last_four(&packet.source) == u32::MAX
            || last_four(&packet.source) == 0 && !is_dhcp_v4(packet)
            || last_four(&packet.destination) == 0
    } else {
        packet.source[0] == 0xff
            || is_reserved_v6(&packet.destination)
            || is_reserved_v6(&packet.source) && !may_be_unspecified(packet)
    }
}

/// Whether neither address is one that [`is_martian`] thinks about: fewer questions, and not all that
/// are good get a yes.
#[inline(always)]
pub fn are_plain(packet: &Packet) -> bool {
    if packet.family != family::V4 {
        return !is_martian(packet);
    }
    let (source, destination) = (last_four(&packet.source), last_four(&packet.destination));
    // 1 to 223.
    let is_unicast = (source >> 24).wrapping_sub(1) < 223;
    is_unicast && source >> 24 != 127 && destination >> 24 != 127 && destination != 0
}

/// `::`, `::1` and `::ffff:0:0/96`.
#[inline(always)]
fn is_reserved_v6(address: &AddressBytes) -> bool {
    let [high, low] = halves(address);
    high == 0 && (low <= 1 || low >> 32 == 0xffff)
}

/// Whether the source is `::` and the packet one that may come from there: duplicate address
/// detection, router solicitation, listener reports (RFC 4862 §5.4, RFC 4861 §4.1, RFC 3590).
#[inline(always)]
fn may_be_unspecified(packet: &Packet) -> bool {
    let [high, low] = halves(&packet.source);
    high == 0 && low == 0 && matches!(packet.icmp, Icmp::Neighbour | Icmp::MulticastListener)
}

/// Whether the source is an address that interfaces have without being told: none yet, or an
/// IPv6 link-local one.
#[inline(always)]
pub fn may_be_of_any_interface(packet: &Packet) -> bool {
    if packet.family == family::V4 {
        return last_four(&packet.source) == 0;
    }
    let [high, low] = halves(&packet.source);
    (high == 0 && low == 0) || high >> 54 == 0xfe80 >> 6
}

/// Whether the destination is everyone or a multicast group.
#[inline(always)]
pub fn is_to_group(packet: &Packet) -> bool {
    if packet.family == family::V4 {
        let destination = last_four(&packet.destination);
        destination >> 28 == 0xe || destination == u32::MAX
    } else {
        packet.destination[0] == 0xff
    }
}

/// Whether the packet is a router advertisement (ICMPv6 type 134).
#[inline(always)]
pub fn is_router_advertisement(packet: &Packet) -> bool {
    packet.destination_port >> 8 == 134
}

/// DHCP (RFC 2131) or DHCPv6 (RFC 8415) between a client and a server. Workloads and the host are
/// clients: what they send goes to the servers' port, what they get comes from there.
#[inline(always)]
pub fn is_dhcp(packet: &Packet, from_client: bool) -> bool {
    if packet.protocol != protocol::UDP || packet.fragment.present {
        return false;
    }
    let (client, server) = if packet.family == family::V4 { (68, 67) } else { (546, 547) };
    let ports = (packet.source_port, packet.destination_port);
    if from_client { ports == (client, server) } else { ports == (server, client) }
}

#[inline(always)]
fn is_dhcp_v4(packet: &Packet) -> bool {
    packet.protocol == protocol::UDP && packet.source_port == 68 && packet.destination_port == 67
}

#[inline(always)]
fn last_four(address: &AddressBytes) -> u32 {
    u32::from_be_bytes([address[12], address[13], address[14], address[15]])
}
