//! Reading the headers of typical frames.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringfence_bench::workload::typical_frames;
use ringfence_common::packet::{Packet, parse};

fn typical(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for named in typical_frames() {
        let mut packet = Packet::default();
        parse(named.frame.as_slice(), &mut packet).expect("typical frames are well formed");
        let expected = packet;
        assert!([443, 53].contains(&packet.destination_port), "{}: {packet:?}", named.name);
        group.bench_function(named.name, |bencher| {
            bencher.iter(|| {
                let mut packet = Packet::default();
                let result = parse(black_box(named.frame.as_slice()), &mut packet);
                assert!(result.is_ok());
                packet
            });
            let mut again = Packet::default();
            assert!(parse(named.frame.as_slice(), &mut again).is_ok());
            assert_eq!(again, expected);
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50).measurement_time(std::time::Duration::from_secs(2));
    targets = typical
}
criterion_main!(benches);
