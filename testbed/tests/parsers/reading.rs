//! What a parser says about a frame, in one form for both.

use etherparse::{
    IpNumber, Ipv6ExtensionSlice, NetSlice, SlicedPacket, TcpHeaderSlice, UdpHeaderSlice, err,
};
use ringfence_common::abi::policy::protocol;
use ringfence_common::packet::{Icmp, Packet, parse};
use ringfence_common::verdict::Reason;

/// A packet as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// 4 or 6.
    pub family: u8,
    pub source: [u8; 16],
    pub destination: [u8; 16],
    pub hops: u8,
    pub fragment: Option<Piece>,
    /// What the headers announce behind them.
    pub protocol: u8,
    /// Where that begins and where the packet ends, from the start of the frame.
    pub payload: (usize, usize),
    pub head: Head,
}

/// A fragment: its number, its first byte and one past its last, whether more follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub number: u32,
    pub bytes: (usize, usize),
    pub more: bool,
}

/// The transport header, as far as both read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Another protocol, or a later fragment.
    None,
    /// UDP or SCTP.
    Ports(u16, u16),
    /// `length` is in sequence numbers.
    Tcp { ports: (u16, u16), sequence: u32, acknowledgement: u32, flags: u8, length: u32 },
    /// Of the packet's own family; the identifier of queries and replies.
    Icmp { kind: u8, code: u8, identifier: Option<u16> },
}

/// Ours: `None` for a frame that is not IP.
pub fn ours(frame: &[u8]) -> Result<Option<Reading>, Reason> {
    let mut packet = Packet::default();
    parse(frame, &mut packet)?;
    if packet.family == 0 {
        return Ok(None);
    }
    let ports = (packet.source_port, packet.destination_port);
    let head = match packet.protocol {
        _ if packet.fragment.is_later() => Head::None,
        protocol::TCP => Head::Tcp {
            ports,
            sequence: packet.tcp_sequence,
            acknowledgement: packet.tcp_acknowledgement,
            flags: packet.tcp_flags,
            length: packet.tcp_length,
        },
        protocol::UDP | protocol::SCTP => Head::Ports(ports.0, ports.1),
        _ if packet.icmp != Icmp::None => {
            let [kind, code] = ports.1.to_be_bytes();
            let asks = matches!(packet.icmp, Icmp::Query | Icmp::Reply);
            Head::Icmp { kind, code, identifier: asks.then_some(ports.0) }
        }
        _ => Head::None,
    };
    let piece = packet.fragment;
    Ok(Some(Reading {
        family: packet.family,
        source: packet.source,
        destination: packet.destination,
        hops: packet.hop_limit,
        fragment: piece.present.then(|| Piece {
            number: piece.identification,
            bytes: (usize::from(piece.start), usize::from(piece.end)),
            more: piece.more,
        }),
        protocol: packet.protocol,
        payload: (packet.cursor as usize, packet.end as usize),
        head,
    }))
}

/// etherparse's, in more detail: what it takes to say why it differs.
#[derive(Debug)]
pub struct Theirs<'a> {
    /// Everything it has read.
    pub packet: SlicedPacket<'a>,
    /// The same in our form; `None` for a frame that is not IP.
    pub reading: Option<Reading>,
    /// Why it cannot read the transport header of a first fragment, which it leaves alone.
    pub head_is_cut: bool,
}

/// Why etherparse refuses a frame.
pub type Refusal = err::packet::SliceError;

/// etherparse's answer.
pub fn theirs(frame: &[u8]) -> Result<Theirs<'_>, Refusal> {
    let packet = SlicedPacket::from_ethernet(frame)?;
    let (reading, head_is_cut) = match &packet.net {
        Some(net @ (NetSlice::Ipv4(_) | NetSlice::Ipv6(_))) => network(frame, net),
        _ => (None, false),
    };
    Ok(Theirs { packet, reading, head_is_cut })
}

