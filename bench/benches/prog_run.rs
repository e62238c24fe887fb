//! The programs in the kernel, and their controls in the same run: first packets that policy refuses
//! and packets of connections that are known, of one peer over and over and of many in no order.
//!
//! The clock is the kernel's, of `BPF_PROG_TEST_RUN`; each run checks verdicts and counters. What it
//! costs to draw the next peer and to call the program is in every figure and is
//! what `empty` shows. Needs root.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringfence_bench::kernel::{Keys, MeasureError, Packets, Seat, Station, Subject};
use ringfence_bench::workload::{Crowd, Entry, Family, Place};

/// Policy entries.
const ENTRIES: [usize; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];

/// Packets of one measurement at least: the kernel tells whole nanoseconds.
const REPEAT: u32 = 100_000;

/// New connections of one measurement: as many as there are ports to draw.
const CONNECTIONS: u32 = ringfence_controls::DRAWN as u32;

const SUBJECTS: [(Subject, &str); 4] = [
    (Subject::Empty, "empty"),
    (Subject::Engine, "ringfence"),
    (Subject::TwoHashes, "two-hashes"),
    (Subject::ThreeTries, "three-tries"),
];

const PLACES: [(Place, &str); 2] = [(Place::HostAtXdp, "xdp"), (Place::WorkloadAtTc, "tc")];

const FAMILIES: [(Family, &str); 2] = [(Family::V4, "v4"), (Family::V6, "v6")];

fn programs(criterion: &mut Criterion) {
    let seat = match Seat::take() {
        Ok(seat) => seat,
        Err(MeasureError::Missing(missing)) => {
            eprintln!("prog_run: nothing is measured: {missing}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    for (place, at) in PLACES {
        for (family, ip) in FAMILIES {
            for entries in entries() {
                denied(criterion, &seat, (place, at), (family, ip), entries);
                allowed(criterion, &seat, (place, at), (family, ip), entries);
            }
        }
    }
}

fn station(seat: &Seat, place: Place, family: Family, entry: Entry, entries: usize) -> Station {
    let crowd = Crowd::new(place, family, entry, entries);
    Station::new(seat, place, crowd).expect("the kernel takes programs and tables")
}

/// First packets that an entry denies, or that no entry is about.
fn denied(
    criterion: &mut Criterion,
    seat: &Seat,
    (place, at): (Place, &str),
    (family, ip): (Family, &str),
    entries: usize,
) {
    let mut station = station(seat, place, family, Entry::Deny, entries);
    for (keys, kind) in
        [(Keys::Hot, "denied-hot"), (Keys::Random, "denied-random"), (Keys::Strangers, "unknown")]
    {
        let mut group = criterion.benchmark_group(format!("{at}/{ip}/{kind}"));
        for (subject, name) in SUBJECTS {
            // The controls know IPv4 only.
            let is_control = matches!(subject, Subject::TwoHashes | Subject::ThreeTries);
            if is_control && family == Family::V6 {
                continue;
            }
            group.bench_function(BenchmarkId::new(name, entries), |bencher| {
                bencher.iter_custom(|count| {
                    let repeat = u32::try_from(count).unwrap_or(u32::MAX).max(REPEAT);
                    spent(count, station.measure(subject, Packets::First, keys, repeat))
                });
            });
        }
        group.finish();
    }
}

/// Connections that an entry allows: known ones, and new ones.
fn allowed(
    criterion: &mut Criterion,
    seat: &Seat,
    (place, at): (Place, &str),
    (family, ip): (Family, &str),
    entries: usize,
) {
    let mut station = station(seat, place, family, Entry::Allow, entries);
    for (keys, kind) in [(Keys::Hot, "established-hot"), (Keys::Random, "established-random")] {
        station.establish(keys).expect("policy allows the connections");
        let mut group = criterion.benchmark_group(format!("{at}/{ip}/{kind}"));
        for (subject, name) in &SUBJECTS[..2] {
            group.bench_function(BenchmarkId::new(*name, entries), |bencher| {
                bencher.iter_custom(|count| {
                    let repeat = u32::try_from(count).unwrap_or(u32::MAX).max(REPEAT);
                    spent(count, station.measure(*subject, Packets::Established, keys, repeat))
                });
            });
        }
        group.finish();
    }
    let mut group = criterion.benchmark_group(format!("{at}/{ip}/new"));
    for (subject, name) in &SUBJECTS[..2] {
        group.bench_function(BenchmarkId::new(*name, entries), |bencher| {
            bencher.iter_custom(|count| {
                station.forget().expect("flows can be forgotten");
                spent(count, station.measure(*subject, Packets::First, Keys::Ports, CONNECTIONS))
            });
        });
    }
    group.finish();
}

/// The time of `count` packets that cost `ns` each.
fn spent(count: u64, ns: Result<u64, MeasureError>) -> Duration {
    let ns = ns.unwrap_or_else(|error| panic!("{error}"));
    // Zero would not be believed.
    Duration::from_nanos(ns.saturating_mul(count).max(1))
}

/// [`ENTRIES`]; under `cargo test`, where only the answers count, those that are quickly loaded.
fn entries() -> impl Iterator<Item = usize> {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    ENTRIES.into_iter().filter(move |entries| is_measured || *entries <= 1_000)
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    targets = programs
}
criterion_main!(benches);
