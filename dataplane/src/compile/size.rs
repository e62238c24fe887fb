//! How large tables are, in map entries and in bytes of kernel memory.
//!
//! One generation; while one replaces another both exist, so the peak is their sum.
//!
//! - Bucket tables ([`ringfence_common::abi::table`]): chunks of one size, as many as [`shape_for`]
//!   says, or more where keys are spread unevenly. Prefixes of up to [`LENGTHS`] lengths of a
//!   family lie in the table of that family's addresses.
//! - Prefix trie (`kernel/bpf/lpm_trie.c` of Linux 6.12 to 6.18), for the prefixes of a family that
//!   has more lengths: `struct lpm_trie_node`, 24 bytes, the address and the value; up to one node
//!   without a value for every prefix but one. Counted as if all were there, rounded up to the
//!   allocator's size classes.
//! - Classes: a number for each port of each protocol.
//!
//! What does not depend on policy (hooks, connections, counters, events) is not counted here.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_common::abi::identity::AddressEntry;
use ringfence_common::abi::limits;
use ringfence_common::abi::policy::{BLOCKS, CLASSED_PROTOCOLS, ClassBlock};
use ringfence_common::abi::table::{
    CHUNK_BUCKETS, LENGTHS, NarrowBucket, SLOTS, Shape, WideBucket,
};

use super::Tables;

/// A chunk of a bucket table has room for so many keys.
const CHUNK_KEYS: usize = CHUNK_BUCKETS as usize * SLOTS;
/// Keys of a chunk while the processor's caches have room: three eighths. Every sixteenth bucket is
/// full then, so hardly a look-up asks a second one, and the processor foretells that it does not.
const ROOMY_KEYS: usize = CHUNK_KEYS * 3 / 8;
/// Chunks for which they have: 1 MiB of narrow ones.
const ROOMY_CHUNKS: usize = 16;
/// Keys of a chunk of larger tables, where what is not in a cache costs more: five eighths.
const DENSE_KEYS: usize = CHUNK_KEYS * 5 / 8;
/// The smallest bucket table has so many buckets.
const SMALLEST: usize = 64;
/// `sizeof(struct lpm_trie_node)` without its data.
const TRIE_NODE: u64 = 24;
/// The link that `bpf_mem_alloc` puts before an object.
const ALLOCATOR_LINK: u64 = 8;

/// The maps whose contents depend on policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Map {
    /// IPv4 address of a workload → identity.
    AddressesV4,
    /// IPv6 address of a workload → identity.
    AddressesV6,
    /// IPv4 prefix → identity.
    PrefixesV4,
    /// IPv6 prefix → identity.
    PrefixesV6,
    /// Port → class; one entry per protocol.
    Classes,
    /// Endpoints.
    Endpoints,
    /// Policy entries.
    Policy,
}

impl Map {
    /// What the map is called, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AddressesV4 => "addresses-v4",
            Self::AddressesV6 => "addresses-v6",
            Self::PrefixesV4 => "prefixes-v4",
            Self::PrefixesV6 => "prefixes-v6",
            Self::Classes => "classes",
            Self::Endpoints => "endpoints",
            Self::Policy => "policy",
        }
    }

    /// How many entries fit.
    #[must_use]
    pub const fn limit(self) -> u64 {
        match self {
            Self::AddressesV4 | Self::AddressesV6 => limits::ADDRESSES as u64,
            Self::PrefixesV4 | Self::PrefixesV6 => limits::PREFIXES as u64,
            Self::Classes => CLASSED_PROTOCOLS.len() as u64,
            Self::Endpoints => limits::ENDPOINTS as u64,
            Self::Policy => limits::POLICY_ENTRIES as u64,
        }
    }
}

/// The shape of a bucket table for so many keys.
#[must_use]
pub fn shape_for(keys: usize) -> Shape {
    let roomy = keys.div_ceil(ROOMY_KEYS).max(1);
    if roomy == 1 {
        return Shape { chunks: 1, buckets: number(keys.max(SMALLEST)).min(CHUNK_BUCKETS) };
    }
    let chunks = roomy.min(ROOMY_CHUNKS.max(keys.div_ceil(DENSE_KEYS)));
    Shape { chunks: number(chunks), buckets: CHUNK_BUCKETS }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn size<T>() -> u64 {
    size_of::<T>() as u64
}

/// Bytes of a table with so many keys in buckets of that kind.
fn table<Bucket>(keys: usize) -> u64 {
    u64::from(shape_for(keys).chunks) * u64::from(CHUNK_BUCKETS) * size::<Bucket>()
}

/// Bytes of an array that has the class of each port of each protocol.
fn classes() -> u64 {
    CLASSED_PROTOCOLS.len() as u64 * BLOCKS as u64 * size::<ClassBlock>()
}

fn trie(entries: u64, address: u64) -> u64 {
    let node = ALLOCATOR_LINK + TRIE_NODE + address + size::<AddressEntry>();
    // The kernel's size classes between powers of two are 96 and 192 bytes.
    let class = match node.next_power_of_two() {
        128 if node <= 96 => 96,
        256 if node <= 192 => 192,
        class => class,
    };
    (2 * entries).saturating_sub(1) * class
}

/// The size of one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSize {
    /// The map.
    pub map: Map,
    /// Entries in it.
    pub entries: u64,
    /// Bytes of kernel memory.
    pub bytes: u64,
}

