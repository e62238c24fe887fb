//! What one store makes visible: wherever the process ends, packets meet exactly the old tables or
//! exactly the new ones.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ringfence_common::abi::identity::endpoint;
use ringfence_common::verdict::Verdict;
use ringfence_dataplane::backend::Arrival;
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::host::difference::HostDiff;
use ringfence_dataplane::backend::host::one_store::{Store, plan};
use ringfence_dataplane::backend::host::reach::Reach;
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::oracle::Flow;
use ringfence_testbed::agreement::{Host, tables_of};
use ringfence_testbed::packet::first_packet;
use ringfence_testbed::random::Random;

use super::updates::state::State;
use crate::flows;
use crate::policies::{self, Kind};
use crate::runs;

const CASES: u32 = 50;

/// Flows that are asked about after each store.
const FLOWS: usize = 20;

/// The interface towards the network, and the workloads' ones.
const UPLINK: u32 = 2;
const WORKLOADS: std::ops::Range<u32> = 10..30;

#[test]
fn packets_meet_the_old_tables_or_the_new_ones() {
    let (planned, others, around) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    let examples = (policies::history(Kind::Everything), any::<u64>());
    let tried = TestRunner::new(runs::config(CASES)).run(&examples, |((before, after), seed)| {
        let mut random = Random::new(seed);
        let mut state = State::of(&before);
        let mut old = Situation::of(&state, &mut random);
        for update in state.updates_to(&State::of(&after)) {
            state.apply(&update);
            let new = Situation::like(&old, &state);
            let diff = HostDiff::of(&old.tables, &new.tables);
            let mut reach = Reach::new(&old.tables);
            match plan(&mut reach, &diff, old.tables.config.flags) {
                Some(plan) => {
                    count(if plan.before.is_empty() && plan.after.is_empty() {
                        &planned
                    } else {
                        &around
                    });
                    let (mut first, mut last) = (plan.before, plan.after);
                    random.shuffle(&mut first);
                    random.shuffle(&mut last);
                    walk(&old, &new, [&first, plan.visible.as_slice(), &last])?;
                }
                None => count(&others),
            }
            old = new;
        }
        Ok(())
    });
    tried.unwrap_or_else(|failure| panic!("{failure}"));
    let counts = [planned, around, others].map(|count| count.get());
    println!("seed {}: {counts:?} one store alone, one among others, more", runs::seed());
    assert!(counts[0] >= 10 && counts[1] >= 2 && counts[2] >= 10, "{counts:?}");
}

/// A host's tables, and who asks them.
struct Situation {
    host: Host,
    flows: Vec<Flow>,
    tables: HostTables,
    is_shared: bool,
}

impl Situation {
    fn of(state: &State, random: &mut Random) -> Self {
        Self::new(state, random.chance(70))
    }

    fn like(old: &Self, state: &State) -> Self {
        Self::new(state, old.is_shared)
    }

    /// The tables of `state`. Where interfaces are shared, hooks are told nothing of who is behind
    /// them.
    fn new(state: &State, is_shared: bool) -> Self {
        let compiled = tables_of(&state.set());
        let host = Host::behind(&compiled, UPLINK, WORKLOADS).seeing(Arrival::Tcx);
        let mut tables = host.tables(&compiled, 1, false);
        if is_shared {
            for attachment in tables.attachments.values_mut() {
                attachment.endpoint = endpoint::UNKNOWN;
            }
        }
        let mut flows = flows::all(&[&compiled]);
        Random::new(7).shuffle(&mut flows);
        flows.truncate(FLOWS);
        Self { host, flows, tables, is_shared }
    }
}

/// Makes the changes one after the other, and asks after each.
fn walk(old: &Situation, new: &Situation, steps: [&[Store]; 3]) -> Result<(), TestCaseError> {
    let verdicts = |tables: &HostTables| {
        let asked =
            [old, new].into_iter().flat_map(|it| it.flows.iter().map(move |flow| (it, *flow)));
        asked.map(|(it, flow)| verdicts(tables, &it.host, &flow)).collect::<Vec<_>>()
    };
    let (before, after) = (verdicts(&old.tables), verdicts(&new.tables));
    let [first, visible, last] = steps;
    let mut tables = old.tables.clone();
    for store in first {
        store.apply_to(&mut tables);
        prop_assert_eq!(&verdicts(&tables), &before, "before: {:?} of {:?}", store, steps);
    }
    for store in visible.iter().chain(last) {
        store.apply_to(&mut tables);
        prop_assert_eq!(&verdicts(&tables), &after, "after: {:?} of {:?}", store, steps);
    }
    prop_assert_eq!(&tables, &new.tables);
    Ok(())
}

/// What becomes of the first packet of a flow wherever it is seen, and by which rule.
fn verdicts(tables: &HostTables, host: &Host, flow: &Flow) -> Vec<(bool, u32)> {
    let Some(frame) = first_packet(flow) else { return Vec::new() };
    let mut filter = Filter::new(tables);
    let sights = host.sights(flow);
    let decided = sights.iter().map(|sight| {
        let decision = filter.decide(&frame, sight.hook, sight.ifindex, 1).decision;
        (decision.verdict == Verdict::Allow, decision.rule)
    });
    decided.collect()
}
