//! Who takes which text: `chain_eval` takes nothing that nft refuses, and what it refuses although
//! nft takes it is listed.

use ringfence_testbed::chain_eval::nftables::Nftables;
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::require::{self, Tool};

use super::nft;

/// Who takes a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    ByBoth,
    ByNone,
    /// nft takes it, in a sense that is not modelled or that nobody means.
    ByNft,
}

use Taken::{ByBoth, ByNft, ByNone};

/// Rules of a chain, and other things in its table.
const RULES: &[(Taken, &str)] = &[
    (ByBoth, "th dport 22 drop"),
    (ByBoth, "tcp dport { 22, 80-90 } drop"),
    (ByBoth, "ip saddr 10.0.0.0/8 ip daddr 10.0.0.1-10.0.0.9 counter return comment \"x\""),
    (ByBoth, "ip6 saddr fd00::/8 ip6 hoplimit != 255 drop"),
    (ByBoth, "icmp type echo-request icmp code 0 drop"),
    (ByBoth, "icmp type . icmp code vmap { 8 . 0 : drop, 3-5 . 0-255 : return }"),
    (ByBoth, "icmpv6 type { nd-router-advert, 128, mld-listener-query } drop"),
    (ByBoth, "ip saddr 10.0.0.1 icmpv6 type 1 drop"),
    (ByBoth, "meta nfproto ipv6 icmp type 8 drop"),
    (ByBoth, "meta l4proto icmp icmp type 8 drop"),
    (ByBoth, "meta l4proto != tcp tcp dport 8 drop"),
    (ByBoth, "meta l4proto { tcp, udp } th dport 80 drop"),
    (ByBoth, "meta l4proto icmpv6 drop"),
    (ByBoth, "ct state established,related return"),
    (ByBoth, "ct state { established, related } return"),
    (ByBoth, "ct state ! established drop"),
    (ByBoth, "ct state vmap { established : return, related : jump sub }"),
    (ByBoth, "ct direction reply drop"),
    (ByBoth, "tcp flags syn / syn,ack drop"),
    (ByBoth, "tcp flags & (syn | ack) != syn drop"),
    (ByBoth, "tcp flags & (fin|syn|rst|ack) == (syn|ack) drop"),
    (ByBoth, "@th,0,16 0x0800 drop"),
    (ByBoth, "iifname \"wl0\" oifname != { \"a.b\", \"c-d\" } drop"),
    (ByBoth, "iifname . ip saddr vmap { \"wl0\" . 10.0.0.1 : goto sub }"),
    (ByBoth, "meta time < \"1763806000\" meta time >= 1 return"),
    (ByBoth, "fib daddr type local drop"),
    (ByBoth, "log prefix \"a b\" group 5 counter drop"),
    (ByBoth, "ip saddr . meta l4proto . th dport vmap @m"),
    (ByBoth, "ip saddr . meta l4proto . @th,0,16 vmap @m"),
    (ByBoth, "ip saddr vmap { 1.2.3.4 comment \"x\" : continue } drop"),
    (ByBoth, "ip saddr @s ip daddr != @s drop"),
    (ByBoth, "drop; return"),
    (ByNone, "reject with what"),
    (ByNone, "ip saddr fd00::1 drop"),
    (ByNone, "ip saddr 10.0.0.0/33 drop"),
    (ByNone, "th dport 65536 drop"),
    (ByNone, "th dport 90-80 drop"),
    (ByNone, "th dport 80, 90 drop"),
    (ByNone, "th dport { } drop"),
    (ByNone, "drop counter"),
    (ByNone, "goto sub return"),
    (ByNone, "drop comment \"a\" comment \"b\""),
    (ByNone, "jump nowhere"),
    (ByNone, "jump base"),
    (ByNone, "ct state vmap { established : jump base }"),
    (ByNone, "jump sub2"),
    (ByNone, "ip saddr @m drop"),
    (ByNone, "th dport @s drop"),
    (ByNone, "ip saddr vmap @s"),
    (ByNone, "ip saddr @nothing drop"),
    (ByNone, "tcp sport 80 udp dport 80 drop"),
    (ByNone, "ip saddr 0.0.0.0 ip6 saddr :: drop"),
    (ByNone, "meta l4proto { icmp, tcp } tcp dport 8 drop"),
    (ByNone, "meta nfproto { ipv4, ipv6 } ip saddr 1.2.3.4 drop"),
    (ByNone, "meta l4proto tcp icmp type 8 drop"),
    (ByNone, "ip saddr . th dport 1.2.3.4 . 80 drop"),
    (ByNone, "th dport vmap { 80-90 : drop, 85-95 : return }"),
    (ByNone, "ip saddr . th dport { 10.0.0.0/8 . 80-90, 10.1.0.0/16 . 85 } drop"),
    (ByNone, "ip saddr . th dport { 10.0.0.0/8 . 80, 10.1.0.0/16 . 80-90 } drop"),
    // What nft takes, but nobody would write on purpose.
    (ByNft, "th dport { 80-90, 85-95 } drop"),
    (ByNft, "th dport { 80, 80 } drop"),
    (ByNft, "ip saddr . th dport { 10.0.0.1 . 80, 10.0.0.0/8 . 0-65535 } drop"),
    (ByNft, "log group 70000 drop"),
    (ByNft, "th dport 80-80 drop"),
    (ByNft, "th dport 0080 drop"),
    (ByNft, "ip saddr 10.0.0.5/8 drop"),
    (ByNft, "iifname \"wl*\" drop"),
    (ByNft, "iifname wl0 drop"),
    (ByNft, "th dport ssh drop"),
    (ByNft, "meta time < \"2026-11-22 10:00:00\" drop"),
    // What is not modelled.
    (ByNft, "reject"),
    (ByNft, "ip ttl 1 drop"),
    (ByNft, "meta mark 1 drop"),
    (ByNft, "limit rate 1/second drop"),
    (ByNft, "@nh,0,8 1 drop"),
];

