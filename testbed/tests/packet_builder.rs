//! Frames that are built well formed are read as they were meant by another parser, etherparse,
//! which also finds their checksums right.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{
    IcmpEchoHeader, Icmpv4Type, Icmpv6Type, IpNumber, LinkExtSlice, NetSlice, SlicedPacket,
    TransportSlice,
};
use ringfence_testbed::packet::{Frame, extension_kind, quote, tcp_flags};

const A4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const A6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const B6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

fn read(frame: &[u8]) -> SlicedPacket<'_> {
    SlicedPacket::from_ethernet(frame).unwrap_or_else(|error| panic!("{error}: {frame:02x?}"))
}

/// Asserts that the transport checksum is the one etherparse computes.
fn assert_transport_checksum(frame: &[u8]) {
    let packet = read(frame);
    let net = packet.net.expect("an IP header");
    let transport = packet.transport.expect("a transport header");
    let (written, right) = match (&net, &transport) {
        (NetSlice::Ipv4(ip), TransportSlice::Tcp(tcp)) => {
            let (source, destination) = (ip.header().source(), ip.header().destination());
            (Some(tcp.checksum()), tcp.calc_checksum_ipv4(source, destination).ok())
        }
        (NetSlice::Ipv6(ip), TransportSlice::Tcp(tcp)) => {
            let (source, destination) = (ip.header().source(), ip.header().destination());
            (Some(tcp.checksum()), tcp.calc_checksum_ipv6(source, destination).ok())
        }
        (NetSlice::Ipv4(ip), TransportSlice::Udp(udp)) => {
            let (source, destination) = (ip.header().source(), ip.header().destination());
            let right = udp.to_header().calc_checksum_ipv4_raw(source, destination, udp.payload());
            (Some(udp.checksum()), right.ok())
        }
        (NetSlice::Ipv6(ip), TransportSlice::Udp(udp)) => {
            let (source, destination) = (ip.header().source(), ip.header().destination());
            let right = udp.to_header().calc_checksum_ipv6_raw(source, destination, udp.payload());
            (Some(udp.checksum()), right.ok())
        }
        (NetSlice::Ipv4(_), TransportSlice::Icmpv4(icmp)) => {
            (Some(icmp.checksum()), Some(icmp.icmp_type().calc_checksum(icmp.payload())))
        }
        (NetSlice::Ipv6(ip), TransportSlice::Icmpv6(icmp)) => {
            let (source, destination) = (ip.header().source(), ip.header().destination());
            assert!(icmp.is_checksum_valid(source, destination), "{frame:02x?}");
            return;
        }
        other => panic!("no checksum is known for {other:?}"),
    };
    assert_eq!(written, right, "{frame:02x?}");
    assert!(right.is_some());
}

#[test]
fn tcp_over_ipv4_with_options_and_two_tags() {
    let frame = Frame::ethernet()
        .provider_vlan(9)
        .vlan(7)
        .ipv4(A4, B4)
        .options(&[7, 7, 4, 0, 0, 0, 0])
        .tcp(40_000, 443)
        .syn()
        .sequence(77)
        .with_tcp(|tcp| tcp.options = vec![2, 4, 5, 180])
        .payload(11)
        .build();
    assert_transport_checksum(&frame);
    let packet = read(&frame);
    let tags: Vec<u16> = packet
        .link_exts
        .iter()
        .map(|tag| match tag {
            LinkExtSlice::Vlan(vlan) => vlan.vlan_identifier().value(),
            LinkExtSlice::Macsec(_) => panic!("no MACsec was built"),
        })
        .collect();
    let Some(NetSlice::Ipv4(ip)) = packet.net else { panic!("not IPv4") };
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("not TCP") };
    assert_eq!(tags, [9, 7]);
    assert_eq!((ip.header().source_addr(), ip.header().destination_addr()), (A4, B4));
    assert_eq!((ip.header().ihl(), ip.header().options().len()), (7, 8));
    assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
    assert_eq!((tcp.source_port(), tcp.destination_port()), (40_000, 443));
    assert_eq!((tcp.syn(), tcp.ack(), tcp.sequence_number()), (true, false, 77));
    assert_eq!((tcp.data_offset(), tcp.payload().len()), (6, 11));
}

