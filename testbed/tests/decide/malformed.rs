//! What is malformed is denied, each cause with its own reason, alike on every hook (safety P6).

use ringfence_common::verdict::Reason;
use ringfence_testbed::packet::{Frame, tcp_flags};

use super::scene::Who::{Office, Web};
use super::scene::{
    FAMILIES, FROM_UPLINK, FROM_WEB, Family, Scene, TO_UPLINK, TO_WEB, between, denied, pass,
};

fn v4() -> Frame {
    between(Office, Web, Family::V4)
}

fn v6() -> Frame {
    between(Office, Web, Family::V6)
}

/// Each row is a frame and the reason for which it is denied.
fn rows() -> Vec<(&'static str, Frame, Reason)> {
    use Reason::*;
    let syn = |frame: Frame| frame.tcp(40_000, 443).syn();
    let tags = |frame: Frame| {
        let mut tagged = Frame::ethernet().provider_vlan(1).vlan(2).vlan(3);
        tagged.layers_mut().extend_from_slice(&frame.layers()[1..]);
        tagged
    };
    vec![
        ("three tags", syn(tags(v4())), TooManyVlanTags),
        ("version 5", syn(v4()).with_ipv4(|ip| ip.version = 5), MalformedIpv4),
        ("version 6 behind the type of 4", syn(v4()).with_ipv4(|ip| ip.version = 6), MalformedIpv4),
        ("header of 16 bytes", syn(v4()).with_ipv4(|ip| ip.header_length = Some(4)), MalformedIpv4),
        (
            "header past the frame",
            v4().with_ipv4(|ip| {
                ip.header_length = Some(15);
                ip.total_length = Some(20);
            }),
            TruncatedIpv4,
        ),
        (
            "length below the header",
            syn(v4()).with_ipv4(|ip| ip.total_length = Some(19)),
            BadIpv4Length,
        ),
        (
            "length past the frame",
            syn(v4()).with_ipv4(|ip| ip.total_length = Some(41)),
            BadIpv4Length,
        ),
        (
            "length that cuts the TCP header",
            syn(v4()).with_ipv4(|ip| ip.total_length = Some(39)),
            TruncatedTcp,
        ),
        ("version 4 behind the type of 6", syn(v6()).with_ipv6(|ip| ip.version = 4), MalformedIpv6),
        (
            "payload past the frame",
            syn(v6()).with_ipv6(|ip| ip.payload_length = Some(21)),
            BadIpv6Length,
        ),
        (
            "payload that cuts the TCP header",
            syn(v6()).with_ipv6(|ip| ip.payload_length = Some(19)),
            TruncatedTcp,
        ),
        (
            "jumbogram",
            v6().hop_by_hop(&[]).with_ipv6(|ip| ip.payload_length = Some(0)),
            Unsupported,
        ),
        ("TCP offset below 5", syn(v4()).with_tcp(|tcp| tcp.data_offset = Some(4)), BadTcpOffset),
        (
            "TCP offset past the packet",
            syn(v6()).with_tcp(|tcp| tcp.data_offset = Some(6)),
            BadTcpOffset,
        ),
        (
            "UDP length below 8",
            v4().udp(1, 53).payload(4).with_udp(|udp| udp.length = Some(7)),
            BadUdpLength,
        ),
        (
            "UDP length past the packet",
            v6().udp(1, 53).payload(4).with_udp(|udp| udp.length = Some(13)),
            BadUdpLength,
        ),
    ]
}

#[test]
fn every_cause_has_its_own_reason_on_every_hook() {
    for at in [FROM_WEB, TO_WEB, FROM_UPLINK, TO_UPLINK] {
        for (what, frame, reason) in rows() {
            let mut scene = Scene::locked().isolate(Web, false);
            scene.expect(at, &frame, denied(reason), what);
            assert_eq!(scene.flows(), 0, "{what}");
        }
    }
}

#[test]
fn tcp_flags_that_no_stack_sends_are_denied() {
    use tcp_flags::{ACK, FIN, PSH, RST, SYN, URG};
    let sent = [
        SYN,
        SYN | ACK,
        ACK,
        FIN | ACK,
        RST,
        RST | ACK,
        ACK | PSH,
        FIN | ACK | PSH,
        ACK | URG,
        FIN | ACK | URG,
        SYN | URG,
    ];
    for family in FAMILIES {
        for flags in 0..64 {
            let frame = between(Office, Web, family).tcp(1, 443).flags(flags);
            let reason = Scene::locked().see(TO_WEB, &frame).reason;
            // PSH changes nothing.
            let known = sent.contains(&flags) || sent.contains(&(flags & !PSH));
            assert_eq!(reason != Reason::BadTcpFlags, known, "flags {flags:#04x}");
        }
    }
}

