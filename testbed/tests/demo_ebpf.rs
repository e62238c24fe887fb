//! The demo's story on the eBPF backend: every connection as the oracle says, and no packet lost.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use ringfence_common::abi::event::Event;
use ringfence_dataplane::backend::ebpf::{Ebpf, Events, Pins};
use ringfence_dataplane::backend::{
    Arrival, Backend, Desired, Interface, Mode, Numbers, Role, Settings,
};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::document;
use ringfence_dataplane::model::{PolicySet, WorkloadName};
use ringfence_testbed::connectivity::Style;
use ringfence_testbed::demo::{self, Applied, Engine, EngineError};
use ringfence_testbed::require;
use ringfence_testbed::topology::UPLINK;
use ringfence_testbed::veth::Netlink;

/// The backend alone, with interfaces that are known beforehand.
struct Direct {
    backend: Ebpf,
    arrival: Arrival,
    known: Option<Numbers>,
    events: Option<Events>,
}

impl Direct {
    fn new(arrival: Arrival) -> Self {
        let pins = Pins::below("/sys/fs/bpf/ringfence");
        Self { backend: Ebpf::new(pins), arrival, known: None, events: None }
    }

    /// One interface for each workload, and the uplink.
    fn interfaces(&self, tables: &Tables) -> Vec<Interface> {
        let netlink = Netlink::open().unwrap();
        let interface = |name: String, role, endpoint| Interface {
            index: netlink.index(&name).unwrap(),
            name,
            role,
            endpoints: BTreeSet::from([endpoint]),
            arrival: self.arrival,
        };
        tables
            .endpoints
            .iter()
            .map(|(number, endpoint)| match endpoint.name.split_once('/') {
                Some((_, name)) if !endpoint.host => {
                    interface(format!("rf-{name}"), Role::Workload, *number)
                }
                _ => interface(UPLINK.to_owned(), Role::Uplink, *number),
            })
            .collect()
    }
}

impl Engine for Direct {
    fn apply(
        &mut self,
        policies: &PolicySet,
        _: &document::Report,
    ) -> Result<Applied, EngineError> {
        let tables = compile(policies)?;
        let tables = tables.for_host(&tables.endpoints.keys().copied().collect());
        let host = WorkloadName::new("infrastructure", "node");
        let host_addresses: BTreeSet<IpAddr> =
            policies.inventory.workload(&host).unwrap().addresses.iter().copied().collect();
        let desired = Desired {
            interfaces: self.interfaces(&tables),
            tables,
            host_addresses,
            mode: Mode::Enforce,
            settings: Settings::default(),
        };
        let applied = self.backend.apply(&desired, self.known.as_ref())?;
        let line = format!("{:?}, {} entries touched", applied.how, applied.entries_touched);
        self.known = Some(applied.numbers);
        if self.events.is_none() {
            self.events = self.backend.maps()?.and_then(|mut maps| maps.take_events());
        }
        Ok(Applied { lines: [applied.hooks, vec![line]].concat() })
    }

    fn events(&mut self) -> Result<Vec<Event>, EngineError> {
        let events = self.events.as_mut().ok_or("there are no events before the first apply")?;
        Ok(std::iter::from_fn(|| events.try_next()).collect())
    }
}

fn tell(arrival: Arrival) {
    let Some(_granted) = require::kernel() else { return };
    let mut out = Vec::new();
    let told = demo::tell(&mut Direct::new(arrival), &mut out, Style::Plain);
    let text = String::from_utf8(out).unwrap();
    let report = told.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    println!("{text}");
    assert!(report.is_good(), "{text}");
    assert_eq!((report.change.flips_predicted, report.change.flips_measured), (4, 4), "{text}");
    assert_eq!(report.phases[1].hvac_reaches, 1, "the vendor alone\n{text}");
    assert_eq!(report.denials.len(), 4);
    assert!(report.duration_ms < 60_000, "{} ms", report.duration_ms);
}

#[test]
fn every_connection_is_as_expected_with_tcx() {
    tell(Arrival::Tcx);
}

#[test]
fn every_connection_is_as_expected_with_xdp() {
    tell(Arrival::Xdp);
}
