//! The maps. How many entries the tables have is said when they are loaded.

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap, LpmTrie, PerCpuArray, ProgramArray};
use aya_ebpf::macros::btf_map;
use ringfence_common::abi::config::Selector;
use ringfence_common::abi::table::{CHUNK_BUCKETS, Generation, NarrowBucket, chunks};
use ringfence_controls::{Draws, IdentityKey, PolicyData, Routed, VerdictKey, verdict};

/// What the loader replaces.
const SIZE: usize = 1;

/// Generations that the engine's maps hold.
const SLOTS: usize = 2;

/// `BPF_F_MMAPABLE`: as the engine makes them.
const MMAPABLE: usize = 1 << 10;

#[btf_map]
pub static DRAWS: Array<Draws, 1> = Array::new();

/// What is written into frames that a router may have had.
#[btf_map]
pub static ROUTED: Array<Routed, 1> = Array::new();

/// How many keys have been drawn.
#[btf_map]
pub static TURN: PerCpuArray<u64, 1> = PerCpuArray::new();

/// The program that decides what [`crate::draw`] has written.
#[btf_map]
pub static XDP_TARGET: ProgramArray<1> = ProgramArray::new();

/// The same at tc: an array holds programs of one kind.
#[btf_map]
pub static TC_TARGET: ProgramArray<1> = ProgramArray::new();

#[btf_map]
pub static IDENTITY_HASH: HashMap<IdentityKey, u32, SIZE> = HashMap::new();

#[btf_map]
pub static VERDICT_HASH: HashMap<VerdictKey, u32, SIZE> = HashMap::new();

#[btf_map]
pub static IDENTITY_TRIE: LpmTrie<[u8; 4], u32, SIZE> = LpmTrie::new();

#[btf_map]
pub static POLICY_TRIE: LpmTrie<PolicyData, u32, SIZE> = LpmTrie::new();

/// The engine's own table of IPv4 addresses, and what says where in it a generation's addresses are.
/// A measurement puts the engine's maps here.
#[btf_map]
pub static ADDRESSES_V4: ArrayOfMaps<ChunkMap, { SLOTS * chunks::ADDRESSES_V4 as usize }> =
    ArrayOfMaps::new();

/// A chunk of it.
pub type ChunkMap = Array<NarrowBucket, { CHUNK_BUCKETS as usize }, MMAPABLE>;

#[btf_map]
pub static SELECTOR: Array<Selector, 1> = Array::new();

#[btf_map]
pub static GENERATIONS: Array<Generation, SLOTS, MMAPABLE> = Array::new();

/// Packets by verdict.
#[btf_map]
pub static COUNTERS: PerCpuArray<u64, { verdict::COUNTERS }> = PerCpuArray::new();

/// The sum of what the loops have found.
#[btf_map]
pub static SUM: PerCpuArray<u64, 1> = PerCpuArray::new();
