//! The maps. Keys and values are `ringfence_common::abi`'s.
//!
//! Everything that policy says comes in two slots behind arrays of maps; [`SELECTOR`] says which
//! slot counts. State and counters outlive generations and stand beside them.

use aya_ebpf::btf_maps::{
    Array, ArrayOfMaps, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf,
};
use aya_ebpf::macros::btf_map;
use ringfence_common::abi::config::{Attachment, AttachmentKey, Config, Selector};
use ringfence_common::abi::event::{Counter, Event};
use ringfence_common::abi::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey};
use ringfence_common::abi::identity::AddressEntry;
use ringfence_common::abi::limits;
use ringfence_common::abi::policy::{
    BLOCKS, CLASSED_PROTOCOLS, ClassBlock, Endpoint, PolicyEntry, PolicyKey,
};
use ringfence_common::decide::Work;

/// `BPF_F_NO_PREALLOC`, which the kernel demands of tries and which lets a table's limit be far
/// above its size.
const NO_PREALLOC: usize = 1;

/// Values of the class map.
const CLASS_BLOCKS: usize = BLOCKS as usize * CLASSED_PROTOCOLS.len();

/// Slots of a generation.
const SLOTS: usize = 2;

/// Entries of the inner map that the loader makes as a pattern. Those it installs have the size
/// the generation needs; the kernel compares types, not sizes (`bpf_map_meta_equal`).
const TEMPLATE: usize = 1;

#[btf_map]
pub static SELECTOR: Array<Selector, 1> = Array::new();

#[btf_map]
pub static CONFIG: Array<Config, SLOTS> = Array::new();

#[btf_map]
pub static ATTACHMENTS: ArrayOfMaps<
    HashMap<AttachmentKey, Attachment, TEMPLATE, NO_PREALLOC>,
    SLOTS,
> = ArrayOfMaps::new();

#[btf_map]
pub static ENDPOINTS: ArrayOfMaps<HashMap<u32, Endpoint, TEMPLATE, NO_PREALLOC>, SLOTS> =
    ArrayOfMaps::new();

#[btf_map]
pub static ADDRESSES_V4: ArrayOfMaps<HashMap<[u8; 4], AddressEntry, TEMPLATE, NO_PREALLOC>, SLOTS> =
    ArrayOfMaps::new();

#[btf_map]
pub static ADDRESSES_V6: ArrayOfMaps<
    HashMap<[u8; 16], AddressEntry, TEMPLATE, NO_PREALLOC>,
    SLOTS,
> = ArrayOfMaps::new();

/// Prefix to identity number. Nothing behind a prefix is an endpoint.
#[btf_map]
pub static PREFIXES_V4: ArrayOfMaps<LpmTrie<[u8; 4], u32, TEMPLATE>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub static PREFIXES_V6: ArrayOfMaps<LpmTrie<[u8; 16], u32, TEMPLATE>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub static CLASSES: ArrayOfMaps<Array<ClassBlock, CLASS_BLOCKS>, SLOTS> = ArrayOfMaps::new();

#[btf_map]
pub static POLICY: ArrayOfMaps<HashMap<PolicyKey, PolicyEntry, TEMPLATE, NO_PREALLOC>, SLOTS> =
    ArrayOfMaps::new();

/// What the packet being decided takes; the stack is too small for it.
#[btf_map]
pub static WORK: PerCpuArray<Work, 1> = PerCpuArray::new();

#[btf_map]
pub static FLOWS: LruHashMap<FlowKey, FlowEntry, { limits::FLOWS as usize }> = LruHashMap::new();

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
pub static RULE_COUNTERS: PerCpuHashMap<u32, Counter, { limits::COUNTED_RULES as usize }> =
    PerCpuHashMap::new();

#[btf_map]
pub static EVENTS: RingBuf<Event, { limits::EVENT_BYTES as usize }> = RingBuf::new();

/// Events that found the ring buffer full.
#[btf_map]
pub static LOST_EVENTS: PerCpuArray<u64, 1> = PerCpuArray::new();
