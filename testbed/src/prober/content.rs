//! The bytes of first packets and of SCTP's answer, and how they are recognised.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use ringfence_common::abi::policy::protocol;

use super::arrival::Sign;
use super::{Ask, Service};
use crate::packet::Frame;
use crate::workload::Record;

/// What the body of our ICMP messages and of packets of other protocols contains: these bytes, the
/// type and code that the message was sent with, and the nonce. An answer or an ICMP error that
/// quotes such a body has a type and code of its own, and is not taken for a first packet.
const MARK: [u8; 6] = *b"rf-ask";
const MARK_LENGTH: usize = MARK.len() + 2 + 4;

/// SCTP chunk types (RFC 9260 §3.2).
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
/// The parameter that every INIT ACK has (RFC 9260 §3.3.3).
const STATE_COOKIE: u16 = 7;
const RECEIVER_WINDOW: u32 = 65_536;

/// Packets in a row that all have other source ports.
pub const DISTINCT: u32 = 40_000;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A number that no other packet of this process has; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Nonce(u32);

impl Nonce {
    pub fn next() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed).max(1))
    }

    /// How many there have been.
    pub fn sent() -> u32 {
        NEXT.load(Ordering::Relaxed)
    }

    /// A source port.
    pub fn port(self) -> u16 {
        const FIRST: u32 = 20_000;
        (FIRST + self.0 % DISTINCT) as u16
    }
}

/// The type of the echo request of an address's family (RFC 792, RFC 4443).
pub(super) fn echo_request(address: IpAddr) -> u8 {
    if address.is_ipv4() { 8 } else { 128 }
}

fn echo_reply(address: IpAddr) -> u8 {
    if address.is_ipv4() { 0 } else { 129 }
}

/// What follows the IP header in the first packet of `ask`.
///
/// # Panics
///
/// When it is about TCP or UDP, whose sockets make their own packets.
pub(super) fn first_packet(ask: Ask, nonce: Nonce) -> Vec<u8> {
    let packet = Frame::bare().ip(ask.from, ask.to);
    let packet = match ask.service {
        Service::Tcp(_) | Service::Udp(_) => unreachable!("TCP and UDP have servers"),
        Service::Sctp(port) => packet
            .sctp(nonce.port(), port)
            .with_sctp(|sctp| sctp.verification_tag = 0)
            .chunk(INIT, 0, &association(nonce)),
        Service::Icmp { kind, code } => icmp(packet, ask, (kind, code), nonce),
        Service::Other(number) => packet.protocol_bytes(number, &mark((0, 0), nonce)),
    };
    packet.build().split_off(ip_header(ask.to))
}

/// Bytes of an IP header without options.
fn ip_header(address: IpAddr) -> usize {
    if address.is_ipv4() { 20 } else { 40 }
}

fn icmp(packet: Frame, ask: Ask, (kind, code): (u8, u8), nonce: Nonce) -> Frame {
    let mark = mark((kind, code), nonce);
    let is_error = if ask.to.is_ipv4() { matches!(kind, 3..=5 | 11 | 12) } else { kind < 128 };
    if is_error {
        // It quotes a packet that nobody has sent.
        let quoted = Frame::bare().ip(ask.to, ask.from).udp(nonce.port(), nonce.port());
        return packet.icmp(kind, code, [0; 4]).bytes(&quoted.bytes(&mark).build());
    }
    let [_, _, high, low] = nonce.0.to_be_bytes();
    packet.icmp(kind, code, [high, low, 0, 1]).bytes(&mark)
}

fn mark((kind, code): (u8, u8), nonce: Nonce) -> [u8; MARK_LENGTH] {
    let mut bytes = [0; MARK_LENGTH];
    bytes[..6].copy_from_slice(&MARK);
    bytes[6..8].copy_from_slice(&[kind, code]);
    bytes[8..].copy_from_slice(&nonce.0.to_be_bytes());
    bytes
}

