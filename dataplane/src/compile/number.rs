//! Numbers made from what they stand for.
//!
//! Goals: (1) the same thing has the same number in every compile, on every machine and under
//! every release; (2) two things never share a number; (3) nothing depends on the order of input.
//!
//! Design: the number is 64-bit FNV-1a (Fowler, Noll, Vo; offset basis `0xcbf29ce484222325`, prime
//! `0x100000001b3`) over a kind and the thing's fields, each string preceded by its length, then
//! mixed by the finaliser of MurmurHash3 (FNV-1a alone mixes its last bytes poorly) and reduced to
//! `FIRST_DYNAMIC..=u32::MAX` (1). Of two things that meet, the first in their own order has the
//! number (3), and the other is hashed again with the next salt (2): [`super::numbers`].
//!
//! What it does not do: when two things collide, adding or removing the first of them moves the
//! second. `TablesDiff::safe_in_place` notices.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_clear_of_the_reserved_ones() {
        for salt in 0..10_000 {
            assert!(Hash::new("x", salt).finish() >= FIRST);
        }
        assert!(Hash(0).finish() >= FIRST, "the mixer maps zero to zero");
    }
}
