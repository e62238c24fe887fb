//! IPv4 (RFC 791).

use std::net::{IpAddr, Ipv4Addr};

use super::{FRAGMENT, Packet, Unseen, checksum};

const SHORTEST: usize = 20;

/// What `ip_rcv` lets through to the chains.
pub fn read(bytes: &[u8]) -> Result<Packet, Unseen> {
    let header = bytes.get(..SHORTEST).ok_or(Unseen("the kernel drops a cut IPv4 header"))?;
    let length = usize::from(header[0] & 0xf) * 4;
    if header[0] >> 4 != 4 || length < SHORTEST {
        return Err(Unseen("the kernel drops IPv4 of a wrong version or header length"));
    }
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let Some(whole) = bytes.get(..length) else {
        return Err(Unseen("the kernel drops a cut IPv4 header"));
    };
    if total > bytes.len() || total < length {
        return Err(Unseen("the kernel drops IPv4 whose length does not fit the frame"));
    }
    if !checksum::adds_up(whole) {
        return Err(Unseen("the kernel drops an IPv4 header with a wrong checksum"));
    }
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return Err(FRAGMENT);
    }
    Ok(packet(header, &bytes[length..total]))
}

/// The packet in an ICMP error, as `ipv4_get_l4proto` reads it.
pub fn quoted(bytes: &[u8]) -> Option<Packet> {
    let header = bytes.get(..SHORTEST)?;
    let is_later = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
    let rest = bytes.get(usize::from(header[0] & 0xf) * 4..)?;
    (!is_later).then(|| packet(header, rest))
}

fn packet(header: &[u8], transport: &[u8]) -> Packet {
    let address = |at: usize| {
        let octets = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        IpAddr::V4(Ipv4Addr::from_octets(octets))
    };
    Packet {
        source: address(12),
        destination: address(16),
        hop_limit: header[8],
        protocol: Some(header[9]),
        transport: transport.to_vec(),
    }
}
