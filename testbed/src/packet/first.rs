//! The packets that open connections.

use std::net::IpAddr;

use ringfence_dataplane::model::Protocol;
use ringfence_dataplane::oracle::Flow;

use super::Frame;

/// The source port of all connections: one that no service has (RFC 6335 §6, dynamic ports).
pub const SOURCE_PORT: u16 = 49_152;

/// Chunk type INIT (RFC 9260 §3.3.2), and its fixed part: tag, window, streams, sequence number.
const INIT: u8 = 1;
const INIT_VALUE: [u8; 16] = [0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];

/// Payload for protocols that have no builder.
const PAYLOAD: [u8; 8] = [0; 8];

/// The first packet of a flow as a frame; nothing where an address is none that a connection can
/// have. ICMP in its own family is an echo request.
#[must_use]
pub fn first_packet(flow: &Flow) -> Option<Vec<u8>> {
    if !is_unicast(flow.source) || !is_unicast(flow.destination) {
        return None;
    }
    let ip = Frame::ethernet().ip(flow.source, flow.destination);
    let frame = match (flow.protocol, flow.port) {
        (6, Some(port)) => ip.opening(Protocol::Tcp, port),
        (17, Some(port)) => ip.opening(Protocol::Udp, port),
        (132, Some(port)) => ip.opening(Protocol::Sctp, port),
        (1, _) if flow.source.is_ipv4() => ip.echo_request(7, 1),
        (58, _) if flow.source.is_ipv6() => ip.echo_request(7, 1),
        (protocol, _) => ip.of_protocol(protocol),
    };
    Some(frame.build())
}

impl Frame {
    /// Adds what opens a connection to a port: a SYN, a datagram, an INIT.
    #[must_use]
    pub fn opening(self, protocol: Protocol, port: u16) -> Self {
        match protocol {
            Protocol::Tcp => self.tcp(SOURCE_PORT, port).syn(),
            Protocol::Udp => self.udp(SOURCE_PORT, port).payload(8),
            // Nobody has chosen a tag yet (RFC 9260 §8.5.1).
            Protocol::Sctp => self
                .sctp(SOURCE_PORT, port)
                .with_sctp(|sctp| sctp.verification_tag = 0)
                .chunk(INIT, 0, &INIT_VALUE),
        }
    }

    /// Adds a payload of a protocol of which nothing else is known.
    #[must_use]
    pub fn of_protocol(self, number: u8) -> Self {
        self.protocol_bytes(number, &PAYLOAD)
    }
}

/// Whether a packet on a wire can come from there or go there: no address of everybody's own, of
/// nobody, or of many (RFC 1122 §3.2.1.3, RFC 4291 §2.5 and §2.7).
#[must_use]
pub fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let first = address.octets()[0];
            first != 127 && first < 224 && !address.is_unspecified()
        }
        IpAddr::V6(address) => {
            !address.is_unspecified()
                && !address.is_loopback()
                && !address.is_multicast()
                && address.to_ipv4_mapped().is_none()
        }
    }
}
