//! ICMP (RFC 792) and ICMPv6 (RFC 4443): questions, answers, and errors that quote a packet.

use pnet::packet::util::checksum;

use super::ether_type;
use super::frame::{Frame, Layer, Surroundings};
use super::transport::pseudo_checksum;

/// An ICMP or ICMPv6 header, 8 bytes; what is quoted or echoed is the payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Icmp {
    /// Whether it is ICMPv6.
    pub v6: bool,
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum; derived.
    pub checksum: Option<u16>,
    /// The second half of the header: identifier and sequence number, MTU, pointer, unused.
    pub rest: [u8; 4],
}

impl Frame {
    /// Adds an ICMP header, of version 6 when the last IP header is of version 6.
    #[must_use]
    pub fn icmp(self, kind: u8, code: u8, rest: [u8; 4]) -> Self {
        let v6 = self.is_v6();
        self.layer(Layer::Icmp(Icmp { v6, kind, code, checksum: None, rest }))
    }

    /// Adds an echo request.
    #[must_use]
    pub fn echo_request(self, identifier: u16, sequence: u16) -> Self {
        let kind = if self.is_v6() { 128 } else { 8 };
        self.icmp(kind, 0, halves(identifier, sequence))
    }

    /// Adds an echo reply.
    #[must_use]
    pub fn echo_reply(self, identifier: u16, sequence: u16) -> Self {
        let kind = if self.is_v6() { 129 } else { 0 };
        self.icmp(kind, 0, halves(identifier, sequence))
    }

    /// Adds a "port unreachable" error that quotes `quoted`, a packet from its IP header on.
    #[must_use]
    pub fn port_unreachable(self, quoted: &[u8]) -> Self {
        let (kind, code) = if self.is_v6() { (1, 4) } else { (3, 3) };
        self.icmp(kind, code, [0; 4]).bytes(quoted)
    }

    /// Adds a path-MTU message ("fragmentation needed", "packet too big") that quotes `quoted`.
    #[must_use]
    pub fn too_big(self, mtu: u16, quoted: &[u8]) -> Self {
        let (kind, code) = if self.is_v6() { (2, 0) } else { (3, 4) };
        self.icmp(kind, code, halves(0, mtu)).bytes(quoted)
    }

    /// Whether the last IP header is of version 6.
    pub(super) fn is_v6(&self) -> bool {
        let last = self.layers().iter().rev().find_map(|layer| match layer {
            Layer::Ipv4(_) => Some(false),
            Layer::Ipv6(_) => Some(true),
            _ => None,
        });
        last.unwrap_or(false)
    }
}

impl Icmp {
    pub(super) fn encode(&self, payload: &[u8], around: Surroundings<'_>) -> Vec<u8> {
        let mut bytes = vec![self.kind, self.code, 0, 0];
        bytes.extend_from_slice(&self.rest);
        bytes.extend_from_slice(payload);
        let sum = self.checksum.unwrap_or_else(|| match self.v6 {
            true => pseudo_checksum(&bytes, 1, 58, around),
            false => checksum(&bytes, 1),
        });
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

/// The packet in `frame` as an ICMP error quotes it: without Ethernet and VLAN headers, `limit`
/// bytes at most.
#[must_use]
pub fn quote(frame: &[u8], limit: usize) -> Vec<u8> {
    let mut start = 12;
    while let Some(tag) = frame.get(start..start + 2)
        && [ether_type::VLAN, ether_type::PROVIDER_VLAN]
            .contains(&u16::from_be_bytes([tag[0], tag[1]]))
    {
        start += 4;
    }
    let packet = frame.get(start + 2..).unwrap_or_default();
    packet[..packet.len().min(limit)].to_vec()
}

fn halves(first: u16, second: u16) -> [u8; 4] {
    let [[a, b], [c, d]] = [first.to_be_bytes(), second.to_be_bytes()];
    [a, b, c, d]
}
