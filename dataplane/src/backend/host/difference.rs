//! What differs between the tables that a host has and those that it shall have.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_common::abi::config::AttachmentKey;
use ringfence_common::abi::identity::AddressEntry;
use ringfence_common::abi::policy::{Endpoint, PolicyEntry, PolicyKey};
use ringfence_common::abi::table::Station;

use super::HostTables;
use super::one_store::Store;

/// What becomes of one entry; at least one of the two is there, and they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<Value> {
    /// What it was; nothing where it is new.
    pub old: Option<Value>,
    /// What it will be; nothing where it goes.
    pub new: Option<Value>,
}

/// The entries of one table that change.
pub type Changes<Key, Value> = BTreeMap<Key, Change<Value>>;

/// What differs between two [`HostTables`], their configurations aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostDiff {
    /// What hooks check, and what they are told of the endpoint behind them.
    pub attachments: Changes<AttachmentKey, Station>,
    /// Endpoints of this host.
    pub endpoints: Changes<u32, Endpoint>,
    /// Single addresses.
    pub addresses: Changes<IpAddr, AddressEntry>,
    /// Prefixes.
    pub prefixes: Changes<IpNet, u32>,
    /// Protocol number → first ports of classes.
    pub classes: Changes<u8, BTreeSet<u16>>,
    /// Policy entries.
    pub policy: Changes<PolicyKey, PolicyEntry>,
}

impl HostDiff {
    /// What has to change for `old` to become `new`.
    #[must_use]
    pub fn of(old: &HostTables, new: &HostTables) -> Self {
        Self {
            attachments: changes(&old.stations(), &new.stations()),
            endpoints: changes(&old.endpoints, &new.endpoints),
            addresses: changes(&old.addresses, &new.addresses),
            prefixes: changes(&old.prefixes, &new.prefixes),
            classes: changes(&old.classes, &new.classes),
            policy: changes(&old.policy, &new.policy),
        }
    }

    /// Makes the change in `tables`.
    pub fn apply_to(&self, tables: &mut HostTables) {
        self.stores().for_each(|store| store.apply_to(tables));
        for (protocol, change) in &self.classes {
            match &change.new {
                Some(starts) => _ = tables.classes.insert(*protocol, starts.clone()),
                None => _ = tables.classes.remove(protocol),
            }
        }
    }

    /// The change as changes of single entries, classes aside.
    pub fn stores(&self) -> impl Iterator<Item = Store> {
        let attachments = self.attachments.iter().map(|(key, it)| Store::Attachment(*key, it.new));
        let endpoints = self.endpoints.iter().map(|(number, it)| Store::Endpoint(*number, it.new));
        let addresses = self.addresses.iter().map(|(key, it)| Store::Address(*key, it.new));
        let prefixes = self.prefixes.iter().map(|(key, it)| Store::Prefix(*key, it.new));
        let policy = self.policy.iter().map(|(key, it)| Store::Policy(*key, it.new));
        attachments.chain(endpoints).chain(addresses).chain(prefixes).chain(policy)
    }

    /// How many entries change.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.attachments.len()
            + self.endpoints.len()
            + self.addresses.len()
            + self.prefixes.len()
            + self.classes.len()
            + self.policy.len()
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.touched() == 0
    }

    /// Policy entries added, changed and removed.
    #[must_use]
    pub fn policy_changes(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for change in self.policy.values() {
            let kind = match (change.old, change.new) {
                (None, _) => 0,
                (Some(_), Some(_)) => 1,
                (Some(_), None) => 2,
            };
            counts[kind] += 1;
        }
        counts
    }
}

fn changes<Key: Ord + Clone, Value: PartialEq + Clone>(
    old: &BTreeMap<Key, Value>,
    new: &BTreeMap<Key, Value>,
) -> Changes<Key, Value> {
    let mut changes = Changes::new();
    let (mut before, mut after) = (old.iter().peekable(), new.iter().peekable());
    loop {
        // Both are sorted: whatever comes first in one of them is missing in the other.
        let order = match (before.peek(), after.peek()) {
            (None, None) => return changes,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let old = if order.is_le() { before.next() } else { None };
        let new = if order.is_ge() { after.next() } else { None };
        let Some((key, _)) = old.or(new) else { return changes };
        let (old, new) = (old.map(|(_, value)| value), new.map(|(_, value)| value));
        if old != new {
            changes.insert(key.clone(), Change { old: old.cloned(), new: new.cloned() });
        }
    }
}
