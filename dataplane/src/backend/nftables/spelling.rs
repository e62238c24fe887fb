//! How nft spells addresses, protocols, services and comments. Nothing that comes from a document
//! or from the host can leave the place that it is put in.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{Ipv4Subnets, Ipv6Subnets};
use ringfence_common::abi::policy::protocol;

use crate::backend::chains::{About, PortRange};

/// The longest comment that nft takes, in bytes (libnftnl's `NFTNL_UDATA_COMMENT_MAXLEN` counts
/// the zero behind it).
const COMMENT: usize = 127;

/// The longest name of an interface, in bytes (Linux `IFNAMSIZ` counts the zero behind it).
const INTERFACE: usize = 15;

/// `comment "rf:…"`; `before` stands in front of what it is about.
pub(super) fn comment(before: &str, about: &About) -> String {
    let about = about.comment(COMMENT - before.len());
    format!("comment \"{before}{}\"", plain(&about))
}

/// Text without anything that ends a quoted string or a line, or that JSON could not hold: nft
/// knows no escapes.
pub(super) fn plain(text: &str) -> String {
    let harmless = |character: char| match character {
        '"' => '\'',
        ' '..='~' => character,
        _ => '?',
    };
    text.chars().map(harmless).collect()
}

/// The name of an interface in quotes, or why nft cannot say it.
pub(super) fn interface(name: &str) -> Result<String, &'static str> {
    if name.is_empty() || name.len() > INTERFACE {
        return Err("it is not 1 to 15 bytes long");
    }
    if name.ends_with('*') {
        return Err("nft reads the `*` at its end as \"whatever begins so\"");
    }
    if name.contains(['"', '\\']) {
        return Err("nft has no way to write a quote or a backslash in a name");
    }
    if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it has characters that are not printable ASCII");
    }
    Ok(format!("\"{name}\""))
}

/// IPv4 addresses: one, a prefix where they are one, or a range.
pub(super) fn v4(range: &RangeInclusive<Ipv4Addr>) -> String {
    let (first, last) = (*range.start(), *range.end());
    interval(first, last, || Ipv4Subnets::new(first, last, 0).map(|net| net.to_string()))
}

/// IPv6 addresses: one, a prefix where they are one, or a range.
pub(super) fn v6(range: &RangeInclusive<Ipv6Addr>) -> String {
    let (first, last) = (*range.start(), *range.end());
    interval(first, last, || Ipv6Subnets::new(first, last, 0).map(|net| net.to_string()))
}

fn interval<A: PartialEq + Display, I: Iterator<Item = String>>(
    first: A,
    last: A,
    prefixes: impl FnOnce() -> I,
) -> String {
    if first == last {
        return first.to_string();
    }
    let mut prefixes = prefixes();
    match (prefixes.next(), prefixes.next()) {
        (Some(prefix), None) => prefix,
        _ => format!("{first}-{last}"),
    }
}

/// One address, or several in braces.
pub(super) fn addresses(addresses: &[IpAddr]) -> String {
    one_of(addresses.iter().map(ToString::to_string))
}

/// One item, or several in braces.
pub(super) fn one_of(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    match items.as_slice() {
        [item] => item.clone(),
        items => format!("{{ {} }}", items.join(", ")),
    }
}

/// An IP protocol: by its name where nft knows the name without asking the host.
pub(super) fn protocol(number: u8) -> String {
    match number {
        protocol::ICMP => "icmp".to_owned(),
        protocol::TCP => "tcp".to_owned(),
        protocol::UDP => "udp".to_owned(),
        protocol::ICMPV6 => "icmpv6".to_owned(),
        protocol::SCTP => "sctp".to_owned(),
        number => number.to_string(),
    }
}

/// Ports: `80`, `80-90`.
pub(super) fn ports(range: PortRange) -> String {
    numbers(range.first, range.last)
}

/// Messages of ICMP or ICMPv6 as `type . code`. A range of `type << 8 | code` is up to three such
/// pairs: the end of a type, whole types, the beginning of one.
pub(super) fn messages(of_protocol: u8, range: PortRange) -> Vec<String> {
    let (first, last) = (range.first.to_be_bytes(), range.last.to_be_bytes());
    let pair = |types: [u8; 2], codes: [u8; 2]| {
        format!("{} . {}", message_types(of_protocol, types), numbers(codes[0], codes[1]))
    };
    if first[0] == last[0] {
        return vec![pair([first[0], last[0]], [first[1], last[1]])];
    }
    let mut pairs = Vec::new();
    let mut whole = [first[0], last[0]];
    if first[1] != 0 {
        pairs.push(pair([first[0]; 2], [first[1], u8::MAX]));
        whole[0] += 1;
    }
    let end = (last[1] != u8::MAX).then(|| pair([last[0]; 2], [0, last[1]]));
    if end.is_some() {
        whole[1] -= 1;
    }
    if whole[0] <= whole[1] {
        pairs.push(pair(whole, [0, u8::MAX]));
    }
    pairs.extend(end);
    pairs
}

