//! Who is needed, and by how many.

use std::borrow::Borrow;
use std::collections::BTreeMap;

/// Things and how many need each. What comes and goes within one change has not changed.
#[derive(Debug)]
pub(super) struct Counts<T> {
    counts: BTreeMap<T, usize>,
    /// Whether a thing was there before the change.
    before: BTreeMap<T, bool>,
}

impl<T> Default for Counts<T> {
    fn default() -> Self {
        Self { counts: BTreeMap::new(), before: BTreeMap::new() }
    }
}

impl<T: Ord> Counts<T> {
    /// One more needs a thing.
    pub(super) fn add<Q: Ord + ToOwned<Owned = T> + ?Sized>(&mut self, thing: &Q)
    where
        T: Borrow<Q>,
    {
        if let Some(count) = self.counts.get_mut(thing) {
            *count += 1;
            return;
        }
        self.counts.insert(thing.to_owned(), 1);
        self.before.entry(thing.to_owned()).or_insert(false);
    }

    /// One less needs it.
    pub(super) fn remove<Q: Ord + ToOwned<Owned = T> + ?Sized>(&mut self, thing: &Q)
    where
        T: Borrow<Q>,
    {
        let Some(count) = self.counts.get_mut(thing) else { return };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(thing);
            self.before.entry(thing.to_owned()).or_insert(true);
        }
    }

    /// What is needed now and was not, or the other way round, with whether it is now.
    pub(super) fn follow(&mut self) -> Vec<(T, bool)> {
        let before = std::mem::take(&mut self.before).into_iter();
        let now = before.map(|(thing, was)| (self.counts.contains_key(&thing), was, thing));
        now.filter(|(is, was, _)| is != was).map(|(is, _, thing)| (thing, is)).collect()
    }

    /// What is needed.
    pub(super) fn things(&self) -> impl Iterator<Item = &T> {
        self.counts.keys()
    }
}
