use std::collections::BTreeSet;

use proptest::prelude::*;
use ringfence_common::abi::table::{NarrowBucket, NarrowSlot, WideBucket, WideSlot};
use ringfence_common::table::{Chunk, Probe, narrow, policy as policy_table, wide};

use super::super::formats::{AddressesV4, AddressesV6, Attachments, Endpoints, Kind, Policy};
use super::*;

type Row<const WORDS: usize> = [u64; WORDS];

/// What the programs find in a table.
type Find<const WORDS: usize> = Box<dyn Fn(&Row<WORDS>) -> Row<WORDS>>;

/// A table in memory.
type Built<F, const WORDS: usize> = Cuckoo<F, Memory<WORDS>, WORDS>;

const SEED: [u64; 2] = [0x5eed, 0x1234_5678_9abc_def0];

fn built<F: Kind<WORDS>, const WORDS: usize>(rows: &[Row<WORDS>]) -> Result<Built<F, WORDS>, Full> {
    Cuckoo::build(rows, F::CHUNKS, SEED)
}

/// The buckets of a chunk, as the programs see them.
struct InOrder<'a, B>(&'a [B]);

impl<'a, B> Chunk<'a, B> for InOrder<'a, B> {
    fn bucket(&self, number: u32) -> Option<&'a B> {
        self.0.get(number as usize)
    }
}

fn find_narrow<F: Format<2>>(table: &Built<F, 2>) -> Find<2> {
    let shape = table.shape();
    let buckets = |chunk| table.slots().chunk(chunk).iter().map(|it| NarrowBucket { slots: *it });
    let chunks: Vec<Vec<_>> = (0..shape.chunks).map(|chunk| buckets(chunk).collect()).collect();
    Box::new(move |key: &NarrowSlot| {
        let probe = Probe { seed: &SEED, shape: &shape };
        let chunk = |chunk| chunks.get(chunk as usize).map(|it| InOrder(it));
        match F::KEY[1] {
            0 => narrow(probe, key, &F::KEY, chunk),
            _ => policy_table(probe, key, chunk)
                .map_or([0; 2], |entry| [key[0], key[1] | u64::from(entry.0) << 32]),
        }
    })
}

fn find_wide<F: Format<4>>(table: &Built<F, 4>) -> Find<4> {
    let shape = table.shape();
    let buckets = |chunk| table.slots().chunk(chunk).iter().map(|it| WideBucket { slots: *it });
    let chunks: Vec<Vec<_>> = (0..shape.chunks).map(|chunk| buckets(chunk).collect()).collect();
    Box::new(move |key: &WideSlot| {
        let probe = Probe { seed: &SEED, shape: &shape };
        let chunk = |chunk| chunks.get(chunk as usize).map(|it| InOrder(it));
        // The last word of a key of the attachments is never part of it.
        match F::KEY[3] {
            0 => ringfence_common::table::attachment(probe, key, chunk),
            _ => wide(probe, key, &F::KEY, chunk),
        }
    })
}

/// The key of a row alone.
fn key_of<F: Format<WORDS>, const WORDS: usize>(row: &Row<WORDS>) -> Row<WORDS> {
    std::array::from_fn(|word| row[word] & F::KEY[word])
}

/// Every row is found under its key, whole, and no key of `absent` is.
fn assert_found<F: Format<WORDS>, const WORDS: usize>(
    find: &Find<WORDS>,
    rows: &[Row<WORDS>],
    absent: impl Iterator<Item = Row<WORDS>>,
) {
    for row in rows {
        assert_eq!(find(&key_of::<F, WORDS>(row)), *row, "of {} rows", rows.len());
    }
    for row in absent {
        assert_eq!(find(&key_of::<F, WORDS>(&row)), [0; WORDS], "{row:x?} was never put in");
    }
}

fn assert_narrow<F: Kind<2>>(rows: &[NarrowSlot], absent: impl Iterator<Item = NarrowSlot>) {
    let table = built::<F, 2>(rows).expect("they fit");
    assert_found::<F, 2>(&find_narrow(&table), rows, absent);
}

fn attachment(number: u64) -> WideSlot {
    [(number / 3 + 1) | ((number % 3) << 32), !number, number, 7]
}

fn endpoint(number: u64) -> NarrowSlot {
    [(number + 256) | (0x3f_3f << 32), (number + 300) | (number << 32)]
}

