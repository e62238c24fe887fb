//! What the maps of one generation hold, as plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_common::abi::config::{Attachment, AttachmentKey, Hook, checks};
use ringfence_common::abi::identity::{AddressEntry, endpoint, identity};
use ringfence_common::abi::policy::{Endpoint, PolicyEntry, PolicyKey};

use super::classes::Boundaries;
use crate::backend::{Arrival, Desired, Interface, Role};
use crate::compile::Tables;

/// The contents of all tables of a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// What each hook on each interface checks.
    pub attachments: BTreeMap<AttachmentKey, Attachment>,
    /// Endpoints of this host.
    pub endpoints: BTreeMap<u32, Endpoint>,
    /// Single addresses, the host's own among them.
    pub addresses: BTreeMap<IpAddr, AddressEntry>,
    /// Prefixes.
    pub prefixes: BTreeMap<IpNet, u32>,
    /// Classes of ports.
    pub(super) classes: Boundaries,
    /// Policy.
    pub policy: BTreeMap<PolicyKey, PolicyEntry>,
}

impl Image {
    /// The contents that `desired` asks for.
    #[must_use]
    pub fn of(desired: &Desired) -> Self {
        let tables = &desired.tables;
        let mut addresses = host_addresses(tables, &desired.host_addresses);
        addresses.extend(tables.address_entries());
        Self {
            attachments: attachments(tables, &desired.interfaces),
            endpoints: endpoints(tables, &desired.interfaces),
            addresses,
            prefixes: tables.prefixes.clone(),
            classes: tables.classes.clone(),
            policy: tables.policy.clone(),
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.attachments.len()
            + self.endpoints.len()
            + self.addresses.len()
            + self.prefixes.len()
            + self.classes.len()
            + self.policy.len()
    }
}

/// The host's own addresses: whatever a prefix makes of them, else the host.
pub(super) fn host_addresses(
    tables: &Tables,
    own: &BTreeSet<IpAddr>,
) -> BTreeMap<IpAddr, AddressEntry> {
    let known = |address: &&IpAddr| !tables.addresses.contains_key(address);
    let entry = |address: &IpAddr| {
        let longest = tables
            .prefixes
            .iter()
            .filter(|(prefix, _)| prefix.contains(address))
            .max_by_key(|(prefix, _)| prefix.prefix_len());
        let identity = longest.map_or(identity::HOST, |(_, identity)| *identity);
        (*address, AddressEntry { identity, endpoint: endpoint::HOST })
    };
    own.iter().filter(known).map(entry).collect()
}

fn endpoints(tables: &Tables, interfaces: &[Interface]) -> BTreeMap<u32, Endpoint> {
    let ifindex_of = |number: u32| {
        let behind = |interface: &&Interface| {
            interface.role == Role::Workload && interface.endpoints.contains(&number)
        };
        interfaces.iter().find(behind).map_or(0, |interface| interface.index)
    };
    let entry = |(number, description): (&u32, &crate::compile::EndpointDescription)| {
        let subject = tables.subjects.get(&description.subject).copied().unwrap_or_default();
        let endpoint = Endpoint {
            subject: description.subject,
            ifindex: ifindex_of(*number),
            ingress_forms: subject.ingress_forms,
            egress_forms: subject.egress_forms,
            reserved: [0; 6],
        };
        (*number, endpoint)
    };
    tables.endpoints.iter().map(entry).collect()
}

fn attachments(tables: &Tables, interfaces: &[Interface]) -> BTreeMap<AttachmentKey, Attachment> {
    let is_managed = tables.endpoints.contains_key(&endpoint::HOST);
    let mut attachments = BTreeMap::new();
    for interface in interfaces {
        for hook in interface.hooks() {
            let key = AttachmentKey { ifindex: interface.index, hook: hook as u32 };
            let checks = checks_of(interface.role, hook, is_managed);
            let endpoint = match (interface.role, interface.endpoints.first()) {
                (Role::Workload, Some(only)) if interface.endpoints.len() == 1 => *only,
                _ => endpoint::UNKNOWN,
            };
            attachments.insert(key, Attachment { checks, endpoint });
        }
    }
    attachments
}

/// What a hook checks. Policy of the host is checked where its traffic passes: on uplinks, and
/// on the interfaces of its own workloads.
fn checks_of(role: Role, hook: Hook, host_is_managed: bool) -> u32 {
    let host = |bit| if host_is_managed { bit } else { 0 };
    match (role, hook) {
        (Role::Workload, Hook::Xdp | Hook::TcIngress) => {
            checks::SOURCE_INSIDE
                | checks::NO_ROUTERS
                | checks::WORKLOAD_EGRESS
                | host(checks::HOST_INGRESS)
        }
        (Role::Workload, Hook::TcEgress) => checks::WORKLOAD_INGRESS | host(checks::HOST_EGRESS),
        (Role::Uplink, Hook::Xdp | Hook::TcIngress) => {
            checks::SOURCE_OUTSIDE | host(checks::HOST_INGRESS)
        }
        (Role::Uplink, Hook::TcEgress) => host(checks::HOST_EGRESS),
    }
}

impl Interface {
    /// The hooks that guard the interface: one for what arrives, one for what leaves.
    #[must_use]
    pub fn hooks(&self) -> [Hook; 2] {
        match self.arrival {
            Arrival::Tcx => [Hook::TcIngress, Hook::TcEgress],
            Arrival::Xdp => [Hook::Xdp, Hook::TcEgress],
        }
    }
}
