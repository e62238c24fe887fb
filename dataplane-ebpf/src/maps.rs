//! The maps. Keys and values are `ringfence_common::abi`'s.
//!
//! Everything that policy says comes in two slots behind arrays of maps; [`SELECTOR`] says which
//! slot counts. State and counters outlive generations and stand beside them.

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, LpmTrie, LruHashMap, PerCpuArray, RingBuf};
use aya_ebpf::macros::btf_map;
use ringfence_common::abi::cache::{CacheBlock, Window};
use ringfence_common::abi::config::Selector;
use ringfence_common::abi::event::{Counter, Event};
use ringfence_common::abi::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey};
use ringfence_common::abi::limits;
use ringfence_common::abi::policy::{BLOCKS, CLASSED_PROTOCOLS, ClassBlock};
use ringfence_common::abi::table::{CHUNK_BUCKETS, Generation, NarrowBucket, WideBucket, chunks};
use ringfence_common::decide::Desk;

/// `BPF_F_MMAPABLE`: user space writes through its own mapping.
const MMAPABLE: usize = 1 << 10;

/// Values of the class map.
const CLASS_BLOCKS: usize = BLOCKS as usize * CLASSED_PROTOCOLS.len();

/// Slots of a generation.
const SLOTS: usize = 2;

/// Entries of the trie that the loader makes as a pattern. Those it installs have the size the
/// generation needs; of tries the kernel compares types, not sizes (`bpf_map_meta_equal`).
const TEMPLATE: usize = 1;

/// A bucket table: its chunks, those of slot 0 before those of slot 1. All chunks are of one size:
/// only then does the verifier replace the look-ups (`array_map_gen_lookup`).
type Table<Bucket, const CHUNKS: usize> = ArrayOfMaps<ChunkMap<Bucket>, CHUNKS>;

/// One chunk.
pub type ChunkMap<Bucket> = Array<Bucket, { CHUNK_BUCKETS as usize }, MMAPABLE>;

#[btf_map]
pub static SELECTOR: Array<Selector, 1> = Array::new();

#[btf_map]
pub static GENERATIONS: Array<Generation, SLOTS, MMAPABLE> = Array::new();

#[btf_map]
pub static ATTACHMENTS: Table<WideBucket, { SLOTS * chunks::ATTACHMENTS as usize }> =
    ArrayOfMaps::new();

#[btf_map]
pub static ENDPOINTS: Table<NarrowBucket, { SLOTS * chunks::ENDPOINTS as usize }> =
    ArrayOfMaps::new();

#[btf_map]
pub static ADDRESSES_V4: Table<NarrowBucket, { SLOTS * chunks::ADDRESSES_V4 as usize }> =
    ArrayOfMaps::new();

#[btf_map]
pub static ADDRESSES_V6: Table<WideBucket, { SLOTS * chunks::ADDRESSES_V6 as usize }> =
    ArrayOfMaps::new();

/// Prefix to identity number, where policy names prefixes of too many lengths. Nothing behind a
/// prefix is an endpoint.
#[btf_map]
pub static PREFIXES_V4: ArrayOfMaps<LpmTrie<[u8; 4], u32, TEMPLATE>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub static PREFIXES_V6: ArrayOfMaps<LpmTrie<[u8; 16], u32, TEMPLATE>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub static CLASSES: ArrayOfMaps<Array<ClassBlock, CLASS_BLOCKS>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub static POLICY: Table<NarrowBucket, { SLOTS * chunks::POLICY as usize }> = ArrayOfMaps::new();

/// Place of a rule → its number. Policy entries and flows name rules by their places, which both
/// generations share.
#[btf_map]
pub static RULES: Array<u32, { limits::RULES as usize }, MMAPABLE> = Array::new();

/// What the packet being decided takes; the stack is too small for it.
#[btf_map]
pub static DESK: PerCpuArray<Desk, 1> = PerCpuArray::new();

/// Tracked flows: the truth.
#[btf_map]
pub static FLOWS: LruHashMap<FlowKey, FlowEntry, { limits::FLOWS as usize }> = LruHashMap::new();

/// Flows that nobody has answered yet.
#[btf_map]
pub static HALF_OPEN: LruHashMap<FlowKey, FlowEntry, { limits::HALF_OPEN_FLOWS as usize }> =
    LruHashMap::new();

#[btf_map]
pub static CACHE: PerCpuArray<CacheBlock, { limits::CACHE_BLOCKS as usize }> = PerCpuArray::new();

#[btf_map]
pub static WINDOWS: Array<Window, { limits::WINDOWS as usize }> = Array::new();

#[btf_map]
pub static PRESENCE: Array<[u64; 2], { limits::PRESENCES as usize / 2 }> = Array::new();

/// The tick of the last packet that went the full way.
#[btf_map]
pub static CLOCK: Array<u64, 1> = Array::new();

#[btf_map]
pub static FRAGMENTS: LruHashMap<
    FragmentKey,
    FragmentEntry,
    { limits::FRAGMENTED_PACKETS as usize },
> = LruHashMap::new();

#[btf_map]
pub static REASON_COUNTERS: PerCpuArray<Counter, { 2 * limits::REASONS as usize }> =
    PerCpuArray::new();

#[btf_map]
pub static RULE_COUNTERS: PerCpuArray<Counter, { limits::COUNTED_RULES as usize }> =
    PerCpuArray::new();

#[btf_map]
pub static EVENTS: RingBuf<Event, { limits::EVENT_BYTES as usize }> = RingBuf::new();

/// Events that found the ring buffer full.
#[btf_map]
pub static LOST_EVENTS: PerCpuArray<u64, 1> = PerCpuArray::new();
