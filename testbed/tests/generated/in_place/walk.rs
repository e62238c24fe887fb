//! Takes a running set of tables through a difference, one entry after another.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ringfence_common::abi::identity::AddressEntry;
use ringfence_dataplane::compile::{Answers, MapDiff, Tables, TablesDiff};
use ringfence_dataplane::oracle::Flow;

use crate::flows;

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
    let identity = |entry: &AddressEntry| entry.identity;
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

/// The tables after all steps, without looking at anything on the way.
pub fn applied(mut tables: Tables, steps: &[TablesDiff]) -> Tables {
    for change in steps.iter().flat_map(phases).flatten() {
        change(&mut tables);
    }
    tables
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
pub fn walk(
    old: &Tables,
    new: &Tables,
    steps: &[TablesDiff],
    seed: u64,
) -> Result<(), TestCaseError> {
    let flows = flows::all(&[old, new]);
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
