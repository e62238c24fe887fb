//! How large tables are, in map entries and in bytes of kernel memory.
//!
//! The figures follow the structures of Linux 6.12 to 6.18 on 64-bit machines, one generation
//! loaded; while one generation replaces another both exist, so the peak is their sum.
//!
//! - Hash map (`kernel/bpf/hashtab.c`): per element `struct htab_elem`, 48 bytes, and key and value
//!   each rounded up to 8 bytes; `struct bucket`, 16 bytes, as many as the next power of two.
//! - Prefix trie (`kernel/bpf/lpm_trie.c`): `struct lpm_trie_node`, 24 bytes, the address and the
//!   value; up to one node without a value for every prefix but one. Counted as if all were there,
//!   rounded up to the allocator's size classes.
//! - Array (`kernel/bpf/arraymap.c`): the value, rounded up to 8 bytes.
//!
//! State that does not depend on policy (connections, counters, events) is not counted here.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_common::abi::identity::{AddressBytes, AddressEntry};
use ringfence_common::abi::limits;
use ringfence_common::abi::policy::{
    BLOCKS, CLASSED_PROTOCOLS, ClassBlock, Endpoint, PolicyEntry, PolicyKey,
};

use super::Tables;

/// `sizeof(struct htab_elem)`.
const HASH_ELEMENT: u64 = 48;
/// `sizeof(struct bucket)`.
const HASH_BUCKET: u64 = 16;
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

    /// Bytes of kernel memory that `entries` cost.
    fn bytes(self, entries: u64) -> u64 {
        match self {
            Self::AddressesV4 | Self::AddressesV6 => hash::<AddressBytes, AddressEntry>(entries),
            Self::PrefixesV4 => trie(entries, 4),
            Self::PrefixesV6 => trie(entries, 16),
            Self::Classes => entries * BLOCKS as u64 * size::<ClassBlock>(),
            Self::Endpoints => hash::<u32, Endpoint>(entries),
            Self::Policy => hash::<PolicyKey, PolicyEntry>(entries),
        }
    }
}

fn size<T>() -> u64 {
    size_of::<T>() as u64
}

fn hash<Key, Value>(entries: u64) -> u64 {
    let element =
        HASH_ELEMENT + size::<Key>().next_multiple_of(8) + size::<Value>().next_multiple_of(8);
    entries * element + entries.next_power_of_two() * HASH_BUCKET
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
        let prefixes_v4 = self.prefixes.keys().filter(|net| matches!(net, IpNet::V4(_))).count();
        let maps = [
            (Map::AddressesV4, v4),
            (Map::AddressesV6, self.addresses.len() - v4),
            (Map::PrefixesV4, prefixes_v4),
            (Map::PrefixesV6, self.prefixes.len() - prefixes_v4),
            // An array: all its values exist, used or not.
            (Map::Classes, CLASSED_PROTOCOLS.len()),
            (Map::Endpoints, self.endpoints.len()),
            (Map::Policy, policy_entries),
        ];
        let maps = maps.into_iter().map(|(map, entries)| {
            let entries = entries as u64;
            MapSize { map, entries, bytes: map.bytes(entries) }
        });
        Size { maps: maps.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::CompileError;

    #[test]
    fn memory_follows_the_kernels_structures() {
        // 48 + 16 (12-byte key) + 8, and a bucket each.
        assert_eq!(Map::Policy.bytes(1_024), 1_024 * (72 + 16));
        assert_eq!(Map::Policy.bytes(1_025), 1_025 * 72 + 2_048 * 16);
        assert_eq!(Map::AddressesV6.bytes(1), 48 + 16 + 8 + 16);
        assert_eq!(Map::Endpoints.bytes(1), 48 + 8 + 16 + 16);
        assert_eq!(Map::Classes.bytes(5), 5 * 131_072);
        assert_eq!((Map::PrefixesV4.bytes(1), Map::PrefixesV4.bytes(3)), (64, 5 * 64));
        assert_eq!((Map::PrefixesV6.bytes(0), Map::PrefixesV6.bytes(2)), (0, 3 * 64));
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
