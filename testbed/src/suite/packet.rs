//! The first packet of the connection that a probe speaks of.

use std::net::IpAddr;

use ringfence_dataplane::model::Protocol;

use crate::case::Service;
use crate::packet::Frame;

/// The source port of all connections: one that no service has (RFC 6335 §6, dynamic ports).
const SOURCE_PORT: u16 = 49_152;

/// Chunk type INIT (RFC 9260 §3.3.2), and its fixed part: tag, window, streams, sequence number.
const INIT: u8 = 1;
const INIT_VALUE: [u8; 16] = [0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];

/// Payload for protocols that have no builder.
const PAYLOAD: [u8; 8] = [0; 8];

/// The frame that opens a connection between two addresses of one family.
pub fn first((source, destination): (IpAddr, IpAddr), service: &Service) -> Vec<u8> {
    let frame = Frame::ethernet().ip(source, destination);
    let frame = match service {
        Service::Port { protocol: Protocol::Tcp, port, .. } => frame.tcp(SOURCE_PORT, *port).syn(),
        Service::Port { protocol: Protocol::Udp, port, .. } => {
            frame.udp(SOURCE_PORT, *port).payload(8)
        }
        Service::Port { protocol: Protocol::Sctp, port, .. } => {
            frame.sctp(SOURCE_PORT, *port).chunk(INIT, 0, &INIT_VALUE)
        }
        Service::Icmp { kind, code, .. } => frame.icmp(*kind, *code, [0, 1, 0, 1]).payload(8),
        Service::Other(number) => frame.protocol_bytes(*number, &PAYLOAD),
    };
    frame.build()
}
