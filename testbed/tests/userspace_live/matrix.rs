//! Every connection of the demo through the filter.

use std::num::NonZeroUsize;

use ringfence_dataplane::backend::Mode;
use ringfence_dataplane::backend::userspace::live::{self, Running, Way, Wire};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::enforce::{Ends, HostView, WireWarning, wires};
use ringfence_testbed::connectivity::{Matrix, Probe, Style, beside, measure, probes};
use ringfence_testbed::demo::{Documents, Expectation, PORTS, change, outsiders, shop};
use ringfence_testbed::require;
use ringfence_testbed::topology::{Topology, Wiring};
use ringfence_testbed::workload::{Process, start_all};

/// The tables of `documents`, whose workloads say which wire they are behind.
fn tables(topology: &Topology, documents: &Documents) -> Tables {
    let mut tables = compile(&documents.policies).unwrap();
    for endpoint in tables.endpoints.values_mut().filter(|endpoint| !endpoint.host) {
        let mut links = topology.filter_box().unwrap().links.iter();
        let link = links.find(|link| link.workload == endpoint.name).unwrap();
        endpoint.interface = Some(link.inside.clone());
    }
    tables
}

/// One wire for each workload; to be called in the box.
fn placed(topology: &Topology, tables: &Tables) -> Vec<Wire> {
    let links = topology.filter_box().unwrap().links.iter();
    let ends: Vec<Ends> = links
        .map(|link| Ends { inside: link.inside.clone(), outside: link.outside.clone() })
        .collect();
    let placed = wires(tables, &ends, &HostView::read().unwrap()).unwrap();
    assert_eq!(placed.warnings, [] as [WireWarning; 0]);
    placed.wires
}

fn start(topology: &Topology, documents: &Documents, threads: usize) -> Running {
    let options = live::Options {
        mode: Mode::Enforce,
        settings: ringfence_dataplane::backend::Settings {
            pick_up_seconds: 0,
            ..Default::default()
        },
        threads: NonZeroUsize::new(threads).unwrap(),
    };
    let namespace = &topology.filter_box().unwrap().namespace;
    namespace
        .run(|| {
            let tables = tables(topology, documents);
            live::start(placed(topology, &tables), &tables, options).unwrap()
        })
        .unwrap()
}

fn assert_as_expected(topology: &Topology, processes: &[Process], documents: &Documents) -> Matrix {
    let places = topology.places();
    let expectation = Expectation::new(&documents.policies, places);
    let expected = |probe: &Probe| expectation.allows(probe);
    let outcomes = measure(processes, &probes(places, &PORTS), &expected);
    let names = places.iter().map(|place| place.name.clone()).collect();
    let matrix = Matrix::new(names, outcomes, &expected);
    assert_eq!(matrix.cells.len(), 2_160);
    assert_eq!(matrix.wrong().count(), 0, "\n{}", beside(&matrix, Style::Plain));
    matrix
}

#[test]
fn every_connection_of_the_demo_is_as_expected_before_and_after_a_change() {
    let Some(_granted) = require::privileged() else { return };
    let (before, after) = (shop().unwrap(), change().unwrap());
    let topology =
        Topology::build_wired(&before.policies.inventory, &outsiders(), Wiring::ThroughBox)
            .unwrap();
    let processes = start_all(&topology, &PORTS).unwrap();
    let mut running = start(&topology, &before, 2);

    let first = assert_as_expected(&topology, &processes, &before);
    let changed = tables(&topology, &after);
    let wires =
        topology.filter_box().unwrap().namespace.run(|| placed(&topology, &changed)).unwrap();
    assert_eq!(running.replace(&wires, &changed).unwrap(), 2);
    let second = assert_as_expected(&topology, &processes, &after);
    assert_eq!(first.flips(&second).len(), 4, "the change opens two ways and closes two");

    let (counters, end) = running.stop();
    end.unwrap();
    assert_eq!(counters.len(), 8);
    for wire in &counters {
        for (way, counters) in Way::ALL.into_iter().zip(&wire.ways) {
            assert!(counters.passed() > 0, "{way:?} {wire:?}");
            assert_eq!((counters.cut, counters.unreadable), (0, 0), "{way:?} {wire:?}");
        }
        assert!(wire.ways[0].denied() > 0, "{wire:?}");
    }
}
