//! Bringing the maps from one generation to the next.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use ringfence_common::abi::config::{Attachment, Config, Selector};
use ringfence_common::abi::table;

use super::contents::rules_of;
use super::rules::PlaceOf;
use super::{EbpfError, Maps, contents};
use crate::backend::host::HostTables;
use crate::backend::{Applied, Desired, How, Numbers, clock};

/// A bit of [`Config::flags`] that the programs do not look at.
const UNFINISHED: u32 = 1 << 31;

impl Maps {
    /// Brings the maps to what `desired` asks for, and attaches nothing: for programs that are run
    /// by tests and measurements.
    ///
    /// # Errors
    ///
    /// [`EbpfError`]; what counts is as before then.
    pub fn install(
        &mut self,
        desired: &Desired,
        known: Option<&Numbers>,
    ) -> Result<Applied, EbpfError> {
        install(self, desired, known).map(|(applied, _)| applied)
    }
}

/// Brings the maps to what `desired` asks for; also what they held before.
pub(super) fn install(
    maps: &mut Maps,
    desired: &Desired,
    known: Option<&Numbers>,
) -> Result<(Applied, HostTables), EbpfError> {
    let Plan { slot, installed, wanted, mut applied } = plan(Some(maps), desired, known)?;
    if applied.how == How::Nothing {
        return Ok((applied, installed));
    }
    switch(maps, slot, &installed, &wanted, &mut applied)?;
    Ok((applied, installed))
}

/// What [`install`] would do; `maps` are nothing where nothing is installed.
pub(super) fn preview(
    maps: Option<&Maps>,
    desired: &Desired,
    known: Option<&Numbers>,
) -> Result<Applied, EbpfError> {
    plan(maps, desired, known).map(|plan| plan.applied)
}

/// What has to be done.
struct Plan {
    /// The slot that counts now.
    slot: u32,
    /// What it holds.
    installed: HostTables,
    /// What shall count.
    wanted: HostTables,
    /// What will be said of it.
    applied: Applied,
}

fn plan(
    maps: Option<&Maps>,
    desired: &Desired,
    known: Option<&Numbers>,
) -> Result<Plan, EbpfError> {
    let (slot, config, installed) = match maps {
        Some(maps) => {
            let (slot, config) = maps.current()?;
            // What generation 0 holds was never installed.
            let installed = match config.generation {
                0 => HostTables::default(),
                _ => contents::read(maps, slot)?,
            };
            (slot, config, installed)
        }
        None => (0, Config::default(), HostTables::default()),
    };
    let mut wanted = desired.host_tables(config_of(desired, &config)?);
    // Only an interface that is new to us can have connections that we have not seen begin.
    if wanted.attachments.keys().all(|key| installed.attachments.contains_key(key)) {
        wanted.config.pick_up_until = config.pick_up_until;
    }
    let mut applied = Applied {
        numbers: Numbers::of(&desired.tables, wanted.config.generation),
        how: How::Switched,
        entries: usize::try_from(desired.tables.size().entries()).unwrap_or(usize::MAX),
        entries_touched: 0,
        policy: policy_changes(&installed, &wanted),
        hooks: Vec::new(),
        steps: Vec::new(),
        warnings: Vec::new(),
        left_undone: Vec::new(),
    };
    if config.generation != 0 && is_same(&config, &wanted.config) {
        if (HostTables { config, ..wanted.clone() }) == installed {
            applied.numbers.generation = config.generation;
            applied.how = How::Nothing;
        }
    }
    Ok(Plan { slot, installed, wanted, applied })
}

/// Fills the other slot and switches to it.
fn switch(
    maps: &mut Maps,
    slot: u32,
    installed: &HostTables,
    wanted: &HostTables,
    applied: &mut Applied,
) -> Result<(), EbpfError> {
    let tables = with_leaving(installed, wanted);
    put_generation(maps, slot ^ 1, &tables, installed)?;
    applied.entries_touched = tables.entries() + 2;
    if installed.config.generation != 0 {
        // The slot that no longer counts gives its memory back, once no packet uses it.
        maps.policy.wait(slot ^ 1)?;
        contents::fill(maps, slot, &HostTables::default(), &PlaceOf::default())?;
        put_config(maps, slot, &Config::default())?;
    }
    Ok(())
}

