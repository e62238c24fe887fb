//! Essential traffic that a packet shows by itself: discovery, listeners, DHCP (semantics 8).

use super::frame::{Message, Packet, Transport, protocol};
use super::settings::Essential;

/// ICMPv6 types (RFC 4861 §4, RFC 2710 §3, RFC 3810 §5).
const LISTENERS: [u8; 4] = [130, 131, 132, 143];
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOURS: [u8; 2] = [135, 136];

/// Ports of client and server (RFC 2131 §4.1, RFC 9915 §7.2).
const DHCP: (u16, u16) = (68, 67);
const DHCPV6: (u16, u16) = (546, 547);

/// Which way a packet goes past the one who is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Out,
    In,
}

/// The kind of essential traffic that a packet is, if it is one.
pub fn kind_of(packet: &Packet, way: Way) -> Option<Essential> {
    // A fragment is none: of its later parts nobody would know that they are essential, and whoever
    // gets discovery in fragments has to ignore it (RFC 6980 §5).
    if packet.fragment.is_some() {
        return None;
    }
    match &packet.transport {
        Transport::Icmp(message) if packet.protocol == protocol::ICMPV6 => {
            of_message(packet, message)
        }
        Transport::Udp { source, destination } => {
            let (client, server) = if packet.source.is_ipv4() { DHCP } else { DHCPV6 };
            let asks = (*source, *destination) == (client, server);
            let answers = (*source, *destination) == (server, client);
            // Whoever is protected is the client.
            let is_dhcp = if way == Way::Out { asks } else { answers };
            is_dhcp.then_some(Essential::Dhcp)
        }
        _ => None,
    }
}

/// Whether a packet is a router advertisement, however it is wrapped. One that has crossed a router
/// is none: whoever gets it has to discard it (RFC 4861 §6.1.2).
pub fn is_router_advertisement(packet: &Packet) -> bool {
    let Transport::Icmp(message) = &packet.transport else { return false };
    packet.protocol == protocol::ICMPV6
        && message.kind == ROUTER_ADVERTISEMENT
        && packet.hops == 255
}

/// Whether nobody (`0.0.0.0`, `::`) may send a packet: whoever has no address yet asks for one by
/// DHCP (RFC 2131 §4.1, RFC 1122 §3.2.1.3), looks whether somebody has it, looks for routers (RFC
/// 4862 §5.4.2, RFC 4861 §4.1) and joins groups (RFC 3590).
pub fn may_come_from_nobody(packet: &Packet) -> bool {
    match &packet.transport {
        Transport::Udp { source, destination } => {
            packet.source.is_ipv4() && (*source, *destination) == DHCP
        }
        Transport::Icmp(message) => {
            packet.source.is_ipv6()
                && (is_discovery(message.kind) || LISTENERS.contains(&message.kind))
        }
        _ => false,
    }
}

fn is_discovery(kind: u8) -> bool {
    [ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT].contains(&kind) || NEIGHBOURS.contains(&kind)
}

fn of_message(packet: &Packet, message: &Message) -> Option<Essential> {
    // A hop limit of 255 says that it has crossed no router (RFC 4861 §6.1 and §7.1); that of a
    // listener's message is 1 (RFC 3810 §5).
    if is_discovery(message.kind) && packet.hops == 255 {
        return Some(Essential::NeighbourDiscovery);
    }
    if LISTENERS.contains(&message.kind) && packet.hops == 1 {
        return Some(Essential::MulticastListener);
    }
    None
}
