//! IPv4 and IPv6 headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet::packet::ip::IpNextHeaderProtocol;
use pnet::packet::ipv4::MutableIpv4Packet;
use pnet::packet::ipv6::MutableIpv6Packet;
use pnet::packet::util::checksum;

use super::frame::{Frame, Layer, Surroundings};

/// Bits of [`Ipv4::flags`].
pub mod ip_flags {
    /// More fragments follow.
    pub const MORE: u8 = 1;
    /// Routers may not fragment.
    pub const DONT_FRAGMENT: u8 = 2;
}

/// An IPv4 header (RFC 791), 20 bytes and options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    /// 4.
    pub version: u8,
    /// Header length in 32-bit words; derived from the options.
    pub header_length: Option<u8>,
    /// Header and payload in bytes; derived.
    pub total_length: Option<u16>,
    /// The number that fragments of one packet share.
    pub identification: u16,
    /// Bits of [`ip_flags`].
    pub flags: u8,
    /// Where the fragment belongs, in units of eight bytes.
    pub fragment_offset: u16,
    /// Hops left.
    pub time_to_live: u8,
    /// The protocol inside; derived from the next layer.
    pub protocol: Option<u8>,
    /// Header checksum; derived.
    pub checksum: Option<u16>,
    /// Source.
    pub source: Ipv4Addr,
    /// Destination.
    pub destination: Ipv4Addr,
    /// Options as they are, padded with zeros to words; 40 bytes at most.
    pub options: Vec<u8>,
}

/// An IPv6 header (RFC 8200), 40 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv6 {
    /// 6.
    pub version: u8,
    /// Traffic class.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Bytes after this header; derived.
    pub payload_length: Option<u16>,
    /// The header after this one; derived from the next layer.
    pub next_header: Option<u8>,
    /// Hops left.
    pub hop_limit: u8,
    /// Source.
    pub source: Ipv6Addr,
    /// Destination.
    pub destination: Ipv6Addr,
}

/// Protocol number for payload that has none: 59 says that nothing follows (RFC 8200 §4.7).
const NO_NEXT_HEADER: u8 = 59;

/// Protocol number for payload of an IPv4 header: reserved for experiments (RFC 3692).
const EXPERIMENT: u8 = 253;

impl Frame {
    /// Adds an IP header of the addresses' family.
    ///
    /// # Panics
    ///
    /// When the addresses are of different families.
    #[must_use]
    pub fn ip(self, source: IpAddr, destination: IpAddr) -> Self {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.ipv4(source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.ipv6(source, destination),
            _ => panic!("a packet from {source} to {destination} does not exist"),
        }
    }

    /// Adds an IPv4 header.
    #[must_use]
    pub fn ipv4(self, source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        self.layer(Layer::Ipv4(Ipv4 {
            version: 4,
            header_length: None,
            total_length: None,
            identification: 0,
            flags: 0,
            fragment_offset: 0,
            time_to_live: 64,
            protocol: None,
            checksum: None,
            source,
            destination,
            options: Vec::new(),
        }))
    }

    /// Adds an IPv6 header.
    #[must_use]
    pub fn ipv6(self, source: Ipv6Addr, destination: Ipv6Addr) -> Self {
        self.layer(Layer::Ipv6(Ipv6 {
            version: 6,
            traffic_class: 0,
            flow_label: 0,
            payload_length: None,
            next_header: None,
            hop_limit: 64,
            source,
            destination,
        }))
    }

    /// Gives the IPv4 header these options.
    #[must_use]
    pub fn options(self, options: &[u8]) -> Self {
        self.with_ipv4(|ip| ip.options = options.to_vec())
    }

    /// Makes the IPv4 packet the fragment at `offset` (in units of eight bytes) of packet
    /// `identification`; `more` says whether others follow.
    #[must_use]
    pub fn fragment(self, identification: u16, offset: u16, more: bool) -> Self {
        self.with_ipv4(|ip| {
            ip.identification = identification;
            ip.fragment_offset = offset;
            ip.flags = if more { ip_flags::MORE } else { 0 };
        })
    }

    /// Sets the time to live or the hop limit of the last IP header.
    #[must_use]
    pub fn hops(mut self, hops: u8) -> Self {
        for layer in self.layers_mut().iter_mut().rev() {
            match layer {
                Layer::Ipv4(ip) => ip.time_to_live = hops,
                Layer::Ipv6(ip) => ip.hop_limit = hops,
                _ => continue,
            }
            break;
        }
        self
    }
}

impl Ipv4 {
    pub(super) fn encode(&self, payload: &[u8], around: Surroundings<'_>) -> Vec<u8> {
        let header = 20 + self.options.len().next_multiple_of(4);
        let inside = around.next.and_then(Layer::protocol).unwrap_or(EXPERIMENT);
        let mut bytes = vec![0; header];
        bytes[20..20 + self.options.len()].copy_from_slice(&self.options);
        let mut packet = MutableIpv4Packet::new(&mut bytes).expect("20 bytes are a header");
        packet.set_version(self.version);
        packet.set_header_length(self.header_length.unwrap_or((header / 4) as u8));
        packet.set_total_length(self.total_length.unwrap_or((header + payload.len()) as u16));
        packet.set_identification(self.identification);
        packet.set_flags(self.flags);
        packet.set_fragment_offset(self.fragment_offset);
        packet.set_ttl(self.time_to_live);
        packet.set_next_level_protocol(IpNextHeaderProtocol(self.protocol.unwrap_or(inside)));
        packet.set_source(self.source);
        packet.set_destination(self.destination);
        let sum = self.checksum.unwrap_or_else(|| checksum(&bytes, 5));
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }
}

impl Ipv6 {
    pub(super) fn encode(&self, payload: &[u8], around: Surroundings<'_>) -> Vec<u8> {
        let inside = around.next.and_then(Layer::protocol).unwrap_or(NO_NEXT_HEADER);
        let mut bytes = vec![0; 40];
        let mut packet = MutableIpv6Packet::new(&mut bytes).expect("40 bytes are a header");
        packet.set_version(self.version);
        packet.set_traffic_class(self.traffic_class);
        packet.set_flow_label(self.flow_label);
        packet.set_payload_length(self.payload_length.unwrap_or(payload.len() as u16));
        packet.set_next_header(IpNextHeaderProtocol(self.next_header.unwrap_or(inside)));
        packet.set_hop_limit(self.hop_limit);
        packet.set_source(self.source);
        packet.set_destination(self.destination);
        bytes.extend_from_slice(payload);
        bytes
    }
}
