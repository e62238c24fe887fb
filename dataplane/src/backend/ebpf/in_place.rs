//! Changing the counting slot entry by entry, where `compile::in_place` says that no packet can see
//! it halfway.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ringfence_common::abi::identity::{AddressEntry, endpoint};
use ringfence_common::abi::policy::Endpoint;

use super::slots::Inner as _;
use super::{EbpfError, Maps};
use crate::backend::host::HostTables;
use crate::backend::{Desired, Numbers};
use crate::compile::{Subject, Tables, TablesDiff};

/// The steps from what is installed to what is wanted, if no packet can see them halfway and
/// nothing but tables changes.
pub(super) fn steps(
    installed: &HostTables,
    known: &Numbers,
    desired: &Desired,
    image: &HostTables,
) -> Option<Vec<TablesDiff>> {
    let kept =
        installed.attachments.iter().all(|(key, value)| image.attachments.get(key) == Some(value));
    let moved = installed.endpoints.iter().any(|(number, old)| {
        image.endpoints.get(number).is_some_and(|new| new.ifindex != old.ifindex)
    });
    let old = tables(installed, known)?;
    if !kept || moved || undescribed(installed, &old) != undescribed(image, &desired.tables) {
        return None;
    }
    old.steps_to(&desired.tables)
}

/// The host's addresses that no document names.
fn undescribed(installed: &HostTables, tables: &Tables) -> BTreeMap<IpAddr, u32> {
    let entries = installed.addresses.iter();
    let undescribed = entries.filter(|(address, _)| !tables.addresses.contains_key(address));
    undescribed.map(|(address, entry)| (*address, entry.identity)).collect()
}

/// The installed tables, from the maps and from what their numbers stand for.
fn tables(installed: &HostTables, known: &Numbers) -> Option<Tables> {
    let mut subjects = BTreeMap::new();
    for (number, entry) in &installed.endpoints {
        if *number == endpoint::HOST && !known.endpoints.contains_key(number) {
            continue;
        }
        if known.endpoints.get(number)?.subject != entry.subject {
            return None;
        }
        let (ingress_forms, egress_forms) = (entry.ingress_forms, entry.egress_forms);
        subjects.insert(entry.subject, Subject { ingress_forms, egress_forms });
    }
    if known.endpoints.keys().any(|number| !installed.endpoints.contains_key(number)) {
        return None;
    }
    let host = known.endpoints.get(&endpoint::HOST).map(|host| host.addresses.clone());
    let host: BTreeSet<IpAddr> = host.unwrap_or_default().into_iter().collect();
    let is_workloads = |(address, entry): &(&IpAddr, &AddressEntry)| {
        entry.endpoint != endpoint::HOST || host.contains(*address)
    };
    let addresses = installed.addresses.iter().filter(is_workloads);
    Some(Tables {
        identities: known.identities.clone(),
        addresses: addresses.map(|(address, entry)| (*address, entry.identity)).collect(),
        prefixes: installed.prefixes.clone(),
        classes: installed.classes.clone(),
        endpoints: known.endpoints.clone(),
        subjects,
        policy: installed.policy.clone(),
        rules: known.rules.clone(),
    })
}

/// Changes entries in the order of `compile::in_place`; how many were touched. Between the phases
/// all packets under way are waited for: one that has looked for an entry before it came must
/// not look for another after it went.
fn change(
    maps: &mut Maps,
    slot: u32,
    step: &TablesDiff,
    image: &HostTables,
) -> Result<usize, EbpfError> {
    let missing = |name| EbpfError::Object(format!("table `{name}` has no slot {slot}"));
    let mut policy = maps.policy.open(slot)?.ok_or_else(|| missing("POLICY"))?;
    let mut endpoints = maps.endpoints.open(slot)?.ok_or_else(|| missing("ENDPOINTS"))?;
    let policy_error = EbpfError::map("POLICY");
    let endpoints_error = EbpfError::map("ENDPOINTS");

    let changed = step.policy.changed.iter().map(|(key, (_, new))| (key, new));
    for (key, entry) in step.policy.added.iter().chain(changed) {
        policy.put(key, entry).map_err(&policy_error)?;
    }
    let (kept, gone) = touched_endpoints(step, &image.endpoints);
    for (number, entry) in &kept {
        endpoints.put(number, entry).map_err(&endpoints_error)?;
    }
    let mut is_waiting = step.policy.touched() > step.policy.removed.len() || !kept.is_empty();

    if is_waiting && !(step.classes.is_empty() && step.addresses.is_empty()) {
        maps.policy.wait(slot)?;
        is_waiting = false;
    }
    if !step.classes.is_empty() {
        // This waits by itself.
        maps.classes.fill(slot, &classes_after(maps, slot, step)?)?;
    }
    if !step.addresses.is_empty() {
        change_addresses(maps, slot, step)?;
        is_waiting = true;
    }

    if is_waiting && !(step.policy.removed.is_empty() && gone.is_empty()) {
        maps.policy.wait(slot)?;
    }
    for key in step.policy.removed.keys() {
        policy.remove(key).map_err(&policy_error)?;
    }
    for number in &gone {
        endpoints.remove(number).map_err(&endpoints_error)?;
    }
    let endpoints = kept.len() + gone.len();
    Ok(endpoints + step.policy.touched() + step.classes.touched() + step.addresses.touched())
}

