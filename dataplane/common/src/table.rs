//! Finding a key in a bucket table ([`crate::abi::table`]).
//!
//! Goals: (a) no call; (b) a cost that does not depend on where the key lies or how many there
//! are, memory aside; (c) an answer that was right at some moment while the look-up ran, whatever
//! user space writes meanwhile.
//!
//! Design. A bucket is compared slot by slot without a branch, since where a key lies is random and
//! a mispredicted branch costs more than all four comparisons (b). Most keys lie in the first of
//! their two buckets, so the second is asked only where the first has nothing. For (c), user space
//! writes the value of a new key before the key, changes a value by one aligned store, never moves
//! a key of a table that counts, and lets a grace period pass before it uses a slot again that
//! packets may have seen under another key.

use crate::abi::identity::{AddressBytes, AddressEntry};
use crate::abi::table::{
    self, Layout, NarrowBucket, NarrowSlot, SLOTS, Shape, WideBucket, WideSlot,
};

/// Where a key may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The chunk.
    pub chunk: u32,
    /// The two buckets of the chunk, the preferred one first; they may be the same.
    pub buckets: [u32; 2],
}

/// Where in a table of this shape a key with this hash may lie.
#[must_use]
#[inline(always)]
pub const fn places(shape: &Shape, hash: u64) -> Places {
    let (high, low) = (hash >> 32, hash & 0xffff_ffff);
    let buckets = shape.buckets as u64;
    // A product's high half is an even share of the range; its low half is what is left to choose by.
    let scaled = high * shape.chunks as u64;
    let first = ((scaled & 0xffff_ffff) * buckets) >> 32;
    let second = (low * buckets) >> 32;
    Places { chunk: (scaled >> 32) as u32, buckets: [first as u32, second as u32] }
}

/// Hash of a key of two words.
#[must_use]
#[inline(always)]
pub const fn hash(seed: u64, key: [u64; 2]) -> u64 {
    let mixed = (key[0] ^ (key[1] ^ seed).wrapping_mul(SECOND)).wrapping_mul(FIRST);
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(SECOND);
    mixed ^ mixed >> 32
}

/// Odd numbers without pattern: the fractional parts of the golden ratio and of √2.
const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND: u64 = 0x6a09_e667_f3bc_c909;

/// The slot whose bits under `mask` are those of `key`; all zero if there is none.
///
/// `top` is 63, the number of a word's highest bit. It comes from memory ([`Layout::top`]): a compiler
/// that knew it would see that this compares with zero, and would branch.
#[must_use]
#[inline(always)]
pub fn find<const WORDS: usize>(
    slots: &[[u64; WORDS]; SLOTS],
    key: &[u64; WORDS],
    mask: &[u64; WORDS],
    top: u32,
) -> [u64; WORDS] {
    let mut found = [0; WORDS];
    for slot in slots {
        let mut difference = 0;
        for word in 0..WORDS {
            difference |= (slot[word] ^ key[word]) & mask[word];
        }
        // All ones where there is no difference, else zero.
        let hit = (difference | difference.wrapping_neg()).wrapping_shr(top).wrapping_sub(1);
        for word in 0..WORDS {
            found[word] |= slot[word] & hit;
        }
    }
    found
}

/// How a table is probed.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// What hashes begin with.
    pub seed: &'a [u64; 2],
    /// See [`find`].
    pub top: u32,
    /// How large the table is.
    pub shape: &'a Shape,
}

impl Layout {
    /// How the table `shape` of this layout is probed.
    #[must_use]
    #[inline(always)]
    pub const fn probe<'a>(&'a self, shape: &'a Shape) -> Probe<'a> {
        Probe { seed: &self.seed, top: self.top, shape }
    }
}

/// A chunk: a bucket by its number; what it does not have is as if empty.
pub trait Chunk<'a, Bucket: 'a> {
    /// The bucket.
    fn bucket(&self, number: u32) -> Option<&'a Bucket>;
}

/// The slot of `key` in a table of two-word slots; all zero if it is not there. `chunk` gives a
/// chunk. The second word of a slot in use is never zero.
#[must_use]
#[inline(always)]
pub fn narrow<'a, C: Chunk<'a, NarrowBucket>>(
    probe: Probe<'_>,
    key: &NarrowSlot,
    mask: &NarrowSlot,
    chunk: impl Fn(u32) -> Option<C>,
) -> NarrowSlot {
    let hash = hash(probe.seed[0], [key[0] & mask[0], key[1] & mask[1]]);
    let places = places(probe.shape, hash);
    let Some(chunk) = chunk(places.chunk) else { return [0; 2] };
    for index in places.buckets {
        if let Some(bucket) = chunk.bucket(index) {
            let found = find(&bucket.slots, key, mask, probe.top);
            if found[1] != 0 {
                return found;
            }
        }
    }
    [0; 2]
}

