//! Applying tables to this host, and taking everything away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::host::HostView;
use super::installed::{InstalledPolicies, Unwritten};
use super::lock::Lock;
use super::placement::{Placement, Role, place};
use super::summary::{Summary, changes};
use super::{EnforceError, Paths, privilege};
use crate::backend::ebpf::{Ebpf, Pins};
use crate::backend::{self, Arrival, Backend as _, Desired, Mode, Settings};
use crate::compile::Tables;

/// How tables are to be applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether denials are denied.
    pub mode: Mode,
    /// Which hooks.
    pub hook: HookChoice,
    /// Everything else.
    pub settings: Settings,
    /// Whether to say what would be done, and do nothing.
    pub dry_run: bool,
}

/// Which hook sees the frames that arrive on an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HookChoice {
    /// tcx where workloads are, XDP on uplinks: the cheaper one of each.
    #[default]
    Auto,
    /// tcx everywhere.
    Tcx,
    /// XDP everywhere.
    Xdp,
}

/// Makes this host behave as `tables` say. `policies` are the names of the policies that they
/// were made of, each with the digest of what it says.
///
/// # Errors
///
/// [`EnforceError`]; the host behaves as before then.
pub fn apply(
    paths: &Paths,
    tables: &Tables,
    policies: &BTreeMap<String, String>,
    options: &Options,
) -> Result<Summary, EnforceError> {
    privilege::check("apply")?;
    let started = Instant::now();
    let _lock = Lock::take(&paths.lock())?;
    let placement = place(tables, &HostView::read()?)?;
    let desired = desired(tables, &placement, options)?;
    let known = InstalledPolicies::read(&paths.installed())?;
    let mut backend = Ebpf::new(Pins::below(paths.pins()));
    let before = backend.generation()?;
    let known = known.filter(|known| known.numbers.generation == before);
    let known_policies = known.as_ref().map(|known| known.policies.clone()).unwrap_or_default();
    let numbers = known.as_ref().map(|known| &known.numbers);
    let applied = if options.dry_run {
        backend.preview(&desired, numbers)?
    } else {
        let file = Unwritten::prepare(&paths.installed())?;
        let applied = backend.apply(&desired, numbers)?;
        file.write(&InstalledPolicies::new(applied.numbers.clone(), policies.clone()))?;
        applied
    };
    let size = desired.tables.size();
    Ok(Summary {
        policies: changes(&known_policies, policies),
        warnings: placement.warnings,
        local: placement.endpoints.len(),
        remote: placement.remote.len(),
        entries: applied.policy,
        policy_entries: desired.tables.policy.len(),
        map_entries: usize::try_from(size.entries()).unwrap_or(usize::MAX),
        touched: applied.entries_touched,
        bytes: size.bytes(),
        hooks: applied.hooks,
        generation: applied.numbers.generation,
        how: applied.how,
        mode: options.mode,
        duration: started.elapsed(),
        dry_run: options.dry_run,
    })
}

/// Takes away everything of ours, and says which hooks that were; nothing where nothing of ours
/// was there.
///
/// # Errors
///
/// [`EnforceError`].
pub fn off(paths: &Paths) -> Result<Option<Vec<String>>, EnforceError> {
    privilege::check("off")?;
    let _lock = Lock::take(&paths.lock())?;
    let removed = Ebpf::new(Pins::below(paths.pins())).remove()?;
    InstalledPolicies::remove(&paths.installed())?;
    Ok(removed)
}

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
