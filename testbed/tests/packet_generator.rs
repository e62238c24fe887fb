//! The generator makes what it says: every kind of packet, proper ones above all, the same ones
//! from the same seed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use etherparse::SlicedPacket;
use ringfence_testbed::packet::generate::{Distribution, Generated, Generator, Kind, Place, World};

/// Workloads behind interfaces 2 and 3, a host, strangers behind interface 9.
fn world() -> World {
    let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
    let place = |text, interface| Place { address: address(text), interface };
    World {
        workloads: vec![
            place("10.1.0.1", 2),
            place("fd01::1", 2),
            place("10.1.0.2", 3),
            place("fd01::2", 3),
        ],
        host: vec![address("10.0.0.254"), address("fd00::fe")],
        elsewhere: vec![address("192.0.2.7"), address("2001:db8::7")],
        ports: BTreeMap::from([(6, vec![80, 443]), (17, vec![53]), (132, vec![5_000])]),
        uplink: 9,
        unknown_interface: 10,
    }
}

fn packets(seed: u64, count: usize) -> (Vec<Generated>, Distribution) {
    let world = world();
    let mut generator = Generator::new(&world, seed);
    let packets = (0..count).map(|_| generator.next_packet()).collect();
    (packets, generator.distribution().clone())
}

#[test]
fn the_same_seed_gives_the_same_packets_and_another_seed_gives_others() {
    let (first, distribution) = packets(7, 3_000);
    assert_eq!((&first, &distribution), (&packets(7, 3_000).0, &packets(7, 3_000).1));
    assert_eq!(distribution.total(), 3_000);
    let others = packets(8, 3_000).0;
    let same = first.iter().zip(&others).filter(|(a, b)| a == b).count();
    assert!(same < 30, "{same} packets of two seeds are equal");
}

#[test]
fn every_kind_of_packet_is_made_and_most_can_be_read() {
    let (packets, distribution) = packets(1, 40_000);
    for kind in Kind::ALL {
        assert!(distribution.count(*kind) >= 20, "too few {kind:?}:\n{distribution}");
    }
    let readable = |packet: &&Generated| SlicedPacket::from_ethernet(&packet.frame).is_ok();
    let readable = packets.iter().filter(readable).count();
    assert!(readable > 30_000, "etherparse reads only {readable} of 40,000:\n{distribution}");
    assert!(readable < 39_000, "etherparse reads {readable} of 40,000:\n{distribution}");
}

#[test]
fn every_interface_is_used_both_ways() {
    let (packets, _) = packets(2, 5_000);
    for interface in [2, 3, 9, 10] {
        let comes_in = packets.iter().filter(|packet| packet.from == interface).count();
        let goes_out = packets.iter().filter(|packet| packet.to == interface).count();
        assert!(comes_in > 5 && goes_out > 5, "{interface}: {comes_in} in, {goes_out} out");
    }
}

#[test]
fn proper_kinds_are_proper() {
    use etherparse::TransportSlice::{Icmpv4, Icmpv6, Tcp, Udp};

    // The oldest tag type is none to etherparse.
    let has_old_tag = |packet: &Generated| {
        [12, 16].iter().any(|at| packet.frame.get(*at..at + 2) == Some(&[0x92, 0x00]))
    };
    for packet in packets(3, 20_000).0 {
        if has_old_tag(&packet) {
            continue;
        }
        let read = || {
            let read = SlicedPacket::from_ethernet(&packet.frame);
            read.unwrap_or_else(|error| panic!("{:?}: {error}: {packet:02x?}", packet.kind))
        };
        let is_right = match packet.kind {
            Kind::TcpSyn | Kind::TcpPortReuse => {
                matches!(read().transport, Some(Tcp(tcp)) if tcp.syn() && !tcp.ack())
            }
            Kind::TcpSynAck => {
                matches!(read().transport, Some(Tcp(tcp)) if tcp.syn() && tcp.ack())
            }
            Kind::TcpData => {
                matches!(read().transport, Some(Tcp(tcp)) if tcp.ack() && !tcp.payload().is_empty())
            }
            Kind::UdpQuery | Kind::UdpReply => matches!(read().transport, Some(Udp(_))),
            Kind::EchoRequest | Kind::EchoReply => {
                matches!(read().transport, Some(Icmpv4(_) | Icmpv6(_)))
            }
            _ => continue,
        };
        assert!(is_right, "{packet:02x?}");
    }
}
