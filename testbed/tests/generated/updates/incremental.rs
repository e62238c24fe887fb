//! A compiler that follows changes holds, after each of them, the tables of a fresh compile, and
//! tells the difference and the steps that comparing two fresh compiles tells.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ringfence_dataplane::compile::{Change, ChangeError, CompileError, Compiler, Tables, compile};
use ringfence_dataplane::model::{
    Direction, Labels, Namespace, Policy, PolicyName, PolicySet, Rule, Workload, WorkloadName,
};
use ringfence_testbed::random::Random;

use super::grouped;
use super::state::{State, Update};
use crate::policies::{self, Kind};
use crate::runs;

/// Examples; each is a way from one set to another and on, and back.
const CASES: u32 = 200;

#[test]
fn every_change_ends_in_the_tables_of_a_fresh_compile() {
    let (in_place, anew, rules) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    let kind = Kind::Everything;
    let examples = (policies::history(kind), policies::history(kind), any::<u64>());
    let tried = TestRunner::new(runs::config(CASES)).run(&examples, |(first, second, seed)| {
        let mut random = Random::new(seed);
        let mut state = State::of(&first.0);
        let mut compiler = Compiler::new(first.0.clone()).expect("generated policy fits");
        let mut before = compile(&first.0).expect("generated policy fits");
        prop_assert_eq!(compiler.tables(), &before);
        for to in [&first.1, &second.0, &second.1, &first.0] {
            for group in grouped(&state.updates_to(&State::of(to)), &mut random) {
                let mut changes = Vec::new();
                for update in &group {
                    let set = state.set();
                    changes.extend(changes_of(&set, update, &mut random));
                    state.apply(update);
                }
                if changes.iter().any(|change| matches!(change, Change::Rules { .. })) {
                    count(&rules);
                }
                let set = state.set();
                let after = compile(&set).expect("generated policy fits");
                let update = compiler.change(changes.clone()).expect("generated policy fits");
                prop_assert_eq!(compiler.tables(), &after, "after {:#?}", changes);
                prop_assert_eq!(&update.diff, &before.diff(&after), "after {:#?}", changes);
                let steps = before.steps_to(&after);
                prop_assert_eq!(update.steps(), steps.as_deref(), "after {:#?}", changes);
                count(if steps.is_some() { &in_place } else { &anew });
                refuse(&mut compiler, &set, &after, &mut random)?;
                before = after;
            }
        }
        Ok(())
    });
    tried.unwrap_or_else(|failure| panic!("{failure}"));
    let counts = (in_place.get(), anew.get(), rules.get());
    assert!(counts.0 >= 500 && counts.1 >= 500, "in place and anew: {counts:?}");
    assert!(counts.2 >= 50, "rules that were changed alone: {counts:?}");
}

/// The update as changes of `set`.
fn changes_of(set: &PolicySet, update: &Update, random: &mut Random) -> Vec<Change> {
    match update {
        Update::Policy(name, None) => vec![Change::RemovePolicy(name.clone())],
        Update::Policy(name, Some(to)) => {
            let from = set.policies.iter().find(|policy| policy.name == *name);
            let rules = from.and_then(|from| rule_changes(from, to));
            match rules {
                Some(rules) if random.chance(70) => rules,
                _ => vec![Change::PutPolicy((**to).clone())],
            }
        }
        Update::Namespace(name, labels) => {
            let labels = labels.clone().unwrap_or_default();
            vec![Change::PutNamespace(Namespace::new(name.clone(), labels))]
        }
        Update::Workloads(all) => {
            let gone = all.iter().map(|(name, _)| Change::RemoveWorkload(name.clone()));
            let put = all.iter().filter_map(|(_, to)| to.clone()).map(Change::PutWorkload);
            if let [Change::PutWorkload(_)] = *put.clone().collect::<Vec<_>>()
                && all.len() == 1
            {
                return put.collect();
            }
            gone.chain(put).collect()
        }
    }
}

/// The changes of rules that lead from one policy to another; `None` if more than rules differs.
fn rule_changes(from: &Policy, to: &Policy) -> Option<Vec<Change>> {
    let with_rules =
        Policy { ingress: to.ingress.clone(), egress: to.egress.clone(), ..from.clone() };
    if with_rules != *to {
        return None;
    }
    let change = |direction: Direction| {
        let (from, to) = (from.rules(direction), to.rules(direction));
        let same = |(one, other): &(&Rule, &Rule)| one == other;
        let at = from.iter().zip(to).take_while(same).count();
        let rest = from[at..].iter().rev().zip(to[at..].iter().rev());
        let tail = rest.take_while(same).count();
        let put = to[at..to.len() - tail].to_vec();
        let remove = from.len() - tail - at;
        Change::Rules { policy: with_rules.name.clone(), direction, at, remove, put }
    };
    Some(vec![change(Direction::Ingress), change(Direction::Egress)])
}

/// Changes that cannot be, after others that could: nothing changes.
fn refuse(
    compiler: &mut Compiler,
    set: &PolicySet,
    tables: &Tables,
    random: &mut Random,
) -> Result<(), TestCaseError> {
    let host = |name: &str, host| Workload {
        name: WorkloadName::new("blue", name),
        labels: Labels::from([("app".into(), "db".into())]),
        addresses: Vec::new(),
        ports: Vec::new(),
        interface: None,
        host,
    };
    let mut changes: Vec<Change> = set
        .policies
        .first()
        .map(|first| Change::RemovePolicy(first.name.clone()))
        .into_iter()
        .collect();
    changes.push(Change::PutWorkload(host("one", true)));
    let kind = "networkpolicy".to_owned();
    let nobodys = PolicyName { kind, namespace: "red".into(), name: "none".into() };
    let direction = Direction::Egress;
    let taken = set.inventory.workloads().find_map(|one| one.addresses.first());
    let (last, is_expected): (Change, fn(&ChangeError) -> bool) = match (random.below(3), taken) {
        (0, Some(taken)) => {
            let workload = Workload { addresses: vec![*taken], ..host("two", false) };
            (Change::PutWorkload(workload), |e| matches!(e, ChangeError::Inventory(_)))
        }
        (1, _) => {
            let change =
                Change::Rules { policy: nobodys, direction, at: 0, remove: 0, put: Vec::new() };
            (change, |e| matches!(e, ChangeError::NoSuchPolicy(_)))
        }
        _ => (Change::PutWorkload(host("two", true)), |e| {
            matches!(e, ChangeError::Compile(CompileError::TwoHosts { .. }))
        }),
    };
    changes.push(last);
    let refused = compiler.change(changes.clone()).expect_err("it cannot be");
    prop_assert!(is_expected(&refused), "{} after {:#?}", refused, changes);
    prop_assert_eq!(compiler.tables(), tables);
    Ok(())
}
