//! The filter between two machines.

use std::num::NonZeroUsize;

use ringfence_dataplane::backend::userspace::live::{self, Running, WayCounters};
use ringfence_dataplane::backend::{Mode, Settings};
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_dataplane::enforce::{Ends, HostView, WireWarning, wires};
use ringfence_testbed::topology::{BOX_INSIDE, BOX_OUTSIDE, Machines};

/// The machine inside, isolated both ways, and both ways open for TCP and UDP ports below 6000.
const DOCUMENTS: &str = r#"
{apiVersion: ringfence.dev/v1alpha1, kind: Workload,
 metadata: {namespace: lab, name: inside, labels: {app: inside}},
 spec: {addresses: [10.0.0.1, "fd00::1"]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: lab, name: inside},
 spec: {podSelector: {}, policyTypes: [Ingress, Egress],
  ingress: [{ports: [{port: 1, endPort: 5999}, {port: 1, endPort: 5999, protocol: UDP}]}],
  egress: [{ports: [{port: 1, endPort: 5999}, {port: 1, endPort: 5999, protocol: UDP}]}]}}
"#;

pub fn start(machines: &Machines, threads: usize) -> Running {
    let input = Input::Text { name: "lab.yaml".into(), text: DOCUMENTS.into() };
    let policies = document::read(&[input], Validation::Strict).policies.unwrap();
    let tables = compile(&policies).unwrap();
    let options = live::Options {
        mode: Mode::Enforce,
        settings: Settings { pick_up_seconds: 0, ..Settings::default() },
        threads: NonZeroUsize::new(threads).unwrap(),
    };
    let ends = [Ends { inside: BOX_INSIDE.into(), outside: BOX_OUTSIDE.into() }];
    machines
        .filter_box
        .run(|| {
            let placed = wires(&tables, &ends, &HostView::read().unwrap()).unwrap();
            assert_eq!(placed.warnings, [] as [WireWarning; 0]);
            live::start(placed.wires, &tables, options).unwrap()
        })
        .unwrap()
}

/// Stops the filter: what became of the frames from inside, and of those from outside.
pub fn stop(running: Running) -> [WayCounters; 2] {
    let (mut counters, end) = running.stop();
    end.unwrap();
    counters.pop().unwrap().ways
}
