//! The points of the semantics, each by hand: what is written here was not made by any program, and
//! both the oracle and the compiled tables have to say it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod shop;

use std::collections::BTreeSet;

use ringfence_common::abi::identity::endpoint;
use ringfence_dataplane::compile::{Answers, compile};
use ringfence_dataplane::model::{
    Action, IpBlock, NamedPort, NamespaceScope, Operator, Peer, Peers, Policy, PolicySet,
    PortMatch, PortRange, Ports, Protocol, Requirement, Rule, Selector, Tier, WorkloadName,
};
use ringfence_dataplane::oracle::{self, Flow, Oracle, Reason};

const API: &str = "10.1.0.2";
const DB: &str = "10.1.0.3";
const WEB: &str = "10.1.0.4";
const WORLD: &str = "203.0.113.1";
const TCP: u8 = 6;
const ICMP: u8 = 1;

/// The shop, with the database's policy replaced by `policies`.
fn shop(policies: impl IntoIterator<Item = Policy>) -> PolicySet {
    let mut set = shop::shop();
    set.policies = policies.into_iter().collect();
    for (index, policy) in set.policies.iter_mut().enumerate() {
        policy.name.name = format!("policy-{index}");
    }
    set
}

/// A policy of the database for ingress.
fn policy(tier: Tier, priority: u32, isolates: bool, ingress: Vec<Rule>) -> Policy {
    let shop = shop::shop().policies.remove(0);
    Policy { tier, priority, isolates_ingress: isolates, ingress, ..shop }
}

fn network_policy(ingress: Vec<Rule>) -> Policy {
    policy(Tier::Developer, 0, true, ingress)
}

fn rule(action: Action, peers: Peers, ports: Ports) -> Rule {
    Rule { action, peers, ports, origin: None }
}

fn everyone(action: Action) -> Rule {
    rule(action, Peers::Everyone, Ports::Everything)
}

fn app(value: &str) -> Peers {
    let operator = Operator::In([value.to_owned()].into());
    let workloads = Selector::new([Requirement { key: "app".into(), operator }]);
    Peers::Any(vec![Peer::Workloads {
        namespaces: NamespaceScope::Named("shop".into()),
        workloads,
    }])
}

fn block(block: &str, except: &[&str]) -> Peers {
    let except = except.iter().map(|net| net.parse().unwrap()).collect();
    Peers::Any(vec![Peer::Block(IpBlock::new(block.parse().unwrap(), except).unwrap())])
}

fn port(port: u16) -> Ports {
    Ports::Any(vec![PortMatch::Range(Protocol::Tcp, PortRange::single(port))])
}

/// Why the database lets a flow in or not.
#[track_caller]
fn assert_ingress(set: &PolicySet, source: &str, service: (u8, Option<u16>), expected: Reason) {
    let (protocol, port) = service;
    let (from, to) = (source.parse().unwrap(), DB.parse().unwrap());
    let answer = Oracle::new(set).decide(&Flow { source: from, destination: to, protocol, port });
    assert_eq!(answer.ingress.reason, expected, "the oracle on {source}");
    assert_eq!(answer.ingress.allowed, !expected.denies());
    let tables = compile(set).unwrap();
    let sides = Answers::new(&tables).ask(from, to, protocol, port.unwrap_or(0));
    assert_eq!(sides.ingress.reason, expected, "the tables on {source}\n{tables}");
}

fn tcp(port: u16) -> (u8, Option<u16>) {
    (TCP, Some(port))
}

#[test]
fn what_no_policy_selects_is_open_and_an_empty_policy_closes() {
    assert_ingress(&shop([]), WORLD, tcp(1), Reason::NotIsolated);
    assert_ingress(&shop([network_policy(vec![])]), WEB, tcp(1), Reason::NoRule);
    let all = shop([network_policy(vec![everyone(Action::Allow)])]);
    assert_ingress(&all, WORLD, tcp(1), Reason::Rule);
    assert_ingress(&all, WORLD, (ICMP, None), Reason::Rule);
}

#[test]
fn blocks_match_by_address_for_known_workloads_too() {
    let peers = block("10.1.0.0/24", &["10.1.0.4/32"]);
    let set = shop([network_policy(vec![rule(Action::Allow, peers, Ports::Everything)])]);
    assert_ingress(&set, API, tcp(1), Reason::Rule);
    assert_ingress(&set, WEB, tcp(1), Reason::NoRule);
    assert_ingress(&set, "10.1.0.200", tcp(1), Reason::Rule);
    assert_ingress(&set, "10.1.1.0", tcp(1), Reason::NoRule);
}

#[test]
fn policies_add_up_and_deny_wins_at_the_same_place() {
    let allow = |peers| network_policy(vec![rule(Action::Allow, peers, port(80))]);
    let both = shop([allow(app("api")), allow(app("web"))]);
    assert_ingress(&both, API, tcp(80), Reason::Rule);
    assert_ingress(&both, WEB, tcp(80), Reason::Rule);
    let deny = network_policy(vec![rule(Action::Deny, app("web"), Ports::Everything)]);
    let set = shop([allow(Peers::Everyone), deny]);
    assert_ingress(&set, API, tcp(80), Reason::Rule);
    assert_ingress(&set, WEB, tcp(80), Reason::DenyRule);
}

