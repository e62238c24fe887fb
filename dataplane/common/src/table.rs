//! Finding a key in a bucket table ([`crate::abi::table`]).
//!
//! Goals: (a) no call; (b) a cost that does not depend on where the key lies or how many there
//! are, memory aside; (c) an answer that was right at some moment while the look-up ran, whatever
//! user space writes meanwhile.
//!
//! Design. A bucket is compared slot by slot without a branch, since where a key lies is random and
//! a mispredicted branch costs more than all four comparisons (b). Most keys lie in the first of
//! their two buckets, and the second is asked only where the first has nothing and some key has gone
//! past it ([`crate::abi::table`]). For (c), user space writes the value of a new key before the key,
//! changes a value by one aligned store, never moves a key of a table that counts, and lets a grace
//! period pass before it uses a slot again that packets may have seen under another key. The last
//! slot of a bucket that counts is never made free again, so a look-up that finds it free asks for a
//! key that was not in the second bucket when it began.

use crate::abi::identity::{AddressBytes, AddressEntry};
use crate::abi::table::{
    self, Layout, NarrowBucket, NarrowSlot, PackedEntry, SLOTS, Shape, WideBucket, WideSlot,
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
    hash_of_one(0, key[0] ^ (key[1] ^ seed).wrapping_mul(SECOND))
}

/// Hash of a key of one word.
#[must_use]
#[inline(always)]
pub const fn hash_of_one(seed: u64, key: u64) -> u64 {
    let mixed = (key ^ seed).wrapping_mul(FIRST);
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(SECOND);
    mixed ^ mixed >> 32
}

/// Odd numbers without pattern: the fractional parts of the golden ratio and of √2.
const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND: u64 = 0x6a09_e667_f3bc_c909;

/// A chunk: a bucket by its number.
pub trait Chunk<'a, Bucket: 'a> {
    /// The bucket; none past the end.
    fn bucket(&self, number: u32) -> Option<&'a Bucket>;

    /// All ones if the highest bit of `word` is set, else zero. A compiler that sees what this does
    /// makes a branch of what is done with the answer, so the kernel's programs hide it.
    #[must_use]
    #[inline(always)]
    fn spread(word: u64) -> u64 {
        ((word as i64) >> 63) as u64
    }
}

/// The slot whose bits under `mask` are those of `key`; all zero if there is none. `spread` is
/// [`Chunk::spread`].
#[must_use]
#[inline(always)]
pub fn find<const WORDS: usize>(
    slots: &[[u64; WORDS]; SLOTS],
    key: &[u64; WORDS],
    mask: &[u64; WORDS],
    spread: impl Fn(u64) -> u64,
) -> [u64; WORDS] {
    let mut found = [0; WORDS];
    for slot in slots {
        let mut difference = 0;
        for word in 0..WORDS {
            difference |= (slot[word] ^ key[word]) & mask[word];
        }
        let hit = !spread(difference | difference.wrapping_neg());
        for word in 0..WORDS {
            found[word] |= slot[word] & hit;
        }
    }
    found
}

/// The second word of the slot whose first word is `key`; zero if there is none. No first word, nor
/// the key, has its highest bit set.
#[must_use]
#[inline(always)]
pub fn find_word(slots: &[NarrowSlot; SLOTS], key: u64, spread: impl Fn(u64) -> u64) -> u64 {
    let mut found = 0;
    for slot in slots {
        found |= slot[1] & spread((slot[0] ^ key).wrapping_sub(1));
    }
    found
}

/// The second word of the policy entry under `key`, of which no bit is set beyond the key; all ones
/// if there is none, which no entry is.
#[must_use]
#[inline(always)]
pub fn find_policy(
    slots: &[NarrowSlot; SLOTS],
    key: &NarrowSlot,
    spread: impl Fn(u64) -> u64,
) -> u64 {
    let mut found = u64::MAX;
    for slot in slots {
        // The key's half of the second word is its low one.
        let difference = (slot[0] ^ key[0]) | (slot[1] ^ key[1]) << 32;
        found &= slot[1] | spread(difference | difference.wrapping_neg());
    }
    found
}