fn message_types(of_protocol: u8, types: [u8; 2]) -> String {
    match (of_protocol, types) {
        (protocol::ICMP, [8, 8]) | (protocol::ICMPV6, [128, 128]) => "echo-request".to_owned(),
        (protocol::ICMP, [0, 0]) | (protocol::ICMPV6, [129, 129]) => "echo-reply".to_owned(),
        (_, [first, last]) => numbers(first, last),
    }
}

fn numbers<N: PartialEq + Display>(first: N, last: N) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[cfg(test)]
mod tests {
    use ringfence_common::verdict::Reason;

    use super::*;

    #[test]
    fn nothing_leaves_its_quotes() {
        let name = "a\" drop; # \\\n\u{7f}é 網".to_owned() + &"x".repeat(300);
        let text = comment("rf#0123456789abcdef ", &About::Rule { number: 7, name });
        let inside = text.strip_prefix("comment \"").unwrap().strip_suffix('"').unwrap();
        let begin = "rf#0123456789abcdef rf:00000007 a' drop; # \\??? ?xxx";
        assert!(inside.starts_with(begin), "{inside}");
        assert!(inside.len() <= COMMENT, "{} bytes", inside.len());
        assert!(inside.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"'));
        assert_eq!(comment("", &About::Reason(Reason::NoRule)), "comment \"rf:NoRule\"");
    }

    #[test]
    fn interfaces_are_quoted_or_refused() {
        assert_eq!(interface("eth0.7@a"), Ok("\"eth0.7@a\"".to_owned()));
        assert_eq!(interface("a*b"), Ok("\"a*b\"".to_owned()));
        for name in ["", "sixteen-letters-", "eth*", "a\"b", "a\\b", "a\tb", "é"] {
            assert!(interface(name).is_err(), "`{name}`");
        }
    }

    #[test]
    fn ranges_are_prefixes_where_they_can_be() {
        let v4 = |first: &str, last: &str| v4(&(first.parse().unwrap()..=last.parse().unwrap()));
        assert_eq!(v4("10.0.0.0", "10.255.255.255"), "10.0.0.0/8");
        assert_eq!(v4("0.0.0.0", "255.255.255.255"), "0.0.0.0/0");
        assert_eq!(v4("10.0.0.1", "10.0.0.1"), "10.0.0.1");
        assert_eq!(v4("10.0.0.1", "10.0.0.2"), "10.0.0.1-10.0.0.2");
        let v6 = |first: &str, last: &str| v6(&(first.parse().unwrap()..=last.parse().unwrap()));
        assert_eq!(v6("fd00::", "fd00::ffff"), "fd00::/112");
        assert_eq!(v6("fd00::1", "fd00::ffff"), "fd00::1-fd00::ffff");
    }

    #[test]
    fn messages_are_types_with_codes() {
        let said = |first, last| messages(protocol::ICMP, PortRange { first, last });
        assert_eq!(said(0x0800, 0x0800), ["echo-request . 0"]);
        assert_eq!(said(0x0800, 0x08ff), ["echo-request . 0-255"]);
        assert_eq!(said(0x0301, 0x0304), ["3 . 1-4"]);
        assert_eq!(said(0x0300, 0x05ff), ["3-5 . 0-255"]);
        assert_eq!(said(0x0302, 0x0605), ["3 . 2-255", "4-5 . 0-255", "6 . 0-5"]);
        assert_eq!(said(0x0302, 0x0405), ["3 . 2-255", "4 . 0-5"]);
        assert_eq!(said(0, u16::MAX), ["0-255 . 0-255"]);
    }

    /// Each message of a range is in exactly one of its pairs, and no other is.
    #[test]
    fn pairs_cover_the_range_and_nothing_else() {
        let ends = |text: &str| -> (u16, u16) {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            (first.parse().unwrap(), last.parse().unwrap())
        };
        for (first, last) in
            [(0x1001, 0x12fe), (0x1000, 0x11ff), (0x10ff, 0x1100), (0x1005, 0x1005)]
        {
            // IPv6 has no names for these types.
            let pairs = messages(protocol::ICMPV6, PortRange { first, last });
            for message in 0x0f00..=0x1400_u16 {
                let [of_type, code] = message.to_be_bytes().map(u16::from);
                let hits = pairs.iter().filter(|pair| {
                    let (types, codes) = pair.split_once(" . ").unwrap();
                    let (types, codes) = (ends(types), ends(codes));
                    (types.0..=types.1).contains(&of_type) && (codes.0..=codes.1).contains(&code)
                });
                let expected = usize::from((first..=last).contains(&message));
                assert_eq!(hits.count(), expected, "{message:#06x} in {pairs:?}");
            }
        }
    }
}
