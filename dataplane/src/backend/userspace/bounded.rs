//! A hash map that never grows past its limit.
//!
//! Entries lie in a list; a hash map says where. When the list is full, a hand that goes round it
//! looks at the next few entries and replaces the least valuable one, which is close to evicting
//! the least recently used one and costs the same however large the table is.

use std::hash::Hash;

use hashbrown::HashMap;

/// Entries that compete for eviction.
const CANDIDATES: usize = 16;

/// How much an entry is worth keeping; the smallest goes first.
pub trait Worth {
    /// Whether it is proven to matter, and when it was last of use (in ticks).
    fn worth(&self) -> (bool, u32);
}

/// At most `limit` entries.
pub struct Bounded<K, V> {
    limit: usize,
    places: HashMap<K, usize>,
    entries: Vec<(K, V)>,
    hand: usize,
}

impl<K: Copy + Eq + Hash, V: Worth> Bounded<K, V> {
    /// An empty table for `limit` entries, one at least.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), places: HashMap::new(), entries: Vec::new(), hand: 0 }
    }

    /// The entry under `key`.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = *self.places.get(key)?;
        Some(&mut self.entries[place].1)
    }

    /// Adds or replaces an entry; another one goes if there is no room.
    pub fn insert(&mut self, key: K, value: V) {
        if let Some(entry) = self.get_mut(&key) {
            *entry = value;
            return;
        }
        if self.entries.len() == self.limit {
            self.evict();
        }
        self.places.insert(key, self.entries.len());
        self.entries.push((key, value));
    }

    /// Forgets the entry under `key`, if there is one.
    pub fn remove(&mut self, key: &K) {
        let Some(place) = self.places.remove(key) else { return };
        self.entries.swap_remove(place);
        if let Some((moved, _)) = self.entries.get(place) {
            self.places.insert(*moved, place);
        }
    }

    /// Entries in use.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn evict(&mut self) {
        let count = self.entries.len();
        let candidates = (0..CANDIDATES.min(count)).map(|step| (self.hand + step) % count);
        let least = candidates.min_by_key(|place| self.entries[*place].1.worth());
        self.hand = (self.hand + CANDIDATES) % count;
        if let Some(place) = least {
            let key = self.entries[place].0;
            self.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounded, Worth};

    impl Worth for (bool, u32) {
        fn worth(&self) -> (bool, u32) {
            *self
        }
    }

    #[test]
    fn the_oldest_unconfirmed_entry_goes_first() {
        let mut table = Bounded::new(3);
        table.insert("old and confirmed", (true, 1));
        table.insert("new", (false, 9));
        table.insert("less new", (false, 5));
        table.insert("newest", (false, 10));
        let kept = ["old and confirmed", "new", "less new", "newest"]
            .map(|key| table.get_mut(&key).is_some());
        assert_eq!((table.len(), kept), (3, [true, true, false, true]));
    }

    #[test]
    fn removing_keeps_the_others_where_they_are_found() {
        let mut table = Bounded::new(8);
        for key in 0..8_u32 {
            table.insert(key, (false, key));
        }
        for key in [0, 3, 7] {
            table.remove(&key);
        }
        table.remove(&3);
        let found = (0..8).map(|key| table.get_mut(&key).map(|value| value.1));
        let expected = [None, Some(1), Some(2), None, Some(4), Some(5), Some(6), None];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert_eq!(table.len(), 5);
    }
}
