//! The matrix machinery against networks whose answers are known.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod small_network;

use ringfence_testbed::connectivity::{Matrix, Probe, Style, beside, measure, probes};
use ringfence_testbed::require;
use ringfence_testbed::topology::Topology;
use ringfence_testbed::workload::{Outcome, Process};
use small_network::{PORTS, start};

fn matrix(topology: &Topology, processes: &[Process], expected: &dyn Fn(&Probe) -> bool) -> Matrix {
    let places = topology.places().iter().map(|place| place.name.clone()).collect();
    let outcomes = measure(processes, &probes(topology.places(), &PORTS), expected);
    Matrix::new(places, outcomes, expected)
}

#[test]
fn a_flat_network_is_open_everywhere() {
    let Some(_granted) = require::privileged() else { return };
    let (topology, processes) = start();
    let matrix = matrix(&topology, &processes, &|_| true);
    // 5 places, every ordered pair, 3 ports, 2 protocols, 2 families.
    assert_eq!(matrix.cells.len(), 5 * 4 * 3 * 2 * 2);
    assert_eq!(matrix.wrong().count(), 0, "\n{}", beside(&matrix, Style::Plain));
    assert_eq!(matrix.open(), matrix.cells.len());
}

#[test]
fn a_blocked_destination_is_denied_and_nothing_else() {
    let Some(_granted) = require::privileged() else { return };
    let (topology, processes) = start();
    let blocked = topology.place("test/database").unwrap().clone();
    let number = topology.places().iter().position(|place| place.name == blocked.name).unwrap();

    // What a blackhole swallows: questions to the database, and answers to its own questions.
    let open = |probe: &Probe| probe.source != number && probe.destination != number;
    topology.set_reachable(&blocked, false).unwrap();
    let during = matrix(&topology, &processes, &open);
    // The host itself learns that its route leads nowhere (EINVAL), which no policy says.
    let wrong: Vec<_> =
        during.wrong().filter(|(_, cell)| cell.actual != Outcome::Failed(22)).collect();
    assert_eq!(wrong, [], "\n{}", beside(&during, Style::Plain));

    topology.set_reachable(&blocked, true).unwrap();
    let after = matrix(&topology, &processes, &|_| true);
    assert_eq!(after.wrong().count(), 0, "\n{}", beside(&after, Style::Plain));
}
