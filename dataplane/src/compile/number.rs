//! Numbers made from what they stand for.
//!
//! Goals: (1) the same thing has the same number in every compile, on every machine and under
//! every release; (2) two things never share a number; (3) nothing depends on the order of input.
//!
//! Design: the number is 64-bit FNV-1a (Fowler, Noll, Vo; offset basis `0xcbf29ce484222325`, prime
//! `0x100000001b3`) over a kind and the thing's fields, each string preceded by its length, then
//! mixed by the finaliser of MurmurHash3 (FNV-1a alone mixes its last bytes poorly) and reduced to
//! `FIRST_DYNAMIC..=u32::MAX` (1). Things are taken in their own order (3); one whose number is
//! taken is hashed again with the next salt until it finds a free one (2).
//!
//! What it does not do: when two things collide, adding or removing the first of them moves the
//! second. `TablesDiff::safe_in_place` notices.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_common::abi::identity::{endpoint, identity};

/// Numbers below this one have fixed meanings, for every kind of thing.
const FIRST: u32 = identity::FIRST_DYNAMIC;
const _: () = assert!(FIRST == endpoint::FIRST_DYNAMIC);

/// 64-bit FNV-1a over fields.
pub(super) struct Hash(u64);

impl Hash {
    /// The hash of nothing but its kind.
    fn new(kind: &str, salt: u32) -> Self {
        let mut hash = Self(0xcbf2_9ce4_8422_2325);
        hash.text(kind);
        hash.bytes(&salt.to_le_bytes());
        hash
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Adds how many of something follow.
    pub(super) fn count(&mut self, count: usize) {
        self.bytes(&(count as u64).to_le_bytes());
    }

    /// Adds a string, preceded by its length.
    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes(text.as_bytes());
    }

    /// The number in `FIRST..=u32::MAX`.
    fn finish(self) -> u32 {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^= hash >> 33;
        FIRST + (hash % (u64::from(u32::MAX - FIRST) + 1)) as u32
    }
}

/// The number that a thing of a `kind` tries with a salt; `feed` says what it stands for.
pub(super) fn candidate(kind: &str, salt: u32, feed: impl FnOnce(&mut Hash)) -> u32 {
    let mut hash = Hash::new(kind, salt);
    feed(&mut hash);
    hash.finish()
}

/// Gives every one of `things`, which are of one `kind`, a number; `feed` says what it stands for.
pub(super) fn number<T: Ord>(
    kind: &str,
    things: BTreeSet<T>,
    feed: impl Fn(&T, &mut Hash),
) -> BTreeMap<T, u32> {
    assign(things, |thing, salt| candidate(kind, salt, |hash| feed(thing, hash)))
}

/// Gives every one of `things` the first of its candidates that none before it has.
pub(super) fn assign<T: Ord>(
    things: BTreeSet<T>,
    candidate: impl Fn(&T, u32) -> u32,
) -> BTreeMap<T, u32> {
    let mut taken = BTreeSet::new();
    things
        .into_iter()
        .map(|thing| {
            let number = (0..=u32::MAX)
                .map(|salt| candidate(&thing, salt))
                .find(|number| taken.insert(*number))
                .expect("there are fewer things than salts");
            (thing, number)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&'static str]) -> BTreeSet<&'static str> {
        texts.iter().copied().collect()
    }

    #[test]
    fn numbers_never_change_between_releases() {
        let numbers = number("rule", texts(&["a", "b"]), |text, hash| hash.text(text));
        assert_eq!(numbers, BTreeMap::from([("a", 735_991_983), ("b", 996_097_236)]));
    }

    #[test]
    fn a_number_does_not_depend_on_the_other_things() {
        let few = number("x", texts(&["a", "m"]), |text, hash| hash.text(text));
        let more = number("x", texts(&["a", "b", "m", "z"]), |text, hash| hash.text(text));
        assert_eq!((few["a"], few["m"]), (more["a"], more["m"]));
        let other_kind = number("y", texts(&["a"]), |text, hash| hash.text(text));
        assert_ne!(few["a"], other_kind["a"]);
    }

    #[test]
    fn colliding_things_are_told_apart_in_their_own_order() {
        let numbers = assign(texts(&["a", "b", "c"]), |_, salt| FIRST + salt / 2);
        assert_eq!(numbers, BTreeMap::from([("a", FIRST), ("b", FIRST + 1), ("c", FIRST + 2)]));
    }

    #[test]
    fn numbers_stay_clear_of_the_reserved_ones() {
        for salt in 0..10_000 {
            assert!(Hash::new("x", salt).finish() >= FIRST);
        }
        assert!(Hash(0).finish() >= FIRST, "the mixer maps zero to zero");
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let things = BTreeSet::from([("ab", "c"), ("a", "bc")]);
        let numbers = number("x", things, |(first, second), hash| {
            hash.text(first);
            hash.text(second);
        });
        assert_ne!(numbers[&("ab", "c")], numbers[&("a", "bc")]);
        let unsalted = assign(BTreeSet::from([("ab", "c"), ("a", "bc")]), |thing, salt| {
            assert_eq!(salt, 0, "{thing:?} had to be hashed again");
            numbers[thing]
        });
        assert_eq!(unsalted, numbers);
    }
}
