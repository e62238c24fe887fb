//! Tables and oracle agree: compiled tables, looked up in the order of the packet's decision, say
//! about every flow what the model says by definition.
use std::collections::BTreeSet;

use ipnet::IpNet;
use proptest::prelude::*;
use ringfence_common::abi::identity::identity;
use ringfence_common::abi::policy::{
    Direction, PolicyEntry, PolicyKey, action, entry_flags, forms,
};
use ringfence_dataplane::compile::{Answers, Tables, compile};
use ringfence_dataplane::model::{PolicySet, WorkloadName};
use ringfence_dataplane::oracle::{Flow, Oracle, Reason, Side};

use crate::flows;
use crate::policies::{self, Kind};
use crate::runs;

proptest! {
    #![proptest_config(runs::config(96))]

    #[test]
    fn tables_say_what_the_model_says(set in policies::policy_set(Kind::Everything)) {
        assert_agreement(&set)?;
    }

    #[test]
    fn also_for_network_policy_alone(set in policies::policy_set(Kind::MostlyNetworkPolicy)) {
        assert_agreement(&set)?;
    }

    #[test]
    fn order_of_input_makes_no_difference(set in policies::policy_set(Kind::Everything)) {
        prop_assert_eq!(compile(&set), compile(&policies::shuffled(&set)));
    }

    #[test]
    fn forms_say_exactly_which_entries_exist(set in policies::policy_set(Kind::Everything)) {
        let tables = compile(&set).unwrap();
        for (number, subject) in &tables.subjects {
            for direction in [Direction::Ingress, Direction::Egress] {
                let keys = tables
                    .policy
                    .keys()
                    .filter(|key| key.subject == *number && key.direction() == direction);
                let there = keys.fold(0, |there, key| there | form(key));
                let said = subject.forms(direction);
                prop_assert_eq!(said & !(forms::ENFORCED | forms::ISOLATED), there);
                prop_assert!(there == 0 || said & forms::ENFORCED != 0);
            }
        }
    }

    #[test]
    fn no_entry_could_be_left_out(set in policies::policy_set(Kind::Everything)) {
        assert_minimal(&compile(&set).unwrap())?;
    }

    #[test]
    fn a_host_needs_the_policy_of_its_own_endpoints_alone(
        set in policies::policy_set(Kind::Everything),
    ) {
        let all = compile(&set).unwrap();
        let (whole, flows) = (Answers::new(&all), flows::all(&[&all]));
        for number in all.endpoints.keys() {
            let host = all.for_host(&BTreeSet::from([*number]));
            let own: BTreeSet<_> = all.endpoints[number].addresses.iter().copied().collect();
            let part = Answers::new(&host);
            let (namespace, name) = all.endpoints[number].name.split_once('/').unwrap();
            let local = BTreeSet::from([WorkloadName::new(namespace, name)]);
            for flow in &flows {
                let port = flow.port.unwrap_or(0);
                let ask = |answers: &Answers<'_>| {
                    answers.ask(flow.source, flow.destination, flow.protocol, port)
                };
                let from_outside = !own.contains(&flow.source);
                // The host's own traffic is recognised where both ends are endpoints; to a workload
                // elsewhere its policy decides.
                if own.contains(&flow.destination) && from_outside
                    && ask(&whole).ingress.reason != Reason::HostToWorkload
                {
                    prop_assert_eq!(ask(&part).ingress, ask(&whole).ingress, "{:?}", flow);
                }
                if !from_outside && ask(&whole).egress.reason != Reason::HostToWorkload {
                    prop_assert_eq!(ask(&part).egress, ask(&whole).egress, "{:?}", flow);
                } else if !from_outside {
                    let alone = Oracle::placed(&set, &local).decide(flow).egress.reason;
                    prop_assert_eq!(ask(&part).egress.reason, alone, "{:?}", flow);
                }
            }
        }
    }
}

