//! The bucket tables of the kernel, written through this process's memory.
//!
//! [`cuckoo`] says where keys lie, [`mapping`] is the memory, and a [`Table`] is a map with the
//! chunks of both generations.

pub(super) mod chunk;
pub(super) mod cuckoo;
pub(super) mod formats;
pub(super) mod mapping;

use std::marker::PhantomData;

use aya::maps::{ArrayOfMaps, Map, MapData, MapError};
use ringfence_common::abi::table::{CHUNK_BUCKETS, SLOTS, Shape};
use ringfence_common::table::{Places, places};

use self::chunk::Chunk;
use self::cuckoo::Cuckoo;
use self::formats::Kind;
use super::{EbpfError, bpf};

/// A bucket table with its two slots.
#[derive(Debug)]
pub(super) struct Table<K, const WORDS: usize> {
    outer: Map,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind<WORDS>, const WORDS: usize> Table<K, WORDS> {
    /// The table that `map` is.
    pub(super) const fn new(map: Map) -> Self {
        Self { outer: map, kind: PhantomData }
    }

    /// Arranges `rows` as the table would hold them.
    pub(super) fn build(rows: &[[u64; WORDS]]) -> Result<Cuckoo<K, WORDS>, EbpfError> {
        let too_many =
            || EbpfError::TooMany { map: K::NAME, entries: rows.len(), room: K::LIMIT as usize };
        if rows.len() > K::LIMIT as usize {
            return Err(too_many());
        }
        Cuckoo::build(rows, K::CHUNKS).map_err(|_| too_many())
    }

    /// Puts `content` into `slot`, and returns when no packet uses what was there before.
    pub(super) fn fill(&self, slot: u32, content: &Cuckoo<K, WORDS>) -> Result<(), EbpfError> {
        let mut chunks = Vec::new();
        for number in 0..content.shape().chunks {
            let chunk = Chunk::<WORDS>::create().map_err(EbpfError::map(K::NAME))?;
            chunk.fill(content.chunk(number));
            chunks.push(chunk);
        }
        let first = slot * K::CHUNKS;
        let entries: Vec<(u32, &MapData)> =
            (first..).zip(&chunks).map(|(at, chunk)| (at, chunk.map())).collect();
        bpf::put_maps(&self.outer, &entries).map_err(EbpfError::map(K::NAME))
    }

    /// The chunks of `slot`, whose table has this shape.
    pub(super) fn open(&self, slot: u32, shape: Shape) -> Result<Vec<Chunk<WORDS>>, EbpfError> {
        let error = EbpfError::map(K::NAME);
        let outer = ArrayOfMaps::<&MapData, MapData>::try_from(&self.outer).map_err(&error)?;
        let chunk = |number: u32| {
            let map = outer.get(&(slot * K::CHUNKS + number), 0).map_err(&error)?;
            Chunk::open(map).map_err(&error)
        };
        (0..shape.chunks.min(K::CHUNKS)).map(chunk).collect()
    }

    /// All rows of `slot`, whose table has this shape, in no order.
    pub(super) fn rows(&self, slot: u32, shape: Shape) -> Result<Vec<[u64; WORDS]>, EbpfError> {
        let mut rows = Vec::new();
        for chunk in self.open(slot, shape)? {
            let slots = 0..shape.buckets.min(CHUNK_BUCKETS) as usize * SLOTS;
            rows.extend(slots.map(|at| chunk.row(at)).filter(|row| row[K::COMMIT] != 0));
        }
        Ok(rows)
    }

    /// Returns when every packet that had met an earlier state of `slot` is through: the kernel
    /// waits for them when a map is put into an array of maps (`maybe_wait_bpf_programs`,
    /// kernel/bpf/syscall.c), be it the one that is there.
    pub(super) fn wait(&self, slot: u32) -> Result<(), EbpfError> {
        let error = EbpfError::map(K::NAME);
        let outer = ArrayOfMaps::<&MapData, MapData>::try_from(&self.outer).map_err(&error)?;
        let first = slot * K::CHUNKS;
        match outer.get(&first, 0) {
            Ok(chunk) => bpf::put_maps(&self.outer, &[(first, &chunk)]).map_err(&error),
            Err(missing) if is_missing(&missing) => Ok(()),
            Err(other) => Err(error(other)),
        }
    }

    /// Takes a key out of `slot`, whose table has this shape; whether it was there. Packets under
    /// way may still see it.
    pub(super) fn remove(
        &self,
        slot: u32,
        shape: Shape,
        key: &[u64; WORDS],
    ) -> Result<bool, EbpfError> {
        let chunks = self.open(slot, shape)?;
        let Places { chunk, buckets } = places(&shape, K::hash(key));
        let Some(chunk) = chunks.get(chunk as usize) else { return Ok(false) };
        let slots = buckets.iter().flat_map(|bucket| {
            let first = *bucket as usize * SLOTS;
            first..first + SLOTS
        });
        for at in slots {
            let row = chunk.row(at);
            if (0..WORDS).all(|word| (row[word] ^ key[word]) & K::KEY[word] == 0) {
                chunk.store(at, K::COMMIT, 0);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether an array of maps has nothing at a place.
pub(super) fn is_missing(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}