/// The size of tables, map by map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// All maps, in the order of [`Map`].
    pub maps: Vec<MapSize>,
}

impl Size {
    /// Entries in all maps.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.maps.iter().map(|map| map.entries).sum()
    }

    /// Bytes of kernel memory of one generation.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.maps.iter().map(|map| map.bytes).sum()
    }

    /// The maps that have more entries than fit.
    #[must_use]
    pub fn exceeded(&self) -> Vec<MapSize> {
        self.maps.iter().filter(|size| size.entries > size.map.limit()).copied().collect()
    }
}

impl fmt::Display for MapSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { map, entries, .. } = self;
        write!(f, "`{}` needs {entries} entries and has room for {}", map.name(), map.limit())
    }
}

/// `a; b`.
pub(super) fn list(maps: &[MapSize]) -> String {
    maps.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Tables {
    /// How large the tables are.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size_with(self.policy.len())
    }

    /// How large they would be with so many policy entries.
    pub(super) fn size_with(&self, policy_entries: usize) -> Size {
        let v4 = self.addresses.keys().filter(|address| matches!(address, IpAddr::V4(_))).count();
        let v6 = self.addresses.len() - v4;
        let prefixes_v4 = Prefixes::of(self, |net| matches!(net, IpNet::V4(_)));
        let prefixes_v6 = Prefixes::of(self, |net| matches!(net, IpNet::V6(_)));
        let endpoints = self.endpoints.len();
        let maps = [
            (Map::AddressesV4, v4, table::<NarrowBucket>(v4 + prefixes_v4.in_table())),
            (Map::AddressesV6, v6, table::<WideBucket>(v6 + prefixes_v6.in_table())),
            (Map::PrefixesV4, prefixes_v4.count, trie(prefixes_v4.in_trie(), 4)),
            (Map::PrefixesV6, prefixes_v6.count, trie(prefixes_v6.in_trie(), 16)),
            // An array: all its values exist, used or not.
            (Map::Classes, CLASSED_PROTOCOLS.len(), classes()),
            (Map::Endpoints, endpoints, table::<NarrowBucket>(endpoints)),
            (Map::Policy, policy_entries, table::<NarrowBucket>(policy_entries)),
        ];
        let maps =
            maps.map(|(map, entries, bytes)| MapSize { map, entries: entries as u64, bytes });
        Size { maps: maps.into() }
    }
}

/// The prefixes of one family.
struct Prefixes {
    count: usize,
    lengths: usize,
}

impl Prefixes {
    fn of(tables: &Tables, is_of_family: impl Fn(&IpNet) -> bool) -> Self {
        let all = || tables.prefixes.keys().filter(|net| is_of_family(net));
        let lengths: BTreeSet<u8> = all().map(IpNet::prefix_len).collect();
        Self { count: all().count(), lengths: lengths.len() }
    }

    const fn in_table(&self) -> usize {
        if self.lengths <= LENGTHS { self.count } else { 0 }
    }

    const fn in_trie(&self) -> u64 {
        (self.count - self.in_table()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::CompileError;

    #[test]
    fn tables_are_made_of_whole_chunks() {
        let (narrow, wide) = (table::<NarrowBucket>, table::<WideBucket>);
        assert_eq!((narrow(0), narrow(1_536)), (65_536, 65_536));
        // Three eighths of 4,096 keys to a chunk, then five.
        assert_eq!((narrow(10_000), wide(10_000)), (7 * 65_536, 7 * 131_072));
        assert_eq!([24_577, 40_960].map(narrow), [16 * 65_536; 2]);
        assert_eq!(narrow(40_961), 17 * 65_536);
        assert_eq!(narrow(limits::POLICY_ENTRIES as usize), 410 * 65_536);
        assert_eq!(classes(), 5 * 131_072);
    }

    #[test]
    fn prefixes_of_many_lengths_lie_in_a_trie() {
        let of = |lengths: u8| {
            let nets = (0..lengths).map(|length| format!("10.0.0.0/{}", 24 - length));
            let prefixes = nets.map(|net| (net.parse().unwrap(), 7)).collect();
            let size = Tables { prefixes, ..Tables::default() }.size();
            let bytes = |map| size.maps.iter().find(|size| size.map == map).unwrap().bytes;
            (bytes(Map::AddressesV4), bytes(Map::PrefixesV4))
        };
        assert_eq!(of(8), (65_536, 0));
        assert_eq!(of(9), (65_536, (2 * 9 - 1) * 64));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_numbers() {
        let size = Tables::default().size_with(limits::POLICY_ENTRIES as usize + 1);
        let exceeded = size.exceeded();
        assert_eq!(exceeded.iter().map(|size| size.map).collect::<Vec<_>>(), [Map::Policy]);
        assert_eq!(
            CompileError::DoesNotFit(exceeded).to_string(),
            "the policy does not fit: `policy` needs 1048577 entries and has room for 1048576"
        );
        assert_eq!(Tables::default().size().exceeded(), []);
    }
}
