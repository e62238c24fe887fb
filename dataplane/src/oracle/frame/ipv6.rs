//! The IPv6 header and its extensions (RFC 8200 §3 and §4).

use std::net::Ipv6Addr;

use ringfence_common::verdict::Reason;

use super::{Fragment, Packet, protocol, start, transport};
use crate::oracle::limits::EXTENSION_HEADERS;

/// The header without extensions.
pub const HEADER: usize = 40;

/// Extension headers, by their number as protocols.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// What the header says.
#[derive(Clone, Debug)]
pub struct Header {
    pub version: u8,
    /// Bytes after the header.
    pub payload: usize,
    pub next: u8,
    pub hops: u8,
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
}

impl Header {
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let header: [u8; HEADER] = start(bytes)?;
        Some(Self {
            version: header[0] >> 4,
            payload: u16::from_be_bytes([header[4], header[5]]).into(),
            next: header[6],
            hops: header[7],
            source: Ipv6Addr::from(start::<16>(&header[8..])?),
            destination: Ipv6Addr::from(start::<16>(&header[24..])?),
        })
    }
}

/// Reads a packet; what follows it is padding.
pub fn read(bytes: &[u8]) -> Result<Packet, Reason> {
    let header = Header::read(bytes).ok_or(Reason::TruncatedIpv6)?;
    if header.version != 6 {
        return Err(Reason::MalformedIpv6);
    }
    let rest = &bytes[HEADER..];
    if header.payload > rest.len() {
        return Err(Reason::BadIpv6Length);
    }
    // A jumbogram says how long it is in a hop-by-hop option (RFC 2675).
    if header.payload == 0 && header.next == HOP_BY_HOP {
        return Err(Reason::Unsupported);
    }
    let chain = Chain::read(header.next, &rest[..header.payload], Fragment::check)?;
    Ok(Packet {
        source: header.source.into(),
        destination: header.destination.into(),
        hops: header.hops,
        protocol: chain.protocol,
        transport: transport::read(
            chain.protocol,
            protocol::ICMPV6,
            chain.fragment.as_ref(),
            chain.payload,
        )?,
        fragment: chain.fragment,
    })
}

/// What the extension headers lead to.
#[derive(Clone, Debug)]
pub struct Chain<'a> {
    /// The first header that is no extension header.
    pub protocol: u8,
    /// A fragment that is not the whole packet.
    pub fragment: Option<Fragment>,
    /// From there on.
    pub payload: &'a [u8],
}

impl<'a> Chain<'a> {
    /// Walks the headers in their order, the first being of kind `next`. `check` says whether a
    /// fragment can be one.
    pub fn read(
        mut next: u8,
        mut rest: &'a [u8],
        check: impl Fn(&Fragment) -> Result<(), Reason>,
    ) -> Result<Self, Reason> {
        let mut fragment: Option<Fragment> = None;
        let mut fragment_headers = 0;
        for place in 0.. {
            let is_extension = [HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS]
                .contains(&next);
            if !is_extension {
                break;
            }
            if place == EXTENSION_HEADERS {
                return Err(Reason::TooManyExtensions);
            }
            // RFC 8200 §4.1: hop-by-hop options stand right behind the IPv6 header.
            if next == HOP_BY_HOP && place > 0 {
                return Err(Reason::MisplacedExtension);
            }
            // RFC 7112: the first fragment holds the whole chain.
            let cut = match fragment {
                Some(_) => Reason::TinyFragment,
                None => Reason::TruncatedExtension,
            };
            let header: [u8; 8] = start(rest).ok_or(cut)?;
            // RFC 5095: routing headers of type 0 with segments left are forbidden.
            if next == ROUTING && header[2] == 0 && header[3] > 0 {
                return Err(Reason::SourceRouted);
            }
            let length = match next {
                FRAGMENT => 8,
                AUTHENTICATION => (usize::from(header[1]) + 2) * 4,
                _ => (usize::from(header[1]) + 1) * 8,
            };
            if length > rest.len() {
                return Err(cut);
            }
            rest = &rest[length..];
            if next == FRAGMENT {
                if fragment_headers > 0 {
                    return Err(Reason::MisplacedExtension);
                }
                fragment_headers += 1;
                fragment = part(header, rest.len());
                fragment.as_ref().map_or(Ok(()), &check)?;
            }
            next = header[0];
            if fragment.as_ref().is_some_and(|part| !part.is_first()) {
                break;
            }
        }
        Ok(Self { protocol: next, fragment, payload: rest })
    }
}

/// What a fragment header before `length` bytes says; nothing for an atomic fragment, which is the
/// whole packet (RFC 6946).
fn part(header: [u8; 8], length: usize) -> Option<Fragment> {
    let [_, _, high, low, id @ ..] = header;
    let offset_and_flags = u16::from_be_bytes([high, low]);
    let offset = usize::from(offset_and_flags & 0xfff8);
    let more = offset_and_flags & 1 != 0;
    (more || offset > 0).then(|| Fragment {
        identification: u32::from_be_bytes(id),
        bytes: offset..offset + length,
        more,
    })
}
