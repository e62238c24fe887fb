//! A connection of the kernel's table.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_core::{Nla as _, parse_u8};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, IPTuple, ProtoInfo, ProtoInfoTCP, ProtoTuple, Tuple,
};
use ringfence_common::abi::policy::protocol::{ICMP, ICMPV6};

/// Attributes of a connection that the crate does not name (Linux
/// `include/uapi/linux/netfilter/nfnetlink_conntrack.h`).
mod attribute {
    /// Of the connection: its number.
    pub const ID: u16 = 12;
    /// Of the connection: its zone.
    pub const ZONE: u16 = 18;
    /// Of a tuple's protocol: the type of an ICMP query, and its code.
    pub const ICMP_TYPE_AND_CODE: [u16; 2] = [5, 6];
    /// The same for ICMPv6.
    pub const ICMPV6_TYPE_AND_CODE: [u16; 2] = [8, 9];
}

/// The flag of a TCP end whose window is not checked; both ends have it if the kernel has not seen
/// how the connection began (Linux `tcp_new` in `net/netfilter/nf_conntrack_proto_tcp.c`).
const BE_LIBERAL: u8 = 0x08;

/// A connection, as the filter hooks see its packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// Who has opened it.
    pub source: IpAddr,
    /// The opener's port; 0 for protocols without.
    pub source_port: u16,
    /// To whom it goes.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// The destination's port; for ICMP, type and code of the query.
    pub port: u16,
    /// Whether it is TCP of which the kernel has not seen the beginning.
    pub is_picked_up: bool,
    /// What the kernel knows it by.
    pub known_by: Vec<ConntrackAttribute>,
}

impl Connection {
    /// The connection that these attributes describe; what is missing in them otherwise.
    pub(super) fn new(attributes: Vec<ConntrackAttribute>) -> Result<Self, &'static str> {
        let (mut original, mut reply, mut is_picked_up) = (None, None, false);
        for attribute in &attributes {
            match attribute {
                ConntrackAttribute::CtaTupleOrig(tuple) => original = Some(End::new(tuple)?),
                ConntrackAttribute::CtaTupleReply(tuple) => reply = Some(End::new(tuple)?),
                ConntrackAttribute::CtaProtoInfo(info) => is_picked_up = began_unseen(info),
                _ => {}
            }
        }
        let original = original.ok_or("a connection without an original tuple")?;
        let reply = reply.ok_or("a connection without a reply tuple")?;
        let mut known_by = attributes;
        known_by.retain(is_name);
        Ok(Self {
            source: original.source,
            source_port: original.source_port,
            destination: reply.source,
            protocol: original.protocol,
            // The query of ICMP is in the original tuple; whatever has ports answers from its own.
            port: original.query.unwrap_or(reply.source_port),
            is_picked_up,
            known_by,
        })
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, protocol, port, .. } = self;
        write!(f, "protocol {protocol} from {source} to {destination} port {port}")
    }
}

/// Whether an attribute is part of what the kernel knows a connection by.
fn is_name(attribute: &ConntrackAttribute) -> bool {
    match attribute {
        ConntrackAttribute::CtaTupleOrig(_) => true,
        ConntrackAttribute::Other(other) => {
            [attribute::ID, attribute::ZONE].contains(&other.kind())
        }
        _ => false,
    }
}

/// Who sends the packets of one direction.
struct End {
    source: IpAddr,
    source_port: u16,
    protocol: u8,
    /// Type and code of an ICMP query.
    query: Option<u16>,
}

impl End {
    fn new(tuple: &[Tuple]) -> Result<Self, &'static str> {
        let (mut source, mut protocol, mut source_port) = (None, None, 0);
        let mut query: [Option<u8>; 2] = [None; 2];
        for part in tuple {
            match part {
                Tuple::Ip(parts) => source = parts.iter().find_map(source_of).or(source),
                Tuple::Proto(parts) => {
                    for part in parts {
                        match part {
                            ProtoTuple::Protocol(number) => protocol = Some(u8::from(*number)),
                            ProtoTuple::SourcePort(port) => source_port = *port,
                            other => note_query(other, &mut query),
                        }
                    }
                }
                Tuple::Other(_) => {}
                _ => {}
            }
        }
        let protocol = protocol.ok_or("a tuple without a protocol")?;
        let query = match (protocol, query) {
            (ICMP | ICMPV6, [Some(kind), Some(code)]) => Some(u16::from_be_bytes([kind, code])),
            (ICMP | ICMPV6, _) => return Err("an ICMP tuple without type and code"),
            _ => None,
        };
        let source = source.ok_or("a tuple without a source")?;
        Ok(Self { source, source_port, protocol, query })
    }
}

fn source_of(part: &IPTuple) -> Option<IpAddr> {
    match part {
        IPTuple::SourceAddress(address) => Some(*address),
        _ => None,
    }
}

