//! Who says more may not reach less, and what is forbidden first stays forbidden.

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::Index;
use ringfence_common::verdict::Reason;
use ringfence_dataplane::model::{
    Action, Direction, IpBlock, NamespaceScope, Peer, Peers, Policy, PolicyName, Ports, Rule,
    Selector, Tier,
};
use ringfence_dataplane::oracle::Oracle;

use super::{CASES, Law, compare, flows, hold, rule_at, rule_mut, rules_mut, verdicts};
use crate::policies::{self, Kind};
use crate::runs;
use ringfence_testbed::agreement::tables_of;

proptest! {
    #![proptest_config(runs::config(CASES))]

    #[test]
    fn adding_an_allow_closes_nothing(
        set in policies::policy_set(Kind::Everything),
        rule in policies::rule(Kind::Everything),
        at: Index,
        ingress: bool,
        seed: u64,
    ) {
        prop_assume!(!set.policies.is_empty());
        let direction = if ingress { Direction::Ingress } else { Direction::Egress };
        let mut more = set.clone();
        let rules = rules_mut(&mut more, at.index(set.policies.len()), direction);
        rules.insert(at.index(rules.len() + 1), Rule { action: Action::Allow, ..rule });
        hold(Law::NoLess, &set, &more, seed)?;
    }

    #[test]
    fn removing_a_deny_closes_nothing(
        set in policies::policy_set(Kind::Everything),
        at: Index,
        seed: u64,
    ) {
        let denies = |rule: &Rule| rule.action == Action::Deny;
        let Some((policy, direction, position)) = rule_at(&set, at, denies) else {
            return Err(TestCaseError::reject("no rule that denies"));
        };
        let mut fewer = set.clone();
        rules_mut(&mut fewer, policy, direction).remove(position);
        hold(Law::NoLess, &set, &fewer, seed)?;
    }

    #[test]
    fn isolating_opens_nothing(
        set in policies::policy_set(Kind::Everything),
        at: Index,
        seed: u64,
    ) {
        prop_assume!(!set.policies.is_empty());
        let mut isolated = set.clone();
        let policy = &mut isolated.policies[at.index(set.policies.len())];
        policy.isolates_ingress = true;
        policy.isolates_egress = true;
        hold(Law::NoLess, &isolated, &set, seed)?;
    }

    #[test]
    fn what_is_said_of_one_direction_leaves_the_other_alone(
        set in policies::policy_set(Kind::Everything),
        rule in policies::rule(Kind::Everything),
        at: Index,
        seed: u64,
    ) {
        prop_assume!(!set.policies.is_empty());
        let mut more = set.clone();
        let policy = &mut more.policies[at.index(set.policies.len())];
        policy.isolates_ingress = true;
        policy.ingress.push(rule);
        let flows = flows(&[&set, &more], seed);
        let (old, new) = (verdicts(&set, &flows), verdicts(&more, &flows));
        for (flow, (old, new)) in flows.iter().zip(old.iter().zip(&new)) {
            for ((who, was), (_, is)) in old.iter().zip(new) {
                // Where only egress is asked.
                if who.ends_with("egress") || who.ends_with("[Egress]") {
                    prop_assert_eq!(was, is, "{:?} at {}", flow, who);
                }
            }
        }
    }

    /// Selectors side by side in one peer are both meant; as two peers, either.
    #[test]
    fn either_of_two_selectors_is_no_less_than_both(
        set in policies::policy_set(Kind::Everything),
        namespaces in policies::selector(),
        workloads in policies::selector(),
        at: Index,
        seed: u64,
    ) {
        let allows = |rule: &Rule| rule.action == Action::Allow;
        let Some(place) = rule_at(&set, at, allows) else {
            return Err(TestCaseError::reject("no rule that allows"));
        };
        let peer = |namespaces: &Selector, workloads: &Selector| Peer::Workloads {
            namespaces: NamespaceScope::Selected(namespaces.clone()),
            workloads: workloads.clone(),
        };
        let anyone = Selector::everything();
        let with = |peers: Vec<Peer>| {
            let mut set = set.clone();
            rule_mut(&mut set, place).peers = Peers::Any(peers);
            set
        };
        let both = with(vec![peer(&namespaces, &workloads)]);
        let either = with(vec![peer(&namespaces, &anyone), peer(&anyone, &workloads)]);
        hold(Law::NoLess, &both, &either, seed)?;
    }

    /// However narrow the rules are that allow something later, and however many.
    #[test]
    fn a_broad_deny_is_not_lost_to_a_narrower_allow_in_a_later_tier(
        set in policies::policy_set(Kind::Everything),
        wide in 0..3_usize,
        seed: u64,
    ) {
        let block: IpNet = ["10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0"][wide].parse().unwrap();
        let mut set = set;
        // What stays open on the host comes before every deny.
        set.policies.retain(|policy| policy.tier != Tier::Failsafe);
        let mut denied = set.clone();
        for policy in &mut denied.policies {
            policy.priority += u32::from(policy.tier == Tier::Admin);
        }
        denied.policies.push(denying(block));
        let flows: Vec<_> = flows(&[&set, &denied], seed)
            .into_iter()
            .filter(|flow| block.contains(&flow.source))
            .filter(|flow| set.inventory.owner(flow.destination).is_some())
            .collect();
        let (oracle, tables) = (Oracle::new(&denied), tables_of(&denied));
        let answers = ringfence_dataplane::compile::Answers::new(&tables);
        for flow in &flows {
            let said = oracle.decide(flow).ingress;
            let asked =
                answers.ask(flow.source, flow.destination, flow.protocol, flow.port.unwrap_or(0));
            let essential = [Reason::SelfTraffic, Reason::HostToWorkload].contains(&said.reason);
            if !essential {
                prop_assert_eq!(said.reason, Reason::DenyRule, "oracle about {:?}", flow);
                prop_assert_eq!(asked.ingress.reason, Reason::DenyRule, "tables about {:?}", flow);
            }
        }
        compare(Law::NoLess, &denied, &set, &flows)?;
    }
}

/// A policy of the first place that denies everything from `block` to everyone.
fn denying(block: IpNet) -> Policy {
    let block = IpBlock::new(block, Vec::new()).expect("nothing is excepted");
    Policy {
        name: PolicyName { kind: "policy".into(), namespace: String::new(), name: "first".into() },
        tier: Tier::Admin,
        priority: 0,
        subject_namespaces: NamespaceScope::Selected(Selector::everything()),
        subjects: Selector::everything(),
        isolates_ingress: false,
        isolates_egress: false,
        ingress: vec![Rule {
            action: Action::Deny,
            peers: Peers::Any(vec![Peer::Block(block)]),
            ports: Ports::Everything,
            origin: None,
        }],
        egress: Vec::new(),
    }
}