/// What else is in the table.
const OTHERS: &str = "chain sub {\n}\nset s {\ntype ipv4_addr\n}\nmap m {\n\
    type ipv4_addr . inet_proto . inet_service : verdict\nflags interval\ncounter\n}\n\
    chain sub2 {\njump sub3\n}\nchain sub3 {\njump sub2\n}\n";

/// Whole texts.
const TEXTS: &[(Taken, &str)] = &[
    (ByBoth, ""),
    (ByBoth, "table inet t"),
    (ByBoth, "table inet t { chain c { drop; }; }"),
    (ByNone, "table inet t { chain c { drop }; }"),
    (ByNone, "table inet t { chain c { drop; } }"),
    (ByBoth, "table inet t {\nset s { type ipv4_addr; elements = { 1.1.1.1, } }\n}"),
    (ByNone, "table inet t {\nset s { type ipv4_addr }\n}"),
    (ByNone, "table inet t {\nset s { flags interval; }\n}"),
    (ByNone, "table inet t {\nset s { type ipv4_addr; elements = { 10.0.0.0/8 }; }\n}"),
    (ByNone, "table inet t {\nset s { type ipv4_addr; elements = { 1.1.1.1 : drop }; }\n}"),
    (ByNone, "table inet t {\nmap s { type ipv4_addr : verdict; elements = { 1.1.1.1 }; }\n}"),
    (
        ByNone,
        "table inet t {\nmap s { type ipv4_addr : verdict; \
         elements = { 1.1.1.1 : drop, 1.1.1.1 : accept }; }\n}",
    ),
    (ByBoth, "table inet t {\nchain c { type filter hook input priority raw - 5; }\n}"),
    (ByNone, "table inet t {\nchain c { type filter hook ingress priority 0; }\n}"),
    (ByBoth, "add table inet t\nadd chain inet t c\nadd rule inet t c drop"),
    (ByNone, "add rule inet t c drop\nadd chain inet t c"),
    (ByBoth, "add table inet t\ndelete table inet t\ntable inet t {\n}"),
    (ByNone, "delete table inet t"),
    (
        ByBoth,
        "table inet t {\nmap s { type ipv4_addr : verdict; elements = { 1.1.1.1 : drop }; }\n}\n\
         delete element inet t s { 1.1.1.1 : drop }\nadd element inet t s { 1.1.1.1 : accept }",
    ),
    (
        ByBoth,
        "table inet t {\nmap s { type ipv4_addr : verdict; elements = { 1.1.1.1 : drop }; }\n}\n\
         delete element inet t s { 1.1.1.1 }\nadd element inet t s { 1.1.1.1 : accept }",
    ),
    (
        ByBoth,
        "table inet t {\nmap s { type ipv4_addr : verdict; elements = { 1.1.1.1 : drop }; }\n}\n\
         add element inet t s { 1.1.1.1 : drop }",
    ),
    (
        ByNone,
        "table inet t {\nmap s { type ipv4_addr : verdict; elements = { 1.1.1.1 : drop }; }\n}\n\
         add element inet t s { 1.1.1.1 : accept }",
    ),
    (ByNone, "table inet t {\nset s { type ipv4_addr; }\n}\ndelete element inet t s { 1.1.1.1 }"),
    (ByNone, "table inet t {\nchain c {\n}\nchain d {\njump c\n}\n}\ndelete chain inet t c"),
    (
        ByBoth,
        "table inet t {\nchain c {\n}\nchain d {\njump c\n}\n}\nflush chain inet t d\n\
         delete chain inet t c",
    ),
    (
        ByNone,
        "table inet t {\nset s { type ipv4_addr; }\nchain d {\nip saddr @s drop\n}\n}\n\
         delete set inet t s",
    ),
    (
        ByNone,
        "table inet t {\nchain c {\n}\nmap s { type ipv4_addr : verdict; \
         elements = { 1.1.1.1 : jump c }; }\n}\ndelete chain inet t c",
    ),
    (
        ByBoth,
        "table inet t {\nchain c {\n}\nmap s { type ipv4_addr : verdict; \
         elements = { 1.1.1.1 : jump c }; }\n}\nflush map inet t s\ndelete map inet t s\n\
         delete chain inet t c",
    ),
];

