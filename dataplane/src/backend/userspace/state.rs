//! Flows, fragments and what the short way keeps, for one thread or for several.

use std::alloc::{Layout, handle_alloc_error};
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::DefaultHashBuilder;
use ringfence_common::abi::cache::{BLOCK_FLOWS, CachedFlow, Window};
use ringfence_common::abi::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey, flow_flags};
use ringfence_common::abi::limits;
use ringfence_common::decide::State;
use ringfence_common::track::is_half_open;
use zerocopy::FromZeros;

use super::bounded::{Bounded, Worth};

/// What a filter remembers.
pub struct Memory {
    flows: Bounded<FlowKey, FlowEntry>,
    half_open: Bounded<FlowKey, FlowEntry>,
    pub fragments: Bounded<FragmentKey, FragmentEntry>,
    shortcuts: Shortcuts,
}

impl Memory {
    /// Flows remembered, the half-open ones among them.
    pub fn flows(&self) -> usize {
        self.flows.len() + self.half_open.len()
    }

    /// Room for one part in `parts` of what the kernel's maps hold.
    fn part(parts: usize) -> Self {
        Self {
            shortcuts: Shortcuts::part(parts),
            half_open: Bounded::new(limits::HALF_OPEN_FLOWS as usize / parts),
            flows: Bounded::new(limits::FLOWS as usize / parts),
            fragments: Bounded::new(limits::FRAGMENTED_PACKETS as usize / parts),
        }
    }
}

impl Default for Memory {
    /// With the kernel maps' limits.
    fn default() -> Self {
        Self::part(1)
    }
}

/// What the short way keeps ([`ringfence_common::abi::cache`]).
struct Shortcuts {
    cache: Vec<CachedFlow>,
    windows: Vec<Window>,
    presences: Vec<u64>,
    clock: u32,
}

impl Shortcuts {
    /// One part in `parts` of the places. They take memory when they are first used.
    fn part(parts: usize) -> Self {
        let cached = limits::CACHE_BLOCKS as usize * BLOCK_FLOWS;
        Self {
            cache: zeroed(cached.div_ceil(parts)),
            windows: zeroed((limits::WINDOWS as usize).div_ceil(parts)),
            presences: zeroed((limits::PRESENCES as usize).div_ceil(parts)),
            clock: 0,
        }
    }
}

fn zeroed<T: FromZeros>(count: usize) -> Vec<T> {
    T::new_vec_zeroed(count).unwrap_or_else(|_| handle_alloc_error(Layout::new::<T>()))
}

/// A memory that several threads use: parts with a lock each, chosen by the hash of the key. All
/// parts together hold what the kernel's maps hold, so a part can be full and evict while
/// another has room; with random keys that begins close to the limit.
///
/// Every access is one step under the part's lock. Two steps of one decision are not one, which is
/// what the kernel's maps promise too, and what `decide` is written for.
pub struct Shards {
    hash: DefaultHashBuilder,
    clock: AtomicU32,
    shards: Box<[Mutex<Memory>]>,
}

impl Shards {
    /// An empty memory in `parts` parts, one at least.
    pub fn new(parts: usize) -> Self {
        let parts = parts.max(1);
        Self {
            hash: DefaultHashBuilder::default(),
            clock: AtomicU32::new(0),
            shards: (0..parts).map(|_| Mutex::new(Memory::part(parts))).collect(),
        }
    }

    /// Flows and fragmented packets remembered.
    pub fn counts(&self) -> (usize, usize) {
        let counts = self.shards.iter().map(|shard| {
            let shard = unpoisoned(shard);
            (shard.flows(), shard.fragments.len())
        });
        counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    }

    /// The part that has a place of the short way's arrays, and the place there.
    fn at(&self, place: u32) -> (MutexGuard<'_, Memory>, u32) {
        let parts = self.shards.len();
        (unpoisoned(&self.shards[place as usize % parts]), place / parts as u32)
    }

    fn of<K: Hash>(&self, key: &K) -> MutexGuard<'_, Memory> {
        let hash = self.hash.hash_one(key);
        unpoisoned(&self.shards[(hash >> 32) as usize % self.shards.len()])
    }
}

