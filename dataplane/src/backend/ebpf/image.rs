//! What a desired state means for the maps: [`HostTables`].

use std::collections::BTreeMap;

use ringfence_common::abi::config::{Attachment, AttachmentKey, Config, Hook, checks};
use ringfence_common::abi::identity::endpoint;

use crate::backend::host::{HostTables, Placement};
use crate::backend::{Arrival, Desired, Interface, Role};
use crate::compile::Tables;

impl Desired {
    /// The contents of the maps under `config`.
    #[must_use]
    pub fn host_tables(&self, config: Config) -> HostTables {
        let workloads = self.interfaces.iter().filter(|i| i.role == Role::Workload);
        let behind = workloads.flat_map(|interface| {
            interface.endpoints.iter().map(move |number| (*number, interface.index))
        });
        let placement = Placement {
            interfaces: behind.collect(),
            attachments: attachments(&self.tables, &self.interfaces),
            host_addresses: self.host_addresses.clone(),
        };
        HostTables::new(&self.tables, &placement, config)
    }
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
                (Role::Uplink, _) => endpoint::HOST,
                (Role::Workload, _) => endpoint::UNKNOWN,
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
