//! One of the two slots: its tables, mapped.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread;

use ipnet::IpNet;
use ringfence_common::abi::config::{AttachmentKey, Config};
use ringfence_common::abi::identity::{AddressEntry, endpoint};
use ringfence_common::abi::policy::PolicyEntry;
use ringfence_common::abi::table::{self, LENGTHS, Layout, NarrowSlot, WideSlot};

use super::content::Content;
use super::rows::{self, Known};
use super::rules::Rules;
use super::table::cuckoo::Full;
use super::table::formats::{AddressesV4, AddressesV6, Attachments, Endpoints, Policy};
use super::table::live::Live;
use super::{EbpfError, Maps};
use crate::backend::host::HostTables;
use crate::backend::host::one_store::Store;

/// The tables of one slot, all but classes and tries.
#[derive(Debug)]
pub(super) struct Side {
    /// The slot.
    pub(super) slot: u32,
    layout: Layout,
    attachments: Live<Attachments, 4>,
    endpoints: Live<Endpoints, 2>,
    addresses_v4: Live<AddressesV4, 2>,
    addresses_v6: Live<AddressesV6, 4>,
    policy: Live<Policy, 2>,
}

/// A row of one of the tables, to be put or removed.
enum Row {
    Attachment(WideSlot),
    Endpoint(NarrowSlot),
    V4(NarrowSlot),
    V6(WideSlot),
    Policy(NarrowSlot),
}

/// Why a change cannot be made in these tables as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

macro_rules! of_row {
    ($side:expr, $row:expr, $table:ident, $at:ident => $what:expr) => {
        match $row {
            Row::Attachment($at) => {
                let $table = &mut $side.attachments;
                $what
            }
            Row::Endpoint($at) => {
                let $table = &mut $side.endpoints;
                $what
            }
            Row::V4($at) => {
                let $table = &mut $side.addresses_v4;
                $what
            }
            Row::V6($at) => {
                let $table = &mut $side.addresses_v6;
                $what
            }
            Row::Policy($at) => {
                let $table = &mut $side.policy;
                $what
            }
        }
    };
}

impl Side {
    /// The tables of `slot`, which a generation has filled.
    pub(super) fn open(maps: &Maps, slot: u32) -> Result<Self, EbpfError> {
        let layout = maps.layout_of(slot);
        let seed = layout.seed;
        Ok(Self {
            slot,
            layout,
            attachments: maps.attachments.open(slot, seed, layout.attachments)?,
            endpoints: maps.endpoints.open(slot, seed, layout.endpoints)?,
            addresses_v4: maps.addresses_v4.open(slot, seed, layout.addresses_v4)?,
            addresses_v6: maps.addresses_v6.open(slot, seed, layout.addresses_v6)?,
            policy: maps.policy.open(slot, seed, layout.policy)?,
        })
    }

    /// Makes `slot`, at which no packet looks, hold `tables`; `before` is what is there. All tables
    /// at once: the kernel waits after each, and one wait serves all that are under way.
    pub(super) fn fill(
        maps: &mut Maps,
        slot: u32,
        tables: &HostTables,
        before: Option<Self>,
    ) -> Result<Self, EbpfError> {
        let content = Content::new(tables, &maps.rules)?;
        let (layout, arranged) = (content.layout(), &content.arranged);
        let seed = layout.seed;
        let old = before.map(Parts::from).unwrap_or_default();
        let (rows, steps, _short) = (&content.rows, maps.steps.clone(), maps.short_waits());
        let Maps { attachments, endpoints, addresses_v4, addresses_v6, policy, .. } = maps;
        let Maps { prefixes_v4, prefixes_v6, classes, .. } = maps;
        let side = thread::scope(|scope| {
            let v6 = scope
                .spawn(|| addresses_v6.fill(slot, seed, &arranged.addresses_v6, old.addresses_v6));
            let v4 = scope
                .spawn(|| addresses_v4.fill(slot, seed, &arranged.addresses_v4, old.addresses_v4));
            let small = [
                scope.spawn(|| prefixes_v4.fill(slot, &rows.tries_v4, &steps)),
                scope.spawn(|| prefixes_v6.fill(slot, &rows.tries_v6, &steps)),
                scope.spawn(|| classes.fill(slot, &tables.classes, &steps)),
            ];
            let hooks = scope
                .spawn(|| attachments.fill(slot, seed, &arranged.attachments, old.attachments));
            let ends =
                scope.spawn(|| endpoints.fill(slot, seed, &arranged.endpoints, old.endpoints));
            let policy = policy.fill(slot, seed, &arranged.policy, old.policy);
            small.into_iter().try_for_each(joined)?;
            Ok(Self {
                slot,
                layout,
                attachments: joined(hooks)?,
                endpoints: joined(ends)?,
                addresses_v4: joined(v4)?,
                addresses_v6: joined(v6)?,
                policy: policy?,
            })
        })?;
        maps.put_layout(slot, layout)?;
        Ok(side)
    }

    /// Lets go of the memory of a slot at which no packet looks.
    pub(super) fn give_back(self, maps: &Maps) -> Result<(), EbpfError> {
        let slot = self.slot;
        let _short = maps.short_waits();
        maps.attachments.give_back(slot, self.attachments)?;
        maps.endpoints.give_back(slot, self.endpoints)?;
        maps.addresses_v4.give_back(slot, self.addresses_v4)?;
        maps.addresses_v6.give_back(slot, self.addresses_v6)?;
        maps.policy.give_back(slot, self.policy)
    }

