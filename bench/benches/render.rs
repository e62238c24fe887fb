//! Tables of ten thousand entries, half of them IPv6, as text for each tool that takes rules:
//! from the desired state to the whole text of both families. A rendering may take 200
//! milliseconds.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ringfence_bench::workload::server_of_both_families;
use ringfence_dataplane::backend::Desired;
use ringfence_dataplane::backend::chains::Plan;
use ringfence_dataplane::backend::iptables::{Family, Layout};
use ringfence_dataplane::backend::{ipset, iptables, nftables};

const ENTRIES: usize = 10_000;

/// The texts of both families; how many lines of them come from a rule of a document.
fn xtables(desired: &Desired, layout: Layout) -> (usize, usize) {
    let plan = Plan::of(desired);
    let texts = [Family::V4, Family::V6].map(|family| {
        let ruleset = iptables::ruleset(&plan, family, layout).expect("it has words");
        let script = ruleset.script();
        (of_rules(&script), script.to_string().len())
    });
    (texts[0].0 + texts[1].0, texts[0].1 + texts[1].1)
}

fn sets(desired: &Desired) -> (usize, usize) {
    let (sets, rules) = ipset::rules(&Plan::of(desired)).expect("it has words");
    let script = ipset::script(&sets);
    let text: usize = rules.iter().map(|ruleset| ruleset.script().to_string().len()).sum();
    (of_rules(&script), text + script.to_string().len())
}

fn table(desired: &Desired) -> (usize, usize) {
    let script = nftables::ruleset(&Plan::of(desired)).expect("it has words").script();
    (of_rules(&script), script.to_string().len())
}

fn of_rules(script: &ringfence_dataplane::backend::chains::Script) -> usize {
    script.lines.iter().filter(|line| line.rule != 0).count()
}

fn whole(criterion: &mut Criterion) {
    let desired = server_of_both_families(ENTRIES);
    let mut measure = |name: &str, render: &dyn Fn(&Desired) -> (usize, usize)| {
        let (lines, bytes) = render(&desired);
        assert_eq!(lines, ENTRIES, "{name}: a line for each entry");
        criterion.bench_function(&format!("render/{name}-10000-entries"), |bencher| {
            bencher.iter(|| assert_eq!(render(black_box(&desired)), (lines, bytes)));
        });
    };
    measure("iptables", &|desired| xtables(desired, Layout::Structured));
    measure("iptables-flat", &|desired| xtables(desired, Layout::Flat));
    measure("ipset", &sets);
    measure("nftables", &table);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(4));
    targets = whole
}
criterion_main!(benches);
