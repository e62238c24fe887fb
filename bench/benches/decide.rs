//! The userspace filter's whole decision, whose tables are those of hashbrown: for established
//! connections (the flow table answers), for first packets that an entry denies and for those that no
//! entry is about (nothing is remembered); at 10 to 1,000,000 entries, for IPv4 and IPv6, for one
//! packet over and over, and for many in turn.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringfence_bench::workload::{Crowd, Entry, Family, Place};
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::userspace::Filter;

/// Policy entries.
const ENTRIES: [usize; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];

/// Different packets where they are taken in turn: more than the branch predictor and the caches
/// next to the processor hold.
const PACKETS: usize = 8_192;

/// The tick at which everything happens.
const NOW: u32 = 1;

const PLACE: Place = Place::WorkloadAtTc;

const INTERFACE: u32 = 7;

fn established(criterion: &mut Criterion) {
    compare(criterion, "established", Entry::Allow, Reason::Established, |crowd, filter| {
        let mut packets = Vec::new();
        for number in crowd.numbers(PACKETS, 1) {
            let steps = [
                (crowd.syn(number), PLACE.inbound()),
                (crowd.answer(number), PLACE.outbound()),
                (crowd.acknowledgement(number), PLACE.inbound()),
            ];
            for (frame, hook) in steps {
                let outcome = filter.decide(&frame, hook, INTERFACE, NOW);
                assert!(outcome.decision.passes());
            }
            packets.push(crowd.acknowledgement(number));
        }
        packets
    });
}

fn denied(criterion: &mut Criterion) {
    compare(criterion, "denied", Entry::Deny, Reason::DenyRule, |crowd, _| {
        crowd.numbers(PACKETS, 2).map(|number| crowd.syn(number)).collect()
    });
}

fn unknown(criterion: &mut Criterion) {
    compare(criterion, "unknown", Entry::Deny, Reason::NoRule, |crowd, _| {
        let at = crowd.source_offset() as usize;
        let from = |stranger: u32| {
            let mut frame = crowd.syn(0);
            frame[at..at + 4].copy_from_slice(&stranger.to_ne_bytes());
            frame
        };
        crowd.strangers(PACKETS, 3).into_iter().map(from).collect()
    });
}

/// Measures the packets that `prepare` makes, which are all decided for `expected`.
fn compare(
    criterion: &mut Criterion,
    name: &str,
    entry: Entry,
    expected: Reason,
    prepare: impl Fn(&Crowd, &mut Filter) -> Vec<Vec<u8>>,
) {
    for (family, ip) in [(Family::V4, "v4"), (Family::V6, "v6")] {
        let mut group = criterion.benchmark_group(format!("{name}/{ip}"));
        for entries in entries() {
            let crowd = Crowd::new(PLACE, family, entry, entries);
            let mut filter = Filter::new(&crowd.host_tables(INTERFACE));
            let packets = prepare(&crowd, &mut filter);
            for (keys, packets) in [("hot", &packets[..1]), ("random", packets.as_slice())] {
                let id = BenchmarkId::new(keys, entries);
                group.bench_with_input(id, packets, |bencher, packets| {
                    let mut turn = packets.iter().cycle();
                    bencher.iter(|| {
                        let packet = black_box(turn.next().expect("a cycle does not end"));
                        let outcome = filter.decide(packet, PLACE.inbound(), INTERFACE, NOW);
                        assert_eq!(outcome.decision.reason, expected);
                        outcome
                    });
                });
            }
        }
        group.finish();
    }
}

/// [`ENTRIES`]; under `cargo test`, where only the answers count, those that are quickly loaded.
fn entries() -> impl Iterator<Item = usize> {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    ENTRIES.into_iter().filter(move |entries| is_measured || *entries <= 1_000)
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50).measurement_time(Duration::from_secs(2));
    targets = established, denied, unknown
}
criterion_main!(benches);
