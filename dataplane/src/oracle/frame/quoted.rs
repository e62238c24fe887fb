//! The packet that an ICMP error is about: as much of it as fits (RFC 792, RFC 4443 §2.4).

use std::net::IpAddr;

use super::icmp::Type;
use super::{ipv4, ipv6, protocol, start};

/// A packet inside an ICMP error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub about: About,
}

/// What the packet was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// Of TCP, UDP or SCTP.
    Ports { source: u16, destination: u16 },
    /// An ICMP question.
    Question { kind: u8, identifier: u16 },
    /// The reply to an ICMP question of type `question`.
    Reply { question: u8, identifier: u16 },
    /// Of a protocol without ports.
    NoPorts,
    /// A later fragment, which says nothing about its flow; ICMP that neither asks nor replies; an
    /// ICMP error, about which there are no errors (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)).
    NoFlow,
}

/// Reads what an error of the protocol `icmp` quotes; nothing if it is cut or malformed.
pub fn read(icmp: u8, bytes: &[u8]) -> Option<Quoted> {
    let (source, destination, protocol, later, payload) = if icmp == protocol::ICMP {
        let header = ipv4::Header::read(bytes)?;
        if header.version != 4 || header.length < ipv4::HEADER {
            return None;
        }
        let (source, destination) = (header.source.into(), header.destination.into());
        let later = header.offset > 0;
        (source, destination, header.protocol, later, bytes.get(header.length..)?)
    } else {
        let header = ipv6::Header::read(bytes)?;
        if header.version != 6 {
            return None;
        }
        let chain = ipv6::Chain::read(header.next, &bytes[ipv6::HEADER..], |_| Ok(())).ok()?;
        let later = chain.fragment.is_some_and(|fragment| !fragment.is_first());
        (header.source.into(), header.destination.into(), chain.protocol, later, chain.payload)
    };
    let about = if later { About::NoFlow } else { about(icmp, protocol, payload)? };
    Some(Quoted { source, destination, protocol, about })
}

/// What the quoted packet was, by the first eight bytes behind its IP header.
fn about(icmp: u8, number: u8, payload: &[u8]) -> Option<About> {
    let with_ports = [protocol::TCP, protocol::UDP, protocol::SCTP].contains(&number);
    if !with_ports && number != icmp {
        return Some(About::NoPorts);
    }
    let [a, b, c, d, e, f, ..]: [u8; 8] = start(payload)?;
    if with_ports {
        let (source, destination) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        return Some(About::Ports { source, destination });
    }
    let identifier = u16::from_be_bytes([e, f]);
    Some(match Type::of(number, a) {
        Type::Question => About::Question { kind: a, identifier },
        Type::ReplyTo(question) => About::Reply { question, identifier },
        Type::Error | Type::Other => About::NoFlow,
    })
}