fn v4(number: u64) -> NarrowSlot {
    [(0x0a00_0000 + number) | (33 << 32), number + 256]
}

fn v6(number: u64) -> WideSlot {
    [0x2001_0db8 << 32, number, number + 256, 129]
}

fn policy(number: u64) -> NarrowSlot {
    [(1_000 + number % 7) | ((300 + number / 7) << 32), 0x0206_0050 | ((number + 1) << 32)]
}

#[test]
fn a_million_keys_one_after_the_other_fit_in_the_stated_memory() {
    const MANY: u64 = 1 << 20;
    let rows: Vec<NarrowSlot> = (0..MANY).map(policy).collect();
    let table = built::<Policy, 2>(&rows).expect("they fit");
    // 410 chunks of 64 KiB: 26.9 MB.
    assert_eq!(table.shape(), Shape { chunks: 410, buckets: 1_024 });
    assert_found::<Policy, 2>(&find_narrow(&table), &rows, (MANY..2 * MANY).map(policy));

    let limit = u64::from(AddressesV6::LIMIT);
    let rows: Vec<WideSlot> = (0..limit).map(v6).collect();
    let table = built::<AddressesV6, 4>(&rows).expect("they fit");
    // As many chunks of 128 KiB as there can be: 67.1 MB, a quarter of them prefixes.
    assert_eq!(table.shape(), Shape { chunks: 512, buckets: 1_024 });
    assert_found::<AddressesV6, 4>(&find_wide(&table), &rows, (limit..2 * limit).map(v6));
}

#[test]
fn every_table_holds_as_many_keys_as_its_limit_says() {
    let rows =
        |limit: u32, row: fn(u64) -> NarrowSlot| (0..u64::from(limit)).map(row).collect::<Vec<_>>();
    let (a, e) = (u64::from(Attachments::LIMIT), Endpoints::LIMIT);
    let hooks: Vec<WideSlot> = (0..a).map(attachment).collect();
    let table = built::<Attachments, 4>(&hooks).expect("they fit");
    let absent = (a..100_000).map(attachment);
    assert_found::<Attachments, 4>(&find_wide(&table), &hooks, absent);
    assert_narrow::<Endpoints>(&rows(e, endpoint), (u64::from(e)..100_000).map(endpoint));
    let limit = AddressesV4::LIMIT;
    let absent = u64::from(limit)..u64::from(limit) + 100_000;
    assert_narrow::<AddressesV4>(&rows(limit, v4), absent.map(v4));
}

/// Keys that all want the same few buckets of a small table.
fn crowded(count: usize) -> Vec<NarrowSlot> {
    let shape = shape_for(count);
    let wants = |row: &NarrowSlot| {
        let [first, second] = places(&shape, Policy::hash(SEED, row)).buckets;
        first < 2 && second < 2
    };
    (0..).map(policy).filter(wants).take(count).collect()
}

#[test]
fn keys_that_crowd_few_buckets_get_a_larger_table() {
    for count in [9, 24, 60] {
        let rows = crowded(count);
        let table = built::<Policy, 2>(&rows).expect("a larger one fits");
        let grown = table.shape() != shape_for(count);
        assert_eq!(grown, count > 2 * SLOTS, "two buckets hold eight keys: {:?}", table.shape());
        assert_found::<Policy, 2>(&find_narrow(&table), &rows, (1_000_000..1_001_000).map(policy));
    }
}

#[test]
fn more_than_eight_keys_of_one_hash_are_refused() {
    // The hash is of `first ^ (second ^ seed) * odd`, so these have one and the same.
    let odd = 0x6a09_e667_f3bc_c909_u64;
    let row = |second: u64| [(second ^ SEED[0]).wrapping_mul(odd) ^ 0x1234_5678, second];
    let rows: Vec<NarrowSlot> = (1..=9).map(row).collect();
    assert!(built::<Policy, 2>(&rows[..8]).is_ok());
    assert_eq!(built::<Policy, 2>(&rows).err(), Some(Full));
}

