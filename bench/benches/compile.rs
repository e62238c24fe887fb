//! Compiling policy: from nothing, and one change at a time.
//!
//! A change is made and taken back in turn; the time is that of either. Each run checks what it
//! came to: how many map entries it touched, and at the end that the tables are those of a fresh
//! compile.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringfence_bench::changes::{Subject, Swing};
use ringfence_dataplane::compile::{Change, Compiler, compile};

/// Rules; those of a cluster are rounded up to whole groups of workloads.
const SIZES: [usize; 3] = [100, 1_000, 10_000];

fn subjects() -> impl Iterator<Item = (usize, Subject)> {
    SIZES.into_iter().flat_map(|size| {
        [Subject::cluster(size), Subject::address_list(size)].map(|subject| (size, subject))
    })
}

fn fresh(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile/fresh");
    for (size, subject) in subjects() {
        let set = &subject.set;
        let rules: usize = set.policies.iter().map(|policy| policy.ingress.len()).sum();
        let expected = compile(set).expect("so few policies fit");
        assert_eq!(expected.rules.len(), rules, "every rule has a number");
        group.bench_function(BenchmarkId::new(subject.name, size), |bencher| {
            bencher.iter(|| {
                let tables = compile(black_box(set)).expect("so few policies fit");
                assert_eq!(tables.policy.len(), expected.policy.len());
                tables
            });
        });
        assert_eq!(compile(set).expect("so few policies fit"), expected);
    }
    group.finish();
}

fn change(criterion: &mut Criterion) {
    for (size, subject) in subjects() {
        for swing in subject.swings() {
            let mut compiler = Compiler::new(subject.set.clone()).expect("so few policies fit");
            // The first one is not timed: it may lead from a state to which none leads back.
            let first = compiler.change([swing.there.clone()]).expect("it fits");
            assert!(!first.diff.is_empty(), "`{}` changes nothing", swing.name);
            let mut changes = [swing.back.clone(), swing.there.clone()].into_iter().cycle();
            let mut group = criterion.benchmark_group(format!("compile/{}", swing.name));
            group.bench_function(BenchmarkId::new(subject.name, size), |bencher| {
                bencher.iter_custom(|rounds| {
                    let changes = changes.by_ref().take(rounds as usize);
                    changes.map(|change| timed(&mut compiler, change, &swing)).sum()
                });
            });
            group.finish();
            let fresh = compile(&compiler.policy_set()).expect("so few policies fit");
            assert!(*compiler.tables() == fresh, "`{}` ends in other tables", swing.name);
        }
    }
}

/// How long a change takes.
fn timed(compiler: &mut Compiler, change: Change, swing: &Swing) -> Duration {
    let start = Instant::now();
    let update = compiler.change([black_box(change)]).expect("it fits");
    let spent = start.elapsed();
    assert_eq!(update.diff.entries_touched(), swing.entries, "{}\n{}", swing.name, update.diff);
    spent
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3));
    targets = fresh, change
}
criterion_main!(benches);
