//! What fields are of which packets.

use jiff::Timestamp;

use super::{Passing, between, rules};
use crate::chain_eval::Hook;
use crate::chain_eval::conntrack::State;

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";
const A6: &str = "fd00::1";
const B6: &str = "fd00::2";

/// Whether a rule that drops matches.
fn matches(question: &str, packet: &Passing) -> bool {
    !packet.passes(&rules(&format!("{question} drop")))
}

#[test]
fn addresses_are_of_their_family() {
    let (v4, v6) = (Passing::tcp(A, B, 80), Passing::tcp(A6, B6, 80));
    assert!(matches("ip saddr 10.0.0.1", &v4));
    assert!(matches("ip daddr 10.0.0.0/30", &v4));
    assert!(!matches("ip daddr 10.0.0.1", &v4));
    assert!(matches("ip6 saddr fd00::/8", &v6));
    // A line for one family says nothing about the other, not even the negated one.
    for question in ["ip saddr != 1.2.3.4", "ip saddr 0.0.0.0/0", "ip saddr != { 1.2.3.4 }"] {
        assert!(matches(question, &v4), "{question}");
        assert!(!matches(question, &v6), "{question}");
    }
    assert!(!matches("ip6 saddr ::/0", &v4));
    assert!(matches("meta nfproto ipv6", &v6) && !matches("meta nfproto ipv6", &v4));
}

#[test]
fn ports_of_a_protocol_ask_for_it_and_ports_alone_read_what_is_there() {
    let (tcp, udp) = (Passing::tcp(A, B, 80), Passing::udp(A, B, 80));
    assert!(matches("tcp dport 80", &tcp) && !matches("tcp dport 80", &udp));
    assert!(matches("th dport 80", &tcp) && matches("th dport 80", &udp));
    assert!(matches("th dport 70-80", &udp) && !matches("th dport != 70-80", &udp));
    assert!(matches("meta l4proto { tcp, sctp } th dport 80", &tcp));
    assert!(!matches("meta l4proto { tcp, sctp } th dport 80", &udp));
    // Type and code of ICMP stand where others have the source's port.
    let echo = Passing::icmp(A, B, 8, 3);
    assert!(matches("th sport 0x0803", &echo) && matches("@th,0,16 0x0803", &echo));
    assert!(!matches("th sport 0x0800", &echo));
}

#[test]
fn a_field_that_is_not_there_matches_nothing() {
    let mut empty = Passing::new(between(A, B).of_protocol(253));
    empty.packet.transport.clear();
    for question in ["th dport 0", "th dport != 80", "th dport { 0-65535 }", "@th,0,16 != 0"] {
        assert!(!matches(question, &empty), "{question}");
    }
    assert!(matches("meta l4proto 253", &empty) && matches("meta l4proto != tcp", &empty));
    // Without a connection there is no direction; a state there is.
    assert!(!matches("ct direction original", &empty) && matches("ct state new", &empty));
}

#[test]
fn icmp_asks_for_its_family_where_the_rule_has_not_said_anything() {
    let (v4, v6) = (Passing::icmp(A, B, 8, 0), Passing::icmp(A6, B6, 128, 0));
    assert!(matches("icmp type echo-request", &v4) && !matches("icmp type 128", &v6));
    assert!(matches("icmpv6 type { 1, 128 }", &v6) && !matches("icmpv6 type 8", &v4));
    assert!(matches("icmp type . icmp code { 8 . 0 }", &v4));
    assert!(!matches("icmp type . icmp code { 8 . 1 }", &v4));
    // ICMPv4 in IPv6 has the protocol; the family is asked only with it.
    let strange = {
        let mut packet = Passing::icmp(A6, B6, 8, 0);
        packet.packet.protocol = Some(1);
        packet
    };
    assert!(!matches("icmp type 8", &strange));
    assert!(matches("meta l4proto icmp icmp type 8", &strange));
}