/// The nonce of the mark in `bytes`, and the type and code in it.
fn find_mark(bytes: &[u8]) -> Option<((u8, u8), Nonce)> {
    let found = bytes.windows(MARK_LENGTH).find(|window| window.starts_with(&MARK))?;
    let nonce = u32::from_be_bytes([found[8], found[9], found[10], found[11]]);
    Some(((found[6], found[7]), Nonce(nonce)))
}

/// The fixed part of INIT and INIT ACK: tag, window, streams, first sequence number.
fn association(tag: Nonce) -> Vec<u8> {
    let tag = tag.0.to_be_bytes();
    [&tag[..], &RECEIVER_WINDOW.to_be_bytes(), &[0, 1, 0, 1], &tag].concat()
}

/// The answer to an INIT that came from `from` to `to`, if `packet` is one.
pub(super) fn answer_to_init(from: IpAddr, to: IpAddr, packet: &[u8]) -> Option<Vec<u8>> {
    let init = Chunk::read(packet).filter(|chunk| chunk.kind == INIT)?;
    let cookie = [STATE_COOKIE.to_be_bytes(), 8_u16.to_be_bytes()].concat();
    let value = [association(Nonce::next()), cookie, MARK[..4].to_vec()].concat();
    let answer = Frame::bare()
        .ip(to, from)
        .sctp(init.destination_port, init.source_port)
        .with_sctp(|sctp| sctp.verification_tag = init.initiate_tag)
        .chunk(INIT_ACK, 0, &value);
    Some(answer.build().split_off(ip_header(from)))
}

/// What `packet`, what follows the IP header, says to whoever sees it arrive at `to`.
pub(super) fn signs(from: IpAddr, to: IpAddr, protocol: u8, packet: &[u8]) -> Vec<Sign> {
    let arrival = |service| Sign::Arrival(Ask { from, to, service });
    match protocol {
        protocol::TCP => {
            opened_tcp_port(packet).map(Service::Tcp).map(arrival).into_iter().collect()
        }
        protocol::UDP => {
            asked_udp_port(packet).map(Service::Udp).map(arrival).into_iter().collect()
        }
        protocol::SCTP => {
            let Some(chunk) = Chunk::read(packet) else { return Vec::new() };
            let port = chunk.destination_port;
            match chunk.kind {
                INIT => vec![arrival(Service::Sctp(port))],
                INIT_ACK => {
                    let service = Service::Sctp(chunk.source_port);
                    let nonce = Nonce(chunk.verification_tag);
                    vec![Sign::InitAck { of: Ask { from: to, to: from, service }, nonce }]
                }
                _ => Vec::new(),
            }
        }
        protocol::ICMP | protocol::ICMPV6 => icmp_signs(from, to, packet),
        other => {
            let mark = find_mark(packet);
            mark.map(|_| arrival(Service::Other(other))).into_iter().collect()
        }
    }
}

fn icmp_signs(from: IpAddr, to: IpAddr, packet: &[u8]) -> Vec<Sign> {
    let (Some([kind, code]), Some((sent_as, nonce))) = (packet.first_chunk(), find_mark(packet))
    else {
        return Vec::new();
    };
    if sent_as == (*kind, *code) {
        let service = Service::Icmp { kind: *kind, code: *code };
        return vec![Sign::Arrival(Ask { from, to, service })];
    }
    let (asked, code) = sent_as;
    if *kind == echo_reply(to) && asked == echo_request(to) {
        let of = Ask { from: to, to: from, service: Service::Icmp { kind: asked, code } };
        return vec![Sign::EchoReply { of, nonce }];
    }
    Vec::new()
}

/// The port that a SYN, and not its answer, is addressed to (RFC 9293 §3.1).
fn opened_tcp_port(packet: &[u8]) -> Option<u16> {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    let flags = packet.get(13)?;
    (flags & (SYN | ACK) == SYN).then(|| destination_port(packet)).flatten()
}

/// The port that a question, and not its answer, is addressed to: questions have another length.
fn asked_udp_port(packet: &[u8]) -> Option<u16> {
    (packet.len() == 8 + Record::LENGTH).then(|| destination_port(packet)).flatten()
}

fn destination_port(packet: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]))
}

