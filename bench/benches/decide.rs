//! The userspace filter's whole decision, at 10, 1,000 and 10,000 policy entries: for established
//! connections (the flow table answers) and for refused first packets (every look-up of policy
//! happens and nothing is remembered); for one packet over and over, and for many in turn.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringfence_bench::workload::{HOOK, INTERFACE, Server};
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::userspace::Filter;

/// Policy entries.
const ENTRIES: [usize; 3] = [10, 1_000, 10_000];

/// Different packets where they are taken in turn: more than the branch predictor and the caches
/// next to the processor hold.
const PACKETS: usize = 8_192;

/// The tick at which everything happens.
const NOW: u32 = 1;

fn established(criterion: &mut Criterion) {
    compare(criterion, "established", Reason::Established, |server, filter| {
        let packets = server.connections(PACKETS, 1);
        for packet in &packets {
            let first = filter.decide(packet, HOOK, INTERFACE, NOW);
            assert!([Reason::Rule, Reason::Established].contains(&first.decision.reason));
        }
        packets
    });
}

fn refused(criterion: &mut Criterion) {
    compare(criterion, "refused", Reason::NoRule, |server, _| server.strangers(PACKETS, 2));
}

/// Measures the packets that `prepare` makes, which are all decided for `expected`.
fn compare(
    criterion: &mut Criterion,
    name: &str,
    expected: Reason,
    prepare: impl Fn(&Server, &mut Filter) -> Vec<Vec<u8>>,
) {
    let mut group = criterion.benchmark_group(name);
    for entries in ENTRIES {
        let server = Server::new(entries);
        let mut filter = Filter::new(&server.tables);
        let packets = prepare(&server, &mut filter);
        for (keys, packets) in [("hot", &packets[..1]), ("random", packets.as_slice())] {
            group.bench_with_input(BenchmarkId::new(keys, entries), packets, |bencher, packets| {
                let mut turn = packets.iter().cycle();
                bencher.iter(|| {
                    let packet = turn.next().expect("a cycle does not end");
                    let outcome = filter.decide(black_box(packet), HOOK, INTERFACE, NOW);
                    assert_eq!(outcome.decision.reason, expected);
                    outcome
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50).measurement_time(Duration::from_secs(2));
    targets = established, refused
}
criterion_main!(benches);