fn all() -> Vec<(Taken, String)> {
    let base = "type filter hook forward priority filter; policy accept;";
    let of_rules = RULES.iter().map(|(taken, rules)| {
        // Chains that lead to themselves are no concern of those who do not jump there.
        let others = if rules.contains("sub2") {
            OTHERS
        } else {
            OTHERS.split("chain sub2").next().unwrap()
        };
        (*taken, format!("table inet t {{\n{others}chain base {{\n{base}\n{rules}\n}}\n}}\n"))
    });
    let nested = [(ByBoth, 15), (ByNone, 16)].map(|(taken, depth)| (taken, nested(depth)));
    let comments = [(ByBoth, 127), (ByNone, 129)].map(|(taken, length)| {
        let comment = "x".repeat(length);
        (taken, format!("table inet t {{\nchain c {{\ndrop comment \"{comment}\"\n}}\n}}\n"))
    });
    let prefixes = [(ByBoth, 127), (ByNone, 128)].map(|(taken, length)| {
        let prefix = "x".repeat(length);
        let rule = format!("log prefix \"{prefix}\" group 5");
        (taken, format!("table inet t {{\nchain c {{\n{rule}\n}}\n}}\n"))
    });
    let texts = TEXTS.iter().map(|(taken, text)| (*taken, (*text).to_owned()));
    of_rules.chain(texts).chain(nested).chain(comments).chain(prefixes).collect()
}

/// Chains that lead so deep.
fn nested(depth: usize) -> String {
    let base = "type filter hook forward priority filter\njump c1";
    let mut text = format!("table inet t {{\nchain base {{\n{base}\n}}\n");
    for chain in 1..=depth {
        let rule = if chain < depth { format!("jump c{}", chain + 1) } else { "drop".to_owned() };
        text += &format!("chain c{chain} {{\n{rule}\n}}\n");
    }
    text + "}\n"
}

#[test]
fn texts_are_taken_or_refused_here() {
    for (taken, text) in all() {
        let read = Nftables::read(&text);
        assert_eq!(read.is_ok(), taken == ByBoth, "{read:?}\n{text}");
    }
}

#[test]
fn nft_and_the_kernel_take_and_refuse_the_same() {
    let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
    // Not with `--check`: chains that lead to themselves are found only at the end of all.
    let answers = Namespace::new().unwrap().run(|| {
        let ask = |(taken, text): (Taken, String)| {
            let answer = nft(&text);
            nft("flush ruleset\n").unwrap();
            (taken, answer, text)
        };
        all().into_iter().map(ask).collect::<Vec<_>>()
    });
    for (taken, answer, text) in answers.unwrap() {
        assert_eq!(answer.is_ok(), taken != ByNone, "{answer:?}\n{text}");
    }
}
