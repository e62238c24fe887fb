//! Order and repetition mean nothing.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::model::{
    Action, Direction, Peers, PolicySet, PortMatch, PortRange, Ports,
};

use super::{CASES, Law, hold, rule_at, rule_mut, rules_mut};
use crate::policies::{self, Kind};
use crate::runs;

proptest! {
    #![proptest_config(runs::config(CASES))]

    #[test]
    fn the_order_of_policies_peers_and_ports(set in policies::policy_set(Kind::Everything)) {
        prop_assert_eq!(compile(&set), compile(&policies::shuffled(&set)));
    }

    #[test]
    fn the_order_of_rules_that_say_the_same(
        set in policies::policy_set(Kind::Everything),
        seed: u64,
    ) {
        let mut reversed = set.clone();
        let mut moved = false;
        for policy in &mut reversed.policies {
            for rules in [&mut policy.ingress, &mut policy.egress] {
                let said: BTreeSet<Action> = rules.iter().map(|rule| rule.action).collect();
                if said.len() == 1 && rules.len() > 1 {
                    rules.reverse();
                    moved = true;
                }
            }
        }
        prop_assume!(moved);
        hold(Law::Same, &set, &reversed, seed)?;
    }

    #[test]
    fn a_rule_said_twice(
        set in policies::policy_set(Kind::Everything),
        at: Index,
        seed: u64,
    ) {
        let mut twice = set.clone();
        let Some((policy, direction, position)) = rule_at(&set, at, |_| true) else {
            return Err(TestCaseError::reject("no rule"));
        };
        let rules = rules_mut(&mut twice, policy, direction);
        rules.insert(position, rules[position].clone());
        hold(Law::Same, &set, &twice, seed)?;
    }

    #[test]
    fn a_peer_or_port_said_twice(set in policies::policy_set(Kind::Everything)) {
        let mut twice = set.clone();
        for policy in &mut twice.policies {
            for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
                if let Peers::Any(peers) = &mut rule.peers {
                    peers.extend(peers.clone());
                }
                if let Ports::Any(ports) = &mut rule.ports {
                    ports.extend(ports.clone());
                }
            }
        }
        prop_assert_eq!(compile(&set), compile(&twice));
    }

    #[test]
    fn a_policy_said_twice(
        set in policies::policy_set(Kind::Everything),
        at: Index,
        seed: u64,
    ) {
        prop_assume!(!set.policies.is_empty());
        let mut twice = set.clone();
        let mut copy = set.policies[at.index(set.policies.len())].clone();
        copy.name.name.push_str("-again");
        twice.policies.push(copy);
        hold(Law::Same, &set, &twice, seed)?;
    }

    /// What rules that say the same say together, a policy each says too.
    #[test]
    fn a_policy_for_each_rule(
        set in policies::policy_set(Kind::MostlyNetworkPolicy),
        at: Index,
        seed: u64,
    ) {
        prop_assume!(!set.policies.is_empty());
        let mut apart = set.clone();
        let whole = apart.policies.remove(at.index(set.policies.len()));
        let says = |action: Action| action == Action::Allow;
        prop_assume!(whole.ingress.iter().chain(&whole.egress).all(|rule| says(rule.action)));
        prop_assume!(whole.ingress.len() + whole.egress.len() > 1);
        let directions = [Direction::Ingress, Direction::Egress];
        for direction in directions {
            for (index, rule) in whole.rules(direction).iter().enumerate() {
                let mut part = whole.clone();
                part.name.name = format!("{}-{direction:?}-{index}", whole.name.name);
                (part.ingress, part.egress) = match direction {
                    Direction::Ingress => (vec![rule.clone()], Vec::new()),
                    Direction::Egress => (Vec::new(), vec![rule.clone()]),
                };
                apart.policies.push(part);
            }
        }
        hold(Law::Same, &set, &apart, seed)?;
    }

    /// A range of ports is as good as its two halves: the tables are the same.
    #[test]
    fn a_range_of_ports_in_two(
        set in policies::policy_set(Kind::Everything),
        at: Index,
        cut: Index,
    ) {
        let Some(split) = with_a_range_in_two(&set, at, cut) else {
            return Err(TestCaseError::reject("no range of several ports"));
        };
        prop_assert_eq!(compile(&set), compile(&split));
    }
}

fn with_a_range_in_two(set: &PolicySet, at: Index, cut: Index) -> Option<PolicySet> {
    let range_of = |port: &PortMatch| match port {
        PortMatch::Range(protocol, range) if range.first() < range.last() => {
            Some((*protocol, *range))
        }
        _ => None,
    };
    let has_range = |ports: &Ports| match ports {
        Ports::Everything => None,
        Ports::Any(ports) => ports.iter().position(|port| range_of(port).is_some()),
    };
    let place = rule_at(set, at, |rule| has_range(&rule.ports).is_some())?;
    let mut split = set.clone();
    let rule = rule_mut(&mut split, place);
    let index = has_range(&rule.ports)?;
    let Ports::Any(ports) = &mut rule.ports else { return None };
    let (protocol, range) = range_of(&ports[index])?;
    let width = usize::from(range.last() - range.first());
    let last = range.first() + u16::try_from(cut.index(width)).expect("no wider than all ports");
    let half = |first, last| PortRange::new(first, last).expect("halves are in order");
    ports[index] = PortMatch::Range(protocol, half(range.first(), last));
    ports.push(PortMatch::Range(protocol, half(last + 1, range.last())));
    Some(split)
}
