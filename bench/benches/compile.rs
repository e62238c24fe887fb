//! Compiling 1,000 policies over 1,000 workloads.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ringfence_bench::workload::cluster;
use ringfence_dataplane::compile::compile;

/// Policies, and workloads.
const POLICIES: usize = 1_000;

/// Six peers, two ports each.
const ENTRIES: usize = 12 * POLICIES;

fn whole(criterion: &mut Criterion) {
    let set = cluster(POLICIES);
    let expected = compile(&set).expect("so many policies fit");
    assert_eq!((expected.policy.len(), expected.endpoints.len()), (ENTRIES, POLICIES));
    criterion.bench_function("compile/1000-policies", |bencher| {
        bencher.iter(|| {
            let tables = compile(black_box(&set)).expect("so many policies fit");
            assert_eq!(tables.policy.len(), ENTRIES);
            tables
        });
    });
    assert_eq!(compile(&set).expect("so many policies fit"), expected);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(4));
    targets = whole
}
criterion_main!(benches);
