//! What a copy of the decision remembers, in maps of the standard library.

use std::collections::BTreeMap;

use ringfence_common::abi::cache::{CachedFlow, Presence, Window};
use ringfence_common::abi::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey};
use ringfence_common::decide::State;
use ringfence_common::track::{self, is_half_open};

/// Places of the flow cache, windows, and words of presences, an even number.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub cache: u32,
    pub windows: u32,
    pub presences: u32,
}

impl Sizes {
    /// As many as the engine has.
    pub const REAL: Self = Self { cache: u32::MAX, windows: u32::MAX, presences: u32::MAX };
}

/// Flows and fragments, and what the short way keeps.
#[derive(Clone, Debug)]
pub struct Memory {
    flows: BTreeMap<FlowKey, FlowEntry>,
    half_open: BTreeMap<FlowKey, FlowEntry>,
    fragments: BTreeMap<FragmentKey, FragmentEntry>,
    shortcuts: Option<Shortcuts>,
    clock: u32,
    /// Packets that went the full way.
    pub went_fully: usize,
}

#[derive(Clone, Debug)]
struct Shortcuts {
    sizes: Sizes,
    cache: BTreeMap<u32, CachedFlow>,
    windows: BTreeMap<u32, Window>,
    presences: BTreeMap<u32, u64>,
}

impl Memory {
    /// Without anything but the tables of flows and fragments: no place of any array can be had, and
    /// any flow may be alive. What the engine did before there was a short way.
    pub fn bare() -> Self {
        Self {
            flows: BTreeMap::new(),
            half_open: BTreeMap::new(),
            fragments: BTreeMap::new(),
            shortcuts: None,
            clock: 0,
            went_fully: 0,
        }
    }

    /// With arrays of so many places: where they are few, flows share them.
    pub fn with_arrays(sizes: Sizes) -> Self {
        let (cache, windows, presences) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let shortcuts = Some(Shortcuts { sizes, cache, windows, presences });
        Self { shortcuts, ..Self::bare() }
    }

    /// Flows that are alive at `now` and stay so for `margin` ticks, with the numbers that count.
    pub fn alive(&self, now: u32, margin: u32) -> BTreeMap<FlowKey, FlowEntry> {
        let entries = self.flows.iter().chain(&self.half_open);
        let lives = |entry: &FlowEntry| age(entry, now).saturating_add(margin) <= timeout(entry);
        let alive = entries.filter(|(_, entry)| lives(entry));
        alive.map(|(key, entry)| (*key, self.with_numbers(*entry))).collect()
    }

    /// The entry with the numbers of its window, if it has one.
    fn with_numbers(&self, mut entry: FlowEntry) -> FlowEntry {
        let windows = self.shortcuts.iter().flat_map(|shortcuts| shortcuts.windows.values());
        let mut own = windows.filter(|window| window.token != 0 && window.token == entry.token);
        if let Some(window) = own.next() {
            entry.numbers = window.numbers;
        }
        entry
    }

    /// Flows that are known in both tables at once: there must be none.
    pub fn in_both_tables(&self) -> usize {
        self.flows.keys().filter(|key| self.half_open.contains_key(key)).count()
    }

    /// Flows that nobody has answered.
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Whether some flow's time ends within `margin` ticks before it is over.
    pub fn ends_soon(&self, now: u32, margin: u32) -> bool {
        let mut entries = self.flows.values().chain(self.half_open.values());
        entries.any(|entry| {
            let (age, timeout) = (age(entry, now), timeout(entry));
            age <= timeout && age.saturating_add(margin) > timeout
        })
    }

    /// The key of flow number `number` of those that there are, counted round.
    pub fn flow(&self, number: usize) -> Option<FlowKey> {
        let count = self.flows.len() + self.half_open.len();
        let mut keys = self.flows.keys().chain(self.half_open.keys());
        keys.nth(number.checked_rem(count)?).copied()
    }
}

/// Ticks since the flow's last packet.
fn age(entry: &FlowEntry, now: u32) -> u32 {
    now.wrapping_sub(entry.last_seen)
}

fn timeout(entry: &FlowEntry) -> u32 {
    track::timeout(entry)
}

impl State for Memory {
    fn with_flow<R>(
        &mut self,
        key: &FlowKey,
        change: impl FnOnce(&mut FlowEntry) -> R,
    ) -> Option<R> {
        let Self { flows, half_open, .. } = self;
        flows.get_mut(key).or_else(|| half_open.get_mut(key)).map(change)
    }

    fn put_flow(&mut self, key: &FlowKey, entry: &FlowEntry) -> bool {
        self.remove_flow(key);
        let table = if is_half_open(entry) { &mut self.half_open } else { &mut self.flows };
        table.insert(*key, *entry);
        true
    }

    fn remove_flow(&mut self, key: &FlowKey) {
        self.flows.remove(key);
        self.half_open.remove(key);
    }

    fn with_fragments<R>(
        &mut self,
        key: &FragmentKey,
        change: impl FnOnce(&mut FragmentEntry) -> R,
    ) -> Option<R> {
        self.fragments.get_mut(key).map(change)
    }

    fn put_fragments(&mut self, key: &FragmentKey, entry: &FragmentEntry) -> bool {
        self.fragments.insert(*key, *entry);
        true
    }

    fn remove_fragments(&mut self, key: &FragmentKey) {
        self.fragments.remove(key);
    }

    fn with_cached<R>(
        &mut self,
        place: u32,
        change: impl FnOnce(&mut CachedFlow) -> R,
    ) -> Option<R> {
        let Shortcuts { sizes, cache, .. } = self.shortcuts.as_mut()?;
        Some(change(cache.entry(place % sizes.cache).or_default()))
    }

    fn with_window<R>(&mut self, place: u32, change: impl FnOnce(&mut Window) -> R) -> Option<R> {
        let Shortcuts { sizes, windows, .. } = self.shortcuts.as_mut()?;
        Some(change(windows.entry(place % sizes.windows).or_default()))
    }

    fn presence(&self, place: u32) -> u64 {
        match &self.shortcuts {
            Some(Shortcuts { sizes, presences, .. }) => {
                presences.get(&(place % sizes.presences)).copied().unwrap_or(0)
            }
            None => Presence { owner: 0, until: self.clock.wrapping_add(1 << 30) }.pack(),
        }
    }

    fn change_presence(&mut self, place: u32, old: u64, new: u64) -> bool {
        let is_old = self.presence(place) == old;
        if is_old {
            self.set_presence(place, new);
        }
        is_old
    }

    fn set_presence(&mut self, place: u32, new: u64) {
        if let Some(Shortcuts { sizes, presences, .. }) = &mut self.shortcuts {
            presences.insert(place % sizes.presences, new);
        }
    }

    fn clock(&self) -> u32 {
        self.clock
    }

    fn set_clock(&mut self, now: u32) {
        self.clock = now;
        self.went_fully += 1;
    }
}