#[test]
fn checksums_are_right_for_every_transport_and_family() {
    let v4 = || Frame::ethernet().ipv4(A4, B4);
    let v6 = || Frame::ethernet().ipv6(A6, B6);
    for frame in [
        v4().tcp(1, 2).flags(tcp_flags::ACK | tcp_flags::PSH).payload(33),
        v6().tcp(1, 2).ack(5).fin().payload(32),
        v4().udp(1, 2).payload(7),
        v6().udp(1, 2).payload(8),
        v4().echo_request(7, 1).payload(20),
        v6().echo_reply(7, 1).payload(21),
        v4().port_unreachable(&[9; 28]),
        v6().too_big(1_280, &[9; 48]),
        v6().neighbour_solicitation(B6),
        v6().neighbour_advertisement(A6),
        v6().router_solicitation(),
        v6().router_advertisement(),
        v6().listener_report(A6),
        v6().listener_query(),
        v4().dhcp_request(1),
        v4().dhcp_answer(2),
        v6().dhcpv6_request(1),
        v6().dhcpv6_answer(2),
    ] {
        assert_transport_checksum(&frame.build());
    }
}

#[test]
fn icmp_messages_are_what_they_are_called() {
    let request = Frame::ethernet().ipv4(A4, B4).echo_request(7, 1).build();
    let Some(TransportSlice::Icmpv4(icmp)) = read(&request).transport else { panic!("not ICMP") };
    assert_eq!(icmp.icmp_type(), Icmpv4Type::EchoRequest(IcmpEchoHeader { id: 7, seq: 1 }));
    let reply = Frame::ethernet().ipv6(A6, B6).echo_reply(8, 2).build();
    let Some(TransportSlice::Icmpv6(icmp)) = read(&reply).transport else { panic!("not ICMPv6") };
    assert_eq!(icmp.icmp_type(), Icmpv6Type::EchoReply(IcmpEchoHeader { id: 8, seq: 2 }));
    let too_big = Frame::ethernet().ipv6(A6, B6).too_big(1_300, &[]).build();
    let Some(TransportSlice::Icmpv6(icmp)) = read(&too_big).transport else { panic!("not ICMPv6") };
    assert_eq!(icmp.icmp_type(), Icmpv6Type::PacketTooBig { mtu: 1_300 });
}

#[test]
fn extension_headers_form_a_chain() {
    let frame = Frame::ethernet()
        .ipv6(A6, B6)
        .hop_by_hop(&[])
        .destination_options(&[])
        .routing(2, 1)
        .fragment_header(99, 0, false)
        .authentication()
        .udp(5, 6)
        .payload(3)
        .build();
    assert_transport_checksum(&frame);
    let packet = read(&frame);
    let Some(NetSlice::Ipv6(ip)) = &packet.net else { panic!("not IPv6") };
    assert_eq!(ip.payload().ip_number, IpNumber::UDP);
    assert_eq!(ip.extensions().first_header(), Some(IpNumber::IPV6_HEADER_HOP_BY_HOP));
    assert_eq!(ip.extensions().slice().len(), 4 * 8 + 24);
    let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("not UDP") };
    assert_eq!((udp.destination_port(), udp.payload()), (6, [0, 1, 2].as_slice()));
}

#[test]
fn a_chain_may_end_without_transport() {
    let nothing = Frame::ethernet().ipv6(A6, B6).destination_options(&[]).build();
    let Some(NetSlice::Ipv6(ip)) = read(&nothing).net else { panic!("not IPv6") };
    assert_eq!(ip.payload().ip_number.0, extension_kind::NO_NEXT_HEADER);
    let encrypted = Frame::ethernet().ipv6(A6, B6).esp(&[5; 16]).build();
    let Some(NetSlice::Ipv6(ip)) = read(&encrypted).net else { panic!("not IPv6") };
    assert_eq!(ip.payload().ip_number.0, extension_kind::ESP);
    assert_eq!(ip.payload().payload.len(), 24);
}

