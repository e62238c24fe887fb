use super::{Packet, protocol};
use crate::packet::Frame;

fn v4() -> Frame {
    Frame::ethernet().ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into())
}

fn v6() -> Frame {
    Frame::ethernet().ip("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap())
}

fn why_unseen(frame: &[u8]) -> &'static str {
    Packet::read(frame).expect_err("no chain sees it").0
}

#[test]
fn what_the_ip_input_passes_on_is_read() {
    let packet = Packet::read(&v4().hops(7).tcp(1000, 80).syn().padding(6).build()).unwrap();
    assert_eq!((packet.source.to_string().as_str(), packet.hop_limit), ("10.0.0.1", 7));
    assert_eq!((packet.protocol, packet.ports()), (Some(protocol::TCP), Some((1000, 80))));
    assert_eq!(packet.transport.len(), 20, "padding is not of the packet");
    assert!(packet.checksum_is_right());

    let frame = v6().hop_by_hop(&[5, 2, 0, 0, 1, 0]).destination_options(&[1, 4, 0, 0, 0, 0]);
    let packet = Packet::read(&frame.fragment_header(1, 0, false).udp(5, 6).payload(8).build());
    let packet = packet.expect("an atomic fragment is a whole packet");
    assert_eq!((packet.protocol, packet.ports()), (Some(protocol::UDP), Some((5, 6))));
    assert!(packet.checksum_is_right());

    let last = Packet::read(&v6().protocol_bytes(protocol::NONE, &[0; 8]).build()).unwrap();
    assert_eq!(last.protocol, Some(protocol::NONE));
    let cut = v6().protocol_bytes(60, &[6]).build();
    assert_eq!(Packet::read(&cut).unwrap().protocol, None, "its headers lead nowhere");
}

#[test]
fn what_no_chain_sees_says_why() {
    let whole = v4().udp(1, 2).payload(8).build();
    let mut length = whole.clone();
    length[17] += 1;
    let mut version = whole.clone();
    version[14] = 0x55;
    let mut checksum = whole.clone();
    checksum[24] ^= 1;
    let unknown = v6().hop_by_hop(&[0x80, 4, 0, 0, 0, 0]).udp(1, 2).build();
    let loopback = Frame::ethernet().ip("::1".parse().unwrap(), "fd00::2".parse().unwrap());
    let cases = [
        (Frame::ethernet().spanning_tree().build(), "IP alone"),
        (Frame::ethernet().vlan(3).ipv4([1; 4].into(), [2; 4].into()).udp(1, 2).build(), "VLAN"),
        (whole[..30].to_vec(), "cut IPv4 header"),
        (whole[..13].to_vec(), "Ethernet header"),
        (length, "length does not fit"),
        (version, "wrong version"),
        (checksum, "checksum"),
        (v4().fragment(9, 8, false).udp(1, 2).build(), "fragments"),
        (v6().fragment_header(1, 0, true).udp(1, 2).payload(8).build(), "fragments"),
        (unknown, "hop-by-hop"),
        (loopback.udp(1, 2).build(), "loopback"),
    ];
    for (frame, expected) in cases {
        let why = why_unseen(&frame);
        assert!(why.contains(expected), "`{why}` and not `{expected}`");
    }
}

#[test]
fn checksums_are_those_of_each_protocol() {
    for frame in [
        v4().udp(1, 2).payload(3),
        v6().tcp(1, 2).syn().payload(5),
        v4().sctp(1, 2).chunk(1, 0, &[0; 16]),
        v6().sctp(1, 2).chunk(1, 0, &[0; 16]),
        v4().echo_request(1, 1).payload(9),
        v6().echo_request(1, 1).payload(9),
    ] {
        let mut packet = Packet::read(&frame.build()).unwrap();
        assert!(packet.checksum_is_right(), "{packet:?}");
        *packet.transport.last_mut().unwrap() ^= 1;
        assert!(!packet.checksum_is_right(), "{packet:?}");
    }
}

#[test]
fn odd_headers_are_named() {
    let odd = |frame: Frame| super::oddity(&frame.build()[14..], true);
    assert_eq!(odd(v6().destination_options(&[]).udp(1, 2)), None);
    let misplaced = v6().destination_options(&[]).hop_by_hop(&[]).udp(1, 2);
    assert!(odd(misplaced).is_some_and(|why| why.contains("order")));
    let many = (0..9).fold(v6(), |frame, _| frame.destination_options(&[]));
    assert!(odd(many.udp(1, 2)).is_some_and(|why| why.contains("count")));
    assert!(odd(v6().routing(0, 1).udp(1, 2)).is_some_and(|why| why.contains("routing")));
    assert_eq!(odd(v6().routing(0, 0).udp(1, 2)), None);
}