fn network(frame: &[u8], net: &NetSlice<'_>) -> (Option<Reading>, bool) {
    let ip = net.ip_payload_ref().expect("it is an IP packet");
    let begin = ip.payload.as_ptr() as usize - frame.as_ptr() as usize;
    let length = ip.payload.len();
    let (mut source, mut destination) = ([0; 16], [0; 16]);
    let (family, hops, fragment) = match net {
        NetSlice::Ipv4(v4) => {
            let header = v4.header();
            source[12..].copy_from_slice(&header.source());
            destination[12..].copy_from_slice(&header.destination());
            let start = usize::from(header.fragments_offset().value()) * 8;
            // Of an AH in IPv4 it makes a header; a fragment's bytes are counted from before it.
            let whole = usize::from(header.total_len()) - header.slice().len();
            let piece = Piece {
                number: u32::from(header.identification()),
                bytes: (start, start + whole),
                more: header.more_fragments(),
            };
            (4, header.ttl(), header.is_fragmenting_payload().then_some(piece))
        }
        NetSlice::Ipv6(v6) => {
            source = v6.header().source();
            destination = v6.header().destination();
            (6, v6.header().hop_limit(), piece_v6(v6, begin + length, frame))
        }
        NetSlice::Arp(_) => unreachable!("ARP was told apart"),
    };
    let later = fragment.is_some_and(|piece| piece.bytes.0 != 0);
    let (head, cut) = if later {
        (Head::None, false)
    } else {
        head(family, ip.ip_number, ip.payload).map_or((Head::None, true), |head| (head, false))
    };
    let protocol = ip.ip_number.0;
    let payload = (begin, begin + length);
    let reading = Reading { family, source, destination, hops, fragment, protocol, payload, head };
    (Some(reading), cut)
}

/// The fragment that an IPv6 packet is; its bytes are those behind the fragment header.
fn piece_v6(ip: &etherparse::Ipv6Slice<'_>, end: usize, frame: &[u8]) -> Option<Piece> {
    let headers = ip.extensions().clone().into_iter();
    let mut fragments = headers.filter_map(|header| match header {
        Ipv6ExtensionSlice::Fragment(fragment) => Some(fragment),
        _ => None,
    });
    let fragment = fragments.find(|fragment| fragment.is_fragmenting_payload())?;
    let start = usize::from(fragment.fragment_offset().value()) * 8;
    let behind = fragment.slice().as_ptr() as usize - frame.as_ptr() as usize + 8;
    Some(Piece {
        number: fragment.identification(),
        bytes: (start, start + end - behind),
        more: fragment.more_fragments(),
    })
}

/// `None` where the header is not all there.
fn head(family: u8, number: IpNumber, payload: &[u8]) -> Option<Head> {
    match (number.0, family) {
        (protocol::TCP, _) => {
            let tcp = TcpHeaderSlice::from_slice(payload).ok()?;
            let data = (payload.len() - tcp.slice().len()) as u32;
            Some(Head::Tcp {
                ports: (tcp.source_port(), tcp.destination_port()),
                sequence: tcp.sequence_number(),
                acknowledgement: tcp.acknowledgment_number(),
                flags: tcp.slice()[13],
                length: data + u32::from(tcp.syn()) + u32::from(tcp.fin()),
            })
        }
        (protocol::UDP, _) => {
            let udp = UdpHeaderSlice::from_slice(payload).ok()?;
            Some(Head::Ports(udp.source_port(), udp.destination_port()))
        }
        // It does not know SCTP (RFC 9260 §3.1: both ports come first, twelve bytes in all).
        (protocol::SCTP, _) => {
            let header: &[u8; 12] = payload.first_chunk()?;
            let port = |at| u16::from_be_bytes([header[at], header[at + 1]]);
            Some(Head::Ports(port(0), port(2)))
        }
        (protocol::ICMP, 4) | (protocol::ICMPV6, 6) => {
            let header: &[u8; 8] = payload.first_chunk()?;
            let asks: &[u8] =
                if family == 4 { &[0, 8, 13, 14, 15, 16, 17, 18] } else { &[128, 129] };
            let identifier = u16::from_be_bytes([header[4], header[5]]);
            let identifier = asks.contains(&header[0]).then_some(identifier);
            Some(Head::Icmp { kind: header[0], code: header[1], identifier })
        }
        _ => Some(Head::None),
    }
}
