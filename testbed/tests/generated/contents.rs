//! Whatever way leads from policy to policy, the kernel's tables hold then what they should.

use std::cell::{Cell, RefCell};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ringfence_dataplane::backend::ebpf::{Changer, Kernel, Maps};
use ringfence_dataplane::backend::host::difference::HostDiff;
use ringfence_dataplane::backend::host::reach::Reach;
use ringfence_dataplane::backend::host::{HostTables, one_store};
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
    let ways = histories(|desired| install(&mut maps.borrow_mut(), desired));
    assert!(ways[0] >= 3 && ways[1] >= 3 && ways[2] >= 10, "{ways:?}");
}

/// The maps stay open, and nothing is read back between the changes.
#[test]
fn the_maps_hold_what_many_changes_led_to() {
    let Some(_granted) = require::kernel() else { return };
    let mut kernel = Kernel::unpinned().unwrap();
    let maps = Maps::from_kernel(&mut kernel).unwrap();
    let changer = RefCell::new((Changer::open(maps).unwrap(), HostTables::default()));
    let ways = histories(|desired| {
        let (changer, installed) = &mut *changer.borrow_mut();
        change(changer, installed, desired)
    });
    assert!(ways[0] >= 3 && ways[1] >= 3 && ways[2] >= 10, "{ways:?}");
    let (changer, installed) = changer.into_inner();
    let maps = changer.close().unwrap();
    assert_eq!(maps.contents().unwrap(), installed);
}

/// Installs random states one after the other, each a small change of the one before; how often
/// nothing was done, how often it was done in place, and how often by a switch.
fn histories(mut install: impl FnMut(&Desired) -> Result<How, TestCaseError>) -> [u32; 3] {
    let ways = [0; 3].map(Cell::new);
    let install = RefCell::new(&mut install);
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
            let way = install.borrow_mut()(&host.desired(&tables, Arrival::Tcx))?;
            ways[way as usize].set(ways[way as usize].get() + 1);
        }
        Ok(())
    });
    tried.unwrap_or_else(|failure| panic!("{failure}"));
    let ways = ways.map(|count| count.get());
    println!("seed {}: {ways:?} times nothing, in place, switched", runs::seed());
    ways
}

fn change(
    changer: &mut Changer,
    installed: &mut HostTables,
    desired: &Desired,
) -> Result<How, TestCaseError> {
    let wanted = desired.host_tables(installed.config);
    let how = changer.apply(&HostDiff::of(installed, &wanted)).unwrap();
    let contents = changer.contents().unwrap();
    let grown = u32::from(how != How::Nothing);
    prop_assert_eq!(contents.config.generation, installed.config.generation + grown);
    *installed = HostTables { config: contents.config, ..wanted };
    // What no packet can meet may still be there.
    let left = HostDiff::of(&contents, installed);
    let mut reach = Reach::new(&contents);
    let seen = one_store::plan(&mut reach, &left, contents.config.flags);
    prop_assert!(seen.is_some_and(|plan| plan.visible.is_none()), "{:?}: {:#?}", how, left);
    Ok(how)
}

fn install(maps: &mut Maps, desired: &Desired) -> Result<How, TestCaseError> {
    let before = maps.config().unwrap();
    let applied = maps.install(desired).unwrap();
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
