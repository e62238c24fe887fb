//! Chains of plans by hand.

use std::collections::BTreeMap;

use ringfence_common::abi::config::essential;
use ringfence_common::abi::policy::Direction;

use super::{Family, Layout, Ruleset, ruleset};
use crate::backend::chains::{
    Decided, Entry, Form, Guard, HostGuard, Line, Peers, Plan, PortRange, Service, Side,
};
use crate::backend::{Mode, Settings};
use crate::compile::RuleDescription;

/// The subject of all guards.
const SUBJECT: u32 = 0xa;

pub(in crate::backend) fn guard(endpoint: u32, entry: Entry, isolated: bool) -> Guard {
    let address = format!("10.0.0.{endpoint}").parse().unwrap();
    let name = format!("n/w{endpoint}");
    Guard { endpoint, name, entry, addresses: vec![address], subject: SUBJECT, isolated }
}

pub(in crate::backend) fn behind(interface: &str) -> Entry {
    Entry::Interface(interface.to_owned())
}

pub(in crate::backend) fn plan(guards: Vec<Guard>, sides: &[(Direction, Side)]) -> Plan {
    let rule = |number| (number, RuleDescription { name: format!("p[{number}]"), origin: None });
    Plan {
        mode: Mode::Enforce,
        settings: Settings::default(),
        guards,
        host: None,
        sides: sides.iter().map(|(to, side)| ((SUBJECT, *to), side.clone())).collect(),
        rules: (1..9).map(rule).collect::<BTreeMap<_, _>>(),
    }
}

/// Refuses all but TCP to port 80 of one peer.
pub(in crate::backend) fn side() -> Side {
    let peer = [192, 0, 2, 7].into();
    let ranges = vec![PortRange { first: 80, last: 80 }];
    let line = Line {
        form: Form::PeerPorts,
        peers: Peers::Of { v4: vec![peer..=peer], v6: Vec::new() },
        service: Service::Ports { protocol: 6, ranges },
        decided: Decided { allows: true, logs: false, rule: 1 },
    };
    Side { lines: vec![line], default: Decided { allows: false, logs: false, rule: 0 } }
}

fn host(uplinks: &[&str]) -> HostGuard {
    HostGuard {
        name: "n/host".to_owned(),
        uplinks: uplinks.iter().map(|name| (*name).to_owned()).collect(),
        addresses: vec!["192.0.2.1".parse().unwrap()],
        subject: 0xb,
        isolated: false,
    }
}

fn v4(plan: &Plan) -> Ruleset {
    ruleset(plan, Family::V4, Layout::Structured).unwrap()
}

/// The rules of a chain: what each matches, where it leads and what it is about.
pub(in crate::backend) fn chain(ruleset: &Ruleset, name: &str) -> Vec<String> {
    let chain = ruleset.chains.iter().find(|chain| chain.name == name);
    let names = || ruleset.chains.iter().map(|chain| &chain.name).collect::<Vec<_>>();
    let chain = chain.unwrap_or_else(|| panic!("no chain `{name}` among {:?}", names()));
    let text = |rule: &super::Rule| {
        format!("{} {} {}", rule.matches, rule.target, rule.about).trim_start().to_owned()
    };
    chain.rules.iter().map(text).collect()
}

const STRAY: &str = "-p tcp ! --tcp-flags SYN,ACK SYN";

const NEW: &str = "-m conntrack --ctstate NEW";

#[test]
fn who_guards_nobody_has_no_rules() {
    let empty = Ruleset { family: Family::V4, chains: Vec::new(), jumps: Vec::new() };
    assert_eq!(v4(&plan(Vec::new(), &[])), empty);
}

#[test]
fn a_workload_without_addresses_of_the_family_needs_no_chain_of_its_own() {
    let ruleset =
        ruleset(&plan(vec![guard(11, behind("a"), false)], &[]), Family::V6, Layout::Structured);
    let forward = chain(&ruleset.unwrap(), "RINGFENCE-FORWARD");
    assert_eq!(forward[13..], ["-i a -j RF-INVALID rf:n/w11", "-o a -j RF-INVALID rf:n/w11"]);
}

