//! What a host's tables are in the slots of the bucket tables, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aya::maps::lpm_trie::Key;
use ipnet::IpNet;
use ringfence_common::abi::config::flags;
use ringfence_common::abi::identity::{AddressEntry, endpoint};
use ringfence_common::abi::policy::{PolicyEntry, PolicyKey};
use ringfence_common::abi::table::{
    self, LENGTHS, NO_LENGTH, NarrowSlot, PackedEntry, WideSlot, v4_slot, v6_slot,
};
use ringfence_common::table::halves;

use super::EbpfError;
use super::rules::Rules;
use super::tries::Prefixes;
use crate::backend::host::HostTables;

/// The rows of all tables.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) attachments: Vec<WideSlot>,
    pub(super) endpoints: Vec<NarrowSlot>,
    pub(super) addresses_v4: Vec<NarrowSlot>,
    pub(super) addresses_v6: Vec<WideSlot>,
    pub(super) policy: Vec<NarrowSlot>,
    /// Lengths of the prefixes among the addresses.
    pub(super) lengths_v4: [u8; LENGTHS],
    pub(super) lengths_v6: [u8; LENGTHS],
    /// Prefixes that lie in tries.
    pub(super) tries_v4: Prefixes<[u8; 4]>,
    pub(super) tries_v6: Prefixes<[u8; 16]>,
}

impl Rows {
    /// The rows of `tables`, whose rules have places.
    pub(super) fn new(tables: &HostTables, rules: &Rules) -> Result<Self, EbpfError> {
        let (lengths_v4, lengths_v6) = lengths(tables)?;
        let mut rows = Self { lengths_v4, lengths_v6, ..Self::default() };
        let stations = tables.stations();
        rows.attachments =
            stations.iter().map(|(key, station)| table::attachment_slot(key, station)).collect();
        let endpoints = tables.endpoints.iter();
        rows.endpoints = endpoints.map(|(number, it)| table::endpoint_slot(*number, it)).collect();
        for (address, entry) in &tables.addresses {
            match address {
                IpAddr::V4(address) => rows.addresses_v4.push(v4_row(*address, 32, entry)),
                IpAddr::V6(address) => rows.addresses_v6.push(v6_row(*address, 128, entry)),
            }
        }
        for (prefix, identity) in &tables.prefixes {
            rows.push_prefix(prefix, *identity, tables.config.flags);
        }
        let policy = tables.policy.iter();
        rows.policy = policy.map(|(key, entry)| policy_row(key, entry, rules)).collect();
        Ok(rows)
    }

    fn push_prefix(&mut self, prefix: &IpNet, identity: u32, flags: u32) {
        let entry = AddressEntry { identity, endpoint: endpoint::NONE };
        let length = u32::from(prefix.prefix_len());
        match prefix {
            IpNet::V4(net) if flags & flags::TRIE_V4 != 0 => {
                self.tries_v4.push((Key::new(length, net.network().octets()), identity));
            }
            IpNet::V4(net) => {
                self.addresses_v4.push(v4_row(net.network(), net.prefix_len(), &entry));
            }
            IpNet::V6(net) if flags & flags::TRIE_V6 != 0 => {
                self.tries_v6.push((Key::new(length, net.network().octets()), identity));
            }
            IpNet::V6(net) => {
                self.addresses_v6.push(v6_row(net.network(), net.prefix_len(), &entry));
            }
        }
    }
}

/// The row of an IPv4 address or prefix.
pub(super) fn v4_row(address: Ipv4Addr, length: u8, entry: &AddressEntry) -> NarrowSlot {
    v4_slot(address.to_bits(), length, entry)
}

/// The row of an IPv6 address or prefix.
pub(super) fn v6_row(address: Ipv6Addr, length: u8, entry: &AddressEntry) -> WideSlot {
    v6_slot(halves(&address.octets()), length, entry)
}

/// The row of a policy entry, whose rule has a place.
pub(super) fn policy_row(key: &PolicyKey, entry: &PolicyEntry, rules: &Rules) -> NarrowSlot {
    table::policy_slot(key, PackedEntry::new(entry, rules.place(entry.rule)))
}

type Lengths = [u8; LENGTHS];

/// The lengths of the prefixes that lie in the bucket tables.
fn lengths(tables: &HostTables) -> Result<(Lengths, Lengths), EbpfError> {
    let (mut v4, mut v6) = (BTreeSet::new(), BTreeSet::new());
    for prefix in tables.prefixes.keys() {
        match prefix {
            IpNet::V4(_) if tables.config.flags & flags::TRIE_V4 == 0 => {
                v4.insert(prefix.prefix_len())
            }
            IpNet::V6(_) if tables.config.flags & flags::TRIE_V6 == 0 => {
                v6.insert(prefix.prefix_len())
            }
            _ => false,
        };
    }
    Ok((longest_first(&v4)?, longest_first(&v6)?))
}

fn longest_first(lengths: &BTreeSet<u8>) -> Result<Lengths, EbpfError> {
    let mut sorted = [NO_LENGTH; LENGTHS];
    if lengths.len() > LENGTHS {
        let (map, entries) = ("prefix lengths", lengths.len());
        return Err(EbpfError::TooMany { map, entries, room: LENGTHS });
    }
    for (place, length) in sorted.iter_mut().zip(lengths.iter().rev()) {
        *place = *length;
    }
    Ok(sorted)
}

/// Addresses and prefixes as a host's tables have them.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) addresses: BTreeMap<IpAddr, AddressEntry>,
    pub(super) prefixes: BTreeMap<IpNet, u32>,
}

impl Known {
    /// Adds an address or prefix of the tables.
    pub(super) fn add(&mut self, address: IpAddr, length: u8, entry: AddressEntry) {
        match IpNet::new(address, length) {
            Ok(prefix) if prefix.prefix_len() < prefix.max_prefix_len() => {
                self.prefixes.insert(prefix, entry.identity);
            }
            _ => _ = self.addresses.insert(address, entry),
        }
    }

    /// Adds what the slot of an IPv4 address or prefix says.
    pub(super) fn add_v4(&mut self, row: NarrowSlot) {
        let (address, length) = table::v4_of(row);
        self.add(Ipv4Addr::from_bits(address).into(), length, table::address_entry(row[1]));
    }

    /// Adds what the slot of an IPv6 address or prefix says.
    pub(super) fn add_v6(&mut self, row: WideSlot) {
        let ([high, low], length) = table::v6_of(row);
        let address = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
        self.add(address.into(), length, table::address_entry(row[2]));
    }
}
