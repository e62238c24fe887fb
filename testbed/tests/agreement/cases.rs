//! Frames about which the sides did not agree once, and frames cut everywhere. A difference that
//! the generator finds is printed as a case for this list; add it with the change that mends it.

use ringfence_common::abi::config::Hook;
use ringfence_common::verdict::Reason;
use ringfence_testbed::packet::Frame;

use super::side_by_side::Step;

/// Frames in their order, each at a hook of an interface (web is 2, api 3, and so on as in
/// `setting`), and the reason that both sides give for the last one.
type Case = (&'static [(Hook, u32, &'static str)], Reason);

pub const CASES: [Case; 1] = [
    // An ICMP error that quotes a fragment whose header is longer than the quote.
    (
        &[(
            Hook::TcEgress,
            3,
            "02000000000202000000000108004500003800070000400166b80a0200020a01000203037ce5\
             000000004f00001c0007200140113cc30a0100020a0200028000000700100000",
        )],
        Reason::MalformedEmbedded,
    ),
];

/// The steps of a case.
pub fn steps(case: &Case) -> Vec<Step> {
    let step = |(hook, ifindex, frame): &(Hook, u32, &str)| Step {
        frame: bytes(frame),
        hook: *hook,
        ifindex: *ifindex,
    };
    case.0.iter().map(step).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("cases are hex");
    (0..hex.len()).step_by(2).map(pair).collect()
}

/// Frames of every shape, to be cut at every length.
pub fn frames_to_cut() -> Vec<Vec<u8>> {
    let v4 = || Frame::ethernet().ipv4([10, 1, 0, 2].into(), [10, 1, 0, 3].into());
    let tagged = || Frame::ethernet().provider_vlan(3).vlan(4);
    let tagged_v4 = || tagged().ipv4([10, 1, 0, 2].into(), [10, 1, 0, 3].into());
    let (from, to) = (address("fd01::2"), address("fd01::3"));
    let v6 = || Frame::ethernet().ipv6(from, to);
    let quoted = Frame::bare().ipv4([10, 1, 0, 3].into(), [10, 1, 0, 2].into()).udp(7, 9).build();
    let quoted_v6 = Frame::bare().ipv6(to, from).hop_by_hop(&[]).udp(7, 9).build();
    let frames = [
        tagged_v4().options(&[1; 12]).tcp(40_000, 5_432).syn().payload(10),
        v4().udp(40_000, 53).payload(10),
        v4().sctp(40_000, 5_000).chunk(1, 0, &[0; 16]),
        v4().port_unreachable(&quoted),
        v6().tcp(40_000, 5_432).syn().payload(10),
        v6().hop_by_hop(&[]).destination_options(&[]).routing(2, 1).udp(40_000, 53).payload(10),
        v6().authentication().fragment_header(9, 0, true).tcp(40_000, 443).syn().payload(12),
        v6().too_big(1_280, &quoted_v6),
        v6().neighbour_solicitation(to),
        Frame::ethernet().arp([10, 1, 0, 2].into(), [10, 1, 0, 3].into()),
    ];
    frames.iter().map(Frame::build).collect()
}

/// ICMP errors whose own chain of headers and the quoted one's have so many headers of the largest
/// size: up to 33 KB, past the last offset at which a header is read.
pub fn long_chains() -> Vec<Vec<u8>> {
    let (from, to) = (address("fd01::2"), address("fd01::3"));
    let largest = [0; 2_046];
    let lengthen = |frame: Frame, count| {
        (0..count).fold(frame, |frame: Frame, _| frame.destination_options(&largest))
    };
    let counts = (0..=8).flat_map(|own| (0..=8).map(move |quoted| (own, quoted)));
    let error = |(own, quoted)| {
        let quoted = lengthen(Frame::bare().ipv6(to, from), quoted).udp(7, 9).build();
        lengthen(Frame::ethernet().ipv6(from, to), own).port_unreachable(&quoted).build()
    };
    counts.map(error).collect()
}

/// Makes the IP length of a cut frame fit what is left, where its field is left: so the cut reaches
/// the headers behind.
pub fn with_fitting_length(mut frame: Vec<u8>) -> Vec<u8> {
    let mut start = 14;
    while frame.get(start - 2..start).is_some_and(|tag| tag == [0x81, 0] || tag == [0x88, 0xa8]) {
        start += 4;
    }
    let (field, counted_from) = match frame.get(start - 2..start) {
        Some([0x08, 0x00]) => (start + 2, start),
        Some([0x86, 0xdd]) => (start + 4, start + 40),
        _ => return frame,
    };
    let length = frame.len().saturating_sub(counted_from) as u16;
    if let Some(bytes) = frame.get_mut(field..field + 2) {
        bytes.copy_from_slice(&length.to_be_bytes());
    }
    frame
}

fn address(text: &str) -> std::net::Ipv6Addr {
    text.parse().expect("tests write addresses that parse")
}
