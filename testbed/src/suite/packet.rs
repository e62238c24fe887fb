//! The first packet of the connection that a probe speaks of.

use std::net::IpAddr;

use crate::case::Service;
use crate::packet::Frame;

/// The frame that opens a connection between two addresses of one family.
pub fn first((source, destination): (IpAddr, IpAddr), service: &Service) -> Vec<u8> {
    let frame = Frame::ethernet().ip(source, destination);
    let frame = match service {
        Service::Port { protocol, port, .. } => frame.opening(*protocol, *port),
        Service::Icmp { kind, code, .. } => frame.icmp(*kind, *code, [0, 1, 0, 1]).payload(8),
        Service::Other(number) => frame.of_protocol(*number),
    };
    frame.build()
}
