//! Whole contents: filling a slot and reading one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread;

use ringfence_common::abi::config::AttachmentKey;
use ringfence_common::abi::policy::PolicyEntry;
use ringfence_common::abi::table::{self, Layout};

use super::rows::{Known, Rows};
use super::rules::PlaceOf;
use super::table::Table;
use super::table::cuckoo::Cuckoo;
use super::table::formats::{AddressesV4, AddressesV6, Attachments, Endpoints, Policy};
use super::{EbpfError, Maps};
use crate::backend::host::HostTables;

/// The content of a slot, as it will lie in the kernel.
pub(super) struct Content {
    attachments: Cuckoo<Attachments, 2>,
    endpoints: Cuckoo<Endpoints, 2>,
    addresses_v4: Cuckoo<AddressesV4, 2>,
    addresses_v6: Cuckoo<AddressesV6, 4>,
    policy: Cuckoo<Policy, 2>,
    rows: Rows,
}

impl Content {
    /// Arranges `image`, whose rules are at `places`.
    ///
    /// # Errors
    ///
    /// [`EbpfError::TooMany`] when it does not fit; nothing has been touched.
    pub(super) fn new(image: &HostTables, places: &PlaceOf) -> Result<Self, EbpfError> {
        let rows = Rows::new(image, places)?;
        Ok(Self {
            attachments: Table::build(&rows.attachments)?,
            endpoints: Table::build(&rows.endpoints)?,
            addresses_v4: Table::build(&rows.addresses_v4)?,
            addresses_v6: Table::build(&rows.addresses_v6)?,
            policy: Table::build(&rows.policy)?,
            rows,
        })
    }

    fn layout(&self) -> Layout {
        Layout {
            seed: [0; 2],
            attachments: self.attachments.shape(),
            endpoints: self.endpoints.shape(),
            addresses_v4: self.addresses_v4.shape(),
            addresses_v6: self.addresses_v6.shape(),
            policy: self.policy.shape(),
            lengths_v4: self.rows.lengths_v4,
            lengths_v6: self.rows.lengths_v6,
        }
    }
}

/// Makes `slot`, which does not count, hold `image`. All tables at once: the kernel waits after
/// each until no packet uses the map before, and one wait serves all that are under way.
pub(super) fn fill(
    maps: &mut Maps,
    slot: u32,
    image: &HostTables,
    places: &PlaceOf,
) -> Result<(), EbpfError> {
    let content = Content::new(image, places)?;
    let Maps { attachments, endpoints, addresses_v4, addresses_v6, policy, .. } = maps;
    let Maps { prefixes_v4, prefixes_v6, classes, layout, .. } = maps;
    thread::scope(|scope| {
        let threads = [
            scope.spawn(|| attachments.fill(slot, &content.attachments)),
            scope.spawn(|| endpoints.fill(slot, &content.endpoints)),
            scope.spawn(|| addresses_v4.fill(slot, &content.addresses_v4)),
            scope.spawn(|| addresses_v6.fill(slot, &content.addresses_v6)),
            scope.spawn(|| policy.fill(slot, &content.policy)),
            scope.spawn(|| prefixes_v4.fill(slot, &content.rows.tries_v4)),
            scope.spawn(|| prefixes_v6.fill(slot, &content.rows.tries_v6)),
            scope.spawn(|| classes.fill(slot, &image.classes)),
        ];
        let died = |_| Err(EbpfError::Object("a filling thread has panicked".to_owned()));
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(died))
    })?;
    layout.set(slot, content.layout(), 0).map_err(EbpfError::map("LAYOUT"))
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

    /// The hooks that the generation that counts knows.
    pub(super) fn expected_hooks(&self) -> Result<BTreeSet<AttachmentKey>, EbpfError> {
        let slot = self.current()?.0;
        let rows = self.attachments.rows(slot, self.layout_of(slot)?.attachments)?;
        Ok(rows.into_iter().map(table::key_of_attachment).collect())
    }
}

/// What the slot holds.
pub(super) fn read(maps: &Maps, slot: u32) -> Result<HostTables, EbpfError> {
    let layout = maps.layout_of(slot)?;
    let known = read_known(maps, slot, &layout)?;
    let attachments = maps.attachments.rows(slot, layout.attachments)?;
    let endpoints = maps.endpoints.rows(slot, layout.endpoints)?;
    let policy = maps.policy.rows(slot, layout.policy)?;
    let attached = |row: [u64; 2]| (table::key_of_attachment(row), table::attachment(row));
    let endpoint = |row: [u64; 2]| (table::number_of_endpoint(row), table::endpoint(row));
    let entry = |row: [u64; 2]| {
        let packed = table::policy_entry(row).unpack();
        let rule = maps.rules.number(packed.rule);
        (table::key_of_policy(row), PolicyEntry { rule, ..packed })
    };
    Ok(HostTables {
        config: maps.config_of(slot)?,
        attachments: attachments.into_iter().map(attached).collect(),
        endpoints: endpoints.into_iter().map(endpoint).collect(),
        addresses: known.addresses,
        prefixes: known.prefixes,
        classes: maps.classes.read(slot)?,
        policy: policy.into_iter().map(entry).collect(),
    })
}

fn read_known(maps: &Maps, slot: u32, layout: &Layout) -> Result<Known, EbpfError> {
    let mut known = Known::default();
    for row in maps.addresses_v4.rows(slot, layout.addresses_v4)? {
        known.add_v4(row);
    }
    for row in maps.addresses_v6.rows(slot, layout.addresses_v6)? {
        known.add_v6(row);
    }
    let v4 = maps.prefixes_v4.prefixes(slot)?;
    let v6 = maps.prefixes_v6.prefixes(slot)?;
    let v4 = v4.into_iter().map(|(key, value)| (IpAddr::from(key.data()), key.prefix_len(), value));
    let v6 = v6.into_iter().map(|(key, value)| (IpAddr::from(key.data()), key.prefix_len(), value));
    for (address, length, identity) in v4.chain(v6) {
        if let Ok(prefix) = ipnet::IpNet::new(address, u8::try_from(length).unwrap_or(u8::MAX)) {
            known.prefixes.insert(prefix, identity);
        }
    }
    Ok(known)
}

/// The rules that entries of `tables` name.
pub(super) fn rules_of(tables: &HostTables) -> BTreeSet<u32> {
    tables.policy.values().map(|entry| entry.rule).filter(|rule| *rule != 0).collect()
}
