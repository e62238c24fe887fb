//! IPv6 (RFC 8200).

use std::net::{IpAddr, Ipv6Addr};

use super::{FRAGMENT, Packet, Unseen};

const HEADER: usize = 40;

/// Numbers of headers (RFC 8200 §4, RFC 4302).
mod next {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const AUTHENTICATION: u8 = 51;
    pub const DESTINATION: u8 = 60;
}

/// The option of a jumbogram (RFC 2675).
const JUMBO: u8 = 0xc2;

/// What `ipv6_rcv` lets through to the chains.
pub fn read(bytes: &[u8]) -> Result<Packet, Unseen> {
    let header = bytes.get(..HEADER).ok_or(Unseen("the kernel drops a cut IPv6 header"))?;
    if header[0] >> 4 != 6 {
        return Err(Unseen("the kernel drops IPv6 of a wrong version"));
    }
    let (source, destination) = addresses(header);
    if source.is_loopback() || destination.is_loopback() {
        return Err(Unseen("the kernel drops the IPv6 loopback address on other interfaces"));
    }
    if source.is_multicast() || source.to_ipv4_mapped().is_some() {
        return Err(Unseen("the kernel drops an IPv6 source that is a group or embeds IPv4"));
    }
    if destination.is_multicast() && destination.octets()[1] & 0xf <= 1 {
        return Err(Unseen("the kernel drops IPv6 groups that no wire may carry"));
    }
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let mut rest = &bytes[HEADER..];
    if length > 0 || header[6] != next::HOP_BY_HOP {
        rest = rest.get(..length).ok_or(Unseen("the kernel drops IPv6 that is cut"))?;
    }
    if header[6] == next::HOP_BY_HOP {
        rest = hop_by_hop(rest, length)?;
    }
    let (protocol, transport) = match walk(header[6], rest) {
        Walked::Piece { .. } => {
            return Err(FRAGMENT);
        }
        Walked::Whole(protocol, transport) => (Some(protocol), transport),
        Walked::Broken => (None, [].as_slice()),
    };
    Ok(packet(header, protocol, transport))
}

/// The packet in an ICMP error, as `ipv6_skip_exthdr` reads it.
pub fn quoted(bytes: &[u8]) -> Option<Packet> {
    let header = bytes.get(..HEADER)?;
    match walk(header[6], &bytes[HEADER..]) {
        Walked::Whole(protocol, transport)
        | Walked::Piece { first: Some((protocol, transport)) } => {
            Some(packet(header, Some(protocol), transport))
        }
        Walked::Piece { first: None } | Walked::Broken => None,
    }
}

fn packet(header: &[u8], protocol: Option<u8>, transport: &[u8]) -> Packet {
    let (source, destination) = addresses(header);
    Packet {
        source: IpAddr::V6(source),
        destination: IpAddr::V6(destination),
        hop_limit: header[7],
        protocol,
        transport: transport.to_vec(),
    }
}

fn addresses(header: &[u8]) -> (Ipv6Addr, Ipv6Addr) {
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&header[at..at + 16]);
        Ipv6Addr::from_octets(octets)
    };
    (address(8), address(24))
}

/// Hop-by-hop options are read before the first chain (`ipv6_parse_hopopts`); what is left is what
/// the jumbogram's length says, if there is one.
fn hop_by_hop(rest: &[u8], length: usize) -> Result<&[u8], Unseen> {
    const WRONG: Unseen = Unseen("the kernel drops hop-by-hop options that it cannot follow");
    let size = rest.get(1).map(|eighths| (usize::from(*eighths) + 1) * 8).ok_or(WRONG)?;
    let mut options = rest.get(2..size).ok_or(WRONG)?;
    let mut jumbo = None;
    while let Some((kind, after)) = options.split_first() {
        if *kind == 0 {
            options = after;
            continue;
        }
        let (size, value) = after.split_first().ok_or(WRONG)?;
        let value = value.get(..usize::from(*size)).ok_or(WRONG)?;
        options = &after[1 + value.len()..];
        match (*kind, value) {
            (1, _) => {}
            (JUMBO, [a, b, c, d]) => jumbo = Some(u32::from_be_bytes([*a, *b, *c, *d]) as usize),
            // An option that is not known, and whose number says that the packet is to be dropped
            // then (RFC 8200 §4.2). Router alert and the like have numbers below.
            (kind, _) if kind & 0xc0 != 0 => return Err(WRONG),
            _ => {}
        }
    }
    match jumbo {
        None => Ok(rest),
        Some(jumbo) if length == 0 && jumbo > 0xffff => rest
            .get(..jumbo)
            .ok_or(Unseen("the kernel drops a jumbogram that is longer than the frame")),
        Some(_) => Err(WRONG),
    }
}

/// What lies behind the extension headers.
enum Walked<'b> {
    /// A protocol and its bytes.
    Whole(u8, &'b [u8]),
    /// A fragment; of a first one, what it says of the protocol.
    Piece { first: Option<(u8, &'b [u8])> },
    /// Nobody can tell.
    Broken,
}

fn walk(mut kind: u8, mut rest: &[u8]) -> Walked<'_> {
    let mut is_piece = false;
    loop {
        let size = match kind {
            next::HOP_BY_HOP | next::ROUTING | next::DESTINATION => {
                rest.get(1).map(|eighths| (usize::from(*eighths) + 1) * 8)
            }
            next::AUTHENTICATION => rest.get(1).map(|words| (usize::from(*words) + 2) * 4),
            next::FRAGMENT => Some(8),
            protocol if is_piece => return Walked::Piece { first: Some((protocol, rest)) },
            protocol => return Walked::Whole(protocol, rest),
        };
        let Some(header) = size.and_then(|size| rest.get(..size)) else {
            return if is_piece { Walked::Piece { first: None } } else { Walked::Broken };
        };
        if kind == next::FRAGMENT {
            let field = u16::from_be_bytes([header[2], header[3]]);
            if field & 0xfff8 != 0 {
                return Walked::Piece { first: None };
            }
            // Neither offset nor more to come: a whole packet (RFC 6946).
            is_piece |= field & 1 != 0;
        }
        kind = header[0];
        rest = &rest[header.len()..];
    }
}

/// What RFC 8200 §4.1, RFC 5095, RFC 2675 and RFC 8504 §5.3 (no more than eight headers) mind.
pub fn oddity(bytes: &[u8]) -> Option<&'static str> {
    const MOST: usize = 8;
    let mut kind = *bytes.get(6)?;
    let mut rest = bytes.get(HEADER..)?;
    let (mut count, mut fragments) = (0, 0);
    if kind == next::HOP_BY_HOP && bytes[4..6] == [0, 0] {
        return Some("the kernel follows jumbograms");
    }
    loop {
        let size = match kind {
            next::HOP_BY_HOP | next::ROUTING | next::DESTINATION => {
                (usize::from(*rest.get(1)?) + 1) * 8
            }
            next::AUTHENTICATION => (usize::from(*rest.get(1)?) + 2) * 4,
            next::FRAGMENT => 8,
            _ => return None,
        };
        fragments += usize::from(kind == next::FRAGMENT);
        if kind == next::HOP_BY_HOP && count > 0 || fragments > 1 {
            return Some("the kernel does not mind the order of extension headers");
        }
        count += 1;
        if count > MOST {
            return Some("the kernel does not count extension headers");
        }
        let header = rest.get(..size)?;
        if kind == next::ROUTING && header[2] == 0 && header[3] > 0 {
            return Some("the kernel refuses routing headers where it obeys them, not in chains");
        }
        kind = header[0];
        rest = &rest[size..];
    }
}
