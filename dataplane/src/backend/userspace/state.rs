//! Flows and fragments, for one thread or for several.

use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::DefaultHashBuilder;
use ringfence_common::abi::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey, flow_flags};
use ringfence_common::abi::limits;
use ringfence_common::decide::State;

use super::bounded::{Bounded, Worth};

/// What a filter remembers.
pub struct Memory {
    pub flows: Bounded<FlowKey, FlowEntry>,
    pub fragments: Bounded<FragmentKey, FragmentEntry>,
}

impl Memory {
    /// Room for one part in `parts` of what the kernel's maps hold.
    fn part(parts: usize) -> Self {
        Self {
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

/// A memory that several threads use: parts with a lock each, chosen by the hash of the key. All
/// parts together hold what the kernel's maps hold, so a part can be full and evict while
/// another has room; with random keys that begins close to the limit.
///
/// Every access is one step under the part's lock. Two steps of one decision are not one, which is
/// what the kernel's maps promise too, and what `decide` is written for.
pub struct Shards {
    hash: DefaultHashBuilder,
    shards: Box<[Mutex<Memory>]>,
}

impl Shards {
    /// An empty memory in `parts` parts, one at least.
    pub fn new(parts: usize) -> Self {
        let parts = parts.max(1);
        Self {
            hash: DefaultHashBuilder::default(),
            shards: (0..parts).map(|_| Mutex::new(Memory::part(parts))).collect(),
        }
    }

    /// Flows and fragmented packets remembered.
    pub fn counts(&self) -> (usize, usize) {
        let counts = self.shards.iter().map(|shard| {
            let shard = unpoisoned(shard);
            (shard.flows.len(), shard.fragments.len())
        });
        counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
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
        self.flows.get_mut(key).map(change)
    }

    fn put_flow(&mut self, key: &FlowKey, entry: &FlowEntry) -> bool {
        self.flows.insert(*key, *entry);
        true
    }

    fn remove_flow(&mut self, key: &FlowKey) {
        self.flows.remove(key);
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
