use jiff::Timestamp;

use super::Rules;
use crate::chain_eval::conntrack::{State, Tracked};
use crate::chain_eval::ipset::Sets;
use crate::chain_eval::packet::Packet;
use crate::chain_eval::{Action, Hook, Ruleset, Seen, Verdict};
use crate::packet::Frame;

/// Rules of the chain `FORWARD`, and chains that they lead to.
fn rules(chains: &[&str], lines: &[&str]) -> Rules {
    let chains: String = chains.iter().map(|name| format!(":{name} - [0:0]\n")).collect();
    let text = format!("*filter\n{chains}{}\nCOMMIT\n", lines.join("\n"));
    Rules::read(&text, "", Sets::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn seen(packet: &Packet) -> Seen<'_> {
    Seen {
        hook: Hook::Forward,
        packet,
        tracked: Tracked { state: State::New, ..Tracked::UNASKED },
        input: Some("wl0"),
        output: None,
        host: &[],
        now: Timestamp::UNIX_EPOCH,
    }
}

fn udp(port: u16) -> Packet {
    let frame = Frame::ethernet().ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    Packet::read(&frame.udp(999, port).payload(8).build()).unwrap()
}

fn verdict(rules: &Rules, packet: &Packet) -> Verdict {
    rules.verdict(&seen(packet))
}

/// Whether a rule with these matches drops a datagram from 10.0.0.1:999 to 10.0.0.2:53.
fn matches(words: &str) -> bool {
    verdict(&rules(&[], &[&format!("-A FORWARD {words} -j DROP")]), &udp(53)).dropped
}

#[test]
fn each_match_asks_what_its_name_says() {
    for (words, expected) in [
        ("", true),
        ("-s 10.0.0.1", true),
        ("-s 10.0.0.9/24", true),
        ("! -s 10.0.0.1", false),
        ("-s 10.0.0.7,10.0.0.1", true),
        ("-d 10.0.0.1", false),
        ("-i wl0", true),
        ("-i wl+", true),
        ("! -i wl1", true),
        ("-o wl0", false),
        ("! -o wl0", true),
        ("-p udp --dport 53", true),
        ("-p udp --dport 50:60", true),
        ("-p udp --sport 53", false),
        ("-p udp ! --dport 53", false),
        ("-p udp -m multiport --dports 1,50:60", true),
        ("-p tcp --dport 53", false),
        ("! -p tcp", true),
        ("-m conntrack --ctstate NEW,RELATED", true),
        ("-m conntrack ! --ctstate NEW", false),
        ("-m time --datestop 1970-01-01T00:00:00", true),
        ("-m time --datestop 1969-12-31T23:59:59", false),
        ("-m ttl --ttl-eq 64", true),
        ("-m ttl ! --ttl-eq 64", false),
        ("-m addrtype --dst-type LOCAL", false),
    ] {
        assert_eq!(matches(words), expected, "{words}");
    }
}

#[test]
fn flags_and_types_are_asked_in_their_protocols() {
    let frame = || Frame::ethernet().ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let syn = Packet::read(&frame().tcp(1, 80).syn().build()).unwrap();
    let ack = Packet::read(&frame().tcp(1, 80).ack(5).build()).unwrap();
    let stray = rules(&[], &["-A FORWARD -p tcp ! --tcp-flags SYN,ACK SYN -j DROP"]);
    assert!(!verdict(&stray, &syn).dropped);
    assert!(verdict(&stray, &ack).dropped);
    let echo = Packet::read(&frame().echo_request(1, 1).build()).unwrap();
    let rule = rules(&[], &["-A FORWARD -p icmp --icmp-type 8/0 -j DROP"]);
    assert!(verdict(&rule, &echo).dropped);
    assert!(!verdict(&rule, &syn).dropped);
}

#[test]
fn a_header_that_is_cut_is_dropped_by_who_asks_about_it() {
    let mut packet = udp(53);
    packet.transport.truncate(7);
    let rule = rules(&[], &["-A FORWARD -p udp --dport 99 -m comment --comment x -j RETURN"]);
    let refused = verdict(&rule, &packet);
    assert!(refused.dropped);
    assert_eq!(refused.steps[0].action, Action::Refuse);
    packet.protocol = None;
    assert!(!verdict(&rules(&[], &["-A FORWARD -i wl0 -j RETURN"]), &packet).dropped);
    assert!(verdict(&rule, &packet).dropped, "nobody finds its protocol");
}

#[test]
fn chains_are_entered_left_and_gone_to() {
    let lines = [
        "-A FORWARD -m comment --comment jump -j RF-A",
        "-A FORWARD -m comment --comment after -j DROP",
        "-A RF-A -m comment --comment goto -g RF-B",
        "-A RF-A -m comment --comment never -j ACCEPT",
        r#"-A RF-B -m comment --comment "log it" -j NFLOG --nflog-group 5 --nflog-prefix "NoRule""#,
        "-A RF-B -m comment --comment back -j RETURN",
        "-A RF-B -m comment --comment never -j ACCEPT",
    ];
    let verdict = verdict(&rules(&["RF-A", "RF-B"], &lines), &udp(53));
    assert!(verdict.dropped);
    let comments: Vec<&str> = verdict.steps.iter().map(|step| step.comment.as_str()).collect();
    assert_eq!(comments, ["jump", "goto", "log it", "back", "after"]);
    assert_eq!(verdict.steps[2].action, Action::Log("NoRule".to_owned()));
    assert_eq!(verdict.steps[0].action, Action::Enter("RF-A".to_owned()));
}

#[test]
fn an_inserted_rule_comes_first() {
    let lines = ["-A FORWARD -j ACCEPT", "-I FORWARD 1 -m comment --comment first -j DROP"];
    let verdict = verdict(&rules(&[], &lines), &udp(53));
    assert!(verdict.dropped);
    assert_eq!(verdict.steps[0].comment, "first");
}

#[test]
fn families_and_tables_are_asked_apart() {
    let drop = "*raw\n-A PREROUTING -j DROP\nCOMMIT\n";
    let rules = Rules::read(drop, "", Sets::default()).unwrap();
    let packet = udp(53);
    assert!(!verdict(&rules, &packet).dropped);
    assert!(rules.verdict(&Seen { hook: Hook::Source, ..seen(&packet) }).dropped);
    let v6 = Rules::read("", drop, Sets::default()).unwrap();
    assert!(!v6.verdict(&Seen { hook: Hook::Source, ..seen(&packet) }).dropped);
}

#[test]
fn a_set_is_asked_and_its_elements_comment_is_told() {
    let sets = "create rf4-x hash:net,port family inet comment\n\
                add rf4-x 10.0.0.0/8,udp:53 comment \"rf:one\"\n\
                create rf4-y hash:net family inet\nadd rf4-y 10.0.0.2\n";
    let sets = || Sets::read(sets).unwrap();
    let text = "*filter\n\
                -A FORWARD -m set ! --match-set rf4-y src -m set --match-set rf4-x src,dst \
                -m comment --comment rf:Set -j DROP\nCOMMIT\n";
    let rules = Rules::read(text, "", sets()).unwrap();
    let dropped = verdict(&rules, &udp(53));
    assert!(dropped.dropped);
    assert_eq!(dropped.steps[0].elements, ["rf:one"]);
    assert_eq!(dropped.steps[0].comment, "rf:Set");
    assert!(!verdict(&rules, &udp(54)).dropped);
}

#[test]
fn what_the_tools_would_not_take_is_an_error_with_its_line() {
    for (line, why) in [
        ("-A NOWHERE -j DROP", "no chain `NOWHERE`"),
        ("-A FORWARD -j RF-X", "no chain `RF-X`"),
        ("-A FORWARD -p tcp --dport 99999 -j DROP", "`99999`"),
        ("-A FORWARD --dport 53 -j DROP", "`--dport`"),
        ("-A FORWARD -m multiport --dports 1 -j DROP", "`-m multiport`"),
        ("-A FORWARD -p udp -m multiport --dports 1:2,3:4,5:6,7:8,9:10,11:12,13:14,15:16", "16"),
        ("-A FORWARD -m tcp -j DROP", "`-m tcp`"),
        ("-A FORWARD -m quota --quota 5 -j DROP", "`quota`"),
        ("-A FORWARD -s fd00::1 -j DROP", "no address of this family"),
        ("-A FORWARD ! -s 10.0.0.1,10.0.0.2 -j DROP", "one address"),
        ("-A FORWARD ! -j DROP", "`!`"),
        ("-A FORWARD -j NFLOG", "needs a group"),
        ("-A FORWARD -j DROP -j DROP", "one target"),
        ("-A FORWARD -i sixteen-bytes-xx -j DROP", "no interface"),
        ("-A FORWARD -m set --match-set rf4-x src -j DROP", "no set `rf4-x`"),
        ("-A FORWARD -p icmp --icmp-type 300 -j DROP", "`300`"),
        ("-A FORWARD -p icmp --icmp-type 255 -j DROP", "every type"),
        ("-A FORWARD -m comment --comment \"open -j DROP", "not closed"),
        ("-A FORWARD -m hl --hl-eq 255 -j DROP", "`-m hl`"),
        ("-D FORWARD -j DROP", "`-D`"),
        (":RF-X ACCEPT [0:0]", "no chain"),
        ("*nat", "no `COMMIT`"),
    ] {
        let error = Rules::read(&format!("*filter\n{line}\nCOMMIT\n"), "", Sets::default());
        let error = error.err().unwrap_or_else(|| panic!("{line} was read")).to_string();
        assert!(error.contains(why), "{line}: {error}");
    }
    let error = Rules::read("", "*filter\n\n-A X -j DROP\n", Sets::default()).unwrap_err();
    assert_eq!(error.to_string(), "line 3 of the ip6tables rules: there is no chain `X`");
    let error = Rules::read("*filter\n", "", Sets::default()).unwrap_err();
    assert!(error.to_string().contains("no `COMMIT`"), "{error}");
}

#[test]
fn chains_that_lead_back_into_themselves_are_refused() {
    let text = "*filter\n:RF-A - [0:0]\n:RF-B - [0:0]\n-A RF-A -j RF-B\n-A RF-B -g RF-A\nCOMMIT\n";
    let error = Rules::read(text, "", Sets::default()).unwrap_err();
    assert!(error.to_string().contains("leads back into itself"), "{error}");
}