#[test]
fn fragments_carry_the_whole_payload_once() {
    let v4 = Frame::ethernet().ipv4(A4, B4).udp(5, 6).payload(50);
    let v6 = Frame::ethernet().ipv6(A6, B6).hop_by_hop(&[]).udp(5, 6).payload(50);
    for (frame, header) in [(v4, 34), (v6, 14 + 40 + 8 + 8)] {
        let whole = frame.build();
        let datagram = &whole[whole.len() - 58..];
        let fragments = frame.fragments(9, 24);
        let joined: Vec<u8> = fragments.iter().flat_map(|piece| piece[header..].to_vec()).collect();
        assert_eq!((fragments.len(), joined.as_slice()), (3, datagram));
        for (index, fragment) in fragments.iter().enumerate() {
            let packet = read(fragment);
            let (more, offset, number) = match packet.net {
                Some(NetSlice::Ipv4(ip)) => {
                    let header = ip.header();
                    let offset = header.fragments_offset().value();
                    (header.more_fragments(), offset, u32::from(header.identification()))
                }
                Some(NetSlice::Ipv6(ip)) => {
                    let found =
                        ip.extensions().clone().into_iter().find_map(|header| match header {
                            etherparse::Ipv6ExtensionSlice::Fragment(fragment) => {
                                let header = fragment.to_header();
                                let offset = header.fragment_offset.value();
                                Some((header.more_fragments, offset, header.identification))
                            }
                            _ => None,
                        });
                    found.expect("a fragment header")
                }
                _ => panic!("not IP"),
            };
            assert_eq!((more, offset, number), (index < 2, index as u16 * 3, 9));
        }
    }
}

#[test]
fn arp_lldp_and_llc_are_not_ip() {
    let arp = Frame::ethernet().arp(A4, B4).build();
    let Some(NetSlice::Arp(packet)) = read(&arp).net else { panic!("not ARP") };
    assert_eq!(
        (packet.sender_protocol_addr(), packet.target_protocol_addr()),
        (A4.octets().as_slice(), B4.octets().as_slice())
    );
    assert_eq!(read(&Frame::ethernet().lldp().build()).net, None);
    let bridge = Frame::ethernet().spanning_tree().build();
    assert_eq!(u16::from_be_bytes([bridge[12], bridge[13]]) as usize, bridge.len() - 14);
}

#[test]
fn every_derived_field_can_be_overridden() {
    let frame = Frame::ethernet()
        .ipv4(A4, B4)
        .with_ipv4(|ip| {
            ip.version = 5;
            ip.header_length = Some(15);
            ip.total_length = Some(1);
            ip.protocol = Some(200);
            ip.checksum = Some(0xabcd);
        })
        .tcp(1, 2)
        .with_tcp(|tcp| {
            tcp.data_offset = Some(3);
            tcp.checksum = Some(0x1234);
        })
        .build();
    assert_eq!((frame[14], &frame[16..18], frame[23]), (0x5f, [0, 1].as_slice(), 200));
    assert_eq!((&frame[24..26], frame[46] >> 4), ([0xab, 0xcd].as_slice(), 3));
    assert_eq!(frame[50..52], [0x12, 0x34]);
    let frame = Frame::ethernet()
        .ipv6(A6, B6)
        .with_ipv6(|ip| ip.payload_length = Some(9))
        .extension(extension_kind::DESTINATION, &[0; 6])
        .with_extension(|header| header.length = Some(200))
        .udp(1, 2)
        .with_udp(|udp| udp.length = Some(3))
        .build();
    assert_eq!((&frame[18..20], frame[55]), ([0, 9].as_slice(), 200));
    assert_eq!(frame[66..68], [0, 3]);
}

#[test]
fn a_quote_starts_at_the_ip_header() {
    let frame = Frame::ethernet().vlan(1).vlan(2).ipv4(A4, B4).udp(5, 6).payload(100).build();
    assert_eq!(quote(&frame, 28), frame[22..50]);
    assert_eq!(quote(&frame, 1_000), frame[22..]);
    assert_eq!(quote(&frame[..13], 28), Vec::<u8>::new());
}
