//! A transfer counts what is lost, and nothing else.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod small_network;

use std::thread::sleep;
use std::time::Duration;

use ringfence_testbed::connectivity::Probe;
use ringfence_testbed::require;
use ringfence_testbed::topology::Family;
use ringfence_testbed::transfer::Transfer;
use ringfence_testbed::workload::Transport;

const PORT: u16 = small_network::PORTS[0];

fn streams() -> [Probe; 4] {
    let probe =
        |transport, family| Probe { source: 2, destination: 0, port: PORT, transport, family };
    [
        probe(Transport::Tcp, Family::V4),
        probe(Transport::Udp, Family::V4),
        probe(Transport::Tcp, Family::V6),
        probe(Transport::Udp, Family::V6),
    ]
}

#[test]
fn an_undisturbed_transfer_loses_nothing() {
    let Some(_granted) = require::privileged() else { return };
    let (_topology, processes) = small_network::start();
    let transfer = Transfer::start(&processes, &streams());
    sleep(Duration::from_millis(500));
    let report = transfer.finish();
    assert!(report.is_whole(), "{report:#?}");
    assert_eq!(report.streams.len(), 4);
    for stream in &report.streams {
        assert!(stream.sent > 50, "{stream:?}");
        assert_eq!((stream.answered, stream.reordered), (stream.sent, 0), "{stream:?}");
    }
}

#[test]
fn an_interruption_is_seen_by_every_stream() {
    let Some(_granted) = require::privileged() else { return };
    let (topology, processes) = small_network::start();
    let destination = topology.places()[0].clone();
    let transfer = Transfer::start(&processes, &streams());
    sleep(Duration::from_millis(300));
    topology.set_reachable(&destination, false).unwrap();
    sleep(Duration::from_millis(100));
    topology.set_reachable(&destination, true).unwrap();
    // TCP repeats after 200 ms and more.
    sleep(Duration::from_millis(1500));
    let report = transfer.finish();
    for stream in [&report.streams[1], &report.streams[3]] {
        assert!(stream.lost() >= 10, "datagrams were lost for 100 ms: {report:#?}");
        assert_eq!(stream.broken, None);
    }
    for stream in [&report.streams[0], &report.streams[2]] {
        assert_eq!(stream.lost(), 0, "TCP mends it: {report:#?}");
    }
    assert!(report.segments_lost.is_some_and(|lost| lost >= 2), "and says so: {report:#?}");
    assert!(!report.is_whole());
}
