//! Bringing the maps from one generation to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use aya::maps::PerCpuValues;
use aya::maps::lpm_trie::Key;
use aya::util::nr_cpus;
use ipnet::IpNet;
use nix::time::{ClockId, clock_gettime};
use ringfence_common::abi::ABI_VERSION;
use ringfence_common::abi::config::{Config, Selector, flags};
use ringfence_common::abi::event::Counter;
use ringfence_common::abi::flow::TICK_SHIFT;
use ringfence_common::abi::identity::{AddressEntry, endpoint};
use ringfence_common::abi::limits;
use ringfence_common::track::ticks;

use super::image::{Image, host_addresses};
use super::slots::Inner as _;
use super::{EbpfError, Maps};
use crate::backend::{Applied, Desired, How, Mode, Numbers};
use crate::compile::{Subject, Tables, TablesDiff};

/// Brings the maps to what `desired` asks for.
pub(super) fn install(
    maps: &mut Maps,
    desired: &Desired,
    known: Option<&Numbers>,
) -> Result<Applied, EbpfError> {
    let (slot, config) = maps.current()?;
    let image = Image::of(desired);
    let wanted = config_of(desired, &config, &image)?;
    let mut applied = Applied {
        numbers: numbers(desired, wanted.generation),
        how: How::Switched,
        entries_touched: 0,
        policy: [image.policy.len(), 0, 0],
        hooks: Vec::new(),
    };
    if config.generation == 0 {
        switch(maps, slot, &image, &wanted, &mut applied)?;
        return Ok(applied);
    }
    let installed = read(maps, slot)?;
    let is_same_config = is_same(&config, &wanted);
    applied.policy = policy_changes(&installed, &image);
    if installed == image && is_same_config {
        applied.numbers.generation = config.generation;
        applied.how = How::Nothing;
        return Ok(applied);
    }
    let steps = known
        .filter(|known| known.generation == config.generation && is_same_config)
        .and_then(|known| steps(&installed, known, desired, &image));
    if let Some(steps) = steps {
        match in_place(maps, slot, &steps, desired, &installed, &image) {
            Ok(touched) => {
                put_config(maps, slot, &wanted)?;
                applied.how = How::InPlace;
                applied.entries_touched = touched + 1;
                return Ok(applied);
            }
            // Whatever has been changed by then is within what either policy allows.
            Err(error) if error.is_full() => {}
            Err(error) => return Err(error),
        }
    }
    switch(maps, slot, &image, &wanted, &mut applied)?;
    Ok(applied)
}

/// Goes the steps; how many entries were touched.
fn in_place(
    maps: &mut Maps,
    slot: u32,
    steps: &[TablesDiff],
    desired: &Desired,
    installed: &Image,
    image: &Image,
) -> Result<usize, EbpfError> {
    let mut touched = attach_new(maps, slot, installed, image)?;
    for step in steps {
        touched += change(maps, slot, step, desired)?;
    }
    let [added, removed] = count_rules(maps, image)?;
    Ok(touched + added + removed)
}

/// Fills the other slot and switches to it.
fn switch(
    maps: &mut Maps,
    slot: u32,
    image: &Image,
    config: &Config,
    applied: &mut Applied,
) -> Result<(), EbpfError> {
    let other = slot ^ 1;
    fill(maps, other, image)?;
    let [added, _] = count_rules(maps, image)?;
    put_config(maps, other, config)?;
    let selector = Selector { slot: other, reserved: 0 };
    maps.selector.set(0, selector, 0).map_err(EbpfError::map("SELECTOR"))?;
    applied.entries_touched = image.entries() + added + 2;
    // The slot that no longer counts gives its memory back. Filling waits for the packets that
    // still use it.
    fill(maps, slot, &Image::default())
}

fn fill(maps: &mut Maps, slot: u32, image: &Image) -> Result<(), EbpfError> {
    let (v4, v6) = split_addresses(&image.addresses);
    let (prefixes_v4, prefixes_v6) = split_prefixes(&image.prefixes);
    maps.attachments.fill(slot, &pairs(&image.attachments), limits::ATTACHMENTS)?;
    maps.endpoints.fill(slot, &pairs(&image.endpoints), limits::ENDPOINTS)?;
    maps.addresses_v4.fill(slot, &v4, limits::ADDRESSES)?;
    maps.addresses_v6.fill(slot, &v6, limits::ADDRESSES)?;
    maps.prefixes_v4.fill(slot, &prefixes_v4, limits::PREFIXES)?;
    maps.prefixes_v6.fill(slot, &prefixes_v6, limits::PREFIXES)?;
    maps.classes.fill(slot, &image.classes)?;
    maps.policy.fill(slot, &pairs(&image.policy), limits::POLICY_ENTRIES)
}

