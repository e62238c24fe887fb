//! The tables, and what was in them before the change under way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_common::abi::policy::{PolicyEntry, PolicyKey};

use crate::compile::{EndpointDescription, IdentityDescription, RuleDescription, Subject, Tables};

/// By key, what was there before; `None` where nothing was.
pub(super) type Old<Key, Value> = BTreeMap<Key, Option<Value>>;

/// What was in the maps of the tables, for every key that has been written since.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub(super) identities: Old<u32, IdentityDescription>,
    pub(super) addresses: Old<IpAddr, u32>,
    pub(super) prefixes: Old<IpNet, u32>,
    pub(super) classes: Old<u8, BTreeSet<u16>>,
    pub(super) endpoints: Old<u32, EndpointDescription>,
    pub(super) subjects: Old<u32, Subject>,
    pub(super) policy: Old<PolicyKey, PolicyEntry>,
    pub(super) rules: Old<u32, RuleDescription>,
}

/// Tables that remember.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// As they are.
    pub(super) tables: Tables,
    /// What was; `None` while everything is new.
    pub(super) before: Option<Before>,
}

impl Ledger {
    /// Puts or removes a value; `table` and `old` say in which map.
    fn put<Key: Ord + Clone, Value>(
        &mut self,
        table: impl FnOnce(&mut Tables) -> &mut BTreeMap<Key, Value>,
        old: impl FnOnce(&mut Before) -> &mut Old<Key, Value>,
        key: Key,
        value: Option<Value>,
    ) {
        let table = table(&mut self.tables);
        let Some(before) = &mut self.before else {
            match value {
                Some(value) => _ = table.insert(key, value),
                None => _ = table.remove(&key),
            }
            return;
        };
        let was = match value {
            Some(value) => table.insert(key.clone(), value),
            None => table.remove(&key),
        };
        old(before).entry(key).or_insert(was);
    }

    /// What an identity number stands for.
    pub(super) fn identity(&mut self, number: u32, to: Option<IdentityDescription>) {
        self.put(|tables| &mut tables.identities, |old| &mut old.identities, number, to);
    }

    /// The identity of a workload's address.
    pub(super) fn address(&mut self, address: IpAddr, to: Option<u32>) {
        self.put(|tables| &mut tables.addresses, |old| &mut old.addresses, address, to);
    }

    /// The identity of a prefix.
    pub(super) fn prefix(&mut self, prefix: IpNet, to: Option<u32>) {
        self.put(|tables| &mut tables.prefixes, |old| &mut old.prefixes, prefix, to);
    }

    /// Where the classes of a protocol begin.
    pub(super) fn classes(&mut self, protocol: u8, to: Option<BTreeSet<u16>>) {
        self.put(|tables| &mut tables.classes, |old| &mut old.classes, protocol, to);
    }

    /// An endpoint.
    pub(super) fn endpoint(&mut self, number: u32, to: Option<EndpointDescription>) {
        self.put(|tables| &mut tables.endpoints, |old| &mut old.endpoints, number, to);
    }

    /// The forms of a subject.
    pub(super) fn subject(&mut self, number: u32, to: Option<Subject>) {
        self.put(|tables| &mut tables.subjects, |old| &mut old.subjects, number, to);
    }

    /// A policy entry.
    pub(super) fn entry(&mut self, key: PolicyKey, to: Option<PolicyEntry>) {
        self.put(|tables| &mut tables.policy, |old| &mut old.policy, key, to);
    }

    /// What a rule number stands for.
    pub(super) fn rule(&mut self, number: u32, to: Option<RuleDescription>) {
        self.put(|tables| &mut tables.rules, |old| &mut old.rules, number, to);
    }

    /// The tables as they were before.
    pub(super) fn take_back(self) -> Tables {
        let Self { mut tables, before } = self;
        if let Some(before) = before {
            restore(&mut tables.identities, before.identities);
            restore(&mut tables.addresses, before.addresses);
            restore(&mut tables.prefixes, before.prefixes);
            restore(&mut tables.classes, before.classes);
            restore(&mut tables.endpoints, before.endpoints);
            restore(&mut tables.subjects, before.subjects);
            restore(&mut tables.policy, before.policy);
            restore(&mut tables.rules, before.rules);
        }
        tables
    }
}

fn restore<Key: Ord, Value>(now: &mut BTreeMap<Key, Value>, before: Old<Key, Value>) {
    for (key, was) in before {
        match was {
            Some(value) => _ = now.insert(key, value),
            None => _ = now.remove(&key),
        }
    }
}