#[test]
fn tiers_and_priorities_are_asked_in_order() {
    let deny_web = || vec![rule(Action::Deny, app("web"), Ports::Everything)];
    let allow = || vec![everyone(Action::Allow)];
    let admin_first = shop([network_policy(allow()), policy(Tier::Admin, 9, false, deny_web())]);
    assert_ingress(&admin_first, WEB, tcp(1), Reason::DenyRule);
    let lower_first =
        shop([policy(Tier::Admin, 5, false, deny_web()), policy(Tier::Admin, 4, false, allow())]);
    assert_ingress(&lower_first, WEB, tcp(1), Reason::Rule);
    let baseline_last = shop([policy(Tier::Baseline, 0, false, deny_web())]);
    assert_ingress(&baseline_last, WEB, tcp(1), Reason::DenyRule);
    assert_ingress(&baseline_last, API, tcp(1), Reason::NotIsolated);
    let never_reached = shop([network_policy(vec![]), policy(Tier::Baseline, 0, false, allow())]);
    assert_ingress(&never_reached, API, tcp(1), Reason::NoRule);
}

#[test]
fn within_a_policy_the_first_rule_that_matches_counts() {
    let allow_web = || rule(Action::Allow, app("web"), port(80));
    let deny_all = || everyone(Action::Deny);
    let narrow_first = shop([policy(Tier::Admin, 0, false, vec![allow_web(), deny_all()])]);
    assert_ingress(&narrow_first, WEB, tcp(80), Reason::Rule);
    assert_ingress(&narrow_first, WEB, tcp(81), Reason::DenyRule);
    assert_ingress(&narrow_first, API, tcp(80), Reason::DenyRule);
    let wide_first = shop([policy(Tier::Admin, 0, false, vec![deny_all(), allow_web()])]);
    assert_ingress(&wide_first, WEB, tcp(80), Reason::DenyRule);
    let passed = vec![rule(Action::Pass, app("web"), Ports::Everything), deny_all()];
    let passed = shop([policy(Tier::Admin, 0, false, passed)]);
    assert_ingress(&passed, WEB, tcp(80), Reason::NotIsolated);
    let logged = vec![everyone(Action::Log), allow_web(), deny_all()];
    let logged = shop([policy(Tier::Admin, 0, false, logged)]);
    assert_ingress(&logged, WEB, tcp(80), Reason::Rule);
}

#[test]
fn among_policies_of_one_priority_deny_wins_then_allow_then_pass() {
    use Action::{Allow, Deny, Pass};
    let says = |action| policy(Tier::Admin, 0, false, vec![everyone(action)]);
    let set = |actions: &[Action]| {
        let mut policies: Vec<Policy> = actions.iter().map(|action| says(*action)).collect();
        policies.push(network_policy(vec![]));
        shop(policies)
    };
    for (actions, expected) in [
        (&[Allow, Deny, Pass][..], Reason::DenyRule),
        (&[Pass, Deny], Reason::DenyRule),
        (&[Pass, Allow], Reason::Rule),
        (&[Allow, Pass], Reason::Rule),
        (&[Pass, Pass], Reason::NoRule),
    ] {
        assert_ingress(&set(actions), WEB, tcp(1), expected);
    }
    // A policy whose first matching rule allows does not deny by a later one.
    let first = vec![rule(Action::Allow, app("web"), port(80)), everyone(Action::Deny)];
    let other = vec![rule(Action::Pass, app("web"), Ports::Everything)];
    let set = shop([policy(Tier::Admin, 0, false, first), policy(Tier::Admin, 0, false, other)]);
    assert_ingress(&set, WEB, tcp(80), Reason::Rule);
    assert_ingress(&set, WEB, tcp(81), Reason::DenyRule);
}

#[test]
fn passing_leaves_the_flow_to_the_next_tier() {
    let set = shop([
        policy(Tier::Admin, 0, false, vec![rule(Action::Pass, app("web"), port(80))]),
        policy(Tier::Admin, 1, false, vec![everyone(Action::Deny)]),
        network_policy(vec![rule(Action::Allow, app("web"), Ports::Everything)]),
    ]);
    assert_ingress(&set, WEB, tcp(80), Reason::Rule);
    assert_ingress(&set, WEB, tcp(81), Reason::DenyRule);
    assert_ingress(&set, API, tcp(80), Reason::DenyRule);
}

#[test]
fn logging_isolates_nobody_and_is_reported() {
    let set = shop([policy(Tier::Developer, 0, false, vec![everyone(Action::Log)])]);
    assert_ingress(&set, WEB, tcp(1), Reason::NotIsolated);
    let flow = Flow {
        source: WEB.parse().unwrap(),
        destination: DB.parse().unwrap(),
        protocol: TCP,
        port: Some(1),
    };
    assert!(Oracle::new(&set).decide(&flow).ingress.logged);
    let tables = compile(&set).unwrap();
    assert!(Answers::new(&tables).ask(flow.source, flow.destination, TCP, 1).ingress.log);
}

