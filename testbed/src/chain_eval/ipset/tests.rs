use jiff::Timestamp;

use super::{End, Sets};
use crate::chain_eval::conntrack::Tracked;
use crate::chain_eval::packet::Packet;
use crate::chain_eval::{Hook, Seen};
use crate::packet::Frame;

fn holds(sets: &Sets, name: &str, ends: &[End], frame: Frame) -> bool {
    let packet = Packet::read(&frame.build()).expect("chains see it");
    let seen = Seen {
        hook: Hook::Forward,
        packet: &packet,
        tracked: Tracked::UNASKED,
        input: Some("wl0"),
        output: None,
        host: &[],
        now: Timestamp::UNIX_EPOCH,
    };
    sets.holds(name, ends, &seen)
}

fn from(source: &str) -> Frame {
    let source = source.parse().unwrap();
    Frame::ethernet().ip(
        source,
        match source {
            std::net::IpAddr::V4(_) => "10.0.0.2".parse().unwrap(),
            std::net::IpAddr::V6(_) => "fd00::2".parse().unwrap(),
        },
    )
}

#[test]
fn the_longest_prefix_decides() {
    let sets = Sets::read(
        "create n hash:net family inet\nadd n 10.0.0.0/8\nadd n 10.1.0.0/16 nomatch\n\
         add n 10.1.2.0-10.1.2.5\ncreate s hash:net family inet6\nadd s fd00::/64\n",
    )
    .unwrap();
    for (source, expected) in [
        ("10.2.0.1", true),
        ("10.1.0.1", false),
        ("10.1.2.5", true),
        ("10.1.2.6", false),
        ("11.0.0.1", false),
        ("fd00::9", false),
    ] {
        let frame = from(source).udp(1, 2);
        assert_eq!(holds(&sets, "n", &[End::Source], frame), expected, "{source}");
    }
    assert!(holds(&sets, "s", &[End::Source], from("fd00::9").udp(1, 2)));
}

#[test]
fn services_are_told_by_protocol_and_port() {
    let sets = Sets::read(
        "create p hash:net,port family inet\nadd p 10.0.0.0/24,tcp:80-81\n\
         add p 10.0.0.0/24,icmp:8/0\nadd p 10.0.0.0/24,47:0\nadd p 10.0.0.0/24,443\n",
    )
    .unwrap();
    let ends = [End::Source, End::Destination];
    for (frame, expected) in [
        (from("10.0.0.1").tcp(5, 80).syn(), true),
        (from("10.0.0.1").tcp(5, 81).syn(), true),
        (from("10.0.0.1").tcp(5, 82).syn(), false),
        (from("10.0.0.1").tcp(80, 5).syn(), false),
        (from("10.0.0.1").tcp(5, 443).syn(), true),
        (from("10.0.0.1").udp(5, 80), false),
        (from("10.0.1.1").tcp(5, 80).syn(), false),
        (from("10.0.0.1").echo_request(1, 1), true),
        (from("10.0.0.1").echo_reply(1, 1), false),
        (from("10.0.0.1").of_protocol(47), true),
        (from("10.0.0.1").of_protocol(50), false),
        (from("10.0.0.1").protocol_bytes(6, &[0, 5, 0, 80]), false),
    ] {
        assert_eq!(holds(&sets, "p", &ends, frame.clone()), expected, "{frame:?}");
    }
    let backward = [End::Source, End::Source];
    assert!(holds(&sets, "p", &backward, from("10.0.0.1").tcp(80, 5).syn()));
}

#[test]
fn interfaces_are_those_of_the_direction() {
    let sets =
        Sets::read("create i hash:net,iface family inet\nadd i 10.0.0.1,wl0\nadd i 10.0.0.3,wl1\n")
            .unwrap();
    let arrives = [End::Source, End::Source];
    assert!(holds(&sets, "i", &arrives, from("10.0.0.1").udp(1, 2)));
    assert!(!holds(&sets, "i", &arrives, from("10.0.0.3").udp(1, 2)));
    assert!(!holds(&sets, "i", &[End::Source, End::Destination], from("10.0.0.1").udp(1, 2)));
}

#[test]
fn what_the_tool_would_not_take_is_an_error_with_its_line() {
    for (line, why) in [
        ("add x 10.0.0.1", "no set `x`"),
        ("create n hash:net family inet", "`n`"),
        ("create m hash:mac", "`hash:mac`"),
        ("create m hash:net timeout 5", "`timeout`"),
        ("create a-name-of-more-than-31-bytes-xxx hash:net", "name"),
        ("add n 10.0.0.0/24", "already"),
        ("add n fd00::1", "family"),
        ("add n 0.0.0.0/0", "everyone"),
        ("add n 10.0.0.1,tcp:80", "element"),
        ("add n 10.0.0.9 comment x", "`comment`"),
        ("add p 10.0.0.1", "element"),
        ("add p 10.0.0.1,tcp:99999", "service"),
        ("add p 10.0.0.1,gre:5", "service"),
        ("flush n", "neither"),
    ] {
        let text = format!(
            "create n hash:net family inet maxelem 2\nadd n 10.0.0.0/24\n\
             create p hash:net,port family inet\n{line}\n"
        );
        let error = Sets::read(&text).err().unwrap_or_else(|| panic!("{line} was read"));
        assert_eq!(error.line, 4, "{line}");
        assert!(error.why.contains(why), "{line}: {error}");
    }
    let full = "create n hash:net maxelem 1\nadd n 10.0.0.1\nadd n 10.0.0.2\n";
    assert!(Sets::read(full).unwrap_err().to_string().contains("no room"));
}
