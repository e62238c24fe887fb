//! Keys are found wherever they may lie, and prefixes by their length.

extern crate std;

use std::vec;
use std::vec::Vec;

use super::*;
use crate::abi::table::{CHUNK_BUCKETS, GONE, LENGTHS, NO_LENGTH};

const SEED: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

/// Chunks of buckets of slots of so many words.
struct Chunks<const WORDS: usize>(Vec<Vec<[[u64; WORDS]; SLOTS]>>);

impl<const WORDS: usize> Chunks<WORDS> {
    fn new(shape: &Shape) -> Self {
        let chunk = vec![[[0; WORDS]; SLOTS]; shape.buckets as usize];
        Self(vec![chunk; shape.chunks as usize])
    }

    /// Puts a slot into one of the two buckets where it may lie. A key that goes past the first was
    /// in its last slot.
    fn put(&mut self, at: &Places, which: usize, slot: [u64; WORDS]) {
        if which == 1 {
            let first = &mut self.0[at.chunk as usize][at.buckets[0] as usize];
            let key = &mut first[SLOTS - 1][if WORDS == 2 { 0 } else { 3 }];
            *key = if *key == 0 { GONE } else { *key };
        }
        let bucket = &mut self.0[at.chunk as usize][at.buckets[which] as usize];
        let free = bucket.iter_mut().find(|slot| **slot == [0; WORDS]).expect("there is room");
        *free = slot;
    }
}

/// A chunk as look-ups see it.
struct Narrow<'a>(&'a [NarrowBucket]);
struct Wide<'a>(&'a [WideBucket]);

impl<'a> Chunk<'a, NarrowBucket> for Narrow<'a> {
    fn bucket(&self, number: u32) -> Option<&'a NarrowBucket> {
        self.0.get(number as usize)
    }
}

impl<'a> Chunk<'a, WideBucket> for Wide<'a> {
    fn bucket(&self, number: u32) -> Option<&'a WideBucket> {
        self.0.get(number as usize)
    }
}

fn narrow_buckets(chunks: &Chunks<2>) -> Vec<Vec<NarrowBucket>> {
    let bucket = |slots: &[NarrowSlot; SLOTS]| NarrowBucket { slots: *slots };
    chunks.0.iter().map(|chunk| chunk.iter().map(bucket).collect()).collect()
}

fn wide_buckets(chunks: &Chunks<4>) -> Vec<Vec<WideBucket>> {
    let bucket = |slots: &[WideSlot; SLOTS]| WideBucket { slots: *slots };
    chunks.0.iter().map(|chunk| chunk.iter().map(bucket).collect()).collect()
}

const SHAPE: Shape = Shape { chunks: 3, buckets: CHUNK_BUCKETS };

fn layout(lengths_v4: &[u8], lengths_v6: &[u8]) -> Layout {
    let mut layout = Layout { seed: SEED, ..Layout::default() };
    (layout.lengths_v4, layout.lengths_v6) = ([NO_LENGTH; LENGTHS], [NO_LENGTH; LENGTHS]);
    layout.lengths_v4[..lengths_v4.len()].copy_from_slice(lengths_v4);
    layout.lengths_v6[..lengths_v6.len()].copy_from_slice(lengths_v6);
    (layout.addresses_v4, layout.addresses_v6) = (SHAPE, SHAPE);
    layout
}

fn who(number: u32) -> AddressEntry {
    AddressEntry { identity: number, endpoint: number << 16 }
}

#[test]
fn a_slot_is_found_by_the_bits_that_are_key() {
    let mask = [u64::MAX, 0xffff];
    let slots = [[7, 0x1_0001], [7, 0x2_0002], [8, 0x3_0001], [0, 0]];
    let spread = <Narrow<'_> as Chunk<'_, NarrowBucket>>::spread;
    let find = |key| find(&slots, &key, &mask, spread);
    assert_eq!(find([7, 0x0001]), [7, 0x1_0001]);
    assert_eq!(find([7, 0x9_0002]), [7, 0x2_0002]);
    assert_eq!(find([8, 1]), [8, 0x3_0001]);
    for absent in [[7, 3], [9, 1], [u64::MAX, u64::MAX], [1 << 63 | 7, 1]] {
        assert_eq!(find(absent), [0, 0], "{absent:x?}");
    }
    let slots = [[7, 1], [1 << 62, 2], [8, 0x3_0001], [0, 9]];
    let find = |key| find_word(&slots, key, spread);
    assert_eq!([7, 8, 9, 6, 1 << 61].map(find), [1, 0x3_0001, 0, 0, 0]);
    let (high, entry) = (1 << 63, 0x82ff_ffff_0000_0000);
    let slots = [[high | 7, 1 | entry], [high | 7, 2 | 2 << 32], [7, 1 | 3 << 32], [GONE, 1]];
    let find = |key| find_policy(&slots, &key, spread);
    assert_eq!(find([high | 7, 1]), 1 | entry);
    assert_eq!(find([high | 7, 2]), 2 | 2 << 32);
    assert_eq!(find([7, 1]), 1 | 3 << 32);
    for absent in [[high | 7, 3], [7, 2], [high, 1], [7, 1 << 31 | 1], [high | 1, 2]] {
        assert_eq!(find(absent), u64::MAX, "{absent:x?}");
    }
}

