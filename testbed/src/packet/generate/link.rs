//! What keeps a network running: ARP, discovery, DHCP; and what is not IP at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Draft, Generator, Kind, Place};
use crate::packet::{Frame, LinkLength, Vlan, ether_type};

/// All nodes, and all MLDv2 routers, of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_LISTENER_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
const ALL_DHCP_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

impl Generator<'_> {
    pub(super) fn link_or_essential(&mut self) -> Draft {
        let kind = self.random.weighted(&[
            (Kind::NeighbourDiscovery, 6),
            (Kind::RouterAdvertisement, 3),
            (Kind::MulticastListener, 3),
            (Kind::Dhcp, 4),
            (Kind::Arp, 2),
            (Kind::NonIp, 2),
            (Kind::TooManyTags, 2),
        ]);
        let v6 = !matches!(kind, Kind::Dhcp | Kind::Arp) || self.random.chance(50);
        let (from, to) = self.ends(v6 && kind != Kind::Arp);
        let mut frame = match kind {
            Kind::NeighbourDiscovery => self.discovery(from, to),
            Kind::RouterAdvertisement => self.v6_from(from, ALL_NODES).router_advertisement(),
            Kind::MulticastListener => self.listener(from),
            Kind::Dhcp => self.dhcp(from, to),
            Kind::Arp => {
                let (IpAddr::V4(sender), IpAddr::V4(target)) = (from.address, to.address) else {
                    unreachable!("both ends were drawn from IPv4")
                };
                Frame::ethernet().arp(sender, target)
            }
            Kind::NonIp => self.non_ip(),
            _ => Frame::ethernet().ip(from.address, to.address).tcp(41_000, 443).syn(),
        };
        if kind == Kind::TooManyTags {
            let count = 3 + self.random.below(2);
            self.tag(&mut frame, count);
        } else if self.random.chance(15) && !matches!(kind, Kind::Arp | Kind::NonIp) {
            // A hop limit that says it has crossed a router.
            frame = frame.hops(self.random.below(256) as u8);
        }
        Draft::between(frame, kind, from, to)
    }

    /// Puts `count` tags right behind the Ethernet header.
    pub(super) fn tag(&mut self, frame: &mut Frame, count: usize) {
        for _ in 0..count {
            let types = [ether_type::VLAN, ether_type::PROVIDER_VLAN, 0x9100, 0x9200];
            let tag_type = *self.random.pick(&types);
            let vlan = Vlan { tag_type, control: self.random.number() as u16, ether_type: None };
            if matches!(frame.layers().first(), Some(crate::packet::Layer::Ethernet(_))) {
                frame.layers_mut().insert(1, crate::packet::Layer::Vlan(vlan));
            }
        }
    }

    /// From somebody, or from nobody, or from a link-local address.
    fn v6_from(&mut self, from: Place, to: Ipv6Addr) -> Frame {
        let source = match (self.random.below(10), from.address) {
            (0, _) => Ipv6Addr::UNSPECIFIED,
            (1, _) => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9),
            (_, IpAddr::V6(address)) => address,
            (_, IpAddr::V4(address)) => address.to_ipv6_mapped(),
        };
        Frame::ethernet().ipv6(source, to)
    }

    fn discovery(&mut self, from: Place, to: Place) -> Frame {
        let IpAddr::V6(target) = to.address else { unreachable!("both ends are IPv6") };
        let bits = target.to_bits() & 0x00ff_ffff;
        let group = Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | bits);
        match self.random.below(5) {
            0 => self.v6_from(from, target).neighbour_solicitation(target),
            1 => self.v6_from(from, group).neighbour_solicitation(target),
            2 => self.v6_from(from, target).neighbour_advertisement(target),
            3 => self.v6_from(from, ALL_NODES).router_solicitation(),
            _ => self.v6_from(from, target).redirect(target, ALL_NODES),
        }
    }

    fn listener(&mut self, from: Place) -> Frame {
        if self.random.chance(50) {
            self.v6_from(from, ALL_LISTENER_ROUTERS).listener_report(ALL_NODES)
        } else {
            self.v6_from(from, ALL_NODES).listener_query()
        }
    }

    fn dhcp(&mut self, from: Place, to: Place) -> Frame {
        let asks = self.random.chance(50);
        match (from.address, to.address) {
            (IpAddr::V4(_), IpAddr::V4(_)) if asks => {
                let nobody = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
                Frame::ethernet().ipv4(nobody.0, nobody.1).dhcp_request(1)
            }
            (IpAddr::V4(server), IpAddr::V4(client)) => {
                Frame::ethernet().ipv4(server, client).dhcp_answer(2)
            }
            _ if asks => self.v6_from(from, ALL_DHCP_SERVERS).dhcpv6_request(1),
            _ => Frame::ethernet().ip(from.address, to.address).dhcpv6_answer(2),
        }
    }

    fn non_ip(&mut self) -> Frame {
        let ether_type = self.random.number() as u16;
        let bytes = self.random.bytes(30);
        match self.random.below(3) {
            0 => Frame::ethernet().lldp(),
            1 => Frame::ethernet().spanning_tree(),
            _ => Frame::ethernet()
                .with_ethernet(|ethernet| ethernet.ether_type = Some(LinkLength::Type(ether_type)))
                .bytes(&bytes),
        }
    }
}
