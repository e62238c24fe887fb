//! Applying a difference entry by entry: wherever `safe_in_place` says it may be done, no flow ever
//! meets a verdict that belongs to neither the old tables nor the new ones.

mod generate;

use std::cell::Cell;
use std::collections::BTreeMap;

use generate::Kind;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ringfence_dataplane::compile::{Answers, Hazard, MapDiff, Tables, TablesDiff, compile};
use ringfence_dataplane::model::{PolicySet, PortMatch, PortRange, Ports, Protocol};
use ringfence_dataplane::oracle::Flow;

/// One change of one entry of a map.
type Change = Box<dyn Fn(&mut Tables)>;

fn set<K: Ord + Clone + 'static, V: Clone + 'static>(
    diff: &MapDiff<K, V>,
    map: fn(&mut Tables) -> &mut BTreeMap<K, V>,
) -> Vec<Change> {
    let changed = diff.changed.iter().map(|(key, (_, new))| (key, new));
    diff.added
        .iter()
        .chain(changed)
        .map(|(key, value)| (key.clone(), value.clone()))
        .map(|(key, value)| -> Change {
            Box::new(move |tables| _ = map(tables).insert(key.clone(), value.clone()))
        })
        .collect()
}

fn remove<K: Ord + Clone + 'static, V: Clone + 'static>(
    diff: &MapDiff<K, V>,
    map: fn(&mut Tables) -> &mut BTreeMap<K, V>,
) -> Vec<Change> {
    diff.removed
        .keys()
        .cloned()
        .map(|key| -> Change { Box::new(move |tables| _ = map(tables).remove(&key)) })
        .collect()
}

/// The phases in which a difference is applied; order within a phase is free.
fn phases(diff: &TablesDiff) -> Vec<Vec<Change>> {
    let mut forms = set(&diff.subjects, |tables| &mut tables.subjects);
    forms.extend(set(&diff.endpoints, |tables| &mut tables.endpoints));
    let mut classes = set(&diff.classes, |tables| &mut tables.classes);
    classes.extend(remove(&diff.classes, |tables| &mut tables.classes));
    let identity = |entry: &ringfence_common::abi::identity::AddressEntry| entry.identity;
    let addresses = MapDiff {
        added: diff.addresses.added.iter().map(|(a, e)| (*a, identity(e))).collect(),
        changed: diff
            .addresses
            .changed
            .iter()
            .map(|(a, (old, new))| (*a, (identity(old), identity(new))))
            .collect(),
        removed: diff.addresses.removed.iter().map(|(a, e)| (*a, identity(e))).collect(),
    };
    let mut flips = set(&addresses, |tables| &mut tables.addresses);
    flips.extend(remove(&addresses, |tables| &mut tables.addresses));
    vec![
        set(&diff.policy, |tables| &mut tables.policy),
        forms,
        classes,
        flips,
        remove(&diff.policy, |tables| &mut tables.policy),
        remove(&diff.endpoints, |tables| &mut tables.endpoints),
        remove(&diff.subjects, |tables| &mut tables.subjects),
        {
            let mut descriptions = set(&diff.identities, |tables| &mut tables.identities);
            descriptions.extend(remove(&diff.identities, |tables| &mut tables.identities));
            descriptions.extend(set(&diff.rules, |tables| &mut tables.rules));
            descriptions.extend(remove(&diff.rules, |tables| &mut tables.rules));
            descriptions
        },
    ]
}

fn verdicts(tables: &Tables, flows: &[Flow]) -> Vec<bool> {
    let answers = Answers::new(tables);
    flows
        .iter()
        .map(|flow| {
            let port = flow.port.unwrap_or(0);
            answers.ask(flow.source, flow.destination, flow.protocol, port).allowed()
        })
        .collect()
}

/// Applies the steps, the changes of each phase in an order that `seed` picks, and looks at every
/// flow after every change.
fn walk(old: &Tables, new: &Tables, steps: &[TablesDiff], seed: u64) -> Result<(), TestCaseError> {
    let flows = generate::flows(&[old, new]);
    let (before, after) = (verdicts(old, &flows), verdicts(new, &flows));
    let mut tables = old.clone();
    let mut random = seed;
    for step in steps {
        for mut phase in phases(step) {
            while !phase.is_empty() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let change = phase.remove((random >> 33) as usize % phase.len());
                change(&mut tables);
                let now = verdicts(&tables, &flows);
                for (index, flow) in flows.iter().enumerate() {
                    prop_assert!(
                        now[index] == before[index] || now[index] == after[index],
                        "{flow:?} was {} and will be {}, but is {}\n{step}\nold\n{old}\nnew\n{new}",
                        before[index],
                        after[index],
                        now[index]
                    );
                }
            }
        }
    }
    prop_assert_eq!(&tables, new, "the steps do not lead to the new tables");
    Ok(())
}

#[test]
fn no_flow_meets_a_third_verdict() {
    let mut runner = TestRunner::new(Config::with_cases(400));
    let (walked, detours) = (Cell::new(0), Cell::new(0));
    let edits = (generate::edit(Kind::MostlyNetworkPolicy), any::<u64>());
    runner
        .run(&edits, |((before, after), seed)| {
            let (old, new) = (compile(&before).unwrap(), compile(&after).unwrap());
            let Some(steps) = old.steps_to(&new) else { return Ok(()) };
            if steps.iter().any(|step| !step.is_empty()) {
                walked.set(walked.get() + 1);
            }
            if steps.len() > 1 {
                detours.set(detours.get() + 1);
            }
            walk(&old, &new, &steps, seed)
        })
        .unwrap();
    assert!(walked.get() >= 20, "only {} of 400 differences were walked", walked.get());
    assert!(detours.get() >= 1, "no difference took the detour by way of finer classes");
}

#[test]
fn a_generation_takes_over_where_entry_by_entry_would_show() {
    let (before, after) = shop(5_432, true);
    let (old, new) = (compile(&before).unwrap(), compile(&after).unwrap());
    assert_eq!(old.diff(&new).hazards, [Hazard::Enforcement].into());
    assert_eq!(old.steps_to(&new), None);
}

#[test]
fn a_rule_that_moves_to_the_next_port_touches_a_few_entries() {
    let (before, after) = shop(5_433, false);
    let (old, new) = (compile(&before).unwrap(), compile(&after).unwrap());
    assert_eq!(old.diff(&new).hazards, [Hazard::Classes].into());
    let steps = old.steps_to(&new).expect("finer classes lead from one port to the next");
    let touched: usize = steps.iter().map(TablesDiff::entries_touched).sum();
    // Two changes of the class table, one entry that comes and one that goes.
    assert_eq!((steps.len(), touched), (3, 4), "{steps:#?}");
    walk(&old, &new, &steps, 1).unwrap();
}

#[test]
fn equal_tables_differ_in_nothing() {
    let tables = compile(&shop(1, false).0).unwrap();
    let diff = tables.diff(&tables);
    assert!(diff.is_empty() && diff.safe_in_place());
    assert_eq!(diff.to_string(), "");
    assert_eq!(tables.steps_to(&tables), Some(vec![diff]));
}

/// A database that an API may reach on port 5,432; afterwards on `port`, and perhaps isolated for
/// egress too.
fn shop(port: u16, egress: bool) -> (PolicySet, PolicySet) {
    let before = generate::shop();
    let mut after = before.clone();
    let policy = &mut after.policies[0];
    policy.isolates_egress = egress;
    let range = PortRange::single(port);
    policy.ingress[0].ports = Ports::Any(vec![PortMatch::Range(Protocol::Tcp, range)]);
    (before, after)
}