/// How a table is probed.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// What hashes begin with.
    pub seed: &'a [u64; 2],
    /// How large the table is.
    pub shape: &'a Shape,
}

impl Layout {
    /// How the table `shape` of this layout is probed.
    #[must_use]
    #[inline(always)]
    pub const fn probe<'a>(&'a self, shape: &'a Shape) -> Probe<'a> {
        Probe { seed: &self.seed, shape }
    }
}

/// Looks into the buckets where a key with this hash may be: what `look` gives, and the key word of
/// the bucket's last slot.
#[inline(always)]
fn look<'a, Bucket: 'a, C: Chunk<'a, Bucket>, Found>(
    shape: &Shape,
    hash: u64,
    chunk: impl Fn(u32) -> Option<C>,
    look: impl Fn(&'a Bucket) -> (Option<Found>, u64),
) -> Option<Found> {
    let places = places(shape, hash);
    let chunk = chunk(places.chunk)?;
    for index in places.buckets {
        let (found, last) = look(chunk.bucket(index)?);
        if found.is_some() || last == 0 {
            return found;
        }
    }
    None
}

/// The slot of `key` in a table of two-word slots whose first word is key alone under `mask`; all
/// zero if it is not there. `chunk` gives a chunk. The second word of a slot in use is never zero.
#[must_use]
#[inline(always)]
pub fn narrow<'a, C: Chunk<'a, NarrowBucket>>(
    probe: Probe<'_>,
    key: &NarrowSlot,
    mask: &NarrowSlot,
    chunk: impl Fn(u32) -> Option<C>,
) -> NarrowSlot {
    let look_into = |bucket: &'a NarrowBucket| {
        let found = find(&bucket.slots, key, mask, C::spread);
        ((found[1] != 0).then_some(found), bucket.slots[SLOTS - 1][0])
    };
    let hash = hash_of_one(probe.seed[0], key[0] & mask[0]);
    look(probe.shape, hash, chunk, look_into).unwrap_or_default()
}

/// What policy says under `key`; nothing where it has no entry.
#[must_use]
#[inline(always)]
pub fn policy<'a, C: Chunk<'a, NarrowBucket>>(
    probe: Probe<'_>,
    key: &NarrowSlot,
    chunk: impl Fn(u32) -> Option<C>,
) -> Option<PackedEntry> {
    let look_into = |bucket: &'a NarrowBucket| {
        let found = find_policy(&bucket.slots, key, C::spread);
        ((found != u64::MAX).then_some(found), bucket.slots[SLOTS - 1][0])
    };
    let hash = hash(probe.seed[0], *key);
    let found = look(probe.shape, hash, chunk, look_into)?;
    Some(table::policy_entry([0, found]))
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
    let look_into = |bucket: &'a WideBucket| {
        let found = find(&bucket.slots, key, mask, C::spread);
        ((found[2] != 0).then_some(found), bucket.slots[SLOTS - 1][3])
    };
    look(probe.shape, hash_of_wide(*probe.seed, key), chunk, look_into).unwrap_or_default()
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
    let places = places(probe.shape, hash_of_one(probe.seed[0], key[0]));
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
    let ask = |address: u32, length: u8| {
        let [key, _] = table::v4_key(address, length);
        let look_into = |bucket: &'a NarrowBucket| {
            let found = find_word(&bucket.slots, key, C::spread);
            ((found != 0).then_some(found), bucket.slots[SLOTS - 1][0])
        };
        look(probe.shape, hash_of_one(probe.seed[0], key), &chunk, look_into)
    };
    let mut found = ask(address, 32);
    for length in layout.lengths_v4 {
        if found.is_some() || length > 32 {
            break;
        }
        let masked = address & (u64::MAX << (32 - length)) as u32;
        found = ask(masked, length);
    }
    found.map(table::address_entry)
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
