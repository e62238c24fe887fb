//! The IPv4 header (RFC 791 §3.1).

use std::net::Ipv4Addr;

use ringfence_common::verdict::Reason;

use super::{Fragment, Packet, protocol, start, transport};

/// The header without options.
pub const HEADER: usize = 20;

/// What the header says.
#[derive(Clone, Debug)]
pub struct Header {
    pub version: u8,
    /// Bytes of the header, its options among them.
    pub length: usize,
    /// Bytes of the packet.
    pub total: usize,
    pub identification: u16,
    pub more: bool,
    /// Where in the whole packet's payload this part starts, in bytes.
    pub offset: usize,
    pub hops: u8,
    pub protocol: u8,
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
}

impl Header {
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let header: [u8; HEADER] = start(bytes)?;
        let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let address =
            |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
        Some(Self {
            version: header[0] >> 4,
            length: usize::from(header[0] & 0x0f) * 4,
            total: number(2).into(),
            identification: number(4),
            more: number(6) & 0x2000 != 0,
            offset: usize::from(number(6) & 0x1fff) * 8,
            hops: header[8],
            protocol: header[9],
            source: address(12),
            destination: address(16),
        })
    }
}

/// Reads a packet; what follows it is padding.
pub fn read(bytes: &[u8]) -> Result<Packet, Reason> {
    let header = Header::read(bytes).ok_or(Reason::TruncatedIpv4)?;
    if header.version != 4 || header.length < HEADER {
        return Err(Reason::MalformedIpv4);
    }
    if header.length > bytes.len() {
        return Err(Reason::TruncatedIpv4);
    }
    if header.total < header.length || header.total > bytes.len() {
        return Err(Reason::BadIpv4Length);
    }
    let payload = &bytes[header.length..header.total];
    let fragment = (header.more || header.offset > 0).then(|| Fragment {
        identification: header.identification.into(),
        bytes: header.offset..header.offset + payload.len(),
        more: header.more,
    });
    if let Some(fragment) = &fragment {
        fragment.check()?;
    }
    Ok(Packet {
        source: header.source.into(),
        destination: header.destination.into(),
        hops: header.hops,
        protocol: header.protocol,
        transport: transport::read(header.protocol, protocol::ICMP, fragment.as_ref(), payload)?,
        fragment,
    })
}