/// What the slot holds.
pub(super) fn read(maps: &Maps, slot: u32) -> Result<Image, EbpfError> {
    let v4 = maps.addresses_v4.entries(slot)?;
    let v6 = maps.addresses_v6.entries(slot)?;
    let v4 = v4.into_iter().map(|(key, value)| (IpAddr::from(key), value));
    let v6 = v6.into_iter().map(|(key, value)| (IpAddr::from(key), value));
    Ok(Image {
        attachments: maps.attachments.entries(slot)?.into_iter().collect(),
        endpoints: maps.endpoints.entries(slot)?.into_iter().collect(),
        addresses: v4.chain(v6).collect(),
        prefixes: read_prefixes(maps, slot)?,
        classes: maps.classes.read(slot)?,
        policy: maps.policy.entries(slot)?.into_iter().collect(),
    })
}

fn read_prefixes(maps: &Maps, slot: u32) -> Result<BTreeMap<IpNet, u32>, EbpfError> {
    let v4 = maps.prefixes_v4.entries(slot)?;
    let v6 = maps.prefixes_v6.entries(slot)?;
    let v4 = v4.into_iter().map(|(key, value)| (IpAddr::from(key.data()), key.prefix_len(), value));
    let v6 = v6.into_iter().map(|(key, value)| (IpAddr::from(key.data()), key.prefix_len(), value));
    let net = |(address, length, value): (IpAddr, u32, u32)| {
        let length = u8::try_from(length).ok()?;
        Some((IpNet::new(address, length).ok()?, value))
    };
    Ok(v4.chain(v6).filter_map(net).collect())
}

/// The steps from what is installed to what is wanted, if no packet can see them halfway and
/// nothing but tables changes.
fn steps(
    installed: &Image,
    known: &Numbers,
    desired: &Desired,
    image: &Image,
) -> Option<Vec<TablesDiff>> {
    let kept =
        installed.attachments.iter().all(|(key, value)| image.attachments.get(key) == Some(value));
    let moved = installed.endpoints.iter().any(|(number, old)| {
        image.endpoints.get(number).is_some_and(|new| new.ifindex != old.ifindex)
    });
    let old = tables(installed, known)?;
    let own = host_addresses(&desired.tables, &desired.host_addresses);
    let old_own: BTreeMap<IpAddr, AddressEntry> = installed
        .addresses
        .iter()
        .filter(|(address, _)| !old.addresses.contains_key(address))
        .map(|(address, entry)| (*address, *entry))
        .collect();
    if !kept || moved || own != old_own {
        return None;
    }
    old.steps_to(&desired.tables)
}