#[test]
fn interfaces_that_are_not_there_have_no_name() {
    let mut packet = Passing::tcp(A, B, 80);
    assert!(matches("iifname \"wl0\" oifname \"uplink\"", &packet));
    assert!(!matches("iifname \"wl\"", &packet) && !matches("iifname \"wl01\"", &packet));
    assert!(matches("meta iifname { \"a\", \"wl0\" }", &packet));
    packet.input = None;
    assert!(!matches("iifname \"wl0\"", &packet) && matches("iifname != \"wl0\"", &packet));
    assert!(matches("iifname != { \"a\", \"wl0\" }", &packet));
}

#[test]
fn one_bit_of_several_or_exactly_these() {
    let syn = Passing::tcp(A, B, 80);
    let with_flags = |flags: u8| {
        let mut packet = Passing::tcp(A, B, 80);
        packet.packet.transport[13] = flags;
        packet
    };
    let (syn_ack, ack) = (with_flags(0x12), with_flags(0x10));
    assert!(matches("tcp flags syn", &syn) && matches("tcp flags syn", &syn_ack));
    assert!(matches("tcp flags syn,ack", &ack) && !matches("tcp flags syn,rst", &ack));
    for exactly in [
        "tcp flags == syn",
        "tcp flags syn / syn,ack",
        "tcp flags & (syn|ack) == syn",
        "tcp flags & (fin | syn | rst | ack) == syn",
    ] {
        assert!(matches(exactly, &syn), "{exactly}");
        assert!(!matches(exactly, &syn_ack) && !matches(exactly, &ack), "{exactly}");
    }
    for not in ["tcp flags != syn", "tcp flags & (syn | ack) != syn", "tcp flags != syn / syn,ack"]
    {
        assert!(!matches(not, &syn), "{not}");
        assert!(matches(not, &syn_ack) && matches(not, &ack), "{not}");
        assert!(!matches(not, &Passing::udp(A, B, 80)), "{not}");
    }
    assert!(matches("tcp flags ! syn", &ack) && !matches("tcp flags ! syn", &syn_ack));
}

#[test]
fn states_are_what_connection_tracking_says() {
    let names = [
        (State::Invalid, "invalid"),
        (State::Established, "established"),
        (State::Related, "related"),
        (State::New, "new"),
        (State::Untracked, "untracked"),
    ];
    for (state, name) in names {
        let packet = Passing { state, ..Passing::tcp(A, B, 80) };
        for (_, asked) in names {
            let question = format!("ct state {asked}");
            assert_eq!(matches(&question, &packet), asked == name, "{question} in {state:?}");
            let question = format!("ct state != {asked}");
            assert_eq!(matches(&question, &packet), asked != name, "{question} in {state:?}");
        }
        let (some, question) = (name != "invalid", "ct state established,related,new,untracked");
        assert_eq!(matches(question, &packet), some, "{question} in {state:?}");
        let question = "ct state { established, related, new, untracked }";
        assert_eq!(matches(question, &packet), some, "{question} in {state:?}");
    }
}

#[test]
fn times_are_seconds() {
    let mut packet = Passing::tcp(A, B, 80);
    packet.now = Timestamp::from_second(1_000).unwrap();
    assert!(matches("meta time < \"1001\"", &packet) && matches("meta time < 1001", &packet));
    assert!(!matches("meta time < \"1000\"", &packet) && matches("meta time >= 1000", &packet));
    packet.now = Timestamp::from_millisecond(1_000_500).unwrap();
    assert!(!matches("meta time <= 1000", &packet) && matches("meta time > 1000", &packet));
}

#[test]
fn hop_limits_and_own_addresses() {
    let mut v6 = Passing::tcp(A6, B6, 80);
    v6.packet.hop_limit = 255;
    assert!(matches("ip6 hoplimit 255", &v6) && !matches("ip6 hoplimit != 255", &v6));
    assert!(matches("fib daddr type local", &Passing::tcp(A, "10.9.9.9", 80)));
    assert!(!matches("fib daddr type local", &Passing::tcp(A, B, 80)));
    assert!(matches("fib daddr type != local", &Passing::tcp(A, B, 80)));
    let (passes, _) = v6.at(&rules("drop"), Hook::Output);
    assert!(passes, "this is another hook");
}
