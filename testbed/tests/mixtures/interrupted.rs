//! The process ends, or the kernel refuses, at any moment of a change.

use ringfence_dataplane::backend::ebpf::{Changer, EbpfError, Kernel, Maps};
use ringfence_dataplane::backend::host::difference::HostDiff;
use ringfence_dataplane::backend::host::reach::Reach;
use ringfence_dataplane::backend::host::{HostTables, one_store};
use ringfence_testbed::require;

use crate::policies::{Pair, one_store as small, pairs};

/// More steps than any of the changes takes.
const STEPS: u64 = 400;

/// After every step of a change something fails: what counts then is the old or the new, and the
/// next change ends it.
#[test]
fn a_change_that_fails_anywhere_has_not_begun_or_is_done() {
    let Some(_granted) = require::kernel() else { return };
    let mut pairs = pairs(7);
    pairs.push(small(7));
    for pair in &pairs {
        let counts = fail_everywhere(pair);
        println!("{}: {counts:?} times old, new", pair.name);
        assert!(counts.iter().all(|count| *count > 0), "{}: {counts:?}", pair.name);
    }
}

fn fail_everywhere(Pair { old, new, name }: &Pair) -> [u32; 2] {
    let mut counts = [0; 2];
    for steps in 0..STEPS {
        let mut kernel = Kernel::unpinned().unwrap();
        let mut maps = Maps::from_kernel(&mut kernel).unwrap();
        maps.install_tables(old).unwrap();
        maps.stop_after(steps);
        let mut changer = Changer::open(maps).unwrap();
        let changed = changer.apply(&HostDiff::of(old, new));
        let done = changed.is_ok();
        assert!(done || matches!(changed, Err(EbpfError::Stopped)), "{name}: {changed:?}");
        let found = changer.contents().unwrap();
        let is = [old, new].map(|tables| is_met(&found, tables));
        assert!(is[0] != is[1] && (!done || is[1]), "{name}, {steps} steps: {is:?} {found:#?}");
        counts[usize::from(is[1])] += 1;
        changer.maps().stop_after(u64::MAX);
        changer.apply(&HostDiff::of(&found, new)).unwrap();
        let ended = changer.close().unwrap().contents().unwrap();
        assert!(is_met(&ended, new), "{name}, {steps} steps");
        if done {
            return counts;
        }
    }
    panic!("{name} takes more than {STEPS} steps");
}

/// Whether packets meet in `found` what they meet in `tables`.
pub fn is_met(found: &HostTables, tables: &HostTables) -> bool {
    let diff = HostDiff::of(found, tables);
    let plan = one_store::plan(&mut Reach::new(found), &diff, found.config.flags);
    plan.is_some_and(|plan| plan.visible.is_none())
}
