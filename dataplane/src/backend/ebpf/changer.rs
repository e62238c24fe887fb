//! Bringing tables from one generation to the next.
//!
//! Goals: (a) a change costs what it changes, however much is installed; (b) packets meet the old
//! tables or the new ones, and the process may end at any moment (safety P1, P2); (c) nothing is
//! changed where the new tables do not fit (P5).
//!
//! Design. A [`Changer`] keeps the tables mapped and knows what packets can meet in them, so that it
//! reads nothing back (a). What one store makes visible ([`one_store`]) is stored in the tables that
//! count (b). Everything else is done in the other slot's tables: they are brought up to date with
//! the changes that they have missed, and take over by one store of the selector (b). Only where
//! that does not go, because a key has no room or tables have to be laid out anew, is the other
//! slot filled as a whole. Before an entry's place is used again, all packets are waited for.
//!
//! A generation ends with its number: it is written after all of its entries, and while these change
//! in place a mark in the configuration tells the next process that flows may not have been asked about
//! again. The mark goes when the number has been written.

use std::mem;

use ringfence_common::abi::config::{Config, Selector, flags};

use super::content::Sizes;
use super::generations::UNFINISHED;
use super::rules::Rules;
use super::side::{NoRoom, Side};
use super::{EbpfError, Maps};
use crate::backend::host::difference::HostDiff;
use crate::backend::host::one_store::{self, OneStore, Store};
use crate::backend::host::reach::Reach;
use crate::backend::host::{HostTables, with_trie_flags};
use crate::backend::{How, clock};

/// Changes that the other slot's tables may have missed before they are brought up to date.
const MISSED: usize = 512;

/// Maps that stay open for many changes.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct Changer {
    maps: Maps,
    /// Nothing after an error: what is installed has to be read again.
    installed: Option<Open>,
}

impl Changer {
    /// The maps, ready for changes of what is installed in them.
    ///
    /// # Errors
    ///
    /// [`EbpfError`] when they cannot be read.
    pub fn open(mut maps: Maps) -> Result<Self, EbpfError> {
        let (open, _) = Open::read(&mut maps)?;
        Ok(Self { maps, installed: Some(open) })
    }

    /// Makes `tables` count, as a whole, where nothing has been installed.
    ///
    /// # Errors
    ///
    /// [`EbpfError`]; nothing is installed then.
    pub fn begin(&mut self, tables: &HostTables) -> Result<(), EbpfError> {
        let (mut open, _) = Open::read(&mut self.maps)?;
        open.begin(&mut self.maps, tables)?;
        open.reach = Reach::new(tables);
        self.installed = Some(open);
        Ok(())
    }

    /// Makes `diff` the difference between what counts and what has counted, as the next
    /// generation, and says how.
    ///
    /// # Errors
    ///
    /// [`EbpfError`]; what counts then is as it was, or as it shall be.
    pub fn apply(&mut self, diff: &HostDiff) -> Result<How, EbpfError> {
        let mut open = match self.installed.take() {
            Some(open) => open,
            None => Open::read(&mut self.maps)?.0,
        };
        if diff.is_empty() {
            self.installed = Some(open);
            return Ok(How::Nothing);
        }
        let config = Config {
            generation: open.config.generation.wrapping_add(1).max(1),
            installed_at: clock::since_epoch(),
            flags: open.config.flags & !UNFINISHED,
            ..open.config
        };
        let must_switch = open.config.flags & UNFINISHED != 0;
        let changed = open.change(&mut self.maps, diff, config, None, must_switch)?;
        self.installed = Some(open);
        Ok(changed.how)
    }

    /// Removes what the last change has left and no packet can meet any more, for which packets under
    /// way are waited for: some milliseconds. Else the next change does that before anything else.
    /// For a moment in which nothing else is to be done.
    ///
    /// # Errors
    ///
    /// [`EbpfError`]; what counts is as it was.
    pub fn tidy_up(&mut self) -> Result<(), EbpfError> {
        let Some(mut open) = self.installed.take() else { return Ok(()) };
        open.clear_up(&mut self.maps)?;
        self.installed = Some(open);
        Ok(())
    }

