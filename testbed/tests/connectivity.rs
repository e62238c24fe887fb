//! The matrix machinery against networks whose answers are known.

use std::net::{Ipv4Addr, Ipv6Addr};

use ringfence_dataplane::model::{Inventory, Labels, Workload, WorkloadName};
use ringfence_testbed::connectivity::{Matrix, Probe, Style, beside, measure, probes};
use ringfence_testbed::require;
use ringfence_testbed::topology::{Outsider, Topology};
use ringfence_testbed::workload::{Outcome, Process, start_all};

const PORTS: [u16; 3] = [53, 5432, 8080];

fn workload(name: &str, number: u8, host: bool) -> Workload {
    Workload {
        name: WorkloadName::new("test", name),
        labels: Labels::new(),
        addresses: vec![
            Ipv4Addr::new(10, 20, 0, number).into(),
            Ipv6Addr::new(0xfd20, 0, 0, 0, 0, 0, 0, number.into()).into(),
        ],
        ports: Vec::new(),
        interface: None,
        host,
    }
}

/// A host, three workloads and somebody outside.
fn inventory() -> Inventory {
    let mut inventory = Inventory::default();
    for (name, number, host) in
        [("node", 1, true), ("web", 11, false), ("database", 12, false), ("pos", 13, false)]
    {
        inventory.add_workload(workload(name, number, host)).unwrap();
    }
    inventory
}

fn vendor() -> Outsider {
    Outsider {
        name: "vendor".into(),
        v4: Ipv4Addr::new(203, 0, 113, 10),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x10),
    }
}

fn start() -> (Topology, Vec<Process>) {
    let topology = Topology::build(&inventory(), &[vendor()]).unwrap();
    let processes = start_all(&topology, &PORTS).unwrap();
    (topology, processes)
}

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