/// A thread that died while it held the lock had an entry in its hands, which is whole whenever
/// nobody is inside `change`; the worst it can leave is a packet that was counted twice.
fn unpoisoned(shard: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State for &Shards {
    fn with_flow<R>(
        &mut self,
        key: &FlowKey,
        change: impl FnOnce(&mut FlowEntry) -> R,
    ) -> Option<R> {
        self.of(key).with_flow(key, change)
    }

    fn put_flow(&mut self, key: &FlowKey, entry: &FlowEntry) -> bool {
        self.of(key).put_flow(key, entry)
    }

    fn remove_flow(&mut self, key: &FlowKey) {
        self.of(key).remove_flow(key);
    }

    fn with_fragments<R>(
        &mut self,
        key: &FragmentKey,
        change: impl FnOnce(&mut FragmentEntry) -> R,
    ) -> Option<R> {
        self.of(key).with_fragments(key, change)
    }

    fn put_fragments(&mut self, key: &FragmentKey, entry: &FragmentEntry) -> bool {
        self.of(key).put_fragments(key, entry)
    }

    fn remove_fragments(&mut self, key: &FragmentKey) {
        self.of(key).remove_fragments(key);
    }

    fn with_cached<R>(
        &mut self,
        place: u32,
        change: impl FnOnce(&mut CachedFlow) -> R,
    ) -> Option<R> {
        let (mut shard, place) = self.at(place);
        shard.with_cached(place, change)
    }

    fn with_window<R>(&mut self, place: u32, change: impl FnOnce(&mut Window) -> R) -> Option<R> {
        let (mut shard, place) = self.at(place);
        shard.with_window(place, change)
    }

    fn presence(&self, place: u32) -> u64 {
        let (shard, place) = self.at(place);
        shard.presence(place)
    }

    fn change_presence(&mut self, place: u32, old: u64, new: u64) -> bool {
        let (mut shard, place) = self.at(place);
        shard.change_presence(place, old, new)
    }

    fn set_presence(&mut self, place: u32, new: u64) {
        let (mut shard, place) = self.at(place);
        shard.set_presence(place, new);
    }

    fn clock(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    fn set_clock(&mut self, now: u32) {
        self.clock.store(now, Ordering::Relaxed);
    }
}

impl Worth for FlowEntry {
    fn worth(&self) -> (bool, u32) {
        (self.flags & flow_flags::CONFIRMED != 0, self.last_seen)
    }
}

impl Worth for FragmentEntry {
    fn worth(&self) -> (bool, u32) {
        (false, self.first_seen)
    }
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
        if is_half_open(entry) {
            self.flows.remove(key);
            self.half_open.insert(*key, *entry);
        } else {
            self.half_open.remove(key);
            self.flows.insert(*key, *entry);
        }
        true
    }

    fn remove_flow(&mut self, key: &FlowKey) {
        self.flows.remove(key);
        self.half_open.remove(key);
    }

    fn with_cached<R>(
        &mut self,
        place: u32,
        change: impl FnOnce(&mut CachedFlow) -> R,
    ) -> Option<R> {
        self.shortcuts.cache.get_mut(place as usize).map(change)
    }

    fn with_window<R>(&mut self, place: u32, change: impl FnOnce(&mut Window) -> R) -> Option<R> {
        self.shortcuts.windows.get_mut(place as usize).map(change)
    }

    fn presence(&self, place: u32) -> u64 {
        self.shortcuts.presences.get(place as usize).copied().unwrap_or_default()
    }

    fn change_presence(&mut self, place: u32, old: u64, new: u64) -> bool {
        let Some(word) = self.shortcuts.presences.get_mut(place as usize) else { return false };
        let is_old = *word == old;
        if is_old {
            *word = new;
        }
        is_old
    }

    fn set_presence(&mut self, place: u32, new: u64) {
        if let Some(word) = self.shortcuts.presences.get_mut(place as usize) {
            *word = new;
        }
    }

    fn clock(&self) -> u32 {
        self.shortcuts.clock
    }

    fn set_clock(&mut self, now: u32) {
        self.shortcuts.clock = now;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_together_keep_to_the_limits() {
        let shards = Shards::new(32);
        let mut state = &shards;
        for number in 0..limits::FLOWS + 20_000 {
            let mut key = FlowKey { endpoint: number, ..FlowKey::default() };
            key.local[..4].copy_from_slice(&number.to_be_bytes());
            assert!(state.put_flow(&key, &FlowEntry { last_seen: number, ..Default::default() }));
            assert_eq!(state.with_flow(&key, |entry| entry.last_seen), Some(number));
        }
        for number in 0..limits::FRAGMENTED_PACKETS * 2 {
            let key = FragmentKey { identification: number, ..FragmentKey::default() };
            assert!(state.put_fragments(&key, &FragmentEntry::default()));
        }
        let (flows, fragments) = shards.counts();
        let (most_flows, most_fragments) =
            (limits::FLOWS as usize, limits::FRAGMENTED_PACKETS as usize);
        assert!((most_flows * 95 / 100..=most_flows).contains(&flows), "{flows}");
        assert!((most_fragments * 95 / 100..=most_fragments).contains(&fragments), "{fragments}");
    }

    #[test]
    fn what_is_removed_is_gone_from_its_part() {
        let shards = Shards::new(4);
        let mut state = &shards;
        let keys = (0..100).map(|number| FlowKey { endpoint: number, ..FlowKey::default() });
        let keys: Vec<FlowKey> = keys.collect();
        for key in &keys {
            state.put_flow(key, &FlowEntry::default());
        }
        for key in &keys[..60] {
            state.remove_flow(key);
        }
        let left = keys.iter().filter(|key| state.with_flow(key, |_| ()).is_some()).count();
        assert_eq!((left, shards.counts()), (40, (40, 0)));
    }
}