    /// What is installed.
    ///
    /// # Errors
    ///
    /// [`EbpfError`] when it cannot be read.
    pub fn contents(&self) -> Result<HostTables, EbpfError> {
        self.maps.contents()
    }

    /// The maps.
    pub const fn maps(&mut self) -> &mut Maps {
        &mut self.maps
    }

    /// The maps, for others; entries that nobody needs any more are gone.
    ///
    /// # Errors
    ///
    /// [`EbpfError`] when they cannot be taken away.
    pub fn close(mut self) -> Result<Maps, EbpfError> {
        if let Some(open) = self.installed.take() {
            open.finish(&mut self.maps)?;
        }
        Ok(self.maps)
    }
}

/// What a change came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed {
    /// How it was made.
    pub(super) how: How,
    /// Entries that were written or removed.
    pub(super) touched: usize,
}

/// What is installed, with the tables mapped.
pub(super) struct Open {
    pub(super) config: Config,
    /// The tables that count; nothing before the first generation.
    side: Option<Side>,
    other: Option<Other>,
    reach: Reach,
    sizes: Sizes,
    /// What no packet can meet any more, once those under way are through.
    leaving: Vec<Store>,
    /// Whether all packets have been waited for since somebody else may have removed entries.
    is_settled: bool,
}

/// The tables of the slot that does not count.
struct Other {
    side: Side,
    /// The changes that they have missed.
    missed: Vec<HostDiff>,
    /// Entries in these.
    entries: usize,
    /// Whether no packet looks at them any more.
    is_quiet: bool,
}

impl Open {
    /// What is installed, and the same as a whole.
    pub(super) fn read(maps: &mut Maps) -> Result<(Self, HostTables), EbpfError> {
        let (slot, config) = maps.current()?;
        // What generation 0 holds was never installed.
        let side = match config.generation {
            0 => None,
            _ => Some(Side::open(maps, slot)?),
        };
        let tables = match &side {
            Some(side) => maps.read_side(side)?,
            None => HostTables::default(),
        };
        maps.rules.load(side.iter().flat_map(Side::places));
        let open = Self {
            config,
            other: None,
            reach: Reach::new(&tables),
            sizes: Sizes::of(&tables),
            leaving: Vec::new(),
            is_settled: side.is_none(),
            side,
        };
        Ok((open, tables))
    }

    /// Makes `tables` count where nothing has counted; how many entries that took. What packets can
    /// meet is left to those who go on from here.
    pub(super) fn begin(
        &mut self,
        maps: &mut Maps,
        tables: &HostTables,
    ) -> Result<Changed, EbpfError> {
        let sizes = Sizes::of(tables);
        sizes.check()?;
        maps.rules.begin(tables.policy.values().map(|entry| entry.rule))?;
        let slot = maps.selector()?.slot & 1;
        let side = Side::fill(maps, slot ^ 1, tables, None)?;
        self.take_over(maps, &side, tables.config)?;
        (self.side, self.sizes) = (Some(side), sizes);
        Ok(Changed { how: How::Switched, touched: tables.entries() + 2 })
    }

    /// Makes a slot count.
    fn take_over(&mut self, maps: &mut Maps, side: &Side, config: Config) -> Result<(), EbpfError> {
        maps.put_config(side.slot, config)?;
        let selector = maps.selector()?;
        maps.select(Selector { slot: side.slot, ..selector })?;
        self.config = config;
        Ok(())
    }

