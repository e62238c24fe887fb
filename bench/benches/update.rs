//! Policy on its way to where it is enforced: one rule changed, from the call to the verdict, and
//! everything loaded anew, at 1,000, 10,000 and 100,000 entries; in the kernel's maps and in the
//! userspace filter, which has no way to change a single entry. The kernel's part needs root.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringfence_bench::kernel::{MeasureError, Packets, Seat, Station, Subject, Toggle, Toggled};
use ringfence_bench::workload::{Crowd, Entry, Family, Place};
use ringfence_dataplane::backend::userspace::Filter;

/// Policy entries.
const ENTRIES: [usize; 3] = [1_000, 10_000, 100_000];

const PLACE: Place = Place::WorkloadAtTc;

fn crowd(entry: Entry, entries: usize) -> Crowd {
    Crowd::new(PLACE, Family::V4, entry, entries)
}

fn userspace(criterion: &mut Criterion) {
    const INTERFACE: u32 = 7;
    let mut group = criterion.benchmark_group("update/load-userspace");
    for entries in entries() {
        let crowd = crowd(Entry::Deny, entries);
        let tables = crowd.host_tables(INTERFACE);
        let mut filter = Filter::new(&tables);
        group.bench_function(BenchmarkId::from_parameter(entries), |bencher| {
            bencher.iter(|| {
                filter.install(black_box(&tables));
                let outcome = filter.decide(&crowd.syn(0), PLACE.inbound(), INTERFACE, 1);
                assert_eq!(outcome.decision.reason, crowd.reason());
                outcome
            });
        });
    }
    group.finish();
}

fn kernel(criterion: &mut Criterion) {
    let seat = match Seat::take() {
        Ok(seat) => seat,
        Err(MeasureError::Missing(missing)) => {
            eprintln!("update: nothing is measured in the kernel: {missing}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    for (toggle, name) in [(Toggle::Verdict, "verdict"), (Toggle::Presence, "presence")] {
        let mut group = criterion.benchmark_group(format!("update/one-rule-{name}-kernel"));
        for entries in entries() {
            let toggled = Toggled::new(&seat, &crowd(Entry::Allow, entries), toggle);
            let mut toggled = toggled.expect("the kernel takes programs and tables");
            group.bench_function(BenchmarkId::from_parameter(entries), |bencher| {
                bencher.iter_custom(|count| (0..count).map(|_| once(&mut toggled)).sum());
            });
        }
        group.finish();
    }
    let mut group = criterion.benchmark_group("update/load-kernel");
    for entries in entries() {
        let station = Station::new(&seat, PLACE, crowd(Entry::Deny, entries));
        let mut station = station.expect("the kernel takes programs and tables");
        let desired = station.desired();
        group.bench_function(BenchmarkId::from_parameter(entries), |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| load(&mut station, &desired)).sum());
        });
    }
    group.finish();
}

/// One change, by which the next packet has to be decided.
fn once(toggled: &mut Toggled) -> Duration {
    toggled.toggle().unwrap_or_else(|error| panic!("{error}")).0
}

/// One load, of which the next packet has to be decided.
fn load(station: &mut Station, desired: &ringfence_dataplane::backend::Desired) -> Duration {
    station.engine().maps().expect("they are open").start_again().expect("maps can be emptied");
    let begin = Instant::now();
    station.engine().install(black_box(desired)).expect("the tables fit");
    let took = begin.elapsed();
    let decided = station.measure_alone(Subject::Engine, Packets::First, 1);
    decided.unwrap_or_else(|error| panic!("{error}"));
    took
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
        .measurement_time(Duration::from_secs(2));
    targets = userspace, kernel
}
criterion_main!(benches);