fn assert_agreement(set: &PolicySet) -> Result<(), TestCaseError> {
    let tables = compile(set).unwrap();
    let oracle = Oracle::new(set);
    let answers = Answers::new(&tables);
    for flow in flows::all(&[&tables]) {
        let expected = oracle.decide(&flow);
        let actual =
            answers.ask(flow.source, flow.destination, flow.protocol, flow.port.unwrap_or(0));
        let context = |direction: Direction, side: &Side| {
            format!("{direction:?} of {flow:?}: {side:?}\n{set:#?}\n{tables}")
        };
        for (direction, side, decision) in [
            (Direction::Egress, &expected.egress, actual.egress),
            (Direction::Ingress, &expected.ingress, actual.ingress),
        ] {
            prop_assert_eq!(decision.reason, side.reason, "{}", context(direction, side));
            prop_assert_eq!(decision.passes(), side.allowed, "{}", context(direction, side));
            if matches!(decision.reason, Reason::SelfTraffic | Reason::HostToWorkload) {
                continue;
            }
            let names = side.rules.iter().map(ToString::to_string).collect::<Vec<_>>();
            let rule = tables.rules.get(&decision.rule).map(|rule| rule.name.clone());
            prop_assert_eq!(
                rule.is_some_and(|rule| names.contains(&rule)),
                !names.is_empty(),
                "{}",
                context(direction, side)
            );
            let literal = literal(&tables, direction, &flow);
            let logged = literal.is_some_and(|entry| entry.flags & entry_flags::LOG != 0);
            prop_assert_eq!(logged, side.logged, "{}", context(direction, side));
            prop_assert_eq!(decision.log, side.logged, "{}", context(direction, side));
            let allowed = literal.map_or(decision.reason == Reason::NotIsolated, |entry| {
                entry.action == action::ALLOW
            });
            prop_assert_eq!(allowed, side.allowed, "{}", context(direction, side));
        }
    }
    Ok(())
}

/// The entry that decides one side of a flow, found by reading all entries one after another.
fn literal(tables: &Tables, direction: Direction, flow: &Flow) -> Option<PolicyEntry> {
    let (own, other) = match direction {
        Direction::Ingress => (flow.destination, flow.source),
        Direction::Egress => (flow.source, flow.destination),
    };
    let endpoint = tables.endpoints.values().find(|e| e.addresses.contains(&own))?;
    let subject = endpoint.subject;
    let forms = tables.subjects[&subject].forms(direction);
    if forms & forms::ENFORCED == 0 {
        return None;
    }
    let by_prefix = tables
        .prefixes
        .iter()
        .filter(|(prefix, _)| prefix.contains(&IpNet::from(other)))
        .max_by_key(|(prefix, _)| prefix.prefix_len())
        .map(|(_, identity)| *identity);
    let peer = tables.addresses.get(&other).copied().or(by_prefix).unwrap_or(identity::WORLD);
    let class = flow.port.map(|port| {
        let starts = tables.classes.get(&flow.protocol).into_iter().flatten();
        starts.copied().filter(|start| *start <= port).max().unwrap_or(0)
    });
    let rank = |key: &PolicyKey| {
        let service = match (key.protocol_and_class(), class) {
            (Some((of, Some(number))), Some(class)) if (of, number) == (flow.protocol, class) => 0,
            (Some((of, None)), _) if of == flow.protocol => 1,
            (None, _) => 2,
            _ => return None,
        };
        match key.peer {
            identity::ANY => Some(service + 3),
            of if of == peer => Some(service),
            _ => None,
        }
    };
    tables
        .policy
        .iter()
        .filter(|(key, _)| key.subject == subject && key.direction() == direction)
        .filter(|(key, _)| forms & form(key) != 0)
        .filter_map(|(key, entry)| Some((rank(key)?, *entry)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, entry)| entry)
}

fn form(key: &PolicyKey) -> u8 {
    match (key.peer, key.protocol_and_class()) {
        (identity::ANY, None) => forms::ANY,
        (identity::ANY, Some((_, None))) => forms::ANY_PROTOCOL,
        (identity::ANY, Some((_, Some(_)))) => forms::ANY_CLASS,
        (_, None) => forms::PEER,
        (_, Some((_, None))) => forms::PEER_PROTOCOL,
        (_, Some((_, Some(_)))) => forms::PEER_CLASS,
    }
}

/// Without the entry, some service it is for would be decided by another rule or otherwise.
fn assert_minimal(tables: &Tables) -> Result<(), TestCaseError> {
    for key in tables.policy.keys() {
        let mut without = tables.clone();
        without.policy.remove(key);
        let services: Vec<(u8, u16)> = match key.protocol_and_class() {
            // A protocol without ports reaches no narrower entry.
            None => vec![(47, 0)],
            Some((protocol, None)) => {
                let starts = tables.classes.get(&protocol).into_iter().flatten().copied();
                [0].into_iter().chain(starts).map(|class| (protocol, class)).collect()
            }
            Some((protocol, Some(class))) => vec![(protocol, class)],
        };
        let peer = if key.peer == identity::ANY { identity::UNKNOWN } else { key.peer };
        let decide = |tables: &Tables, (protocol, port)| {
            tables.decide(key.subject, key.direction(), peer, protocol, port)
        };
        let differs = services.into_iter().any(|s| decide(&without, s) != decide(tables, s));
        prop_assert!(differs, "{:?} could be left out\n{}", key, tables);
    }
    Ok(())
}