    /// Makes `diff` the difference between what has counted and what counts, under `config`; `whole`
    /// is what shall count, where that is known.
    pub(super) fn change(
        &mut self,
        maps: &mut Maps,
        diff: &HostDiff,
        config: Config,
        whole: Option<&HostTables>,
        must_switch: bool,
    ) -> Result<Changed, EbpfError> {
        let sizes = self.sizes.after(diff);
        sizes.check()?;
        self.clear_up(maps)?;
        maps.rules.follow(diff)?;
        let plan = one_store::plan(&mut self.reach, diff, self.config.flags);
        self.sizes = sizes;
        if let Some(plan) = plan.filter(|_| !must_switch && self.side.is_some())
            && self.in_place(maps, &plan, config)?
        {
            self.miss(diff, &maps.rules);
            return Ok(Changed { how: How::InPlace, touched: plan.touched() + 1 });
        }
        let touched = self.switch(maps, diff, config, whole)?;
        Ok(Changed { how: How::Switched, touched })
    }

    /// Follows the plan in the tables that count; whether there was room.
    fn in_place(
        &mut self,
        maps: &mut Maps,
        plan: &OneStore,
        config: Config,
    ) -> Result<bool, EbpfError> {
        let Some(slot) = self.side.as_ref().map(|side| side.slot) else { return Ok(false) };
        if !self.is_settled {
            self.wait(maps)?;
        }
        let unfinished = Config { flags: self.config.flags | UNFINISHED, ..self.config };
        maps.put_config(slot, unfinished)?;
        for store in plan.before.iter().chain(&plan.visible) {
            if !self.store(maps, store)? {
                return Ok(false);
            }
        }
        maps.put_config(slot, config)?;
        self.config = config;
        self.leaving.clone_from(&plan.after);
        Ok(true)
    }

    /// Changes one entry of the tables that count; whether there was room.
    fn store(&mut self, maps: &mut Maps, store: &Store) -> Result<bool, EbpfError> {
        let Some(side) = &mut self.side else { return Ok(false) };
        if side.store(store, &maps.rules)?.is_ok() {
            return Ok(true);
        }
        if !side.has_freed() {
            return Ok(false);
        }
        self.wait(maps)?;
        let Some(side) = &mut self.side else { return Ok(false) };
        Ok(side.store(store, &maps.rules)?.is_ok())
    }

    /// Brings the other slot's tables to what shall count, and makes them count; how many entries
    /// that took.
    fn switch(
        &mut self,
        maps: &mut Maps,
        diff: &HostDiff,
        mut config: Config,
        whole: Option<&HostTables>,
    ) -> Result<usize, EbpfError> {
        let Some(slot) = self.side.as_ref().map(|side| side.slot ^ 1) else {
            let tables = self.whole(maps, diff, config)?;
            // What packets can meet has been followed already.
            return self.begin(maps, &tables).map(|changed| changed.touched);
        };
        if self.other.as_ref().is_some_and(|other| !other.is_quiet) {
            self.wait(maps)?;
        }
        let is_alike = (config.flags ^ self.config.flags) & (flags::TRIE_V4 | flags::TRIE_V6) == 0;
        let mut other = self.other.take();
        let mut brought = None;
        if is_alike && let Some(Other { side, missed, .. }) = &mut other {
            brought = bring_up(side, missed.iter().chain([diff]), &maps.rules, config.flags);
        }
        let (next, touched) = match (other, brought) {
            (Some(Other { side, missed, .. }), Some(touched)) => {
                let classes = missed.iter().chain([diff]).any(|diff| !diff.classes.is_empty());
                if classes {
                    let Maps { classes, steps, .. } = maps;
                    classes.fill(slot, self.reach.classes(), steps)?;
                }
                (side, touched)
            }
            (other, _) => {
                let before = other.map(|other| other.side);
                let tables = match whole {
                    Some(whole) => whole.clone(),
                    None => self.whole(maps, diff, config)?,
                };
                config.flags = tables.config.flags;
                if before.is_none() && maps.generations.config(slot).generation != 0 {
                    // A process has ended before it knew that no packet uses this slot any more.
                    self.wait(maps)?;
                }
                (Side::fill(maps, slot, &tables, before)?, tables.entries())
            }
        };
        self.take_over(maps, &next, config)?;
        self.leaving.clear();
        self.other = self.side.replace(next).map(|side| Other {
            side,
            missed: vec![diff.clone()],
            entries: diff.touched(),
            is_quiet: false,
        });
        Ok(touched + 2)
    }