/// The installed tables, from the maps and from what their numbers stand for.
fn tables(installed: &Image, known: &Numbers) -> Option<Tables> {
    let mut subjects = BTreeMap::new();
    for (number, entry) in &installed.endpoints {
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

/// Changes entries in the order of `compile::in_place`; how many were touched.
fn change(
    maps: &mut Maps,
    slot: u32,
    step: &TablesDiff,
    desired: &Desired,
) -> Result<usize, EbpfError> {
    let missing = |name| EbpfError::Object(format!("table `{name}` has no slot {slot}"));
    let mut policy = maps.policy.open(slot)?.ok_or_else(|| missing("POLICY"))?;
    let error = EbpfError::map("POLICY");
    let new = step.policy.changed.iter().map(|(key, (_, new))| (key, new));
    for (key, entry) in step.policy.added.iter().chain(new) {
        policy.put(key, entry).map_err(&error)?;
    }
    let touched = change_endpoints(maps, slot, step, desired)?;
    if step.policy.touched() > 0 && !(step.classes.is_empty() && step.addresses.is_empty()) {
        maps.policy.wait(slot)?;
    }
    if !step.classes.is_empty() {
        maps.classes.fill(slot, &classes_after(maps, slot, step)?)?;
    }
    change_addresses(maps, slot, step)?;
    if !step.addresses.is_empty() && !step.policy.removed.is_empty() {
        maps.policy.wait(slot)?;
    }
    for key in step.policy.removed.keys() {
        policy.remove(key).map_err(&error)?;
    }
    Ok(touched + step.policy.touched() + step.classes.touched() + step.addresses.touched())
}

fn change_endpoints(
    maps: &mut Maps,
    slot: u32,
    step: &TablesDiff,
    desired: &Desired,
) -> Result<usize, EbpfError> {
    if step.touched_endpoints.is_empty() {
        return Ok(0);
    }
    let missing = || EbpfError::Object(format!("table `ENDPOINTS` has no slot {slot}"));
    let mut endpoints = maps.endpoints.open(slot)?.ok_or_else(missing)?;
    let error = EbpfError::map("ENDPOINTS");
    let image = Image::of(desired).endpoints;
    for number in &step.touched_endpoints {
        let Some(mut entry) = image.get(number).copied() else {
            endpoints.remove(number).map_err(&error)?;
            continue;
        };
        if let Some((_, forms)) = step.subjects.changed.get(&entry.subject) {
            (entry.ingress_forms, entry.egress_forms) = (forms.ingress_forms, forms.egress_forms);
        }
        endpoints.put(number, &entry).map_err(&error)?;
    }
    Ok(step.touched_endpoints.len())
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
    if step.addresses.is_empty() {
        return Ok(());
    }
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
    installed: &Image,
    image: &Image,
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

/// Gives every rule a counter and takes away those of rules that are gone.
fn count_rules(maps: &mut Maps, image: &Image) -> Result<[usize; 2], EbpfError> {
    let error = EbpfError::map("RULE_COUNTERS");
    let there: Result<BTreeSet<u32>, _> = maps.rule_counters.keys().collect();
    let there = there.map_err(&error)?;
    let rules = image.policy.values().map(|entry| entry.rule).filter(|rule| *rule != 0);
    let rules: BTreeSet<u32> = rules.collect();
    let gone: Vec<u32> = there.difference(&rules).copied().collect();
    for rule in &gone {
        maps.rule_counters.remove(rule).map_err(&error)?;
    }
    let room = (limits::COUNTED_RULES as usize).saturating_sub(there.len() - gone.len());
    let new: Vec<u32> = rules.difference(&there).copied().take(room).collect();
    let cpus = nr_cpus().map_err(|(_, source)| EbpfError::File {
        verb: "read",
        path: "/sys/devices/system/cpu/possible".into(),
        source,
    })?;
    for rule in &new {
        let zero = PerCpuValues::try_from(vec![Counter::default(); cpus]);
        let zero = zero.map_err(EbpfError::file("count the CPUs of", "this host".as_ref()))?;
        maps.rule_counters.insert(*rule, zero, 0).map_err(&error)?;
    }
    Ok([new.len(), gone.len()])
}

fn put_config(maps: &mut Maps, slot: u32, config: &Config) -> Result<(), EbpfError> {
    maps.config.set(slot, config, 0).map_err(EbpfError::map("CONFIG"))
}

/// The configuration of the generation after `current`.
fn config_of(desired: &Desired, current: &Config, image: &Image) -> Result<Config, EbpfError> {
    let settings = &desired.settings;
    let has = |is_v4: bool| image.prefixes.keys().any(|p| matches!(p, IpNet::V4(_)) == is_v4);
    let bits = [
        (flags::AUDIT, desired.mode == Mode::Audit),
        (flags::KEEP_ESTABLISHED, settings.keep_established),
        (flags::PREFIXES_V4, has(true)),
        (flags::PREFIXES_V6, has(false)),
    ];
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(|error| EbpfError::File {
        verb: "read",
        path: "CLOCK_MONOTONIC".into(),
        source: error.into(),
    })?;
    let now_ns = now.tv_sec().unsigned_abs() * 1_000_000_000 + now.tv_nsec().unsigned_abs();
    let tick = (now_ns >> TICK_SHIFT) as u32;
    let pick_up_until = if current.generation == 0 {
        tick.wrapping_add(ticks(u64::from(settings.pick_up_seconds)))
    } else {
        current.pick_up_until
    };
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Config {
        abi: ABI_VERSION,
        generation: current.generation.wrapping_add(1).max(1),
        essential: settings.essential,
        flags: bits.iter().filter(|(_, on)| *on).map(|(bit, _)| bit).sum(),
        report: settings.report,
        pick_up_until,
        installed_at: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
    })
}

/// Whether two generations are configured alike.
fn is_same(a: &Config, b: &Config) -> bool {
    (a.abi, a.essential, a.flags, a.report) == (b.abi, b.essential, b.flags, b.report)
}

fn numbers(desired: &Desired, generation: u32) -> Numbers {
    let tables = &desired.tables;
    Numbers {
        generation,
        identities: tables.identities.clone(),
        endpoints: tables.endpoints.clone(),
        rules: tables.rules.clone(),
    }
}

/// Policy entries added, changed and removed.
fn policy_changes(old: &Image, new: &Image) -> [usize; 3] {
    let added = new.policy.keys().filter(|key| !old.policy.contains_key(key)).count();
    let removed = old.policy.keys().filter(|key| !new.policy.contains_key(key)).count();
    let is_changed =
        |(key, entry): &(&_, &_)| old.policy.get(key).is_some_and(|before| before != *entry);
    [added, new.policy.iter().filter(is_changed).count(), removed]
}

fn pairs<K: Copy, V: Copy>(map: &BTreeMap<K, V>) -> Vec<(K, V)> {
    map.iter().map(|(key, value)| (*key, *value)).collect()
}

type Addresses<const N: usize> = Vec<([u8; N], AddressEntry)>;

fn split_addresses(all: &BTreeMap<IpAddr, AddressEntry>) -> (Addresses<4>, Addresses<16>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (address, entry) in all {
        match address {
            IpAddr::V4(address) => v4.push((address.octets(), *entry)),
            IpAddr::V6(address) => v6.push((address.octets(), *entry)),
        }
    }
    (v4, v6)
}

type Prefixes<const N: usize> = Vec<(Key<[u8; N]>, u32)>;

fn split_prefixes(all: &BTreeMap<IpNet, u32>) -> (Prefixes<4>, Prefixes<16>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (prefix, identity) in all {
        let length = u32::from(prefix.prefix_len());
        match prefix.network() {
            IpAddr::V4(address) => v4.push((Key::new(length, address.octets()), *identity)),
            IpAddr::V6(address) => v6.push((Key::new(length, address.octets()), *identity)),
        }
    }
    (v4, v6)
}