/// Writes down the type or the code of an ICMP query, if the part of a tuple is one of them.
fn note_query(part: &ProtoTuple, query: &mut [Option<u8>; 2]) {
    let ProtoTuple::Other(part) = part else { return };
    let mut value = [0; 1];
    if part.value_len() != value.len() {
        return;
    }
    part.emit_value(&mut value);
    for kinds in [attribute::ICMP_TYPE_AND_CODE, attribute::ICMPV6_TYPE_AND_CODE] {
        if let Some(which) = kinds.iter().position(|kind| *kind == part.kind()) {
            query[which] = parse_u8(&value).ok();
        }
    }
}

fn began_unseen(info: &[ProtoInfo]) -> bool {
    let liberal = |part: &ProtoInfoTCP| match part {
        ProtoInfoTCP::OriginalFlags(flags) | ProtoInfoTCP::ReplyFlags(flags) => {
            flags.flags & BE_LIBERAL != 0
        }
        _ => false,
    };
    info.iter().any(|info| match info {
        ProtoInfo::TCP(parts) => parts.iter().filter(|part| liberal(part)).count() == 2,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::DefaultNla;
    use netlink_packet_netfilter::conntrack::{Protocol, Status};

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn tuple(source: &str, destination: &str, proto: Vec<ProtoTuple>) -> Vec<Tuple> {
        let ip = vec![
            IPTuple::SourceAddress(address(source)),
            IPTuple::DestinationAddress(address(destination)),
        ];
        vec![Tuple::Ip(ip), Tuple::Proto(proto)]
    }

    fn tcp(source: &str, from: u16, destination: &str, to: u16) -> Vec<Tuple> {
        let ports = [ProtoTuple::SourcePort(from), ProtoTuple::DestinationPort(to)];
        let proto = [ProtoTuple::Protocol(Protocol::Tcp)].into_iter().chain(ports);
        tuple(source, destination, proto.collect())
    }

    fn echo(source: &str, destination: &str, kind: u8) -> Vec<Tuple> {
        let other = |kind, value: &[u8]| ProtoTuple::Other(DefaultNla::new(kind, value.to_vec()));
        let parts = [other(7, &[0, 9]), other(8, &[kind]), other(9, &[0])];
        let proto = [ProtoTuple::Protocol(Protocol::Ipv6Icmp)].into_iter().chain(parts);
        tuple(source, destination, proto.collect())
    }

    #[test]
    fn it_goes_from_the_opener_to_what_is_behind_the_translation() {
        let original = tcp("10.0.0.1", 40_000, "192.0.2.1", 80);
        let id = ConntrackAttribute::Other(DefaultNla::new(attribute::ID, vec![0, 0, 0, 7]));
        let original = ConntrackAttribute::CtaTupleOrig(original);
        let reply = tcp("10.0.0.2", 8_080, "198.51.100.1", 1_024);
        let attributes = vec![
            original.clone(),
            ConntrackAttribute::CtaTupleReply(reply),
            id.clone(),
            ConntrackAttribute::CtaStatus(Status::Assured),
        ];
        let expected = Connection {
            source: address("10.0.0.1"),
            source_port: 40_000,
            destination: address("10.0.0.2"),
            protocol: 6,
            port: 8_080,
            is_picked_up: false,
            known_by: vec![original, id],
        };
        assert_eq!(Connection::new(attributes), Ok(expected));
    }

    #[test]
    fn icmp_is_about_its_query() {
        let attributes = vec![
            ConntrackAttribute::CtaTupleOrig(echo("fd00::1", "fd00::2", 128)),
            ConntrackAttribute::CtaTupleReply(echo("fd00::2", "fd00::1", 129)),
        ];
        let connection = Connection::new(attributes).unwrap();
        assert_eq!((connection.protocol, connection.port), (58, 128 << 8));
        assert_eq!(connection.to_string(), "protocol 58 from fd00::1 to fd00::2 port 32768");
    }

    #[test]
    fn what_is_missing_is_said() {
        let original = || ConntrackAttribute::CtaTupleOrig(tcp("10.0.0.1", 1, "10.0.0.2", 2));
        let without = |attributes| Connection::new(attributes).unwrap_err();
        assert_eq!(without(vec![original()]), "a connection without a reply tuple");
        assert_eq!(without(Vec::new()), "a connection without an original tuple");
        let parts = vec![ProtoTuple::Protocol(Protocol::Icmp)];
        let icmp = ConntrackAttribute::CtaTupleOrig(tuple("10.0.0.1", "10.0.0.2", parts));
        assert_eq!(without(vec![icmp]), "an ICMP tuple without type and code");
        let nobody = ConntrackAttribute::CtaTupleOrig(Vec::new());
        assert_eq!(without(vec![nobody]), "a tuple without a protocol");
    }
}
