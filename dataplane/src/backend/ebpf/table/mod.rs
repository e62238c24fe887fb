//! The bucket tables of the kernel, written through this process's memory.
//!
//! [`cuckoo`] says where keys lie, [`mapping`] is the memory, [`live`] changes a table that packets
//! look at, and a [`Table`] is a map with the chunks of both generations.

pub(super) mod chunk;
pub(super) mod cuckoo;
pub(super) mod formats;
pub(super) mod live;
pub(super) mod mapping;

use std::marker::PhantomData;

use aya::maps::{ArrayOfMaps, Map, MapData, MapError};
use ringfence_common::abi::table::Shape;

use self::chunk::{Chunk, Mapped};
use self::cuckoo::{Cuckoo, Memory};
use self::formats::Kind;
use self::live::Live;
use super::steps::Steps;
use super::{EbpfError, bpf};

/// A table's content before it is in the kernel.
pub(super) type Built<K, const WORDS: usize> = Cuckoo<K, Memory<WORDS>, WORDS>;

/// A bucket table with its two slots.
#[derive(Debug)]
pub(super) struct Table<K, const WORDS: usize> {
    outer: Map,
    steps: Steps,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind<WORDS>, const WORDS: usize> Table<K, WORDS> {
    /// The table that `map` is.
    pub(super) const fn new(map: Map, steps: Steps) -> Self {
        Self { outer: map, steps, kind: PhantomData }
    }

    /// Puts `content` into `slot`, at which no packet looks, and returns when none uses what was
    /// there before. The chunks of `before` are there already.
    pub(super) fn fill(
        &self,
        slot: u32,
        seed: [u64; 2],
        content: &Built<K, WORDS>,
        before: Option<Live<K, WORDS>>,
    ) -> Result<Live<K, WORDS>, EbpfError> {
        let shape = content.shape();
        let mut chunks = before.map(Live::into_chunks).unwrap_or_default();
        let there = chunks.len().min(shape.chunks as usize);
        while chunks.len() < shape.chunks as usize {
            chunks.push(Chunk::create().map_err(EbpfError::map(K::NAME))?);
        }
        for (number, chunk) in (0..shape.chunks).zip(&chunks) {
            self.steps.take()?;
            chunk.fill(content.slots().chunk(number));
        }
        let first = slot * K::CHUNKS;
        let places = (first..).zip(&chunks).skip(there);
        let new: Vec<(u32, &MapData)> = places.map(|(at, chunk)| (at, chunk.map())).collect();
        self.put(&new)?;
        Ok(Live::new(seed, shape, Mapped { chunks }, self.steps.clone()))
    }

    /// The table of `slot`.
    pub(super) fn open(
        &self,
        slot: u32,
        seed: [u64; 2],
        shape: Shape,
    ) -> Result<Live<K, WORDS>, EbpfError> {
        let error = EbpfError::map(K::NAME);
        if shape.chunks > K::CHUNKS {
            return Err(EbpfError::Object(format!("table `{}` has an impossible shape", K::NAME)));
        }
        let outer = ArrayOfMaps::<&MapData, MapData>::try_from(&self.outer).map_err(&error)?;
        let chunk = |number: u32| {
            let map = outer.get(&(slot * K::CHUNKS + number), 0).map_err(&error)?;
            Chunk::open(map).map_err(&error)
        };
        let chunks = (0..shape.chunks).map(chunk).collect::<Result<_, _>>()?;
        Ok(Live::new(seed, shape, Mapped { chunks }, self.steps.clone()))
    }

    /// Lets go of the chunks of `slot`, at which no packet looks; `table` is what is there. An array
    /// of maps forgets a map only for another, so one empty chunk takes all their places.
    pub(super) fn give_back(&self, slot: u32, table: Live<K, WORDS>) -> Result<(), EbpfError> {
        let chunks = table.into_chunks();
        if chunks.len() <= 1 {
            return Ok(());
        }
        let empty = &chunks[0];
        empty.fill(&[]);
        let first = slot * K::CHUNKS;
        let places = (first..).zip(&chunks).skip(1);
        self.put(&places.map(|(at, _)| (at, empty.map())).collect::<Vec<_>>())
    }

    /// Returns when every packet that had met an earlier state of `slot` is through: the kernel
    /// waits for them when a map is put into an array of maps (`maybe_wait_bpf_programs`,
    /// kernel/bpf/syscall.c), be it the one that is there.
    pub(super) fn wait(&self, slot: u32) -> Result<(), EbpfError> {
        let error = EbpfError::map(K::NAME);
        let outer = ArrayOfMaps::<&MapData, MapData>::try_from(&self.outer).map_err(&error)?;
        let first = slot * K::CHUNKS;
        match outer.get(&first, 0) {
            Ok(chunk) => self.put(&[(first, &chunk)]),
            // No packet has met what has never been there.
            Err(missing) if is_missing(&missing) => Ok(()),
            Err(other) => Err(error(other)),
        }
    }

    fn put(&self, entries: &[(u32, &MapData)]) -> Result<(), EbpfError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.steps.take()?;
        bpf::put_maps(&self.outer, entries).map_err(EbpfError::map(K::NAME))
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
