//! Ten thousand swaps under load.

use std::thread::sleep;
use std::time::Duration;

use ringfence_dataplane::backend::How;
use ringfence_dataplane::backend::ebpf::{Changer, Kernel, Maps};
use ringfence_dataplane::backend::host::difference::HostDiff;
use ringfence_testbed::require;

use crate::policies::{Pair, one_store, pairs};
use crate::wire::{Count, Wire};

/// Swaps of each pair.
const SWAPS: usize = 2_500;

#[test]
fn no_packet_meets_a_mixture() {
    let Some(_granted) = require::kernel() else { return };
    let wire = Wire::new();
    for pair in pairs(wire.ifindex) {
        swap(&wire, &pair, How::Switched);
    }
    swap(&wire, &one_store(wire.ifindex), How::InPlace);
}

fn swap(wire: &Wire, pair: &Pair, expected: How) {
    let mut kernel = Kernel::unpinned().unwrap();
    let program = wire.attach(&mut kernel);
    let mut maps = Maps::from_kernel(&mut kernel).unwrap();
    maps.install_tables(&pair.old).unwrap();
    let mut changer = Changer::open(maps).unwrap();
    let there = HostDiff::of(&pair.old, &pair.new);
    let back = HostDiff::of(&pair.new, &pair.old);
    let load = wire.start();
    for _ in 0..SWAPS / 2 {
        for diff in [&there, &back] {
            assert_eq!(changer.apply(diff).unwrap(), expected, "{}", pair.name);
            if expected == How::InPlace {
                // A store takes no time in which packets could flow.
                sleep(Duration::from_micros(200));
            }
        }
    }
    let count = load.finish(wire);
    drop(program);
    assert_whole(pair.name, &count);
    let contents = changer.close().unwrap().contents().unwrap();
    assert_eq!(contents.config.generation as usize, 1 + SWAPS / 2 * 2, "{}", pair.name);
    assert_eq!(contents.policy, pair.old.policy, "{}", pair.name);
}

/// Every A has arrived and no N.
pub fn assert_whole(what: &str, count: &Count) {
    println!("{what}: {count:?}");
    let [allowed, denied] = count.sent;
    assert!(allowed > 1_000 && denied > 1_000, "{what}: {count:?}");
    assert_eq!(count.arrived, [allowed, 0], "{what}: every A and no N");
}
