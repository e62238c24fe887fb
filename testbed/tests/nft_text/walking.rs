//! What the kernel makes of packets, and what `chain_eval` does: the same rules, the same packets,
//! sent by the host to itself.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ringfence_testbed::chain_eval::conntrack::Conntrack;
use ringfence_testbed::chain_eval::hooks::{Side, walk};
use ringfence_testbed::chain_eval::nftables::Nftables;
use ringfence_testbed::chain_eval::packet::Packet;
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::require::{self, Tool};
use socket2::{Domain, Protocol, Socket, Type};

use super::nft;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));

/// Rules of a chain at the hook of what the host sends. Each text is asked about each packet.
const RULES: &[&str] = &[
    "th dport 80 drop",
    "th dport != 80 drop",
    "th sport 2048 drop",
    "th dport { 0-79, 81-65535 } drop",
    "th dport != { 80, 443 } drop",
    "tcp dport 80 drop",
    "udp dport { 53, 80 } drop",
    "udp dport != 80 drop",
    "sctp dport 80 drop",
    "meta l4proto tcp drop",
    "meta l4proto != { tcp, udp } drop",
    "meta l4proto { tcp, udp, 253 } th dport 80 drop",
    "meta nfproto ipv6 drop",
    "ip saddr 10.0.0.0/8 drop",
    "ip saddr != 10.0.0.0/8 drop",
    "ip6 daddr != fd00::2 drop",
    "ip6 daddr fd00::-fd00::1 drop",
    "ip6 hoplimit 64 drop",
    "icmp type 8 drop",
    "icmp type != 8 drop",
    "icmp type . icmp code { 8 . 1, 13 . 0-5 } drop",
    "meta l4proto icmp icmp type 8 drop",
    "icmpv6 type 128 drop",
    "icmpv6 type . icmpv6 code vmap { 128 . 0-255 : drop }",
    "ip saddr 10.0.0.1 icmpv6 type 8 drop",
    "@th,0,16 0x0800 drop",
    "@th,0,16 != 0x0800 drop",
    "tcp flags syn drop",
    "tcp flags == syn drop",
    "tcp flags != syn drop",
    "tcp flags ! syn drop",
    "tcp flags & (syn | ack) != syn drop",
    "tcp flags syn / syn,ack drop",
    "iifname \"lo\" drop",
    "iifname != \"lo\" drop",
    "oifname \"lo\" drop",
    "oifname { \"wl0\", \"lo\" } th dport 80 drop",
    "ct state new drop",
    "ct state invalid drop",
    "ct state untracked drop",
    "ct state != new drop",
    "ct direction original drop",
    "fib daddr type local th dport 80 drop",
    "meta time < \"1000000000\" drop",
    "meta time > 1000000000 th dport 80 drop",
    "ip saddr . meta l4proto . th dport vmap @m",
    "ip saddr . meta l4proto . th sport vmap @m\nmeta l4proto . th dport vmap @n",
    "meta l4proto . th dport vmap @n",
    "th dport vmap { 80 : continue, 81 : return } drop",
    "th dport vmap { 80 : jump sub, 81 : goto sub }\ndrop",
    "jump sub\nmeta l4proto tcp drop",
    "goto sub\ndrop",
    "jump far\nth dport 80 drop",
    "th dport 80 return\nmeta l4proto tcp accept\ndrop",
    "accept",
    "drop",
    "ip daddr @s drop",
    "ip daddr != @s drop",
];

const OTHERS: &str = "map m {\ntype ipv4_addr . inet_proto . inet_service : verdict\nflags interval\n\
    elements = {\n10.0.0.0/8 . tcp . 80-90 : drop,\n10.0.0.1 . udp . 0-79 : return,\n\
    10.0.0.0-10.0.0.255 . udp . 80-65535 : drop,\n10.0.0.1 . icmp . 2048-2303 : drop,\n}\n}\n\
    map n {\ntype inet_proto . inet_service : verdict\nflags interval\nelements = {\n\
    udp . 80 : drop,\n132 . 0-65535 : goto sub,\n253 . 80 : drop,\n}\n}\n\
    set s {\ntype ipv4_addr\nelements = { 10.0.0.1, 10.0.0.2 }\n}\n\
    chain sub {\nmeta l4proto udp return\nth dport 81 drop\nth dport 80 accept\n}\n\
    chain far {\ngoto sub\naccept\n}\n\
    chain later {\ntype filter hook output priority filter + 1\npolicy accept\n\
    meta l4proto tcp th dport 443 drop\n}\n";

/// A packet without its IP header.
struct Sent {
    to: IpAddr,
    protocol: u8,
    transport: Vec<u8>,
}

