//! Whatever way leads from policy to policy, the kernel's tables hold then what they should.

use std::cell::{Cell, RefCell};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ringfence_dataplane::backend::ebpf::{Kernel, Maps};
use ringfence_dataplane::backend::{Arrival, Desired, How};
use ringfence_testbed::agreement::{Host, tables_of};
use ringfence_testbed::require;

use super::updates::state::State;
use crate::policies::{self, Kind};
use crate::runs;

const CASES: u32 = 60;

/// The interface towards the network, and the workloads' ones.
const UPLINK: u32 = 2;
const WORKLOADS: std::ops::Range<u32> = 10..30;

#[test]
fn the_maps_hold_what_was_installed() {
    let Some(_granted) = require::kernel() else { return };
    let mut kernel = Kernel::unpinned().unwrap();
    let maps = RefCell::new(Maps::from_kernel(&mut kernel).unwrap());
    let ways = [0; 3].map(Cell::new);
    let examples = policies::history(Kind::Everything);
    let tried = TestRunner::new(runs::config(CASES)).run(&examples, |(before, after)| {
        let mut state = State::of(&before);
        let updates = state.updates_to(&State::of(&after));
        let mut sets = vec![before];
        for update in &updates {
            state.apply(update);
            sets.push(state.set());
        }
        for set in &sets {
            let tables = tables_of(set);
            let host = Host::behind(&tables, UPLINK, WORKLOADS);
            let way = install(&mut maps.borrow_mut(), &host.desired(&tables, Arrival::Tcx))?;
            ways[way as usize].set(ways[way as usize].get() + 1);
        }
        Ok(())
    });
    tried.unwrap_or_else(|failure| panic!("{failure}"));
    let ways = ways.map(|count| count.get());
    println!("seed {}: {ways:?} times nothing, in place, switched", runs::seed());
    assert!(ways[0] >= 3 && ways[2] >= 10, "nothing, in place, switched: {ways:?}");
}

fn install(maps: &mut Maps, desired: &Desired) -> Result<How, TestCaseError> {
    let before = maps.config().unwrap();
    let applied = maps.install(desired, None).unwrap();
    let contents = maps.contents().unwrap();
    let expected = u32::from(applied.how != How::Nothing);
    prop_assert_eq!(contents.config.generation, before.generation + expected, "{:?}", applied);
    let mut wanted = desired.host_tables(contents.config);
    // Nobody detaches anything here, so what hooks checked is still there.
    let mut attachments = contents.attachments.clone();
    attachments.extend(wanted.attachments);
    wanted.attachments = attachments;
    prop_assert_eq!(&contents, &wanted, "{:?}", applied);
    Ok(applied.how)
}
