//! Who takes which text: `chain_eval` takes nothing that nft refuses, and what it refuses although
//! nft takes it is listed.

use ringfence_testbed::chain_eval::nftables::Nftables;
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::require::{self, Tool};

use super::nft;

/// Who takes a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// Here and by nft.
    Always,
    /// Neither here nor by nft.
    Never,
    /// nft takes it, in a sense that is not modelled or that nobody means.
    ByNft,
}

use Taken::{Always, ByNft, Never};

/// Rules of a chain, and other things in its table.
const RULES: &[(Taken, &str)] = &[
    (Always, "th dport 22 drop"),
    (Always, "tcp dport { 22, 80-90 } drop"),
    (Always, "ip saddr 10.0.0.0/8 ip daddr 10.0.0.1-10.0.0.9 counter return comment \"x\""),
    (Always, "ip6 saddr fd00::/8 ip6 hoplimit != 255 drop"),
    (Always, "icmp type echo-request icmp code 0 drop"),
    (Always, "icmp type . icmp code vmap { 8 . 0 : drop, 3-5 . 0-255 : return }"),
    (Always, "icmpv6 type { nd-router-advert, 128, mld-listener-query } drop"),
    (Always, "ip saddr 10.0.0.1 icmpv6 type 1 drop"),
    (Always, "meta nfproto ipv6 icmp type 8 drop"),
    (Always, "meta l4proto icmp icmp type 8 drop"),
    (Always, "meta l4proto != tcp tcp dport 8 drop"),
    (Always, "meta l4proto { tcp, udp } th dport 80 drop"),
    (Always, "meta l4proto icmpv6 drop"),
    (Always, "ct state established,related return"),
    (Always, "ct state { established, related } return"),
    (Always, "ct state ! established drop"),
    (Always, "ct state vmap { established : return, related : jump sub }"),
    (Always, "ct direction reply drop"),
    (Always, "tcp flags syn / syn,ack drop"),
    (Always, "tcp flags & (syn | ack) != syn drop"),
    (Always, "tcp flags & (fin|syn|rst|ack) == (syn|ack) drop"),
    (Always, "@th,0,16 0x0800 drop"),
    (Always, "iifname \"wl0\" oifname != { \"a.b\", \"c-d\" } drop"),
    (Always, "iifname . ip saddr vmap { \"wl0\" . 10.0.0.1 : goto sub }"),
    (Always, "meta time < \"1763806000\" meta time >= 1 return"),
    (Always, "fib daddr type local drop"),
    (Always, "log prefix \"a b\" group 5 counter drop"),
    (Always, "ip saddr . meta l4proto . th dport vmap @m"),
    (Always, "ip saddr . meta l4proto . @th,0,16 vmap @m"),
    (Always, "ip saddr vmap { 1.2.3.4 comment \"x\" : continue } drop"),
    (Always, "ip saddr @s ip daddr != @s drop"),
    (Always, "drop; return"),
    (Never, "reject with what"),
    (Never, "ip saddr fd00::1 drop"),
    (Never, "ip saddr 10.0.0.0/33 drop"),
    (Never, "th dport 65536 drop"),
    (Never, "th dport 90-80 drop"),
    (Never, "th dport 80, 90 drop"),
    (Never, "th dport { } drop"),
    (Never, "drop counter"),
    (Never, "goto sub return"),
    (Never, "drop comment \"a\" comment \"b\""),
    (Never, "jump nowhere"),
    (Never, "jump base"),
    (Never, "ct state vmap { established : jump base }"),
    (Never, "jump sub2"),
    (Never, "ip saddr @m drop"),
    (Never, "th dport @s drop"),
    (Never, "ip saddr vmap @s"),
    (Never, "ip saddr @nothing drop"),
    (Never, "tcp sport 80 udp dport 80 drop"),
    (Never, "ip saddr 0.0.0.0 ip6 saddr :: drop"),
    (Never, "meta l4proto { icmp, tcp } tcp dport 8 drop"),
    (Never, "meta nfproto { ipv4, ipv6 } ip saddr 1.2.3.4 drop"),
    (Never, "meta l4proto tcp icmp type 8 drop"),
    (Never, "ip saddr . th dport 1.2.3.4 . 80 drop"),
    (Never, "th dport vmap { 80-90 : drop, 85-95 : return }"),
    (Never, "ip saddr . th dport { 10.0.0.0/8 . 80-90, 10.1.0.0/16 . 85 } drop"),
    (Never, "ip saddr . th dport { 10.0.0.0/8 . 80, 10.1.0.0/16 . 80-90 } drop"),
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
    (Always, ""),
    (Always, "table inet t"),
    (Always, "table inet t { chain c { drop; }; }"),
    (Never, "table inet t { chain c { drop }; }"),
    (Never, "table inet t { chain c { drop; } }"),
    (Always, "table inet t {\nset s { type ipv4_addr; elements = { 1.1.1.1, } }\n}"),
    (Never, "table inet t {\nset s { type ipv4_addr }\n}"),
    (Never, "table inet t {\nset s { flags interval; }\n}"),
    (Never, "table inet t {\nset s { type ipv4_addr; elements = { 10.0.0.0/8 }; }\n}"),
    (Never, "table inet t {\nset s { type ipv4_addr; elements = { 1.1.1.1 : drop }; }\n}"),
    (Never, "table inet t {\nmap s { type ipv4_addr : verdict; elements = { 1.1.1.1 }; }\n}"),
    (
        Never,
        "table inet t {\nmap s { type ipv4_addr : verdict; \
         elements = { 1.1.1.1 : drop, 1.1.1.1 : accept }; }\n}",
    ),
    (Always, "table inet t {\nchain c { type filter hook input priority raw - 5; }\n}"),
    (Never, "table inet t {\nchain c { type filter hook ingress priority 0; }\n}"),
    (Always, "add table inet t\nadd chain inet t c\nadd rule inet t c drop"),
    (Never, "add rule inet t c drop\nadd chain inet t c"),
    (Always, "add table inet t\ndelete table inet t\ntable inet t {\n}"),
    (Never, "delete table inet t"),
    (
        Always,
        "table inet t {\nmap s { type ipv4_addr : verdict; elements = { 1.1.1.1 : drop }; }\n}\n\
         delete element inet t s { 1.1.1.1 : drop }\nadd element inet t s { 1.1.1.1 : accept }",
    ),
    (
        Always,
        "table inet t {\nmap s { type ipv4_addr : verdict; elements = { 1.1.1.1 : drop }; }\n}\n\
         delete element inet t s { 1.1.1.1 }\nadd element inet t s { 1.1.1.1 : accept }",
    ),
    (
        Always,
        "table inet t {\nmap s { type ipv4_addr : verdict; elements = { 1.1.1.1 : drop }; }\n}\n\
         add element inet t s { 1.1.1.1 : drop }",
    ),
    (
        Never,
        "table inet t {\nmap s { type ipv4_addr : verdict; elements = { 1.1.1.1 : drop }; }\n}\n\
         add element inet t s { 1.1.1.1 : accept }",
    ),
    (Never, "table inet t {\nset s { type ipv4_addr; }\n}\ndelete element inet t s { 1.1.1.1 }"),
    (Never, "table inet t {\nchain c {\n}\nchain d {\njump c\n}\n}\ndelete chain inet t c"),
    (
        Always,
        "table inet t {\nchain c {\n}\nchain d {\njump c\n}\n}\nflush chain inet t d\n\
         delete chain inet t c",
    ),
    (
        Never,
        "table inet t {\nset s { type ipv4_addr; }\nchain d {\nip saddr @s drop\n}\n}\n\
         delete set inet t s",
    ),
    (
        Never,
        "table inet t {\nchain c {\n}\nmap s { type ipv4_addr : verdict; \
         elements = { 1.1.1.1 : jump c }; }\n}\ndelete chain inet t c",
    ),
    (
        Always,
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
    let nested = [(Always, 15), (Never, 16)].map(|(taken, depth)| (taken, nested(depth)));
    let comments = [(Always, 127), (Never, 129)].map(|(taken, length)| {
        let comment = "x".repeat(length);
        (taken, format!("table inet t {{\nchain c {{\ndrop comment \"{comment}\"\n}}\n}}\n"))
    });
    let prefixes = [(Always, 127), (Never, 128)].map(|(taken, length)| {
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
        assert_eq!(read.is_ok(), taken == Always, "{read:?}\n{text}");
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
        assert_eq!(answer.is_ok(), taken != Never, "{answer:?}\n{text}");
    }
}