/// Makes `slot` hold and be the generation of `tables`, which follows that of `installed`.
fn put_generation(
    maps: &mut Maps,
    slot: u32,
    tables: &HostTables,
    installed: &HostTables,
) -> Result<(), EbpfError> {
    if maps.config_of(slot)?.generation != 0 {
        // An apply has ended before it knew that no packet uses this slot any more.
        maps.policy.wait(slot)?;
    }
    let places = maps.rules.place(&rules_of(tables), &rules_of(installed))?;
    contents::fill(maps, slot, tables, &places)?;
    put_config(maps, slot, &tables.config)?;
    let selector = maps.selector()?;
    maps.select(Selector { slot, ..selector })
}

/// `wanted`, and what is to be checked at hooks that run on until they are detached: what was
/// checked before where the interface stays guarded, so that no moment is without a check;
/// nothing where it is not.
fn with_leaving(installed: &HostTables, wanted: &HostTables) -> HostTables {
    let guarded: BTreeSet<u32> = wanted.attachments.keys().map(|key| key.ifindex).collect();
    let mut tables = wanted.clone();
    for (key, attachment) in &installed.attachments {
        let checks = if guarded.contains(&key.ifindex) { attachment.checks } else { 0 };
        tables.attachments.entry(*key).or_insert(Attachment { checks, ..*attachment });
    }
    tables
}

/// Forgets hooks that have been detached.
pub(super) fn forget_detached(maps: &mut Maps, desired: &Desired) -> Result<(), EbpfError> {
    let (slot, config) = maps.current()?;
    let wanted = desired.host_tables(config).attachments;
    for key in maps.expected_hooks()? {
        if !wanted.contains_key(&key) {
            let shape = maps.layout_of(slot)?.attachments;
            maps.attachments.remove(slot, shape, &table::attachment_key(&key))?;
        }
    }
    Ok(())
}

/// Goes back to `before`, as a generation of its own: flows that the one in between has allowed
/// are decided again.
pub(super) fn restore(maps: &mut Maps, before: &HostTables) -> Result<(), EbpfError> {
    let slot = maps.current()?.0;
    let installed = contents::read(maps, slot)?;
    let mut tables = before.clone();
    tables.config.generation = installed.config.generation.wrapping_add(1).max(1);
    put_generation(maps, slot ^ 1, &tables, &installed)
}

fn put_config(maps: &mut Maps, slot: u32, config: &Config) -> Result<(), EbpfError> {
    maps.config.set(slot, config, 0).map_err(EbpfError::map("CONFIG"))
}

/// The configuration of the generation after `current`.
fn config_of(desired: &Desired, current: &Config) -> Result<Config, EbpfError> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let installed_at = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    Ok(desired.config(current.generation.wrapping_add(1).max(1), now()?, installed_at))
}

/// Now, in the ticks of the programs.
fn now() -> Result<u32, EbpfError> {
    clock::now().map_err(|error| EbpfError::File {
        verb: "read",
        path: "CLOCK_MONOTONIC".into(),
        source: error.into(),
    })
}

/// A generation whose entries are being changed. If that is interrupted, the next apply finds this
/// instead of a state that may look finished, and installs everything anew, under a new number, so
/// that flows are decided again.
fn unfinished(config: Config) -> Config {
    Config { flags: config.flags | UNFINISHED, ..config }
}

/// Whether two generations are configured alike.
fn is_same(a: &Config, b: &Config) -> bool {
    (a.abi, a.essential, a.flags, a.report) == (b.abi, b.essential, b.flags, b.report)
}

/// Policy entries added, changed and removed.
fn policy_changes(old: &HostTables, new: &HostTables) -> [usize; 3] {
    let added = new.policy.keys().filter(|key| !old.policy.contains_key(key)).count();
    let removed = old.policy.keys().filter(|key| !new.policy.contains_key(key)).count();
    let is_changed =
        |(key, entry): &(&_, &_)| old.policy.get(key).is_some_and(|before| before != *entry);
    [added, new.policy.iter().filter(is_changed).count(), removed]
}
