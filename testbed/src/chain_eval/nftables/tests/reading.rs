//! Text that is not understood says where.

use super::{fault, read, rules};
use crate::chain_eval::nftables::syntax::Rule;

#[test]
fn what_is_unknown_is_an_error_where_it_stands() {
    for (rule, column, expected) in [
        ("reject", 1, "expected a statement or verdict that is known, found `reject`"),
        ("th dport 80 rejct", 13, "found `rejct`"),
        ("ip ttl 64 drop", 1, "there is no field `ip ttl`"),
        ("meta mark 1 drop", 1, "there is no field `meta mark`"),
        ("th dport ssh drop", 10, "`ssh` is no inet_service"),
        ("th dport 65536 drop", 10, "`65536` is no inet_service"),
        ("th dport 080 drop", 10, "`080` is no inet_service"),
        ("th dport 90-80 drop", 10, "`90-80` is no inet_service"),
        ("th dport { } drop", 12, "expected an element, found `}`"),
        ("th dport { 80 90 } drop", 15, "expected `}`, found `90`"),
        ("th dport 80, 90 drop", 12, "found `,`"),
        ("ip saddr 10.0.0.5/8 drop", 10, "`10.0.0.5/8` is no ipv4_addr"),
        ("ip saddr 10.0.0.0/33 drop", 10, "`10.0.0.0/33` is no ipv4_addr"),
        ("ip saddr 10.0.0 drop", 10, "`10.0.0` is no ipv4_addr"),
        ("ip saddr . th dport 10.0.0.1 . 80 drop", 21, "expected `vmap`, `@` or `{`"),
        ("ip saddr vmap { 10.0.0.1: drop }", 17, "put a space before the colon"),
        ("iifname wl0 drop", 9, "`wl0` is no ifname"),
        ("iifname \"wl*\" drop", 9, "`wl*` is no ifname"),
        ("iifname \"sixteen-and-more\" drop", 9, "`sixteen-and-more` is no ifname"),
        ("iifname \"wl0 drop", 9, "this string is not closed on its line"),
        ("meta time < \"2026-11-22 10:00:00\" drop", 13, "is no time"),
        ("ct state open drop", 10, "`open` is no ct_state"),
        ("log group 65536 drop", 11, "expected a number"),
        ("jump", 5, "expected the name of a chain, found the end of the line"),
        ("jump 1st", 6, "expected the name of a chain, found `1st`"),
        ("drop counter", 6, "nothing after a verdict has any effect"),
        ("drop comment \"a\" comment \"b\"", 18, "expected `;` or the end of the line"),
        ("comment \"alone\"\ncomment \"again\"", 1, "expected a statement or verdict"),
        ("tcp sport 1 udp dport 2 drop", 13, "a rule cannot be about protocol 6 and protocol 17"),
        ("ip saddr 1.1.1.1 ip6 saddr :: drop", 18, "cannot be about protocol 2 and protocol 10"),
        ("meta l4proto { tcp, udp } tcp flags syn drop", 27, "about several protocols and"),
        ("@th,3,16 1 drop", 1, "there is no field `@th,3,16`"),
        ("@nh,0,16 1 drop", 2, "expected `th`, found `nh`"),
        ("th dport 80 drop \u{e9}", 18, "nothing begins with `\u{e9}`"),
    ] {
        let told = fault(&rules(rule));
        let line = if rule.contains('\n') { 6 } else { 5 };
        let place = format!("nft text, line {line}, column {column}: ");
        assert!(told.starts_with(&place) && told.contains(expected), "{rule}: {told}");
    }
}

