//! What packets can meet in a host's tables.
//!
//! A packet brings addresses, a port and an interface; everything else it meets by what these mean.
//! A policy entry whose peer no address means, or whose subject no endpoint has that a packet can
//! come to, is met by nobody: it may come and go unseen.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use ringfence_common::abi::identity::{endpoint, identity};
use ringfence_common::abi::policy::{Direction, Endpoint, PolicyKey, class_table, forms};
use ringfence_common::abi::table::Station;

use super::HostTables;
use super::difference::{Change, HostDiff};

/// What packets can meet, kept in step with tables that change.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Identity → how many addresses and prefixes mean it.
    meanings: HashMap<u32, u32>,
    /// Endpoint → how many addresses and hooks lead to it.
    ways: HashMap<u32, u32>,
    /// Subject → the endpoints that have it.
    subjects: HashMap<u32, BTreeMap<u32, Endpoint>>,
    /// Protocol number → first ports of classes.
    classes: BTreeMap<u8, BTreeSet<u16>>,
}

impl Reach {
    /// What packets can meet in `tables`.
    #[must_use]
    pub fn new(tables: &HostTables) -> Self {
        let mut reach = Self { classes: tables.classes.clone(), ..Self::default() };
        for attachment in tables.attachments.values() {
            count(&mut reach.ways, attachment.endpoint, None);
        }
        for (number, entry) in &tables.endpoints {
            reach.subjects.entry(entry.subject).or_default().insert(*number, *entry);
        }
        for entry in tables.addresses.values() {
            count(&mut reach.meanings, entry.identity, None);
            count(&mut reach.ways, entry.endpoint, None);
        }
        for identity in tables.prefixes.values() {
            count(&mut reach.meanings, *identity, None);
        }
        reach
    }

    /// Follows a change of the tables.
    pub fn follow(&mut self, diff: &HostDiff) {
        for Change { old, new } in diff.attachments.values() {
            let end = |station: Station| station.attachment.endpoint;
            count(&mut self.ways, new.map(end), old.map(end));
        }
        for Change { old, new } in diff.addresses.values() {
            count(&mut self.ways, new.map(|it| it.endpoint), old.map(|it| it.endpoint));
            count(&mut self.meanings, new.map(|it| it.identity), old.map(|it| it.identity));
        }
        for Change { old, new } in diff.prefixes.values() {
            count(&mut self.meanings, *new, *old);
        }
        for (number, Change { old, new }) in &diff.endpoints {
            if let Some(old) = old
                && let Some(endpoints) = self.subjects.get_mut(&old.subject)
            {
                endpoints.remove(number);
                if endpoints.is_empty() {
                    self.subjects.remove(&old.subject);
                }
            }
            if let Some(new) = new {
                self.subjects.entry(new.subject).or_default().insert(*number, *new);
            }
        }
        for (protocol, change) in &diff.classes {
            match &change.new {
                Some(starts) => _ = self.classes.insert(*protocol, starts.clone()),
                None => _ = self.classes.remove(protocol),
            }
        }
    }

    /// Protocol number → first ports of classes.
    #[must_use]
    pub const fn classes(&self) -> &BTreeMap<u8, BTreeSet<u16>> {
        &self.classes
    }

    /// Whether a packet can come to the endpoint.
    #[must_use]
    pub fn endpoint(&self, number: u32) -> bool {
        number == endpoint::HOST || self.ways.contains_key(&number)
    }

    /// Whether a packet can meet the entry under `key`.
    #[must_use]
    pub fn policy(&self, key: &PolicyKey) -> bool {
        // Numbers below the first dynamic one mean what they mean without tables.
        let is_meant = key.peer < identity::FIRST_DYNAMIC || self.meanings.contains_key(&key.peer);
        if !is_meant || !self.class(key) {
            return false;
        }
        let Some(endpoints) = self.subjects.get(&key.subject) else { return false };
        let form = form_of(key);
        endpoints.iter().any(|(number, entry)| {
            let asked = match key.direction() {
                Direction::Ingress => entry.ingress_forms,
                Direction::Egress => entry.egress_forms,
            };
            asked & form != 0 && asked & forms::ENFORCED != 0 && self.endpoint(*number)
        })
    }

    /// Whether some port is of the class that the key names.
    fn class(&self, key: &PolicyKey) -> bool {
        match key.protocol_and_class() {
            Some((protocol, Some(class))) if class != 0 => {
                class_table(protocol).is_some()
                    && self.classes.get(&protocol).is_some_and(|starts| starts.contains(&class))
            }
            _ => true,
        }
    }
}

/// One more of `new`, one less of `old`.
fn count(counts: &mut HashMap<u32, u32>, new: impl Into<Option<u32>>, old: impl Into<Option<u32>>) {
    if let Some(new) = new.into() {
        *counts.entry(new).or_default() += 1;
    }
    if let Some(old) = old.into()
        && let Some(left) = counts.get_mut(&old)
    {
        *left -= 1;
        if *left == 0 {
            counts.remove(&old);
        }
    }
}

/// The form of a key, a bit of [`forms`].
fn form_of(key: &PolicyKey) -> u8 {
    let is_any = key.peer == identity::ANY;
    match (key.protocol_and_class(), is_any) {
        (Some((_, Some(_))), false) => forms::PEER_CLASS,
        (Some((_, None)), false) => forms::PEER_PROTOCOL,
        (None, false) => forms::PEER,
        (Some((_, Some(_))), true) => forms::ANY_CLASS,
        (Some((_, None)), true) => forms::ANY_PROTOCOL,
        (None, true) => forms::ANY,
    }
}