#[test]
fn audit_reports_what_would_be_refused() {
    let mut plan = plan(vec![guard(11, behind("a"), true)], &[(Direction::Ingress, side())]);
    plan.mode = Mode::Audit;
    let ruleset = v4(&plan);
    assert_eq!(
        chain(&ruleset, "RF-IN-0000000a"),
        [
            "-s 192.0.2.7 -p tcp --dport 80 -j RETURN rf:00000001 p[1]",
            "-j NFLOG --nflog-group 5 --nflog-prefix \"NoRule\" rf:NoRule",
            "-j RETURN rf:NoRule",
        ]
    );
    assert!(!ruleset.script().to_string().contains("-j DROP"), "audit drops nothing");
}

#[test]
fn what_logs_is_reported_before_its_verdict() {
    let mut logging = side();
    logging.lines[0].decided = Decided { allows: false, logs: true, rule: 2 };
    let plan = plan(vec![guard(11, behind("a"), true)], &[(Direction::Egress, logging)]);
    assert_eq!(
        chain(&v4(&plan), "RF-OUT-0000000a")[..2],
        [
            "-d 192.0.2.7 -p tcp --dport 80 -j NFLOG --nflog-group 5 --nflog-prefix \
             \"DenyRule 00000002\" rf:00000002 p[2]",
            "-d 192.0.2.7 -p tcp --dport 80 -j DROP rf:00000002 p[2]",
        ]
    );
}

#[test]
fn a_shared_interface_is_entered_by_address_and_refuses_others() {
    let shared = || Entry::Shared("br0".to_owned());
    let plan = plan(vec![guard(11, shared(), false), guard(12, shared(), false)], &[]);
    let ruleset = v4(&plan);
    assert_eq!(
        chain(&ruleset, "RINGFENCE-FORWARD")[2..],
        [
            "-i br0 -s 10.0.0.11 -j RF-FROM-0000000b rf:n/w11",
            "-i br0 -s 10.0.0.12 -j RF-FROM-0000000c rf:n/w12",
            "-o br0 -j RF-BEHIND-0000000b rf:Behind",
        ]
    );
    assert_eq!(
        chain(&ruleset, "RF-BEHIND-0000000b"),
        [
            "-d 10.0.0.11 -g RF-TO-0000000b rf:n/w11",
            "-d 10.0.0.12 -g RF-TO-0000000c rf:n/w12",
            "-p udp --sport 67 --dport 68 -j RETURN rf:Dhcp",
            "-j DROP rf:UnknownEndpoint",
        ]
    );
    let flat = super::ruleset(&plan, Family::V4, Layout::Flat).unwrap();
    assert_eq!(
        chain(&flat, "RF-IN"),
        [
            "-o br0 -s 10.0.0.11 -d 10.0.0.11 -j RETURN rf:SelfTraffic",
            "-o br0 -d 10.0.0.11 -j RF-INVALID rf:Invalid",
            "-o br0 -d 10.0.0.11 -j RETURN rf:NotIsolated",
            "-o br0 -s 10.0.0.12 -d 10.0.0.12 -j RETURN rf:SelfTraffic",
            "-o br0 -d 10.0.0.12 -j RF-INVALID rf:Invalid",
            "-o br0 -d 10.0.0.12 -j RETURN rf:NotIsolated",
            "-o br0 -p udp --sport 67 --dport 68 -j RETURN rf:Dhcp",
            "-o br0 -j DROP rf:UnknownEndpoint",
        ]
    );
}

#[test]
fn strays_of_who_is_not_isolated_are_asked_about_both_ways() {
    let mut denying = side();
    denying.default.allows = true;
    denying.lines[0].decided.allows = false;
    let plan = plan(vec![guard(11, behind("a"), false)], &[(Direction::Egress, denying)]);
    let ruleset = v4(&plan);
    let to = chain(&ruleset, "RF-TO-0000000b");
    assert_eq!(to[1], "-j RF-INVALID rf:Invalid");
    assert_eq!(to[2], format!("{STRAY} -j RF-IN-0000000a-B rf:Backward"));
    assert_eq!(to[3], "-p icmp --icmp-type 0 -j RF-IN-0000000a-B rf:Backward");
    assert_eq!(
        chain(&ruleset, "RF-IN-0000000a-B"),
        ["-s 192.0.2.7 -p tcp --sport 80 -j DROP rf:00000001 p[1]", "-j RETURN rf:NotIsolated"]
    );
    let from = chain(&ruleset, "RF-FROM-0000000b");
    assert!(!from.iter().any(|rule| rule.contains("-B")), "the other direction is open: {from:?}");
}

