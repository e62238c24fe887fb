//! Packets of a connection.

use ringfence_dataplane::oracle::Flow;
use ringfence_testbed::packet::{Frame, SOURCE_PORT, first_packet};

/// A packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Opens it.
    First,
    /// Comes from the opener later.
    Later,
    /// Answers the first.
    Answer,
}

/// A packet of a flow; `None` where an address is none that a connection can have.
pub fn packet(flow: &Flow, which: Packet) -> Option<Vec<u8>> {
    let first = first_packet(flow)?;
    match (which, flow.protocol, flow.port) {
        (Packet::Later, 6, Some(port)) => {
            let ip = Frame::ethernet().ip(flow.source, flow.destination);
            Some(ip.tcp(SOURCE_PORT, port).sequence(1).ack(101).payload(4).build())
        }
        (Packet::First | Packet::Later, ..) => Some(first),
        (Packet::Answer, ..) => Some(answer(flow)),
    }
}

/// TCP's numbers: the opener's SYN has 0, the answer's 100.
fn answer(flow: &Flow) -> Vec<u8> {
    let ip = Frame::ethernet().ip(flow.destination, flow.source);
    let frame = match (flow.protocol, flow.port) {
        (6, Some(port)) => ip.tcp(port, SOURCE_PORT).syn().sequence(100).ack(1),
        (17, Some(port)) => ip.udp(port, SOURCE_PORT).payload(4),
        (132, Some(port)) => ip.sctp(port, SOURCE_PORT).chunk(2, 0, &[0; 16]),
        (1, _) if flow.source.is_ipv4() => ip.echo_reply(7, 1),
        (58, _) if flow.source.is_ipv6() => ip.echo_reply(7, 1),
        (protocol, _) => ip.protocol_bytes(protocol, &[0; 8]),
    };
    frame.build()
}
