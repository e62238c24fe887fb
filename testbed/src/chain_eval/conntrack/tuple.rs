//! What tells connections apart (`nf_ct_get_tuple`, `nf_ct_invert_tuple`).

use std::net::IpAddr;

use super::icmp;
use crate::chain_eval::packet::{Packet, protocol};

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    pub source: IpAddr,
    pub destination: IpAddr,
    protocol: u8,
    parts: Parts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    Ports(u16, u16),
    Icmp { identifier: u16, kind: u8, code: u8 },
    None,
}

impl Tuple {
    /// That of a packet; nothing where too little of its header is there.
    pub fn of(packet: &Packet) -> Option<Self> {
        let number = packet.protocol?;
        let parts = match number {
            protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP => {
                let [a, b, c, d, ..] = packet.transport[..] else { return None };
                Parts::Ports(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
            }
            protocol::ICMP | protocol::ICMPV6 => {
                let [kind, code, _, _, high, low, _, _, ..] = packet.transport[..] else {
                    return None;
                };
                Parts::Icmp { identifier: u16::from_be_bytes([high, low]), kind, code }
            }
            _ => Parts::None,
        };
        let Packet { source, destination, .. } = *packet;
        Some(Self { source, destination, protocol: number, parts })
    }

    /// That of the answer; nothing where there can be none.
    pub fn inverse(&self) -> Option<Self> {
        let parts = match self.parts {
            Parts::Ports(source, destination) => Parts::Ports(destination, source),
            Parts::Icmp { identifier, kind, code } => {
                let kind = icmp::answer_of(self.protocol, kind)?;
                Parts::Icmp { identifier, kind, code }
            }
            Parts::None => Parts::None,
        };
        let Self { source, destination, protocol, .. } = *self;
        Some(Self { source: destination, destination: source, protocol, parts })
    }
}