#[test]
fn places_are_in_range_and_spread() {
    let mut used = [0; 3];
    for number in 0..30_000_u64 {
        let at = places(&SHAPE, hash(SEED[0], [number, number << 40]));
        assert!(at.chunk < SHAPE.chunks && at.buckets.iter().all(|b| *b < SHAPE.buckets));
        used[at.chunk as usize] += 1;
    }
    assert!(used.iter().all(|count| (9_500..10_500).contains(count)), "{used:?}");
    for edge in [0, u64::MAX] {
        let at = places(&Shape { chunks: 1, buckets: 1 }, edge);
        assert_eq!(at, Places { chunk: 0, buckets: [0, 0] });
    }
    let empty = places(&Shape::default(), u64::MAX);
    assert_eq!(empty, Places { chunk: 0, buckets: [0, 0] });
}

#[test]
fn narrow_keys_are_found_in_either_bucket() {
    let probe = Probe { seed: &SEED, shape: &SHAPE };
    let mut chunks = Chunks::new(&SHAPE);
    let slot = |number: u64| [number, number << 32 | 1];
    for number in 1..=500 {
        let at = places(&SHAPE, hash_of_one(SEED[0], number));
        chunks.put(&at, number as usize % 2, slot(number));
    }
    let buckets = narrow_buckets(&chunks);
    let chunk = |number: u32| buckets.get(number as usize).map(|chunk| Narrow(chunk));
    let mask = [u64::MAX, 0];
    for number in 1..=500 {
        assert_eq!(narrow(probe, &[number, 99], &mask, chunk), slot(number), "{number}");
    }
    for absent in 501..2_000 {
        assert_eq!(narrow(probe, &[absent, 0], &mask, chunk), [0; 2], "{absent}");
    }
    assert_eq!(narrow(probe, &[1, 0], &mask, |_| None::<Narrow<'_>>), [0; 2]);
}

#[test]
fn the_second_bucket_is_asked_only_if_a_key_has_gone_past_the_first() {
    let probe = Probe { seed: &SEED, shape: &SHAPE };
    let (mask, number) = ([u64::MAX, 0], 4_711);
    let at = places(&SHAPE, hash_of_one(SEED[0], number));
    assert_ne!(at.buckets[0], at.buckets[1]);
    let mut chunks = Chunks::new(&SHAPE);
    chunks.0[at.chunk as usize][at.buckets[1] as usize][0] = [number, 5];
    for (last, expected) in [(0, [0; 2]), (GONE, [number, 5]), (1, [number, 5])] {
        chunks.0[at.chunk as usize][at.buckets[0] as usize][SLOTS - 1] = [last, 6];
        let buckets = narrow_buckets(&chunks);
        let chunk = |number: u32| buckets.get(number as usize).map(|chunk| Narrow(chunk));
        assert_eq!(narrow(probe, &[number, 0], &mask, chunk), expected, "{last:x}");
    }
}

#[test]
fn policy_entries_are_found_in_either_bucket() {
    let probe = Probe { seed: &SEED, shape: &SHAPE };
    let mut chunks = Chunks::new(&SHAPE);
    let key = |number: u64| [number | (number % 7) << 61, number % 3];
    for number in 1..=500 {
        let at = places(&SHAPE, hash(SEED[0], key(number)));
        let [first, second] = key(number);
        chunks.put(&at, number as usize % 2, [first, second | number << 32]);
    }
    let buckets = narrow_buckets(&chunks);
    let chunk = |number: u32| buckets.get(number as usize).map(|chunk| Narrow(chunk));
    for number in 1..=500 {
        let found = policy(probe, &key(number), chunk);
        assert_eq!(found, Some(PackedEntry(number as u32)), "{number}");
        let [first, second] = key(number);
        assert_eq!(policy(probe, &[first, second + 1], chunk), None, "{number}");
    }
    assert_eq!(policy(probe, &key(501), chunk), None);
    assert_eq!(policy(probe, &key(1), |_| None::<Narrow<'_>>), None);
}

#[test]
fn ipv4_addresses_have_their_longest_prefix() {
    let lengths = [31, 24, 1, 0];
    let layout = layout(&lengths, &[]);
    let prefixes: [(u32, u8, u32); 6] = [
        (0x0a00_0001, 32, 1),
        (0x0a00_0002, 31, 2),
        (0x0a00_0000, 24, 3),
        (0x8000_0000, 1, 4),
        (0, 0, 5),
        (u32::MAX, 32, 6),
    ];
    let mut chunks = Chunks::new(&SHAPE);
    for (which, (address, length, number)) in prefixes.into_iter().enumerate() {
        let at = places(&SHAPE, hash_of_one(SEED[0], table::v4_key(address, length)[0]));
        chunks.put(&at, which % 2, table::v4_slot(address, length, &who(number)));
    }
    let buckets = narrow_buckets(&chunks);
    let chunk = |number: u32| buckets.get(number as usize).map(|chunk| Narrow(chunk));
    for (address, expected) in [
        (0x0a00_0001, 1),
        (0x0a00_0002, 2),
        (0x0a00_0003, 2),
        (0x0a00_0004, 3),
        (0x0a00_0000, 3),
        (0x0a00_0100, 5),
        (0x8000_0000, 4),
        (u32::MAX, 6),
        (u32::MAX - 1, 4),
        (0, 5),
    ] {
        assert_eq!(address_v4(&layout, address, chunk), Some(who(expected)), "{address:x}");
    }
    let none = Layout { lengths_v4: [NO_LENGTH; LENGTHS], ..layout };
    assert_eq!(address_v4(&none, 0x0a00_0002, chunk), None);
}

#[test]
fn ipv6_addresses_have_their_longest_prefix() {
    let lengths = [127, 65, 64, 63, 1, 0];
    let layout = layout(&[], &lengths);
    let (high, low) = (0x2001_0db8_0000_0001, 0x8000_0000_0000_0000);
    let prefixes: [([u64; 2], u8, u32); 7] = [
        ([high, low | 1], 128, 1),
        ([high, low | 2], 127, 2),
        ([high, low], 65, 3),
        ([high, 0], 64, 4),
        ([high & !1, 0], 63, 5),
        ([1 << 63, 0], 1, 6),
        ([0, 0], 0, 7),
    ];
    let mut chunks = Chunks::new(&SHAPE);
    for (which, (address, length, number)) in prefixes.into_iter().enumerate() {
        assert_eq!(mask_v6(address, length), address, "no host bits");
        let at = places(&SHAPE, hash_of_wide(SEED, &table::v6_key(address, length)));
        chunks.put(&at, which % 2, table::v6_slot(address, length, &who(number)));
    }
    let buckets = wide_buckets(&chunks);
    let chunk = |number: u32| buckets.get(number as usize).map(|chunk| Wide(chunk));
    for (address, expected) in [
        ([high, low | 1], 1),
        ([high, low | 2], 2),
        ([high, low | 3], 2),
        ([high, low | 4], 3),
        ([high, 4], 4),
        ([high ^ 1, low], 5),
        ([u64::MAX, 0], 6),
        ([0, 1], 7),
        ([high ^ 2, low], 7),
    ] {
        assert_eq!(address_v6(&layout, address, chunk), Some(who(expected)), "{address:x?}");
    }
    let none = Layout { lengths_v6: [NO_LENGTH; LENGTHS], ..layout };
    assert_eq!(address_v6(&none, [high, 4], chunk), None);
}

#[test]
fn an_attachment_is_found_in_either_bucket() {
    let probe = Probe { seed: &SEED, shape: &SHAPE };
    let mut chunks = Chunks::new(&SHAPE);
    for number in 1..=500_u64 {
        let at = places(&SHAPE, hash_of_one(SEED[0], number));
        chunks.put(&at, number as usize % 2, [number, 1, 2, number]);
    }
    let buckets = wide_buckets(&chunks);
    let chunk = |number: u32| buckets.get(number as usize).map(|chunk| Wide(chunk));
    for number in 1..=500 {
        assert_eq!(attachment(probe, &[number, 0, 0, 0], chunk), [number, 1, 2, number]);
    }
    assert_eq!(attachment(probe, &[501, 0, 0, 0], chunk), [0; 4]);
}

#[test]
fn a_mask_keeps_the_first_bits() {
    let all = [u64::MAX, u64::MAX];
    for length in 0..=128_u8 {
        let expected = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        let [high, low] = mask_v6(all, length);
        assert_eq!(u128::from(high) << 64 | u128::from(low), expected, "{length}");
    }
}

#[test]
fn halves_are_in_network_order() {
    let address = std::array::from_fn(|byte| byte as u8);
    assert_eq!(halves(&address), [0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f]);
}
