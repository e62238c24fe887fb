//! Whole contents: filling a slot and reading one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread;

use aya::maps::lpm_trie::Key;
use ipnet::IpNet;
use ringfence_common::abi::identity::AddressEntry;
use ringfence_common::abi::limits;

use super::{EbpfError, Maps};
use crate::backend::host::HostTables;

/// Puts new inner maps with these contents into `slot`. All tables at once: the kernel waits after
/// each until no packet uses the map before, and one wait serves all that are under way.
pub(super) fn fill(maps: &mut Maps, slot: u32, image: &HostTables) -> Result<(), EbpfError> {
    let (v4, v6) = split_addresses(&image.addresses);
    let (nets_v4, nets_v6) = split_prefixes(&image.prefixes);
    let attached = pairs(&image.attachments);
    let ends = pairs(&image.endpoints);
    let rows = pairs(&image.policy);
    let Maps { attachments, endpoints, addresses_v4, addresses_v6, .. } = maps;
    let Maps { prefixes_v4, prefixes_v6, classes, policy, .. } = maps;
    thread::scope(|scope| {
        let threads = [
            scope.spawn(|| attachments.fill(slot, &attached, limits::ATTACHMENTS)),
            scope.spawn(|| endpoints.fill(slot, &ends, limits::ENDPOINTS)),
            scope.spawn(|| addresses_v4.fill(slot, &v4, limits::ADDRESSES)),
            scope.spawn(|| addresses_v6.fill(slot, &v6, limits::ADDRESSES)),
            scope.spawn(|| prefixes_v4.fill(slot, &nets_v4, limits::PREFIXES)),
            scope.spawn(|| prefixes_v6.fill(slot, &nets_v6, limits::PREFIXES)),
            scope.spawn(|| classes.fill(slot, &image.classes)),
            scope.spawn(|| policy.fill(slot, &rows, limits::POLICY_ENTRIES)),
        ];
        let died = |_| Err(EbpfError::Object("a filling thread has panicked".to_owned()));
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(died))
    })
}

impl Maps {
    /// All tables of the generation that counts.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Map`] when one cannot be read.
    pub fn contents(&self) -> Result<HostTables, EbpfError> {
        read(self, self.current()?.0)
    }
}

/// What the slot holds.
pub(super) fn read(maps: &Maps, slot: u32) -> Result<HostTables, EbpfError> {
    let v4 = maps.addresses_v4.entries(slot)?;
    let v6 = maps.addresses_v6.entries(slot)?;
    let v4 = v4.into_iter().map(|(key, value)| (IpAddr::from(key), value));
    let v6 = v6.into_iter().map(|(key, value)| (IpAddr::from(key), value));
    Ok(HostTables {
        config: maps.config.get(&slot, 0).map_err(EbpfError::map("CONFIG"))?,
        attachments: maps.attachments.entries(slot)?.into_iter().collect(),
        endpoints: maps.endpoints.entries(slot)?.into_iter().collect(),
        addresses: v4.chain(v6).collect(),
        prefixes: read_prefixes(maps, slot)?,
        classes: maps.classes.read(slot)?,
        policy: maps.policy.entries(slot)?.into_iter().collect(),
    })
}

fn read_prefixes(maps: &Maps, slot: u32) -> Result<BTreeMap<IpNet, u32>, EbpfError> {
    let v4 = maps.prefixes_v4.entries(slot)?;
    let v6 = maps.prefixes_v6.entries(slot)?;
    let v4 = v4.into_iter().map(|(key, value)| (IpAddr::from(key.data()), key.prefix_len(), value));
    let v6 = v6.into_iter().map(|(key, value)| (IpAddr::from(key.data()), key.prefix_len(), value));
    let net = |(address, length, value): (IpAddr, u32, u32)| {
        let length = u8::try_from(length).ok()?;
        Some((IpNet::new(address, length).ok()?, value))
    };
    Ok(v4.chain(v6).filter_map(net).collect())
}

fn pairs<K: Copy, V: Copy>(map: &BTreeMap<K, V>) -> Vec<(K, V)> {
    map.iter().map(|(key, value)| (*key, *value)).collect()
}

type Addresses<const N: usize> = Vec<([u8; N], AddressEntry)>;

fn split_addresses(all: &BTreeMap<IpAddr, AddressEntry>) -> (Addresses<4>, Addresses<16>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (address, entry) in all {
        match address {
            IpAddr::V4(address) => v4.push((address.octets(), *entry)),
            IpAddr::V6(address) => v6.push((address.octets(), *entry)),
        }
    }
    (v4, v6)
}

type Prefixes<const N: usize> = Vec<(Key<[u8; N]>, u32)>;

fn split_prefixes(all: &BTreeMap<IpNet, u32>) -> (Prefixes<4>, Prefixes<16>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (prefix, identity) in all {
        let length = u32::from(prefix.prefix_len());
        match prefix.network() {
            IpAddr::V4(address) => v4.push((Key::new(length, address.octets()), *identity)),
            IpAddr::V6(address) => v6.push((Key::new(length, address.octets()), *identity)),
        }
    }
    (v4, v6)
}