/// Adds a transport header.
type Transport = fn(Frame) -> Frame;

/// A frame, the offsets at which a header ends, and the reason of a cut before each.
type Cuts = (Frame, Vec<(usize, Reason)>);

fn cuts() -> Vec<Cuts> {
    use Reason::*;
    let ethernet = (14, TruncatedEthernet);
    let ipv4 = (34, TruncatedIpv4);
    let ipv6 = (54, TruncatedIpv6);
    let both = |frame: fn(Frame) -> Frame| [frame(v4()), frame(v6())];
    let mut rows = Vec::new();
    for (index, whole) in [
        both(|ip| ip.tcp(40_000, 443).syn().payload(10)),
        both(|ip| ip.udp(40_000, 53).payload(10)),
        both(|ip| ip.sctp(40_000, 5_000).chunk(1, 0, &[0; 16])),
        both(|ip| ip.echo_request(1, 1).payload(10)),
    ]
    .into_iter()
    .flatten()
    .enumerate()
    {
        let network = if index % 2 == 0 { ipv4 } else { ipv6 };
        rows.push((whole, vec![ethernet, network]));
    }
    rows.push((v6().hop_by_hop(&[]).tcp(1, 443).syn(), vec![ethernet, ipv6]));
    let tagged =
        Frame::ethernet().provider_vlan(1).vlan(2).ipv4([1, 2, 3, 4].into(), [10, 0, 0, 1].into());
    rows.push((tagged.tcp(1, 443).syn(), vec![(22, TruncatedEthernet), (42, TruncatedIpv4)]));
    rows
}

#[test]
fn a_frame_cut_at_any_offset_is_denied_for_the_header_that_is_cut() {
    for (frame, ends) in cuts() {
        let whole = frame.build();
        let (_, last) = ends[ends.len() - 1];
        let past_network = if last == Reason::TruncatedIpv4 {
            Reason::BadIpv4Length
        } else {
            Reason::BadIpv6Length
        };
        for length in 0..whole.len() {
            let expected = ends.iter().find(|(end, _)| length < *end);
            let expected = expected.map_or(past_network, |(_, reason)| *reason);
            for at in [TO_WEB, FROM_UPLINK] {
                let decision = Scene::locked().see_bytes(at, &whole[..length]);
                assert_eq!(decision, denied(expected), "{length} bytes of {:?}", frame.layers());
            }
        }
    }
}

#[test]
fn a_packet_that_ends_inside_its_transport_header_is_denied_for_that_header() {
    use Reason::*;
    let rows: [(Transport, usize, Reason); 4] = [
        (|ip| ip.tcp(40_000, 443).syn(), 20, TruncatedTcp),
        (|ip| ip.udp(40_000, 53), 8, TruncatedUdp),
        (|ip| ip.sctp(40_000, 5_000), 12, TruncatedSctp),
        (|ip| ip.echo_request(1, 1), 8, TruncatedIcmp),
    ];
    for family in FAMILIES {
        for (build, header, reason) in rows {
            for length in 0..header {
                let frame = build(between(Office, Web, family));
                let frame = match family {
                    Family::V4 => frame.with_ipv4(|ip| ip.total_length = Some(20 + length as u16)),
                    Family::V6 => frame.with_ipv6(|ip| ip.payload_length = Some(length as u16)),
                };
                Scene::locked().expect(TO_WEB, &frame, denied(reason), "cut by its own length");
            }
        }
    }
}

#[test]
fn padding_options_and_up_to_two_tags_change_nothing() {
    let allowed = pass(Reason::NotIsolated);
    let open = || Scene::locked().isolate(Web, false);
    for frame in [
        v4().tcp(1, 443).syn().padding(6),
        v6().tcp(1, 443).syn().padding(6),
        v4().options(&[148, 4, 0, 0]).tcp(1, 443).syn(),
        v4().options(&[1; 40]).udp(1, 443),
        v6().tcp(1, 443).syn().with_tcp(|tcp| tcp.options = vec![1; 40]),
    ] {
        open().expect(TO_WEB, &frame, allowed, "well formed");
        for outer in [Frame::ethernet().vlan(9), Frame::ethernet().provider_vlan(9).vlan(7)] {
            let mut tagged = outer;
            tagged.layers_mut().extend_from_slice(&frame.layers()[1..]);
            open().expect(TO_WEB, &tagged, allowed, "tagged");
            let mut locked = Scene::locked();
            locked.expect(TO_WEB, &tagged, denied(Reason::NoRule), "policy sees through tags");
        }
    }
}