fn packets() -> Vec<Sent> {
    let ports = |source: u16, port: u16| [source.to_be_bytes(), port.to_be_bytes()].concat();
    let udp = |port| [ports(2048, port), vec![0, 8, 0, 0]].concat();
    let tcp = |source, port, flags| {
        let rest = [0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x20, 0, 0, 0, 0, 0];
        [ports(source, port), rest.to_vec()].concat()
    };
    let icmp = |kind, code| vec![kind, code, 0, 0, 0, 1, 0, 1];
    let mut packets = Vec::new();
    for to in [V4, V6] {
        let mut add = |protocol, transport| packets.push(Sent { to, protocol, transport });
        for port in [53, 79, 80, 81, 443] {
            add(17, udp(port));
            add(6, tcp(2048, port, 2));
        }
        for flags in [0x12, 0x10, 0x04, 0x03] {
            // Each is of a connection of its own.
            add(6, tcp(3000 + u16::from(flags), 80, flags));
        }
        add(132, [ports(2048, 80), vec![0; 8], vec![1, 0, 0, 20], vec![0; 16]].concat());
        add(253, vec![0, 0, 0, 80]);
        // Cut headers.
        add(252, vec![0, 0, 0]);
        add(254, Vec::new());
        for (kind, code) in [(8, 0), (8, 1), (13, 0), (128, 0), (128, 3)] {
            add(if to == V4 { 1 } else { 58 }, icmp(kind, code));
        }
    }
    // ICMPv4 in IPv6: what asks for the protocol alone takes it for ICMP.
    packets.push(Sent { to: V6, protocol: 1, transport: icmp(8, 0) });
    packets
}

fn text(rules: &str) -> String {
    let base = "type filter hook output priority filter; policy accept;";
    format!("table inet t {{\n{OTHERS}chain base {{\n{base}\n{rules}\n}}\n}}\n")
}

/// Sends a packet to the host itself; whether the rules let it.
fn send(sent: &Sent) -> bool {
    let domain = if sent.to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let protocol = Protocol::from(i32::from(sent.protocol));
    let socket = Socket::new(domain, Type::RAW, Some(protocol)).unwrap();
    match socket.send_to(&sent.transport, &SocketAddr::new(sent.to, 0).into()) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => false,
        Err(error) => panic!("a packet of protocol {} cannot be sent: {error}", sent.protocol),
    }
}

/// The same packet, without a kernel.
fn passes(rules: &Nftables, sent: &Sent) -> bool {
    let packet = Packet {
        source: sent.to,
        destination: sent.to,
        hop_limit: 64,
        protocol: Some(sent.protocol),
        transport: sent.transport.clone(),
    };
    let mut conntrack = Conntrack::default();
    let now = Timestamp::now();
    walk(rules, &mut conntrack, &packet, Side::Leaves("lo"), &[sent.to], now).dropped.is_none()
}

/// The kernel takes an IPv6 address for its own only a moment after it was added, and says so by a
/// route.
fn await_local_route() {
    let routes = || Command::new("ip").args(["-6", "route", "show", "table", "local"]).output();
    let is_local = || String::from_utf8_lossy(&routes().unwrap().stdout).contains("fd00::1");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_local() {
        assert!(Instant::now() < deadline, "fd00::1 does not become an address of the host");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What the kernel makes of all packets, each of which has to pass here too or be dropped.
fn answers(rules: &str) -> Vec<bool> {
    for address in ["10.0.0.1/32", "fd00::1/128"] {
        let add = ["address", "add", address, "dev", "lo"];
        assert!(Command::new("ip").args(add).status().unwrap().success());
    }
    await_local_route();
    let text = text(rules);
    let read = Nftables::read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    nft(&text).unwrap_or_else(|told| panic!("{told}\n{text}"));
    let ask = |sent: Sent| {
        let (kernel, here) = (send(&sent), passes(&read, &sent));
        let Sent { to, protocol, transport } = &sent;
        assert_eq!(
            here, kernel,
            "passes here, passes the kernel; protocol {protocol} to {to} {transport:x?}\n{rules}"
        );
        kernel
    };
    packets().into_iter().map(ask).collect()
}

#[test]
fn the_kernel_and_the_walk_agree_about_each_packet() {
    let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
    let (mut asked, mut dropped) = (0, 0);
    for rules in RULES {
        // Connections are remembered until their namespace ends.
        let answers = Namespace::new().unwrap().run(|| answers(rules)).unwrap();
        asked += answers.len();
        dropped += answers.iter().filter(|passes| !**passes).count();
    }
    println!("{asked} packets, {dropped} of them dropped");
    assert_eq!(asked, RULES.len() * packets().len());
    assert!(dropped > asked / 10 && dropped < asked * 9 / 10, "{dropped} of {asked} dropped");
}