/// The endpoints to be written and those to be removed.
fn touched_endpoints(
    step: &TablesDiff,
    wanted: &BTreeMap<u32, Endpoint>,
) -> (Vec<(u32, Endpoint)>, Vec<u32>) {
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for number in &step.touched_endpoints {
        let Some(mut entry) = wanted.get(number).copied() else {
            gone.push(*number);
            continue;
        };
        if let Some((_, forms)) = step.subjects.changed.get(&entry.subject) {
            (entry.ingress_forms, entry.egress_forms) = (forms.ingress_forms, forms.egress_forms);
        }
        kept.push((*number, entry));
    }
    (kept, gone)
}

/// The classes after a step.
fn classes_after(
    maps: &Maps,
    slot: u32,
    step: &TablesDiff,
) -> Result<super::classes::Boundaries, EbpfError> {
    let mut classes = maps.classes.read(slot)?;
    let changed = step.classes.changed.iter().map(|(protocol, (_, new))| (protocol, new));
    for (protocol, starts) in step.classes.added.iter().chain(changed) {
        classes.insert(*protocol, starts.clone());
    }
    classes.retain(|protocol, _| !step.classes.removed.contains_key(protocol));
    Ok(classes)
}

fn change_addresses(maps: &mut Maps, slot: u32, step: &TablesDiff) -> Result<(), EbpfError> {
    let missing = |name| EbpfError::Object(format!("table `{name}` has no slot {slot}"));
    let mut v4 = maps.addresses_v4.open(slot)?.ok_or_else(|| missing("ADDRESSES_V4"))?;
    let mut v6 = maps.addresses_v6.open(slot)?.ok_or_else(|| missing("ADDRESSES_V6"))?;
    let (error_v4, error_v6) = (EbpfError::map("ADDRESSES_V4"), EbpfError::map("ADDRESSES_V6"));
    let changed = step.addresses.changed.iter().map(|(address, (_, new))| (address, new));
    for (address, entry) in step.addresses.added.iter().chain(changed) {
        match address {
            IpAddr::V4(address) => v4.put(&address.octets(), entry).map_err(&error_v4)?,
            IpAddr::V6(address) => v6.put(&address.octets(), entry).map_err(&error_v6)?,
        }
    }
    for address in step.addresses.removed.keys() {
        match address {
            IpAddr::V4(address) => v4.remove(&address.octets()).map_err(&error_v4)?,
            IpAddr::V6(address) => v6.remove(&address.octets()).map_err(&error_v6)?,
        }
    }
    Ok(())
}

/// Adds what is to be checked at hooks that are new; nothing is attached there yet.
fn attach_new(
    maps: &mut Maps,
    slot: u32,
    installed: &HostTables,
    image: &HostTables,
) -> Result<usize, EbpfError> {
    let new = image.attachments.iter().filter(|(key, _)| !installed.attachments.contains_key(key));
    let new: Vec<_> = new.collect();
    if new.is_empty() {
        return Ok(0);
    }
    let missing = || EbpfError::Object(format!("table `ATTACHMENTS` has no slot {slot}"));
    let mut attachments = maps.attachments.open(slot)?.ok_or_else(missing)?;
    for (key, attachment) in &new {
        attachments.put(key, attachment).map_err(EbpfError::map("ATTACHMENTS"))?;
    }
    Ok(new.len())
}

/// Goes the steps; how many entries were touched.
pub(super) fn change_all(
    maps: &mut Maps,
    slot: u32,
    steps: &[TablesDiff],
    installed: &HostTables,
    image: &HostTables,
) -> Result<usize, EbpfError> {
    let mut touched = attach_new(maps, slot, installed, image)?;
    for step in steps {
        touched += change(maps, slot, step, image)?;
    }
    Ok(touched)
}
