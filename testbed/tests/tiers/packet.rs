//! The first packet of a flow.

use std::net::IpAddr;

use ringfence_common::abi::policy::protocol;
use ringfence_dataplane::oracle::Flow;
use ringfence_testbed::packet::Frame;

const SOURCE_PORT: u16 = 40_000;
/// INIT of RFC 9260 §3.2, and the length of its fixed fields.
const INIT: u8 = 1;
const INIT_FIELDS: [u8; 16] = [0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];

/// ICMP and ICMPv6 (IANA protocol numbers).
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// A whole Ethernet frame.
pub fn first(flow: &Flow) -> Vec<u8> {
    let packet = Frame::ethernet().ip(flow.source, flow.destination);
    let packet = match (flow.protocol, flow.port) {
        (protocol::TCP, Some(port)) => packet.tcp(SOURCE_PORT, port).syn(),
        (protocol::UDP, Some(port)) => packet.udp(SOURCE_PORT, port).payload(8),
        (protocol::SCTP, Some(port)) => packet.sctp(SOURCE_PORT, port).chunk(INIT, 0, &INIT_FIELDS),
        (ICMP | ICMPV6, None) => packet.echo_request(7, 1).payload(8),
        (protocol, None) => packet.protocol_bytes(protocol, &[0; 8]),
        (protocol, Some(port)) => panic!("protocol {protocol} has no port {port}"),
    };
    let frame = packet.build();
    assert_eq!(frame[12] == 8, matches!(flow.source, IpAddr::V4(_)), "the family is the flow's");
    frame
}
