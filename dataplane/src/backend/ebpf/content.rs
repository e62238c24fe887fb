//! The content of a slot before it is in the kernel.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::thread;

use ringfence_common::abi::limits;
use ringfence_common::abi::table::Layout;

use super::EbpfError;
use super::rows::Rows;
use super::rules::Rules;
use super::side::joined;
use super::table::Built;
use super::table::cuckoo::{Cuckoo, Full};
use super::table::formats::{AddressesV4, AddressesV6, Attachments, Endpoints, Kind, Policy};
use crate::backend::host::HostTables;
use crate::backend::host::difference::{Change, HostDiff};

/// Seeds tried before a table counts as too small.
const SEEDS: usize = 4;

/// What a slot shall hold, all but classes.
pub(super) struct Content {
    seed: [u64; 2],
    pub(super) arranged: Arranged,
    pub(super) rows: Rows,
}

/// The bucket tables, as they will lie in the kernel.
pub(super) struct Arranged {
    pub(super) attachments: Built<Attachments, 4>,
    pub(super) endpoints: Built<Endpoints, 2>,
    pub(super) addresses_v4: Built<AddressesV4, 2>,
    pub(super) addresses_v6: Built<AddressesV6, 4>,
    pub(super) policy: Built<Policy, 2>,
}

impl Content {
    /// Arranges `tables`, whose rules have places.
    ///
    /// # Errors
    ///
    /// [`EbpfError::TooMany`] when they do not fit; nothing has been touched.
    pub(super) fn new(tables: &HostTables, rules: &Rules) -> Result<Self, EbpfError> {
        let rows = Rows::new(tables, rules)?;
        let mut attempt = 1;
        loop {
            // Nobody who names addresses knows it: the standard library draws it from the kernel.
            let drawn = RandomState::new();
            let seed = [drawn.hash_one(attempt), drawn.hash_one(attempt + SEEDS)];
            match Arranged::new(&rows, seed) {
                Ok(arranged) => return Ok(Self { seed, arranged, rows }),
                Err(_) if attempt < SEEDS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// How it is laid out.
    pub(super) const fn layout(&self) -> Layout {
        Layout {
            seed: self.seed,
            attachments: self.arranged.attachments.shape(),
            endpoints: self.arranged.endpoints.shape(),
            addresses_v4: self.arranged.addresses_v4.shape(),
            addresses_v6: self.arranged.addresses_v6.shape(),
            policy: self.arranged.policy.shape(),
            lengths_v4: self.rows.lengths_v4,
            lengths_v6: self.rows.lengths_v6,
        }
    }
}

impl Arranged {
    fn new(rows: &Rows, seed: [u64; 2]) -> Result<Self, EbpfError> {
        thread::scope(|scope| {
            let v4 = scope.spawn(|| build(&rows.addresses_v4, seed));
            let v6 = scope.spawn(|| build(&rows.addresses_v6, seed));
            Ok(Self {
                attachments: build(&rows.attachments, seed)?,
                endpoints: build(&rows.endpoints, seed)?,
                policy: build(&rows.policy, seed)?,
                addresses_v4: joined(v4)?,
                addresses_v6: joined(v6)?,
            })
        })
    }
}

fn build<K: Kind<WORDS>, const WORDS: usize>(
    rows: &[[u64; WORDS]],
    seed: [u64; 2],
) -> Result<Built<K, WORDS>, EbpfError> {
    let too_many =
        |Full| EbpfError::TooMany { map: K::NAME, entries: rows.len(), room: K::LIMIT as usize };
    Cuckoo::build(rows, K::CHUNKS, seed).map_err(too_many)
}

/// How many entries of each kind there are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    attachments: usize,
    endpoints: usize,
    /// IPv4 and IPv6.
    addresses: [usize; 2],
    /// IPv4 and IPv6.
    prefixes: [usize; 2],
    policy: usize,
}

impl Sizes {
    /// Those of `tables`.
    pub(super) fn of(tables: &HostTables) -> Self {
        let v4 = tables.addresses.keys().filter(|address| address.is_ipv4()).count();
        let nets_v4 = tables.prefixes.keys().filter(|prefix| prefix.addr().is_ipv4()).count();
        Self {
            attachments: tables.attachments.len(),
            endpoints: tables.endpoints.len(),
            addresses: [v4, tables.addresses.len() - v4],
            prefixes: [nets_v4, tables.prefixes.len() - nets_v4],
            policy: tables.policy.len(),
        }
    }

    /// Those after a change.
    pub(super) fn after(mut self, diff: &HostDiff) -> Self {
        fn count<Value>(size: &mut usize, change: &Change<Value>) {
            *size += usize::from(change.new.is_some());
            *size -= usize::from(change.old.is_some());
        }
        diff.attachments.values().for_each(|change| count(&mut self.attachments, change));
        diff.endpoints.values().for_each(|change| count(&mut self.endpoints, change));
        for (address, change) in &diff.addresses {
            count(&mut self.addresses[usize::from(address.is_ipv6())], change);
        }
        for (prefix, change) in &diff.prefixes {
            count(&mut self.prefixes[usize::from(prefix.addr().is_ipv6())], change);
        }
        diff.policy.values().for_each(|change| count(&mut self.policy, change));
        self
    }

    /// Refuses what is larger than the limits.
    pub(super) fn check(&self) -> Result<(), EbpfError> {
        let sizes = [
            ("ATTACHMENTS", self.attachments, limits::ATTACHMENTS),
            ("ENDPOINTS", self.endpoints, limits::ENDPOINTS),
            ("ADDRESSES_V4", self.addresses[0], limits::ADDRESSES),
            ("ADDRESSES_V6", self.addresses[1], limits::ADDRESSES),
            ("PREFIXES_V4", self.prefixes[0], limits::PREFIXES),
            ("PREFIXES_V6", self.prefixes[1], limits::PREFIXES),
            ("POLICY", self.policy, limits::POLICY_ENTRIES),
        ];
        for (map, entries, room) in sizes {
            let room = room as usize;
            if entries > room {
                return Err(EbpfError::TooMany { map, entries, room });
            }
        }
        Ok(())
    }
}