#[test]
fn older_connections_are_picked_up_if_one_orientation_allows_them() {
    let guards = || vec![guard(11, behind("a"), true)];
    let until = "-m time --datestop 2026-11-22T10:11:12";
    let mut one = plan(guards(), &[(Direction::Ingress, side())]);
    one.settings.pick_up_until = Some(1_795_342_272);
    for name in ["RF-TO-0000000b", "RF-FROM-0000000b", "RF-BY-HOST-ISOLATED"] {
        let rule = format!("{STRAY} {NEW} {until} -j RETURN rf:PickedUp");
        assert!(chain(&v4(&one), name).contains(&rule), "{name}");
    }
    let mut both = plan(guards(), &[(Direction::Ingress, side()), (Direction::Egress, side())]);
    both.settings.pick_up_until = Some(1_795_342_272);
    let ruleset = v4(&both);
    let rule = format!("{STRAY} {NEW} {until} -g RF-OUT-0000000a-P rf:PickUp");
    assert!(chain(&ruleset, "RF-FROM-0000000b").contains(&rule));
    assert_eq!(
        chain(&ruleset, "RF-OUT-0000000a-P"),
        [
            "-m addrtype --dst-type LOCAL -j RETURN rf:HostToWorkload",
            "-d 192.0.2.7 -p tcp --sport 80 -j RETURN rf:00000001 p[1]",
            "-g RF-OUT-0000000a rf:NoRule",
        ]
    );
    both.settings.pick_up_until = Some(u64::MAX);
    let refused = super::ruleset(&both, Family::V4, Layout::Flat);
    assert_eq!(refused, Err(super::RenderError::Date { until: u64::MAX }));
}

#[test]
fn the_host_asks_its_own_policy_on_its_uplinks_and_of_its_workloads() {
    let mut plan = plan(vec![guard(11, behind("a"), false)], &[]);
    plan.host = Some(host(&["eth0"]));
    plan.sides.insert((0xb, Direction::Ingress), side());
    let ruleset = v4(&plan);
    assert_eq!(
        chain(&ruleset, "RINGFENCE-INPUT")[2..],
        [
            "-i eth0 -p udp --sport 67 --dport 68 -j RETURN rf:Dhcp",
            "-i eth0 -g RF-TO-00000001 rf:n/host",
            "-p udp --sport 68 --dport 67 -j RETURN rf:Dhcp",
            "-i a -j RF-FROM-0000000b rf:n/w11",
            "-i a -g RF-TO-00000001 rf:n/host",
        ]
        .map(str::to_owned)
    );
    let source = chain(&ruleset, "RF-UPLINK");
    assert_eq!(source.last().unwrap(), "-s 192.0.2.1 -j DROP rf:Spoofed");
}

#[test]
fn the_hosts_way_to_its_workloads_can_be_made_to_follow_policy() {
    let mut plan = plan(vec![guard(7, behind("a"), true)], &[(Direction::Ingress, side())]);
    plan.host = Some(host(&[]));
    plan.settings.essential = essential::NON_IP;
    let ruleset = v4(&plan);
    assert_eq!(
        chain(&ruleset, "RINGFENCE-OUTPUT")[1..],
        [
            "-o a -j RF-INVALID rf:n/host",
            "-o a -j RF-TO-00000007 rf:n/w7",
            "-o a -j RETURN rf:Done",
            "! -o lo -j RF-INVALID rf:n/host",
        ]
    );
    let to = chain(&ruleset, "RF-TO-00000007");
    assert_eq!(to, ["-j RF-STRAY rf:Stray", "-g RF-IN-0000000a rf:Policy"]);
    let off = "-p icmp -m conntrack --ctstate RELATED -m icmp ! --icmp-type 5 -j DROP";
    assert_eq!(chain(&ruleset, "RF-INVALID")[0], format!("{off} rf:EssentialOff"));
    plan.settings.essential = 0;
    let refused = super::ruleset(&plan, Family::V4, Layout::Structured);
    assert_eq!(refused, Err(super::RenderError::NonIp));
}

