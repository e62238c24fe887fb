//! What the two ends of a wire look up.
//!
//! Each wire is a host of its own to the tables, with the workloads behind its inner end and
//! nobody else: the workloads of other wires are elsewhere, so that what one of them sends may
//! come in from outside. The tables of the outer end know the workloads as nothing but addresses
//! that must not come from there.
//!
//! The host that the documents describe is not between the ends. It is a peer that policy knows,
//! and the workloads' host (semantics 8): it may always talk to them. Its own policy is not
//! enforced here.

use std::collections::BTreeMap;

use ringfence_common::abi::config::{Attachment, AttachmentKey, Config, Hook, checks};
use ringfence_common::abi::identity::endpoint;

use super::Wire;
use crate::backend::host::{HostTables, Placement};
use crate::compile::Tables;

/// The tables of the wires, two sets for each: at [`inside_set`] and [`outside_set`].
pub(super) fn tables(wires: &[Wire], tables: &Tables, config: Config) -> Vec<HostTables> {
    wires
        .iter()
        .flat_map(|wire| {
            let inside = inside(wire, tables, config);
            let outside = outside(wire, &inside);
            [inside, outside]
        })
        .collect()
}

/// Where the tables of the inner end of wire number `wire` are.
pub(super) const fn inside_set(wire: usize) -> usize {
    2 * wire
}

/// Where the tables of the outer end of wire number `wire` are.
pub(super) const fn outside_set(wire: usize) -> usize {
    2 * wire + 1
}

fn inside(wire: &Wire, tables: &Tables, config: Config) -> HostTables {
    let only = match wire.endpoints.first() {
        Some(only) if wire.endpoints.len() == 1 => *only,
        _ => endpoint::UNKNOWN,
    };
    let arriving = checks::SOURCE_INSIDE | checks::NO_ROUTERS | checks::WORKLOAD_EGRESS;
    let attachments = [(Hook::TcIngress, arriving), (Hook::TcEgress, checks::WORKLOAD_INGRESS)]
        .map(|(hook, checks)| {
            let key = AttachmentKey { ifindex: wire.inside.index, hook: hook as u32 };
            (key, Attachment { checks, endpoint: only })
        });
    let placement = Placement {
        interfaces: wire.endpoints.iter().map(|number| (*number, wire.inside.index)).collect(),
        attachments: attachments.into(),
        host_addresses: [].into(),
    };
    HostTables::new(tables, &placement, config)
}

fn outside(wire: &Wire, inside: &HostTables) -> HostTables {
    let key = AttachmentKey { ifindex: wire.outside.index, hook: Hook::TcIngress as u32 };
    let attachment = Attachment { checks: checks::SOURCE_OUTSIDE, endpoint: endpoint::UNKNOWN };
    let mut addresses = inside.addresses.clone();
    for entry in addresses.values_mut().filter(|entry| entry.endpoint == endpoint::HOST) {
        entry.endpoint = endpoint::NONE;
    }
    HostTables {
        config: inside.config,
        attachments: BTreeMap::from([(key, attachment)]),
        addresses,
        prefixes: inside.prefixes.clone(),
        ..HostTables::default()
    }
}

#[cfg(test)]
mod tests {
    use ringfence_common::decide::{Desk, Place};
    use ringfence_common::verdict::Reason;

    use super::*;
    use crate::backend::userspace::SharedFilter;
    use crate::backend::userspace::live::Port;
    use crate::backend::{Mode, Settings};
    use crate::compile::{EndpointDescription, Subject};
    use ringfence_common::abi::policy::forms;

    const IN: u32 = 3;
    const OUT: u32 = 4;

    /// Workloads 10.0.0.1 and 10.0.0.2 behind a wire each, isolated for ingress; a host 10.0.0.3.
    fn sets() -> Vec<HostTables> {
        let mut tables = Tables::default();
        for (number, last) in [(300, 1), (301, 2), (endpoint::HOST, 3)] {
            let address = [10, 0, 0, last].into();
            tables.addresses.insert(address, 1_000);
            let described = EndpointDescription {
                name: format!("shop/w{last}"),
                subject: 1_000,
                addresses: vec![address],
                host: number == endpoint::HOST,
                ..EndpointDescription::default()
            };
            tables.endpoints.insert(number, described);
        }
        let isolated = Subject { ingress_forms: forms::ENFORCED, egress_forms: 0 };
        tables.subjects.insert(1_000, isolated);
        let port = |index| Port { index, name: format!("eth{index}") };
        let wire = |number: u32, index| Wire {
            inside: port(index),
            outside: port(index + 1),
            endpoints: [number].into(),
        };
        let config = Settings::default().config(Mode::Enforce, 1, 1, 0);
        super::tables(&[wire(300, IN), wire(301, OUT + 1)], &tables, config)
    }

    #[test]
    fn each_wire_is_a_host_of_its_own_and_the_host_is_outside() {
        let sets = sets();
        assert_eq!(sets.len(), 4);
        let filter = SharedFilter::new(&sets, 1);
        let decide = |set: usize, ifindex, hook, source: u8, destination: u8| {
            let mut frame = vec![0; 14 + 20 + 8];
            frame[12] = 8;
            frame[14] = 0x45;
            frame[17] = 28;
            frame[23] = 17;
            frame[26..30].copy_from_slice(&[10, 0, 0, source]);
            frame[30..34].copy_from_slice(&[10, 0, 0, destination]);
            frame[39] = 8;
            let place = Place::new(ifindex, hook, 1);
            let (generation, mut work) = (filter.generation(), Desk::new());
            let frame = frame.as_slice();
            filter.decide(&generation, set, frame, &place, &mut work).decision.reason
        };
        let arriving = |source| decide(outside_set(0), OUT, Hook::TcIngress, source, 1);
        assert_eq!(arriving(1), Reason::Spoofed, "its own workload is not outside");
        assert_eq!(arriving(2), Reason::NotSubject, "another wire's workload is");
        assert_eq!(arriving(3), Reason::NotSubject, "so is the host");
        let leaving = |source| decide(inside_set(0), IN, Hook::TcEgress, source, 1);
        assert_eq!(leaving(2), Reason::NoRule);
        assert_eq!(leaving(3), Reason::HostToWorkload);
        let sent = |source| decide(inside_set(0), IN, Hook::TcIngress, source, 9);
        assert_eq!((sent(1), sent(2)), (Reason::NotIsolated, Reason::Spoofed));
        assert_eq!(decide(inside_set(1), IN, Hook::TcIngress, 2, 3), Reason::UnknownInterface);
    }
}
