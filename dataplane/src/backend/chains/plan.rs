//! From a desired state to a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ringfence_common::abi::identity::{AddressEntry, endpoint};
use ringfence_common::abi::policy::{Direction, forms};

use super::space::Space;
use super::{Entry, Guard, HostGuard, Plan, Side, lines};
use crate::backend::{Desired, Interface, Role, host};
use crate::compile::{EndpointDescription, Tables};

impl Plan {
    /// What chains have to do so that the host is in the state `desired`.
    ///
    /// # Panics
    ///
    /// When an interface has an endpoint that the tables do not describe.
    #[must_use]
    pub fn of(desired: &Desired) -> Self {
        let tables = &desired.tables;
        let addresses = host::addresses(tables, &desired.host_addresses);
        Self {
            mode: desired.mode,
            settings: desired.settings,
            guards: guards(desired),
            host: host_guard(desired, &addresses),
            sides: sides(tables, &Space::of(&addresses, &tables.prefixes)),
            rules: tables.rules.clone(),
        }
    }
}

/// The guards of all workloads, by name.
fn guards(desired: &Desired) -> Vec<Guard> {
    let tables = &desired.tables;
    let workloads = desired.interfaces.iter().filter(|interface| interface.role == Role::Workload);
    let behind: BTreeMap<u32, &Interface> = workloads
        .flat_map(|interface| interface.endpoints.iter().map(move |number| (*number, interface)))
        .collect();
    let known =
        |number: &u32| tables.endpoints.get(number).expect("interfaces have described endpoints");
    let guard = |number: u32| {
        let EndpointDescription { name, subject, addresses, .. } = known(&number);
        let entry = match behind.get(&number) {
            Some(interface) if interface.endpoints.len() == 1 => {
                Entry::Interface(interface.name.clone())
            }
            Some(interface) => Entry::Shared(interface.name.clone()),
            None => Entry::Addresses,
        };
        Guard {
            endpoint: number,
            name: name.clone(),
            entry,
            addresses: sorted(addresses.iter().copied()),
            subject: *subject,
            isolated: is_isolated(tables, *subject),
        }
    };
    let numbers: BTreeSet<u32> = tables.endpoints.keys().chain(behind.keys()).copied().collect();
    let workloads = numbers.into_iter().filter(|number| *number != endpoint::HOST);
    let mut guards: Vec<Guard> = workloads.map(guard).collect();
    guards.sort_by(|a, b| (&a.name, a.endpoint).cmp(&(&b.name, b.endpoint)));
    guards
}

/// The host has the addresses that its document names and those of its interfaces that no other
/// document claims.
fn host_guard(desired: &Desired, addresses: &BTreeMap<IpAddr, AddressEntry>) -> Option<HostGuard> {
    let EndpointDescription { name, subject, .. } =
        desired.tables.endpoints.get(&endpoint::HOST)?;
    let of_host = addresses.iter().filter(|(_, entry)| entry.endpoint == endpoint::HOST);
    let uplinks = desired.interfaces.iter().filter(|interface| interface.role == Role::Uplink);
    let uplinks: BTreeSet<&String> = uplinks.map(|interface| &interface.name).collect();
    Some(HostGuard {
        name: name.clone(),
        uplinks: uplinks.into_iter().cloned().collect(),
        addresses: sorted(of_host.map(|(address, _)| *address)),
        subject: *subject,
        isolated: is_isolated(&desired.tables, *subject),
    })
}

/// The sides of all subjects that policy says something about.
fn sides(tables: &Tables, space: &Space) -> BTreeMap<(u32, Direction), Side> {
    let mut entries = lines::by_side(tables);
    let mut sides = BTreeMap::new();
    for (number, subject) in &tables.subjects {
        for direction in [Direction::Ingress, Direction::Egress] {
            let forms = subject.forms(direction);
            if forms & forms::ENFORCED != 0 {
                let entries = entries.remove(&(*number, direction)).unwrap_or_default();
                sides.insert((*number, direction), lines::side(tables, space, forms, &entries));
            }
        }
    }
    sides
}

fn is_isolated(tables: &Tables, subject: u32) -> bool {
    let subject = tables.subjects.get(&subject).copied().unwrap_or_default();
    (subject.ingress_forms | subject.egress_forms) & forms::ISOLATED != 0
}

fn sorted(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    addresses.collect::<BTreeSet<IpAddr>>().into_iter().collect()
}