/// An SCTP packet's header and the beginning of its first chunk.
struct Chunk {
    source_port: u16,
    destination_port: u16,
    verification_tag: u32,
    kind: u8,
    initiate_tag: u32,
}

impl Chunk {
    fn read(packet: &[u8]) -> Option<Self> {
        let bytes: &[u8; 20] = packet.first_chunk()?;
        let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| u32::from(half(at)) << 16 | u32::from(half(at + 2));
        Some(Self {
            source_port: half(0),
            destination_port: half(2),
            verification_tag: word(4),
            kind: bytes[12],
            initiate_tag: word(16),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: [[&str; 2]; 2] = [["10.0.0.1", "10.0.0.2"], ["fd00::1", "fd00::2"]];

    fn asks(service: impl Fn(IpAddr) -> Service) -> [Ask; 2] {
        ENDS.map(|[from, to]| {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            Ask { from, to, service: service(to) }
        })
    }

    #[test]
    fn first_packets_are_recognised_where_they_arrive() {
        let kinds: [&dyn Fn(IpAddr) -> Service; 5] = [
            &|_| Service::Sctp(36_412),
            &|to| Service::Icmp { kind: echo_request(to), code: 0 },
            &|to| Service::Icmp { kind: echo_reply(to), code: 0 },
            &|_| Service::Icmp { kind: 3, code: 1 },
            &|_| Service::Other(47),
        ];
        for ask in kinds.into_iter().flat_map(asks) {
            let packet = first_packet(ask, Nonce::next());
            let signs = signs(ask.from, ask.to, ask.protocol(), &packet);
            assert_eq!(signs, [Sign::Arrival(ask)], "{ask:?}");
        }
    }

    #[test]
    fn answers_are_no_arrivals_of_first_packets() {
        for ask in asks(|_| Service::Sctp(5000)) {
            let nonce = Nonce::next();
            let init = first_packet(ask, nonce);
            let answer = answer_to_init(ask.from, ask.to, &init).unwrap();
            assert_eq!(answer_to_init(ask.to, ask.from, &answer), None, "an answer is no INIT");
            let signs = signs(ask.to, ask.from, ask.protocol(), &answer);
            assert_eq!(signs, [Sign::InitAck { of: ask, nonce }]);
        }
        for ask in asks(|to| Service::Icmp { kind: echo_request(to), code: 0 }) {
            let nonce = Nonce::next();
            let mut packet = first_packet(ask, nonce);
            packet[0] = echo_reply(ask.to);
            let signs = signs(ask.to, ask.from, ask.protocol(), &packet);
            assert_eq!(signs, [Sign::EchoReply { of: ask, nonce }]);
        }
    }

    #[test]
    fn an_error_about_a_first_packet_is_no_arrival() {
        for ask in asks(|_| Service::Other(47)) {
            let quoted = first_packet(ask, Nonce::next());
            let packet = Frame::bare().ip(ask.to, ask.from).port_unreachable(&quoted).build();
            let packet = &packet[ip_header(ask.to)..];
            let icmp = if ask.to.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
            assert_eq!(signs(ask.to, ask.from, icmp, packet), []);
        }
    }

    #[test]
    fn short_and_foreign_packets_say_nothing() {
        let [ask, _] = asks(|_| Service::Sctp(1));
        let packet = first_packet(ask, Nonce::next());
        for protocol in [6, 17, 132, 1, 47] {
            for length in 0..packet.len().min(12) {
                assert_eq!(signs(ask.from, ask.to, protocol, &packet[..length]), []);
            }
        }
        let syn_ack = Frame::bare().ip(ask.from, ask.to).tcp(80, 40_000).syn().ack(1).build();
        assert_eq!(signs(ask.from, ask.to, 6, &syn_ack[20..]), []);
        let syn = Frame::bare().ip(ask.from, ask.to).tcp(40_000, 80).syn().build();
        let arrival = Sign::Arrival(Ask { service: Service::Tcp(80), ..ask });
        assert_eq!(signs(ask.from, ask.to, 6, &syn[20..]), [arrival]);
    }
}
