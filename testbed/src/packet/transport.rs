//! TCP, UDP, SCTP and GRE.

use std::net::IpAddr;

use pnet::packet::ip::IpNextHeaderProtocol;
use pnet::packet::tcp::MutableTcpPacket;
use pnet::packet::util::{ipv4_checksum, ipv6_checksum};

use super::frame::{Frame, Layer, Surroundings};

/// Bits of [`Tcp::flags`] (RFC 9293 §3.1).
pub mod tcp_flags {
    #![allow(missing_docs, reason = "the names are the RFC's")]
    pub const FIN: u8 = 1 << 0;
    pub const SYN: u8 = 1 << 1;
    pub const RST: u8 = 1 << 2;
    pub const PSH: u8 = 1 << 3;
    pub const ACK: u8 = 1 << 4;
    pub const URG: u8 = 1 << 5;
    pub const ECE: u8 = 1 << 6;
    pub const CWR: u8 = 1 << 7;
}

/// A TCP header, 20 bytes and options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number of the first byte.
    pub sequence: u32,
    /// The next sequence number expected from the other side.
    pub acknowledgement: u32,
    /// Header length in 32-bit words; derived from the options.
    pub data_offset: Option<u8>,
    /// Bits of [`tcp_flags`].
    pub flags: u8,
    /// Receive window.
    pub window: u16,
    /// Checksum; derived.
    pub checksum: Option<u16>,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options as they are, padded with zeros to words; 40 bytes at most.
    pub options: Vec<u8>,
}

/// A UDP header, 8 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Udp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Header and payload in bytes; derived.
    pub length: Option<u16>,
    /// Checksum; derived.
    pub checksum: Option<u16>,
}

/// An SCTP common header (RFC 9260 §3.1), 12 bytes; the chunks are the payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sctp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Verification tag.
    pub verification_tag: u32,
    /// CRC32c over the whole packet; derived.
    pub checksum: Option<u32>,
}

/// A GRE header without options (RFC 2784), 4 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gre {
    /// The Ethernet type of what is inside; derived.
    pub ether_type: Option<u16>,
}

impl Frame {
    /// Adds a TCP header without flags.
    #[must_use]
    pub fn tcp(self, source_port: u16, destination_port: u16) -> Self {
        self.layer(Layer::Tcp(Tcp {
            source_port,
            destination_port,
            window: 64_240,
            ..Tcp::default()
        }))
    }

    /// Adds a UDP header.
    #[must_use]
    pub fn udp(self, source_port: u16, destination_port: u16) -> Self {
        self.layer(Layer::Udp(Udp { source_port, destination_port, ..Udp::default() }))
    }

    /// Adds an SCTP header.
    #[must_use]
    pub fn sctp(self, source_port: u16, destination_port: u16) -> Self {
        self.layer(Layer::Sctp(Sctp {
            source_port,
            destination_port,
            verification_tag: 1,
            checksum: None,
        }))
    }