/// As [`narrow`], for the table of IPv6 prefixes, whose third word is never zero.
#[must_use]
#[inline(always)]
pub fn wide<'a, C: Chunk<'a, WideBucket>>(
    probe: Probe<'_>,
    key: &WideSlot,
    mask: &WideSlot,
    chunk: impl Fn(u32) -> Option<C>,
) -> WideSlot {
    let places = places(probe.shape, hash_of_wide(*probe.seed, key));
    let Some(chunk) = chunk(places.chunk) else { return [0; 4] };
    for index in places.buckets {
        if let Some(bucket) = chunk.bucket(index) {
            let found = find(&bucket.slots, key, mask, probe.top);
            if found[2] != 0 {
                return found;
            }
        }
    }
    [0; 4]
}

/// The slot of an attachment; all zero if it is not there. An interface's packets come one after the
/// other, so here a branch for each slot is foretold, and no slot behind the right one is read.
#[must_use]
#[inline(always)]
pub fn attachment<'a, C: Chunk<'a, WideBucket>>(
    probe: Probe<'_>,
    key: &WideSlot,
    chunk: impl Fn(u32) -> Option<C>,
) -> WideSlot {
    let places = places(probe.shape, hash(probe.seed[0], [key[0], 0]));
    let Some(chunk) = chunk(places.chunk) else { return [0; 4] };
    for index in places.buckets {
        if let Some(bucket) = chunk.bucket(index) {
            for slot in &bucket.slots {
                if slot[0] == key[0] {
                    return *slot;
                }
            }
        }
    }
    [0; 4]
}

/// Hash of the key of an IPv6 prefix. Whoever has a network of their own can choose among many
/// addresses, so this is a universal hash (NH of UMAC, RFC 4418 §5.2): without the seed, no choice of
/// two is better than another.
#[must_use]
#[inline(always)]
pub const fn hash_of_wide(seed: [u64; 2], key: &WideSlot) -> u64 {
    let [first, second] = seed;
    let sum = product(key[0], first).wrapping_add(product(key[1], second));
    let mixed = sum.wrapping_add(key[3].wrapping_mul(FIRST));
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(SECOND);
    mixed ^ mixed >> 32
}

/// The halves of `word`, each moved by a half of the seed, multiplied.
#[inline(always)]
const fn product(word: u64, seed: u64) -> u64 {
    let low = (word as u32).wrapping_add(seed as u32) as u64;
    let high = ((word >> 32) as u32).wrapping_add((seed >> 32) as u32) as u64;
    low.wrapping_mul(high)
}

/// Who an IPv4 address is: the longest prefix of the table that it lies in.
#[must_use]
#[inline(always)]
pub fn address_v4<'a, C: Chunk<'a, NarrowBucket>>(
    layout: &Layout,
    address: u32,
    chunk: impl Fn(u32) -> Option<C>,
) -> Option<AddressEntry> {
    let probe = layout.probe(&layout.addresses_v4);
    let found = narrow(probe, &table::v4_key(address, 32), &table::V4_KEY, &chunk);
    if found[1] != 0 {
        return Some(table::address_entry(found[1]));
    }
    for length in layout.lengths_v4 {
        if length > 32 {
            return None;
        }
        let masked = address & (u64::MAX << (32 - length)) as u32;
        let found = narrow(probe, &table::v4_key(masked, length), &table::V4_KEY, &chunk);
        if found[1] != 0 {
            return Some(table::address_entry(found[1]));
        }
    }
    None
}

/// Who an IPv6 address is: the longest prefix of the table that it lies in.
#[must_use]
#[inline(always)]
pub fn address_v6<'a, C: Chunk<'a, WideBucket>>(
    layout: &Layout,
    address: [u64; 2],
    chunk: impl Fn(u32) -> Option<C>,
) -> Option<AddressEntry> {
    let probe = layout.probe(&layout.addresses_v6);
    let found = wide(probe, &table::v6_key(address, 128), &table::V6_KEY, &chunk);
    if found[2] != 0 {
        return Some(table::address_entry(found[2]));
    }
    for length in layout.lengths_v6 {
        if length > 128 {
            return None;
        }
        let masked = mask_v6(address, length);
        let found = wide(probe, &table::v6_key(masked, length), &table::V6_KEY, &chunk);
        if found[2] != 0 {
            return Some(table::address_entry(found[2]));
        }
    }
    None
}

/// The first `length` bits of an address.
#[must_use]
#[inline(always)]
pub const fn mask_v6(address: [u64; 2], length: u8) -> [u64; 2] {
    match length {
        0 => [0, 0],
        1..=63 => [address[0] & u64::MAX << (64 - length), 0],
        64 => [address[0], 0],
        65..=127 => [address[0], address[1] & u64::MAX << (128 - length)],
        _ => address,
    }
}

/// An IPv6 address as two integers.
#[must_use]
#[inline(always)]
pub fn halves(address: &AddressBytes) -> [u64; 2] {
    let a = address;
    [
        u64::from_be_bytes([a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]]),
        u64::from_be_bytes([a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15]]),
    ]
}

#[cfg(test)]
mod tests;
