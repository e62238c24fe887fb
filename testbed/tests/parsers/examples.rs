//! Frames made by hand: one for each difference, and those to be damaged.

use ringfence_testbed::packet::{Frame, LinkLength, Vlan, extension_kind};

use super::differences::Difference;

/// Bytes of a frame in which every bit is flipped.
pub const HEADERS: usize = 120;

fn v4() -> Frame {
    Frame::ethernet().ipv4([10, 1, 0, 1].into(), [10, 1, 0, 2].into())
}

fn v6() -> Frame {
    let address = |last| std::net::Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, last);
    Frame::ethernet().ipv6(address(1), address(2))
}

/// A frame about which the two parsers differ in this way.
pub fn of(difference: Difference) -> Vec<u8> {
    use Difference::*;

    let old_tag = Vlan { tag_type: 0x9200, control: 1, ether_type: None };
    let no_length = |frame: Frame| frame.with_ipv6(|ip| ip.payload_length = Some(0));
    let frame = match difference {
        TooManyTags => {
            let tagged = Frame::ethernet().vlan(1).vlan(2).vlan(3);
            tagged.ipv4([10, 1, 0, 1].into(), [10, 1, 0, 2].into()).udp(1, 2)
        }
        OldTagType => {
            let mut frame = v4().udp(1, 2);
            frame.layers_mut().insert(1, ringfence_testbed::packet::Layer::Vlan(old_tag));
            frame
        }
        NotIp => {
            let mut arp = Frame::ethernet().arp([10, 1, 0, 1].into(), [10, 1, 0, 2].into()).build();
            arp.truncate(20);
            return arp;
        }
        BadFragment => v4().protocol_bytes(17, &[0; 13]).fragment(7, 4, true),
        TinyFragment => v4().protocol_bytes(6, &[0; 8]).fragment(7, 0, true),
        HeaderOfFirstFragment => v4().protocol_bytes(17, &[0; 16]).fragment(7, 0, true),
        TcpFlags => v4().tcp(1, 2).syn().fin(),
        NoUdpLength => v4().udp(1, 2).with_udp(|udp| udp.length = Some(0)),
        CutSctp => v4().protocol_bytes(132, &[0; 11]),
        TooManyExtensions => {
            let nine = (0..9).fold(v6(), |frame, _| frame.destination_options(&[]));
            nine.udp(1, 2)
        }
        TwoFragmentHeaders => {
            v6().fragment_header(1, 0, false).fragment_header(2, 0, false).udp(1, 2)
        }
        SourceRoute => v6().routing(0, 1).udp(1, 2),
        NoPayloadLength => no_length(v6().udp(1, 2)),
        AuthenticationInV4 => v4().authentication().tcp(1, 2).syn(),
        ShortAuthentication => {
            let short = v6().extension(extension_kind::AUTHENTICATION, &[0; 6]);
            short.with_extension(|header| header.length = Some(0)).udp(1, 2)
        }
        LaterFragmentIsData => {
            let next_header = |frame: Frame| frame.with_extension(|h| h.next_header = Some(60));
            next_header(v6().fragment_header(7, 4, true)).bytes(&[17, 0, 1, 4, 0, 0, 0, 0])
        }
        ForeignIcmp => v4().protocol_bytes(58, &[128, 0, 0]),
        MessageLength => v4().icmp(13, 0, [0; 4]),
    };
    frame.build()
}

/// Well-formed frames of every shape.
pub fn frames() -> Vec<Vec<u8>> {
    let quoted = Frame::bare().ipv4([10, 1, 0, 2].into(), [10, 1, 0, 1].into()).udp(7, 9).build();
    let macsec = |frame: Frame| {
        frame.with_ethernet(|ethernet| ethernet.ether_type = Some(LinkLength::Type(0x88e5)))
    };
    let mut frames = vec![
        v4().options(&[1; 12]).tcp(40_000, 5_432).syn().payload(10),
        v4().udp(40_000, 53).payload(10),
        v4().sctp(40_000, 5_000).chunk(1, 0, &[0; 16]),
        v4().port_unreachable(&quoted),
        v4().echo_request(7, 1).payload(20),
        v4().authentication().udp(1, 2).payload(4),
        v4().gre(),
        v6().tcp(40_000, 5_432).ack(9).payload(10),
        v6().hop_by_hop(&[]).destination_options(&[]).routing(2, 1).udp(40_000, 53).payload(10),
        v6().authentication().tcp(40_000, 443).syn().payload(12),
        v6().echo_reply(7, 1),
        v6().neighbour_solicitation(std::net::Ipv6Addr::LOCALHOST),
        v6().esp(&[3; 24]),
        Frame::ethernet().arp([10, 1, 0, 1].into(), [10, 1, 0, 2].into()),
        macsec(Frame::ethernet()).bytes(&[0x2c; 40]),
        Frame::ethernet().lldp(),
    ];
    let tagged = Frame::ethernet().provider_vlan(3).vlan(4);
    frames.push(tagged.ipv4([10, 1, 0, 1].into(), [10, 1, 0, 2].into()).udp(1, 2));
    let mut bytes: Vec<Vec<u8>> = frames.iter().map(Frame::build).collect();
    for frame in [v4().udp(5, 6).payload(60), v6().hop_by_hop(&[]).udp(5, 6).payload(60)] {
        bytes.extend(frame.fragments(7, 32));
    }
    bytes.extend(v6().tcp(5, 6).syn().payload(60).fragments(7, 32));
    bytes
}

/// Makes the IP length of a cut frame without tags fit what is left, where its field is left: so
/// that the cut reaches the headers behind.
pub fn with_fitting_length(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let (field, counted_from) = match frame.get(12..14) {
        Some([0x08, 0x00]) => (16, 14),
        Some([0x86, 0xdd]) => (18, 54),
        _ => return frame,
    };
    let length = frame.len().saturating_sub(counted_from) as u16;
    if let Some(bytes) = frame.get_mut(field..field + 2) {
        bytes.copy_from_slice(&length.to_be_bytes());
    }
    frame
}