    /// Adds an SCTP chunk: type, flags, and a value padded to words.
    #[must_use]
    pub fn chunk(self, kind: u8, flags: u8, value: &[u8]) -> Self {
        let length = (4 + value.len()) as u16;
        let mut bytes = [&[kind, flags], &length.to_be_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        self.bytes(&bytes)
    }

    /// Adds a GRE header; put an IP header inside.
    #[must_use]
    pub fn gre(self) -> Self {
        self.layer(Layer::Gre(Gre::default()))
    }

    /// Sets exactly these TCP flags.
    #[must_use]
    pub fn flags(self, flags: u8) -> Self {
        self.with_tcp(|tcp| tcp.flags = flags)
    }

    /// Adds the SYN flag.
    #[must_use]
    pub fn syn(self) -> Self {
        self.with_tcp(|tcp| tcp.flags |= tcp_flags::SYN)
    }

    /// Adds the FIN flag.
    #[must_use]
    pub fn fin(self) -> Self {
        self.with_tcp(|tcp| tcp.flags |= tcp_flags::FIN)
    }

    /// Adds the RST flag.
    #[must_use]
    pub fn rst(self) -> Self {
        self.with_tcp(|tcp| tcp.flags |= tcp_flags::RST)
    }

    /// Adds the ACK flag and the number acknowledged.
    #[must_use]
    pub fn ack(self, acknowledgement: u32) -> Self {
        self.with_tcp(|tcp| {
            tcp.flags |= tcp_flags::ACK;
            tcp.acknowledgement = acknowledgement;
        })
    }

    /// Sets the TCP sequence number.
    #[must_use]
    pub fn sequence(self, sequence: u32) -> Self {
        self.with_tcp(|tcp| tcp.sequence = sequence)
    }
}

impl Tcp {
    pub(super) fn encode(&self, payload: &[u8], around: Surroundings<'_>) -> Vec<u8> {
        let header = 20 + self.options.len().next_multiple_of(4);
        let mut bytes = vec![0; header];
        bytes[20..20 + self.options.len()].copy_from_slice(&self.options);
        let mut packet = MutableTcpPacket::new(&mut bytes).expect("20 bytes are a header");
        packet.set_source(self.source_port);
        packet.set_destination(self.destination_port);
        packet.set_sequence(self.sequence);
        packet.set_acknowledgement(self.acknowledgement);
        packet.set_data_offset(self.data_offset.unwrap_or((header / 4) as u8));
        packet.set_flags(self.flags);
        packet.set_window(self.window);
        packet.set_urgent_ptr(self.urgent);
        bytes.extend_from_slice(payload);
        let sum = self.checksum.unwrap_or_else(|| pseudo_checksum(&bytes, 8, 6, around));
        bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

impl Udp {
    pub(super) fn encode(&self, payload: &[u8], around: Surroundings<'_>) -> Vec<u8> {
        let length = self.length.unwrap_or((8 + payload.len()) as u16);
        let mut bytes = [self.source_port, self.destination_port, length, 0]
            .iter()
            .flat_map(|field| field.to_be_bytes())
            .collect::<Vec<_>>();
        bytes.extend_from_slice(payload);
        let sum = self.checksum.unwrap_or_else(|| match pseudo_checksum(&bytes, 3, 17, around) {
            0 => 0xffff,
            sum => sum,
        });
        bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

impl Sctp {
    pub(super) fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(12 + payload.len());
        bytes.extend_from_slice(&self.source_port.to_be_bytes());
        bytes.extend_from_slice(&self.destination_port.to_be_bytes());
        bytes.extend_from_slice(&self.verification_tag.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(payload);
        let sum = self.checksum.unwrap_or_else(|| crc32c(&bytes));
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

impl Gre {
    pub(super) fn encode(&self, payload: &[u8], around: Surroundings<'_>) -> Vec<u8> {
        let inside = around.next.map_or(super::ether_type::EXPERIMENT, Layer::ether_type);
        let inside = self.ether_type.unwrap_or(inside);
        [&[0, 0], inside.to_be_bytes().as_slice(), payload].concat()
    }
}

/// The Internet checksum with the pseudo header of the IP header around (RFC 9293 §3.1, RFC 8200
/// §8.1); 0 where there is no IP header. `field` is the index of the checksum in 16-bit words.
pub(super) fn pseudo_checksum(
    bytes: &[u8],
    field: usize,
    protocol: u8,
    around: Surroundings<'_>,
) -> u16 {
    let protocol = IpNextHeaderProtocol(protocol);
    match around.addresses {
        Some((IpAddr::V4(source), IpAddr::V4(destination))) => {
            ipv4_checksum(bytes, field, &[], &source, &destination, protocol)
        }
        Some((IpAddr::V6(source), IpAddr::V6(destination))) => {
            ipv6_checksum(bytes, field, &[], &source, &destination, protocol)
        }
        _ => 0,
    }
}

/// CRC32c (Castagnoli), as RFC 9260 appendix A defines it, bit by bit: tests are not in a hurry.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn crc32c_gives_the_check_value_of_its_catalogue() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