#[test]
fn rules_with_ports_match_the_protocols_they_name_alone() {
    let set = shop([network_policy(vec![rule(Action::Allow, app("web"), port(80))])]);
    assert_ingress(&set, WEB, tcp(80), Reason::Rule);
    assert_ingress(&set, WEB, (17, Some(80)), Reason::NoRule);
    assert_ingress(&set, WEB, (ICMP, None), Reason::NoRule);
}

#[test]
fn port_names_are_those_of_the_destination() {
    let named = Ports::Any(vec![PortMatch::Named(Protocol::Tcp, "postgres".into())]);
    let mut set = shop([network_policy(vec![rule(Action::Allow, Peers::Everyone, named)])]);
    assert_ingress(&set, WEB, tcp(5_432), Reason::NoRule);
    let workloads: Vec<_> = set.inventory.workloads().cloned().collect();
    set.inventory = Default::default();
    for mut workload in workloads {
        let port = if workload.name.name == "db" { 5_432 } else { 1 };
        let name = "postgres".to_owned();
        workload.ports = vec![NamedPort { name, protocol: Protocol::Tcp, port }];
        set.inventory.add_workload(workload).unwrap();
    }
    assert_ingress(&set, WEB, tcp(5_432), Reason::Rule);
    assert_ingress(&set, WEB, tcp(1), Reason::NoRule);
}

#[test]
fn a_workload_may_talk_to_itself_and_the_host_to_its_workloads() {
    let mut set = shop([network_policy(vec![])]);
    assert_ingress(&set, DB, tcp(1), Reason::SelfTraffic);
    let workloads: Vec<_> = set.inventory.workloads().cloned().collect();
    set.inventory = Default::default();
    for mut workload in workloads {
        workload.host = workload.name.name == "web";
        set.inventory.add_workload(workload).unwrap();
    }
    assert_ingress(&set, WEB, tcp(1), Reason::HostToWorkload);
    assert_ingress(&set, API, tcp(1), Reason::NoRule);
}

#[test]
fn the_host_reaches_its_own_workloads_whatever_its_egress_policy_says() {
    let mut set = shop([Policy {
        subjects: Selector::everything(),
        isolates_egress: true,
        ..network_policy(vec![])
    }]);
    let workloads: Vec<_> = set.inventory.workloads().cloned().collect();
    set.inventory = Default::default();
    for mut workload in workloads {
        workload.host = workload.name.name == "web";
        set.inventory.add_workload(workload).unwrap();
    }
    let (source, destination) = (WEB.parse().unwrap(), DB.parse().unwrap());
    let flow = Flow { source, destination, protocol: TCP, port: Some(1) };
    let reasons = |answer: oracle::Answer| [answer.egress.reason, answer.ingress.reason];
    let own = [Reason::HostToWorkload; 2];
    assert_eq!(reasons(Oracle::new(&set).decide(&flow)), own);
    let tables = compile(&set).unwrap();
    let sides = Answers::new(&tables).ask(source, destination, TCP, 1);
    assert_eq!([sides.egress.reason, sides.ingress.reason], own);

    // Elsewhere they are nobody's own, and both ends follow policy.
    let elsewhere = BTreeSet::from([WorkloadName::new("shop", "api")]);
    let answer = Oracle::placed(&set, &elsewhere).decide(&flow);
    assert_eq!(reasons(answer), [Reason::NoRule; 2]);
    let host = tables.for_host(&BTreeSet::from([endpoint::HOST]));
    let sides = Answers::new(&host).ask(source, destination, TCP, 1);
    assert_eq!(sides.egress.reason, Reason::NoRule);
}

#[test]
fn labels_nobody_carries_select_nobody() {
    let set = shop([network_policy(vec![rule(Action::Allow, app("ghost"), Ports::Everything)])]);
    for source in [API, WEB, WORLD] {
        assert_ingress(&set, source, tcp(1), Reason::NoRule);
    }
}

#[test]
fn a_workload_label_does_not_pass_for_a_namespace_label() {
    let team = Requirement { key: "app".into(), operator: Operator::Exists };
    let peers = Peers::Any(vec![Peer::Workloads {
        namespaces: NamespaceScope::Selected(Selector::new([team])),
        workloads: Selector::everything(),
    }]);
    let set = shop([network_policy(vec![rule(Action::Allow, peers, Ports::Everything)])]);
    assert_ingress(&set, WEB, tcp(1), Reason::NoRule);
}

#[test]
fn two_hosts_are_refused() {
    let mut set = shop([]);
    let workloads: Vec<_> = set.inventory.workloads().cloned().collect();
    set.inventory = Default::default();
    for mut workload in workloads {
        workload.host = true;
        set.inventory.add_workload(workload).unwrap();
    }
    assert_eq!(
        compile(&set).unwrap_err().to_string(),
        "workloads `shop/api` and `shop/db` both claim to be the host"
    );
}
