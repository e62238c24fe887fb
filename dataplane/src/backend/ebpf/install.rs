//! Bringing the maps from one generation to the next.

use std::collections::BTreeSet;

use ringfence_common::abi::config::{Attachment, Config};

use super::changer::Open;
use super::{EbpfError, Maps};
use crate::backend::host::HostTables;
use crate::backend::host::difference::HostDiff;
use crate::backend::host::one_store;
use crate::backend::host::reach::Reach;
use crate::backend::{Applied, Desired, How, Numbers, clock};

impl Maps {
    /// Brings the maps to what `desired` asks for, and attaches nothing: for programs that are run
    /// by tests and measurements.
    ///
    /// # Errors
    ///
    /// [`EbpfError`]; what counts is as before then.
    pub fn install(&mut self, desired: &Desired) -> Result<Applied, EbpfError> {
        install(self, desired).map(|(applied, _)| applied)
    }
}

impl Maps {
    /// Makes `tables` count as a whole, as the generation that their configuration names, and
    /// attaches nothing: for programs that are run by tests and measurements.
    ///
    /// # Errors
    ///
    /// [`EbpfError`]; what counts is as before then.
    pub fn install_tables(&mut self, tables: &HostTables) -> Result<(), EbpfError> {
        let (mut open, installed) = Open::read(self)?;
        if open.config.generation == 0 {
            open.begin(self, tables)?;
            return open.finish(self);
        }
        let diff = HostDiff::of(&installed, tables);
        open.change(self, &diff, tables.config, Some(tables), true)?;
        open.finish(self)
    }
}

/// Brings the maps to what `desired` asks for; also what they held before.
pub(super) fn install(
    maps: &mut Maps,
    desired: &Desired,
) -> Result<(Applied, HostTables), EbpfError> {
    let (mut open, installed) = Open::read(maps)?;
    let config = open.config;
    let Plan { wanted, diff, mut applied } = plan(config, &installed, desired)?;
    if applied.how == How::Nothing {
        return Ok((applied, installed));
    }
    let must_switch = !is_same(&config, &wanted.config);
    let changed = match config.generation {
        0 => open.begin(maps, &wanted)?,
        _ => open.change(maps, &diff, wanted.config, Some(&wanted), must_switch)?,
    };
    applied.how = changed.how;
    applied.entries_touched = changed.touched;
    open.finish(maps)?;
    Ok((applied, installed))
}

/// What [`install`] would do; `maps` are nothing where nothing is installed.
pub(super) fn preview(maps: Option<&Maps>, desired: &Desired) -> Result<Applied, EbpfError> {
    let Some(maps) = maps else {
        let nothing = HostTables::default();
        return plan(nothing.config, &nothing, desired).map(|plan| plan.applied);
    };
    let config = maps.config()?;
    let installed = if config.generation == 0 { HostTables::default() } else { maps.contents()? };
    let mut plan = plan(config, &installed, desired)?;
    if plan.applied.how == How::Switched && is_same(&config, &plan.wanted.config) {
        let mut reach = Reach::new(&installed);
        if one_store::plan(&mut reach, &plan.diff, config.flags).is_some() {
            plan.applied.how = How::InPlace;
        }
    }
    Ok(plan.applied)
}

/// What has to be done.
struct Plan {
    /// What shall count.
    wanted: HostTables,
    /// What that changes.
    diff: HostDiff,
    /// What will be said of it, as if everything were installed anew.
    applied: Applied,
}

/// `installed` counts under `config`.
fn plan(config: Config, installed: &HostTables, desired: &Desired) -> Result<Plan, EbpfError> {
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
        policy: [0; 3],
        hooks: Vec::new(),
        steps: Vec::new(),
        warnings: Vec::new(),
        left_undone: Vec::new(),
    };
    if config.generation == 0 {
        applied.policy[0] = wanted.policy.len();
        return Ok(Plan { wanted, diff: HostDiff::default(), applied });
    }
    let exact = HostDiff::of(installed, &wanted);
    applied.policy = exact.policy_changes();
    if is_same(&config, &wanted.config) && exact.is_empty() {
        applied.numbers.generation = config.generation;
        applied.how = How::Nothing;
    }
    let wanted = with_leaving(installed, &wanted);
    let diff = HostDiff::of(installed, &wanted);
    Ok(Plan { wanted, diff, applied })
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
    let wanted = desired.host_tables(maps.config()?);
    if maps.expected_hooks()?.iter().all(|key| wanted.attachments.contains_key(key)) {
        return Ok(());
    }
    Open::read(maps)?.0.forget_hooks(maps, &wanted)
}

/// Goes back to `before`, as a generation of its own: flows that the one in between has allowed
/// are decided again.
pub(super) fn restore(maps: &mut Maps, before: &HostTables) -> Result<(), EbpfError> {
    let (mut open, installed) = Open::read(maps)?;
    let mut tables = before.clone();
    tables.config.generation = installed.config.generation.wrapping_add(1).max(1);
    let diff = HostDiff::of(&installed, &tables);
    open.change(maps, &diff, tables.config, Some(&tables), true)?;
    open.finish(maps)
}

/// The configuration of the generation after `current`.
fn config_of(desired: &Desired, current: &Config) -> Result<Config, EbpfError> {
    let generation = current.generation.wrapping_add(1).max(1);
    Ok(desired.config(generation, now()?, clock::since_epoch()))
}

/// Now, in the ticks of the programs.
fn now() -> Result<u32, EbpfError> {
    clock::now().map_err(|error| EbpfError::File {
        verb: "read",
        path: "CLOCK_MONOTONIC".into(),
        source: error.into(),
    })
}

/// Whether two generations are configured alike.
fn is_same(a: &Config, b: &Config) -> bool {
    (a.abi, a.essential, a.flags, a.report) == (b.abi, b.essential, b.flags, b.report)
}