#[test]
fn commands_and_blocks_are_as_strict() {
    for (text, expected) in [
        ("table ip t {\n}\n", "line 1, column 7: expected `inet`, found `ip`"),
        ("tabel inet t\n", "line 1, column 1: expected a command that is known"),
        ("insert rule inet t c drop\n", "line 1, column 1: expected a command that is known"),
        ("delete rule inet t c handle 4\n", "line 1, column 8"),
        ("table inet t {\nchain c {\n}\n", "expected `set`, `map`, `chain`, `comment` or `}`"),
        ("table inet t {\n}}\n", "line 2, column 2: expected `;` or the end of the line"),
        ("table inet t {\nchain c {\ndrop }\n}\n", "line 3, column 6"),
        ("table inet t {\nset s {\ntype mac_addr\n}\n}\n", "expected a type, found `mac_addr`"),
        ("table inet t {\nset s {\nflags interval\n}\n}\n", "there is no `type`"),
        ("table inet t {\nset s {\ntype mark\nflags timeout\n}\n}\n", "expected a type"),
        ("table inet t {\nset s {\ntype ipv4_addr\nflags timeout\n}\n}\n", "`interval`"),
        ("table inet t {\nmap s {\ntype ipv4_addr : ipv4_addr\n}\n}\n", "expected `verdict`"),
        ("table inet t {\nchain c {\npolicy drop\n}\n}\n", "a chain with a hook"),
        (
            "table inet t {\nchain c {\ntype nat hook input priority 0\n}\n}\n",
            "expected `filter`, found `nat`",
        ),
        (
            "table inet t {\nchain c {\ntype filter hook postrouting priority 0\n}\n}\n",
            "expected a hook, found `postrouting`",
        ),
        (
            "table inet t {\nchain c {\ntype filter hook prerouting priority filter\n}\n}\n",
            "line 3, column 38: nothing is evaluated at priority 0 of this hook",
        ),
    ] {
        let told = fault(text);
        assert!(told.contains(expected), "{text}: {told}");
    }
}

#[test]
fn comments_have_a_length() {
    let commented = |length| rules(&format!("drop comment \"{}\"", "x".repeat(length)));
    let _ = read(&commented(128));
    assert!(fault(&commented(129)).contains("a comment of 129 characters; at most 128 fit"));
    let logged = |length| rules(&format!("log prefix \"{}\" drop", "x".repeat(length)));
    let _ = read(&logged(127));
    assert!(fault(&logged(128)).contains("a prefix of 128 characters; at most 127 fit"));
}

#[test]
fn what_stands_between_says_nothing() {
    let spread = "# a table\n\n  add  table inet t {\n\tcomment \"of ours\"; ; \n\
        \tchain c { # entered by the kernel\n\ttype filter \\\n hook input priority raw - 5; \
        policy drop;\n\n th dport { 80,\n # first\n 81-82,\n }  drop comment \"# no comment\"\n \
        }\n\tset s { type ipv4_addr; elements = { 1.1.1.1 } }\n};";
    let dense = "table inet t {\ncomment \"of ours\"\nchain c {\n\
        type filter hook input priority -305\npolicy drop\n\
        th dport { 80, 81-82 } drop comment \"# no comment\"\n}\n\
        set s {\ntype ipv4_addr\nelements = { 1.1.1.1 }\n}\n}";
    let [spread, dense] = [spread, dense].map(read);
    let [one, other] = [&spread, &dense].map(|text| &text.contents.tables["t"]);
    assert_eq!(one.comment.as_deref(), Some("of ours"));
    assert_eq!(one.comment, other.comment);
    assert_eq!(one.chains["c"].base, other.chains["c"].base);
    let rule = |rule: &Rule| (rule.comment.clone(), rule.statements.len());
    let [one_rules, other_rules] = [one, other].map(|table| {
        let rules = &table.chains["c"].rules;
        rules.iter().map(rule).collect::<Vec<_>>()
    });
    assert_eq!(one_rules, [(Some("# no comment".to_owned()), 2)]);
    assert_eq!(one_rules, other_rules);
    assert_eq!(one.sets["s"].elements.len(), 1);
    assert_eq!(one.sets["s"].elements[0].values(), other.sets["s"].elements[0].values());
    assert_eq!(read("").contents.tables.len(), 0);
    assert_eq!(read("\n# nothing\n").contents.tables.len(), 0);
}