    /// What shall count, as a whole.
    fn whole(&self, maps: &Maps, diff: &HostDiff, config: Config) -> Result<HostTables, EbpfError> {
        let mut tables = match &self.side {
            Some(side) => maps.read_side(side)?,
            None => HostTables::default(),
        };
        diff.apply_to(&mut tables);
        tables.config = with_trie_flags(config, &tables.prefixes);
        Ok(tables)
    }

    /// Takes note of a change that the other slot's tables have missed, and brings them up to date
    /// when they have missed much.
    fn miss(&mut self, diff: &HostDiff, rules: &Rules) {
        let Some(other) = &mut self.other else { return };
        other.entries += diff.touched();
        other.missed.push(diff.clone());
        if other.entries > MISSED && other.is_quiet {
            let missed = mem::take(&mut other.missed);
            let flags = self.config.flags;
            if bring_up(&mut other.side, missed.iter(), rules, flags).is_none() {
                // They will be filled as a whole, from memory that is there.
                other.missed = missed;
            } else {
                other.entries = 0;
            }
        }
    }

    /// Removes what no packet can meet any more.
    fn clear_up(&mut self, maps: &mut Maps) -> Result<(), EbpfError> {
        if self.leaving.is_empty() {
            return Ok(());
        }
        self.wait(maps)?;
        let Some(side) = &mut self.side else { return Ok(()) };
        for store in self.leaving.drain(..) {
            // Removing needs no room.
            let _removed: Result<(), NoRoom> = side.store(&store, &maps.rules)?;
        }
        Ok(())
    }

    /// Waits until all packets under way are through.
    fn wait(&mut self, maps: &mut Maps) -> Result<(), EbpfError> {
        let Some(side) = &mut self.side else { return Ok(()) };
        let _short = maps.short_waits();
        maps.attachments.wait(side.slot)?;
        side.settle();
        self.is_settled = true;
        if let Some(other) = &mut self.other {
            other.is_quiet = true;
            other.side.settle();
        }
        Ok(())
    }

    /// Forgets hooks that have been detached.
    pub(super) fn forget_hooks(
        &mut self,
        maps: &mut Maps,
        wanted: &HostTables,
    ) -> Result<(), EbpfError> {
        let Some(side) = &mut self.side else { return Ok(()) };
        let gone = side.hooks().into_iter().filter(|key| !wanted.attachments.contains_key(key));
        for key in gone.collect::<Vec<_>>() {
            let _removed: Result<(), NoRoom> =
                side.store(&Store::Attachment(key, None), &maps.rules)?;
        }
        Ok(())
    }

    /// Lets go of what nobody needs any more: entries, and the slot that does not count.
    pub(super) fn finish(mut self, maps: &mut Maps) -> Result<(), EbpfError> {
        self.clear_up(maps)?;
        if self.other.as_ref().is_some_and(|other| !other.is_quiet) {
            self.wait(maps)?;
        }
        if let Some(other) = self.other.take() {
            let slot = other.side.slot;
            other.side.give_back(maps)?;
            maps.put_config(slot, Config::default())?;
        }
        Ok(())
    }
}

/// Makes changes in tables at which no packet looks; how many entries that took, or nothing where
/// they have no room or have to be laid out anew.
fn bring_up<'a>(
    side: &mut Side,
    missed: impl Iterator<Item = &'a HostDiff>,
    rules: &Rules,
    config_flags: u32,
) -> Option<usize> {
    let mut touched = 0;
    for diff in missed {
        for store in diff.stores() {
            if let Store::Prefix(prefix, _) = &store
                && config_flags & one_store::trie_of(prefix) != 0
            {
                return None;
            }
            side.store_unseen(&store, rules).ok()?;
            touched += 1;
        }
        touched += diff.classes.len();
    }
    Some(touched)
}
