//! Sets of plans by hand.

use std::net::Ipv4Addr;

use ringfence_common::abi::policy::Direction;

use super::{Sets, rules};
use crate::backend::chains::{Decided, Form, Line, Peers, PortRange, Service, Side};
use crate::backend::iptables::tests::{behind, chain, guard, plan, side};

fn elements(sets: &Sets, name: &str) -> Vec<String> {
    let set = sets.get(name);
    let names = || sets.keys().collect::<Vec<_>>();
    let set = set.unwrap_or_else(|| panic!("no set `{name}` among {:?}", names()));
    set.elements.iter().map(|(element, about)| format!("{element} {about}")).collect()
}

fn line(form: Form, protocol: u8, ranges: &[(u16, u16)], decided: Decided) -> Line {
    let of = |(first, last): &(u16, u16)| PortRange { first: *first, last: *last };
    let ranges = ranges.iter().map(of).collect();
    let everybody = Ipv4Addr::UNSPECIFIED..=Ipv4Addr::BROADCAST;
    let peers = match form {
        Form::Ports | Form::Protocol => Peers::Anyone,
        _ => Peers::Of { v4: vec![everybody], v6: Vec::new() },
    };
    Line { form, peers, service: Service::Ports { protocol, ranges }, decided }
}

const ALLOW: Decided = Decided { allows: true, logs: false, rule: 1 };
const DENY: Decided = Decided { allows: false, logs: true, rule: 2 };
const REFUSE: Decided = Decided { allows: false, logs: false, rule: 0 };

fn of_lines(lines: Vec<Line>) -> (Sets, Vec<String>) {
    let side = Side { lines, default: REFUSE };
    let plan = plan(vec![guard(11, behind("a"), true)], &[(Direction::Ingress, side)]);
    let (sets, [v4, _]) = rules(&plan).unwrap();
    let chain = chain(&v4, "RF-IN-0000000a");
    (sets, chain)
}

#[test]
fn ranges_of_a_few_ports_are_elements_and_wide_ones_are_rules() {
    let lines = vec![line(Form::PeerPorts, 6, &[(80, 81), (100, 116)], ALLOW)];
    let (sets, chain) = of_lines(lines);
    assert_eq!(
        elements(&sets, "rf4-in-0000000a-1a"),
        ["0.0.0.0/1,tcp:80", "0.0.0.0/1,tcp:81", "128.0.0.0/1,tcp:80", "128.0.0.0/1,tcp:81"]
            .map(|element| format!("{element} rf:00000001 p[1]"))
    );
    assert_eq!(elements(&sets, "rf4-in-0000000a-1at00640074").len(), 2);
    assert_eq!(
        chain,
        [
            "-m set --match-set rf4-in-0000000a-1a src,dst -j RETURN rf:Element",
            "-p tcp --dport 100:116 -m set --match-set rf4-in-0000000a-1at00640074 src -j RETURN \
             rf:Element",
            "-j DROP rf:NoRule",
        ]
    );
}

#[test]
fn what_refuses_is_asked_first_and_everyones_ports_have_two_halves() {
    let lines = vec![
        line(Form::Ports, 17, &[(53, 53), (1_000, 2_000)], ALLOW),
        line(Form::Ports, 6, &[(22, 22)], DENY),
        line(Form::Ports, 1, &[(0x0800, 0x0800), (0x0d00, 0x0dff)], REFUSE),
    ];
    let (sets, chain) = of_lines(lines);
    assert_eq!(
        chain,
        [
            "-m set --match-set rf4-in-0000000a-4n src,dst -j DROP rf:Element",
            "-p icmp --icmp-type 13 -j DROP rf:NoRule",
            "-m set --match-set rf4-in-0000000a-4dl src,dst -j NFLOG --nflog-group 5 \
             --nflog-prefix \"DenyRule\" rf:Element",
            "-m set --match-set rf4-in-0000000a-4dl src,dst -j DROP rf:Element",
            "-m set --match-set rf4-in-0000000a-4a src,dst -j RETURN rf:Element",
            "-p udp --dport 1000:2000 -j RETURN rf:00000001 p[1]",
            "-j DROP rf:NoRule",
        ]
    );
    assert_eq!(
        elements(&sets, "rf4-in-0000000a-4n"),
        ["0.0.0.0/1,icmp:8/0 rf:NoRule", "128.0.0.0/1,icmp:8/0 rf:NoRule"]
    );
    assert_eq!(elements(&sets, "rf6-in-0000000a-4dl")[0], "8000::/1,tcp:22 rf:00000002 p[2]");
}

#[test]
fn names_leave_room_for_a_suffix() {
    let logged = Decided { logs: true, ..ALLOW };
    let wide = line(Form::PeerPorts, 132, &[(0x1000, 0xf000)], logged);
    let plan = plan(
        vec![guard(11, behind("a"), true)],
        &[(Direction::Egress, Side { lines: vec![wide], default: REFUSE })],
    );
    let (sets, _) = rules(&plan).unwrap();
    let longest = sets.keys().map(String::len).max();
    assert_eq!(longest, Some(29), "ipset takes 31 bytes: {:?}", sets.keys());
}

#[test]
fn senders_are_known_by_address_and_interface() {
    let plan = plan(vec![guard(11, behind("a"), true)], &[(Direction::Ingress, side())]);
    let (sets, [v4, _]) = rules(&plan).unwrap();
    assert_eq!(elements(&sets, "rf4-own"), ["10.0.0.11,a rf:n/w11"]);
    assert_eq!(
        chain(&v4, "RINGFENCE-SOURCE"),
        [
            "-m set --match-set rf4-own src,src -g RF-OWN rf:OwnAddress",
            "-i a -g RF-STRANGER rf:n/w11",
        ]
    );
    assert!(!sets.contains_key("rf6-own"), "no workload has an IPv6 address");
}

#[test]
fn answers_ask_the_same_sets_by_their_source_port() {
    let mut denying = side();
    denying.default.allows = true;
    denying.lines[0].decided = DENY;
    denying.lines.push(line(Form::Ports, 1, &[(0x0800, 0x0800)], DENY));
    let plan = plan(vec![guard(11, behind("a"), false)], &[(Direction::Egress, denying)]);
    let (_, [v4, _]) = rules(&plan).unwrap();
    let asked: Vec<String> =
        chain(&v4, "RF-IN-0000000a-B").into_iter().filter(|rule| rule.contains("DROP")).collect();
    assert_eq!(
        asked,
        [
            "-p tcp -m set --match-set rf4-out-0000000a-1dl src,src -j DROP rf:Element",
            "-p tcp -m set --match-set rf4-out-0000000a-4dl src,src -j DROP rf:Element",
            "-p icmp --icmp-type 0 -j DROP rf:00000002 p[2]",
        ]
    );
}
