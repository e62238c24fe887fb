//! Sets and maps: intervals, keys of several parts, who has decided.

use super::{Passing, fault, rules, with};

const MAP: &str = "map m {\n\
    type ipv4_addr . inet_proto . inet_service : verdict\n\
    flags interval\n\
    counter\n\
    comment \"a map\"\n\
    elements = {\n\
        10.0.0.0/24 . tcp . 80-90 comment \"rf:1\" : drop,\n\
        10.0.0.0/24 . tcp . 91 comment \"rf:2\" : return,\n\
        10.0.1.0-10.0.1.9 . udp . 0-65535 : drop,\n\
        10.0.0.0/24 . icmp . 0x0800-0x08ff : drop,\n\
    }\n}";

fn way(packet: &Passing) -> (bool, String) {
    let rule = "ip saddr . meta l4proto . th dport vmap @m comment \"of the rule\"";
    packet.walk(&with(MAP, rule))
}

#[test]
fn keys_of_several_parts_are_intervals_in_each() {
    let tcp = |source, port| way(&Passing::tcp(source, "10.9.0.1", port));
    assert_eq!(tcp("10.0.0.7", 80), (false, "drop rf:1".to_owned()));
    assert_eq!(tcp("10.0.0.255", 90), (false, "drop rf:1".to_owned()));
    assert_eq!(tcp("10.0.0.7", 91), (true, "return rf:2".to_owned()));
    for (source, port) in [("10.0.0.7", 79), ("10.0.0.7", 92), ("10.0.1.0", 80)] {
        assert_eq!(tcp(source, port), (true, String::new()), "{source} {port}");
    }
    let udp = |source| way(&Passing::udp(source, "10.9.0.1", 5));
    assert_eq!(udp("10.0.1.9"), (false, "drop of the rule".to_owned()));
    assert_eq!(udp("10.0.1.10"), (true, String::new()));
    // IPv6 is not in it at all.
    assert_eq!(way(&Passing::tcp("fd00::1", "fd00::2", 80)), (true, String::new()));
}

#[test]
fn icmp_has_its_type_where_the_source_port_would_be() {
    let echo = Passing::icmp("10.0.0.7", "10.9.0.1", 8, 9);
    let way = |rule: &str| echo.walk(&with(MAP, rule));
    assert!(!way("ip saddr . meta l4proto . th sport vmap @m").0);
    assert!(!way("ip saddr . meta l4proto . @th,0,16 vmap @m").0);
    // Its checksum is no key of anything here.
    assert!(way("ip saddr . meta l4proto . th dport vmap @m").0);
}

#[test]
fn interfaces_and_addresses_together() {
    let others =
        "set own {\ntype ifname . ipv4_addr\nelements = { \"wl0\" . 10.0.0.1 comment \"it\" }\n}";
    let spoofed = "iifname \"wl0\" iifname . ip saddr != @own drop comment \"rf:Spoofed\"";
    let way = |source| Passing::tcp(source, "10.9.0.1", 80).walk(&with(others, spoofed));
    assert_eq!(way("10.0.0.1"), (true, String::new()));
    assert_eq!(way("10.0.0.2"), (false, "drop rf:Spoofed".to_owned()));
    // Elements of maps decide, those of sets do not.
    let of_set = "iifname . ip saddr @own drop comment \"rule\"";
    let packet = Passing::tcp("10.0.0.1", "10.9.0.1", 80);
    assert_eq!(packet.walk(&with(others, of_set)), (false, "drop rule".to_owned()));
    let by_name = "iifname vmap { \"wl0\" : drop, \"wl1\" : return }";
    assert!(!packet.passes(&rules(by_name)));
}

#[test]
fn overlapping_elements_are_refused() {
    let map = |elements: &str| {
        let kind = "type ipv4_addr . inet_service : verdict\nflags interval";
        with(&format!("map m {{\n{kind}\nelements = {{ {elements} }}\n}}"), "counter")
    };
    let _ = super::read(&map("10.0.0.0/8 . 80 : drop, 10.0.0.0/8 . 81-90 : return"));
    for elements in [
        "10.0.0.0/8 . 80 : drop, 10.1.0.0/16 . 80 : return",
        "10.1.0.0/16 . 80 : drop, 10.0.0.0/8 . 70-90 : drop",
        "10.0.0.0/8 . 80-90 : drop, 10.0.0.0/8 . 90-99 : drop",
        "9.0.0.0-11.0.0.0 . 80 : drop, 8.0.0.0/8 . 1 : drop, 10.0.0.1 . 0-65535 : drop",
        "10.0.0.1 . 80 : drop, 10.0.0.1 . 80 : drop",
    ] {
        let told = fault(&map(elements));
        assert!(told.contains("overlaps with element"), "{elements}: {told}");
    }
    let told = fault(&rules("th dport { 80-90, 1, 85 } drop"));
    let expected = "nft text, line 5, column 22: element `85` overlaps with element `80-90`";
    assert_eq!(told, expected);
}

#[test]
fn sets_take_what_fits_them() {
    let set = |kind: &str, elements: &str, rule: &str| {
        with(&format!("set s {{\n{kind}\nelements = {{ {elements} }}\n}}"), rule)
    };
    let told = fault(&set("type ipv4_addr", "10.0.0.0/8", "counter"));
    assert!(told.contains("lacks `flags interval`"), "{told}");
    let told = fault(&set("type ipv4_addr", "10.0.0.1 : drop", "counter"));
    assert!(told.contains("a set has no place for a verdict"), "{told}");
    let told = fault(&set("type ipv4_addr", "fd00::1", "counter"));
    assert!(told.contains("`fd00::1` is no ipv4_addr"), "{told}");
    let told = fault(&set("type ipv4_addr", "10.0.0.1 . 80", "counter"));
    assert!(told.contains("the key is of type `2 parts`"), "{told}");
    let told = fault(&set("type ipv4_addr", "10.0.0.1", "th dport @s drop"));
    assert!(told.contains("of type `inet_service`, the set of type `ipv4_addr`"), "{told}");
    let told = fault(&set("type ipv4_addr", "10.0.0.1", "ip saddr vmap @s"));
    assert!(told.contains("there is no map `s`"), "{told}");
    let told = fault(&with(MAP, "ip saddr @m drop"));
    assert!(told.contains("there is no set `m`"), "{told}");
    let told = fault(&rules("th dport vmap { 80 }"));
    assert!(told.contains("a map needs a verdict"), "{told}");
}