#[test]
fn what_leaves_by_a_workloads_interface_for_others_meets_the_hosts_policy() {
    let mut plan = plan(vec![guard(7, behind("a"), false)], &[]);
    plan.host = Some(host(&["eth0"]));
    let open = chain(&v4(&plan), "RINGFENCE-OUTPUT");
    assert!(!open[2].contains("n/host"), "nobody asks about the host: {open:?}");
    plan.sides.insert((0xb, Direction::Egress), side());
    plan.host.as_mut().unwrap().isolated = true;
    let ruleset = v4(&plan);
    assert_eq!(
        chain(&ruleset, "RINGFENCE-OUTPUT")[2..],
        [
            "-o a -p udp --sport 67 --dport 68 -j RETURN rf:Dhcp",
            "-o a -j RF-FROM-00000001 rf:n/host",
            "-o a -g RF-BY-HOST rf:n/w7",
            "-o eth0 -p udp --sport 68 --dport 67 -j RETURN rf:Dhcp",
            "-o eth0 -j RF-FROM-00000001 rf:n/host",
        ]
    );
    assert_eq!(
        chain(&ruleset, "RF-FROM-00000001"),
        [
            "-j RF-STRAY rf:Stray",
            "-d 10.0.0.7 -j RETURN rf:HostToWorkload",
            "-g RF-OUT-0000000b rf:Policy",
        ]
    );
}

#[test]
fn who_is_known_by_address_may_come_in_by_an_uplink_but_not_on_the_loopback() {
    let guards = vec![guard(7, Entry::Addresses, true), guard(8, behind("a"), false)];
    let mut plan = plan(guards, &[(Direction::Egress, side())]);
    plan.host = Some(host(&["eth0"]));
    for layout in [Layout::Structured, Layout::Flat] {
        let ruleset = ruleset(&plan, Family::V4, layout).unwrap();
        let input = chain(&ruleset, "RINGFENCE-INPUT");
        assert_eq!(input[0], "-i lo -j RETURN rf:Loopback");
        assert_eq!(chain(&ruleset, "RINGFENCE-OUTPUT")[0], "-o lo -j RETURN rf:Loopback");
        let place = |what: &str| input.iter().position(|rule| rule.contains(what)).unwrap();
        let asked = if layout == Layout::Flat { "RF-OUT" } else { "-s 10.0.0.7 -j RF-FROM" };
        assert!(place(asked) < place("-i eth0"), "{input:#?}");
        let uplink = chain(&ruleset, "RF-UPLINK");
        let refused = |address: &str| uplink.contains(&format!("-s {address} -j DROP rf:Spoofed"));
        assert!(refused("10.0.0.8") && refused("192.0.2.1"), "{uplink:?}");
        assert!(!refused("10.0.0.7"), "nobody knows where it is: {uplink:?}");
    }
    let (sets, _) = crate::backend::ipset::rules(&plan).unwrap();
    assert_eq!(sets["rf4-local"].elements.keys().collect::<Vec<_>>(), ["10.0.0.8", "192.0.2.1"]);
}

/// `iptables-restore` gives up at a line of 10,240 bytes, a comment or not.
#[test]
fn no_line_is_longer_than_the_tools_take() {
    let shared = |endpoint| {
        let mut guard = guard(7, Entry::Shared("br0".to_owned()), true);
        guard.endpoint = endpoint;
        guard.name = format!("{}/{endpoint}", "n".repeat(300));
        guard
    };
    let mut plan = plan((2..200).map(shared).collect(), &[(Direction::Egress, side())]);
    plan.host = Some(host(&[]));
    let short = |script: &crate::backend::chains::Script| {
        let longest = script.lines.iter().map(|line| line.text.len()).max().unwrap();
        assert!(longest < 2_048, "{longest} bytes");
    };
    for layout in [Layout::Structured, Layout::Flat] {
        short(&ruleset(&plan, Family::V4, layout).unwrap().script());
    }
    let (sets, rules) = crate::backend::ipset::rules(&plan).unwrap();
    short(&crate::backend::ipset::script(&sets));
    rules.iter().for_each(|rules| short(&rules.script()));
}

#[test]
fn forwarded_listener_discovery_is_for_groups() {
    let plan = plan(vec![guard(11, behind("a"), true)], &[]);
    let ruleset = ruleset(&plan, Family::V6, Layout::Structured).unwrap();
    let of = |name| -> Vec<String> {
        let rules = chain(&ruleset, name).into_iter();
        rules.filter(|rule| rule.ends_with("rf:MulticastListener")).collect()
    };
    let (forward, input) = (of("RINGFENCE-FORWARD"), of("RINGFENCE-INPUT"));
    assert_eq!((forward.len(), input.len()), (4, 4));
    assert!(forward.iter().all(|rule| rule.starts_with("-d ff00::/8 ")), "{forward:?}");
    assert!(input.iter().all(|rule| rule.starts_with("-p ipv6-icmp ")), "{input:?}");
}
