//! The state that a host shall be in.

use std::collections::{BTreeMap, BTreeSet};

use super::EnforceError;
use super::apply::{HookChoice, Options};
use super::placement::{Placement, Role};
use crate::backend::{self, Arrival, Desired};
use crate::compile::Tables;

/// The state that a host shall be in where workloads are placed so.
///
/// # Errors
///
/// [`EnforceError::TwoRoles`].
pub fn desired(
    tables: &Tables,
    placement: &Placement,
    options: &Options,
) -> Result<Desired, EnforceError> {
    let local: BTreeSet<u32> = placement.endpoints.keys().copied().collect();
    let tables = tables.for_host(&local);
    let mut interfaces: BTreeMap<u32, backend::Interface> = BTreeMap::new();
    for (number, place) in &placement.endpoints {
        let (role, usual) = match place.role {
            Role::Workload => (backend::Role::Workload, Arrival::Tcx),
            Role::Host => (backend::Role::Uplink, Arrival::Xdp),
        };
        let arrival = match options.hook {
            HookChoice::Auto => usual,
            HookChoice::Tcx => Arrival::Tcx,
            HookChoice::Xdp => Arrival::Xdp,
        };
        for found in &place.interfaces {
            let interface = interfaces.entry(found.index).or_insert_with(|| backend::Interface {
                index: found.index,
                name: found.name.clone(),
                role,
                endpoints: BTreeSet::new(),
                arrival,
            });
            if interface.role != role {
                let name = tables.endpoints.get(number).map(|endpoint| endpoint.name.clone());
                let (interface, workload) = (found.name.clone(), name.unwrap_or_default());
                return Err(EnforceError::TwoRoles { interface, workload });
            }
            interface.endpoints.insert(*number);
        }
    }
    Ok(Desired {
        tables,
        interfaces: interfaces.into_values().collect(),
        host_addresses: placement.host_addresses.iter().copied().collect(),
        mode: options.mode,
        settings: options.settings,
    })
}