    /// Changes one entry while packets look.
    pub(super) fn store(
        &mut self,
        store: &Store,
        rules: &Rules,
    ) -> Result<Result<(), NoRoom>, EbpfError> {
        let Some((row, stays)) = self.row(store, rules) else { return Ok(Err(NoRoom)) };
        let done = of_row!(self, row, table, at => match stays {
            true => table.put(&at)?,
            false => {
                table.remove(&at)?;
                true
            }
        });
        Ok(if done { Ok(()) } else { Err(NoRoom) })
    }

    /// Changes one entry while no packet looks.
    pub(super) fn store_unseen(&mut self, store: &Store, rules: &Rules) -> Result<(), NoRoom> {
        let (row, stays) = self.row(store, rules).ok_or(NoRoom)?;
        of_row!(self, row, table, at => match stays {
            true => table.put_unseen(&at).map_err(|Full| NoRoom),
            false => {
                table.remove_unseen(&at);
                Ok(())
            }
        })
    }

    /// Whether waiting for packets may make room.
    pub(super) fn has_freed(&self) -> bool {
        self.attachments.has_freed()
            || self.endpoints.has_freed()
            || self.addresses_v4.has_freed()
            || self.addresses_v6.has_freed()
            || self.policy.has_freed()
    }

    /// All packets have been waited for.
    pub(super) fn settle(&mut self) {
        self.attachments.settle();
        self.endpoints.settle();
        self.addresses_v4.settle();
        self.addresses_v6.settle();
        self.policy.settle();
    }

    /// The row that a store is about, and whether it is there afterwards; nothing where these tables
    /// have no place for it.
    fn row(&self, store: &Store, rules: &Rules) -> Option<(Row, bool)> {
        Some(match store {
            Store::Attachment(key, value) => {
                let row = table::attachment_slot(key, &value.unwrap_or_default());
                (Row::Attachment(row), value.is_some())
            }
            Store::Endpoint(number, value) => {
                let row = table::endpoint_slot(*number, &value.unwrap_or_default());
                (Row::Endpoint(row), value.is_some())
            }
            Store::Address(address, value) => {
                let entry = value.unwrap_or_default();
                (address_row(*address, None, &entry), value.is_some())
            }
            Store::Prefix(prefix, value) => {
                let identity = value.unwrap_or_default();
                let entry = AddressEntry { identity, endpoint: endpoint::NONE };
                let length = prefix.prefix_len();
                if value.is_some() && !self.lengths(prefix).contains(&length) {
                    return None;
                }
                (address_row(prefix.addr(), Some(length), &entry), value.is_some())
            }
            Store::Policy(key, value) => {
                let row = rows::policy_row(key, &value.unwrap_or_default(), rules);
                (Row::Policy(row), value.is_some())
            }
        })
    }

    const fn lengths(&self, prefix: &IpNet) -> [u8; LENGTHS] {
        match prefix {
            IpNet::V4(_) => self.layout.lengths_v4,
            IpNet::V6(_) => self.layout.lengths_v6,
        }
    }

    /// What the tables hold, as generation `config`; classes and prefixes in tries are elsewhere.
    pub(super) fn tables(&self, config: Config, rules: &Rules) -> HostTables {
        let mut known = Known::default();
        self.addresses_v4.rows().for_each(|row| known.add_v4(row));
        self.addresses_v6.rows().for_each(|row| known.add_v6(row));
        let attached = |row| (table::key_of_attachment(row), table::attachment(row));
        let endpoint = |row| (table::number_of_endpoint(row), table::endpoint(row));
        let entry = |row| {
            let packed = table::policy_entry(row).unpack();
            let rule = rules.number(packed.rule);
            (table::key_of_policy(row), PolicyEntry { rule, ..packed })
        };
        HostTables {
            config,
            attachments: self.attachments.rows().map(attached).collect(),
            endpoints: self.endpoints.rows().map(endpoint).collect(),
            addresses: known.addresses,
            prefixes: known.prefixes,
            classes: BTreeMap::new(),
            policy: self.policy.rows().map(entry).collect(),
        }
    }

    /// The places of rules that entries of policy name, one for each entry.
    pub(super) fn places(&self) -> impl Iterator<Item = u32> {
        self.policy.rows().map(|row| table::policy_entry(row).unpack().rule)
    }

    /// The hooks there are.
    pub(super) fn hooks(&self) -> Vec<AttachmentKey> {
        let mut hooks: Vec<_> = self.attachments.rows().map(table::key_of_attachment).collect();
        hooks.sort_unstable();
        hooks
    }
}

/// The row of an address, or of a prefix of this length.
fn address_row(address: IpAddr, length: Option<u8>, entry: &AddressEntry) -> Row {
    match address {
        IpAddr::V4(address) => Row::V4(rows::v4_row(address, length.unwrap_or(32), entry)),
        IpAddr::V6(address) => Row::V6(rows::v6_row(address, length.unwrap_or(128), entry)),
    }
}

/// What a thread came to.
pub(super) fn joined<T>(
    thread: thread::ScopedJoinHandle<'_, Result<T, EbpfError>>,
) -> Result<T, EbpfError> {
    let died = |_| Err(EbpfError::Object("a filling thread has panicked".to_owned()));
    thread.join().unwrap_or_else(died)
}

/// Tables that were in a slot before it is filled.
#[derive(Default)]
struct Parts {
    attachments: Option<Live<Attachments, 4>>,
    endpoints: Option<Live<Endpoints, 2>>,
    addresses_v4: Option<Live<AddressesV4, 2>>,
    addresses_v6: Option<Live<AddressesV6, 4>>,
    policy: Option<Live<Policy, 2>>,
}

impl From<Side> for Parts {
    fn from(side: Side) -> Self {
        Self {
            attachments: Some(side.attachments),
            endpoints: Some(side.endpoints),
            addresses_v4: Some(side.addresses_v4),
            addresses_v6: Some(side.addresses_v6),
            policy: Some(side.policy),
        }
    }
}
