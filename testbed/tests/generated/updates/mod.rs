//! Policy and inventory that change, update by update: in whatever order and grouping the same
//! updates come, the tables are those of a fresh compile; and a live connection lives on exactly
//! if the new policy allows it.

mod connections;
mod incremental;
mod packet;
pub mod state;

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ringfence_dataplane::compile::Tables;
use ringfence_testbed::agreement::{Host, tables_of};
use ringfence_testbed::random::Random;

use self::state::{State, Update};
use crate::in_place::walk;
use crate::policies::{self, Kind};
use crate::runs;

/// Examples.
const CASES: u32 = 160;

/// Orders that each example is tried in.
const ORDERS: u64 = 3;

#[test]
fn any_order_and_grouping_of_updates_ends_in_the_same_tables() {
    let (in_place, anew) = (Cell::new(0), Cell::new(0));
    let examples = (policies::history(Kind::Everything), any::<u64>());
    let tried = TestRunner::new(runs::config(CASES)).run(&examples, |((before, after), seed)| {
        let fresh = tables_of(&after);
        let updates = State::of(&before).updates_to(&State::of(&after));
        for order in 0..ORDERS {
            let mut random = Random::new(seed.wrapping_add(order));
            let mut installed = tables_of(&before);
            let mut state = State::of(&before);
            for group in grouped(&updates, &mut random) {
                group.iter().for_each(|update| state.apply(update));
                let wanted = tables_of(&state.set());
                let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
                installed = match installed.steps_to(&wanted) {
                    Some(steps) => {
                        count(&in_place);
                        walk::applied(installed, &steps)
                    }
                    None => {
                        count(&anew);
                        wanted.clone()
                    }
                };
                assert_same(&installed, &wanted)?;
            }
            assert_same(&installed, &fresh)?;
        }
        Ok(())
    });
    tried.unwrap_or_else(|failure| panic!("{failure}"));
    let counts = (in_place.get(), anew.get());
    assert!(counts.0 >= 20 && counts.1 >= 20, "in place and anew: {counts:?}");
}

/// Equal as values, as text, and as what a host installs.
fn assert_same(actual: &Tables, expected: &Tables) -> Result<(), TestCaseError> {
    prop_assert_eq!(actual, expected);
    prop_assert_eq!(actual.to_string(), expected.to_string());
    let host = |tables: &Tables| Host::of(tables).tables(tables, 1, false);
    prop_assert_eq!(host(actual), host(expected));
    Ok(())
}

/// The updates in another order, in groups of one or more.
fn grouped(updates: &[Update], random: &mut Random) -> Vec<Vec<Update>> {
    let mut updates = updates.to_vec();
    random.shuffle(&mut updates);
    let mut groups: Vec<Vec<Update>> = Vec::new();
    for update in updates {
        match groups.last_mut() {
            Some(last) if random.chance(40) => last.push(update),
            _ => groups.push(vec![update]),
        }
    }
    groups
}