/// Fills one chunk until it refuses a key; whatever was taken is still there.
#[test]
fn a_full_chunk_refuses_and_loses_nothing() {
    let mut table = {
        let shape = Shape { chunks: 1, buckets: 1_024 };
        Built::<Policy, 2>::new(SEED, shape, Memory::new(shape))
    };
    let mut rows: Vec<NarrowSlot> = Vec::new();
    let refused = (0..).map(policy).find(|row| match table.insert(row) {
        Ok(()) => {
            rows.push(*row);
            false
        }
        Err(Full) => true,
    });
    let load = rows.len() * 100 / (CHUNK_BUCKETS as usize * SLOTS);
    assert!(load >= 95, "it was {load} % full");
    assert_found::<Policy, 2>(&find_narrow(&table), &rows, refused.into_iter());
}

#[test]
fn most_keys_lie_in_their_first_bucket() {
    let rows: Vec<NarrowSlot> = (0..200_000).map(policy).collect();
    let table = built::<Policy, 2>(&rows).expect("they fit");
    let in_first = |row: &&NarrowSlot| {
        let Places { chunk, buckets } = places(&table.shape(), Policy::hash(SEED, row));
        table.slots().chunk(chunk)[buckets[0] as usize].contains(row)
    };
    let share = rows.iter().filter(in_first).count() * 100 / rows.len();
    assert!(share >= 80, "{share} %");
}

proptest! {
    #[test]
    fn whatever_is_put_in_is_found(
        keys in proptest::collection::btree_set((1..u32::MAX, any::<u32>(), any::<u32>()), 0..3_000),
        few_values in any::<bool>(),
    ) {
        // With few values, keys differ in a few bits alone.
        let mask = if few_values { 0x000f_0003 } else { u32::MAX };
        let keys: BTreeSet<_> =
            keys.into_iter().map(|(a, b, c)| (a & mask | 1, b & mask, c & mask)).collect();
        let row = |(a, b, c): &(u32, u32, u32)| {
            [u64::from(*a) | u64::from(*b) << 32, u64::from(*c) | 7 << 32]
        };
        let rows: Vec<NarrowSlot> = keys.iter().map(row).collect();
        let absent = keys.iter().map(|(a, b, c)| (*a, *b, c ^ 0x8000_0000));
        let absent: Vec<_> = absent.filter(|key| !keys.contains(key)).collect();
        assert_narrow::<Policy>(&rows, absent.iter().map(row));
    }

    #[test]
    fn keys_come_and_go_and_the_others_are_found(
        steps in proptest::collection::vec((any::<bool>(), 0..300_u64), 0..2_000),
    ) {
        // So few buckets that many keys go past their first.
        let shape = Shape { chunks: 1, buckets: 64 };
        let mut narrow = Built::<AddressesV4, 2>::new(SEED, shape, Memory::new(shape));
        let mut wide = Built::<AddressesV6, 4>::new(SEED, shape, Memory::new(shape));
        let mut there = BTreeSet::new();
        for (comes, number) in steps {
            if !comes {
                narrow.remove(&v4(number));
                wide.remove(&v6(number));
                there.remove(&number);
            } else if there.len() < 220 && there.insert(number) {
                prop_assert_eq!(narrow.insert(&v4(number)), Ok(()));
                prop_assert_eq!(wide.insert(&v6(number)), Ok(()));
            }
        }
        prop_assert_eq!(narrow.rows().count(), there.len());
        prop_assert_eq!(wide.rows().count(), there.len());
        let absent: Vec<u64> = (0..300).filter(|number| !there.contains(number)).collect();
        let rows: Vec<_> = there.iter().copied().map(v4).collect();
        let gone = absent.iter().copied().map(v4);
        assert_found::<AddressesV4, 2>(&find_narrow(&narrow), &rows, gone);
        let rows: Vec<_> = there.iter().copied().map(v6).collect();
        let gone = absent.iter().copied().map(v6);
        assert_found::<AddressesV6, 4>(&find_wide(&wide), &rows, gone);
    }

    #[test]
    fn an_ipv6_table_finds_its_keys(
        keys in proptest::collection::btree_set((any::<u64>(), 0..4_u64, 1..=129_u64), 1..500),
    ) {
        let rows: Vec<WideSlot> = keys.iter().map(|(a, b, l)| [*a, *b, a ^ l, *l]).collect();
        let table = built::<AddressesV6, 4>(&rows).expect("they fit");
        let absent = keys.iter().map(|(a, b, l)| [*a, b + 4, 0, *l]);
        assert_found::<AddressesV6, 4>(&find_wide(&table), &rows, absent);
    }
}
