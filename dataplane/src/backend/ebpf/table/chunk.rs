//! A chunk of a bucket table: an array of the kernel, mapped.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use aya::maps::{MapData, MapError};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_ARRAY;
use ringfence_common::abi::table::{CHUNK_BUCKETS, SLOTS};

use super::cuckoo::{At, Slots};
use super::mapping::Mapping;

/// `BPF_F_MMAPABLE`: user space may map the array.
const MMAPABLE: u32 = 1 << 10;

/// Slots of a chunk.
const CHUNK_SLOTS: usize = CHUNK_BUCKETS as usize * SLOTS;

/// A chunk whose slots have so many words.
#[derive(Debug)]
pub(in super::super) struct Chunk<const WORDS: usize> {
    map: MapData,
    memory: Mapping<AtomicU64>,
}

impl<const WORDS: usize> Chunk<WORDS> {
    /// A new chunk without keys. Its type is that of the template in the object: the kernel takes
    /// only such into the array of maps.
    pub(super) fn create() -> Result<Self, MapError> {
        let bucket = size_of::<[[u64; WORDS]; SLOTS]>() as u32;
        let kind = BPF_MAP_TYPE_ARRAY as u32;
        let map = aya_obj::Map::new_from_params(kind, 4, bucket, CHUNK_BUCKETS, MMAPABLE);
        Self::open(MapData::create(map, "ringfence_chunk", None)?)
    }

    /// The chunk that `map` is.
    pub(super) fn open(map: MapData) -> Result<Self, MapError> {
        let memory = Mapping::new(&map, CHUNK_SLOTS * WORDS)?;
        Ok(Self { map, memory })
    }

    /// The array.
    pub(super) const fn map(&self) -> &MapData {
        &self.map
    }

    /// Makes these the chunk's buckets, and the rest empty. No packet may be looking.
    pub(super) fn fill(&self, buckets: &[[[u64; WORDS]; SLOTS]]) {
        let content = buckets.as_flattened().as_flattened();
        let (used, rest) = self.memory.words().split_at(content.len());
        for (word, value) in used.iter().zip(content) {
            word.store(*value, Relaxed);
        }
        for word in rest {
            word.store(0, Relaxed);
        }
    }

    /// One word of a slot.
    pub(super) fn load(&self, slot: usize, word: usize) -> u64 {
        self.memory.words()[slot * WORDS + word].load(Acquire)
    }

    /// Changes one word of a slot; whoever sees it sees what was written before.
    pub(super) fn store(&self, slot: usize, word: usize, value: u64) {
        self.memory.words()[slot * WORDS + word].store(value, Release);
    }
}

/// The slots of a table of the kernel.
#[derive(Debug)]
pub(in super::super) struct Mapped<const WORDS: usize> {
    pub(super) chunks: Vec<Chunk<WORDS>>,
}

impl<const WORDS: usize> Mapped<WORDS> {
    /// Changes one word of a slot.
    pub(super) fn store(&self, at: At, word: usize, value: u64) {
        self.chunks[at.chunk as usize].store(slot_of(at), word, value);
    }
}

impl<const WORDS: usize> Slots<WORDS> for Mapped<WORDS> {
    fn get(&self, at: At) -> [u64; WORDS] {
        let (chunk, slot) = (&self.chunks[at.chunk as usize], slot_of(at));
        std::array::from_fn(|word| chunk.load(slot, word))
    }

    fn set(&mut self, at: At, row: [u64; WORDS]) {
        for (word, value) in row.into_iter().enumerate() {
            self.store(at, word, value);
        }
    }
}

const fn slot_of(at: At) -> usize {
    at.bucket as usize * SLOTS + at.slot as usize
}
