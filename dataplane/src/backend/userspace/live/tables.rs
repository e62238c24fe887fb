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
