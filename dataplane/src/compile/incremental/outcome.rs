//! What a change has come to: the difference of the tables, from what was written alone.
//!
//! [`Tables::diff`](crate::compile::Tables::diff) and the hazards compare whole tables. Here both
//! tables are parts, of what differs and what that depends on; what else the hazards ask about the
//! whole, the state counts ([`Whole`]).

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use ringfence_common::abi::identity::identity;
use ringfence_common::abi::policy::{PolicyEntry, PolicyKey, action};

use super::Update;
use super::ledger::{Before, Old};
use super::state::{State, Touch};
use crate::compile::diff::difference;
use crate::compile::in_place::{Part, Whole, detour};
use crate::compile::{Subject, Tables};
use crate::model::Direction;

impl State {
    /// What has changed since this was asked.
    pub(super) fn outcome(&mut self) -> Update {
        let before = self.ledger.before.take().unwrap_or_default();
        let (mut old, mut new) = self.parts(&before);
        let (was, is) = (Was::of(self, &before), Is(self));
        let diff = difference(Part::of(&old, &was), Part::of(&new, &is));
        let detour = if diff.safe_in_place() || diff.classes.is_empty() {
            None
        } else {
            self.add_drawn(&before, &mut old, &mut new);
            detour(Part::of(&old, &was), Part::of(&new, &is), &diff)
        };
        self.start();
        Update { diff, detour }
    }

    /// Starts to write down what changes.
    pub(super) fn start(&mut self) {
        self.ledger.before = Some(Before::default());
        self.work.drawn.clear();
    }

    /// What was written, as it was before and as it is now, and the endpoints that it concerns.
    fn parts(&self, before: &Before) -> (Tables, Tables) {
        let tables = &self.ledger.tables;
        let identities = split(&before.identities, &tables.identities);
        let addresses = split(&before.addresses, &tables.addresses);
        let prefixes = split(&before.prefixes, &tables.prefixes);
        let classes = split(&before.classes, &tables.classes);
        let mut endpoints = split(&before.endpoints, &tables.endpoints);
        let subjects = split(&before.subjects, &tables.subjects);
        let policy = split(&before.policy, &tables.policy);
        let rules = split(&before.rules, &tables.rules);
        for number in self.endpoints_of(before) {
            if !before.endpoints.contains_key(&number)
                && let Some(endpoint) = tables.endpoints.get(&number)
            {
                endpoints.0.insert(number, endpoint.clone());
                endpoints.1.insert(number, endpoint.clone());
            }
        }
        let old = Tables {
            identities: identities.0,
            addresses: addresses.0,
            prefixes: prefixes.0,
            classes: classes.0,
            endpoints: endpoints.0,
            subjects: subjects.0,
            policy: policy.0,
            rules: rules.0,
        };
        let new = Tables {
            identities: identities.1,
            addresses: addresses.1,
            prefixes: prefixes.1,
            classes: classes.1,
            endpoints: endpoints.1,
            subjects: subjects.1,
            policy: policy.1,
            rules: rules.1,
        };
        (old, new)
    }

    /// The endpoints whose addresses or forms were written.
    fn endpoints_of(&self, before: &Before) -> BTreeSet<u32> {
        let addresses = before.addresses.keys().filter_map(|address| self.addresses.get(address));
        let owners = addresses.map(|(workload, _)| *workload);
        let changed = |(number, was): &(&u32, &Option<Subject>)| {
            self.ledger.tables.subjects.get(*number) != was.as_ref()
        };
        let subjects = before.subjects.iter().filter(changed);
        let subjects = subjects.filter_map(|(number, _)| self.subject_of(*number));
        let members = subjects.flat_map(|subject| &self.subjects[subject].workloads).copied();
        owners.chain(members).map(|workload| self.endpoint_number(workload)).collect()
    }

    fn subject_of(&self, number: u32) -> Option<usize> {
        self.peers[self.identity_numbers.holder(number)?].subject
    }

    /// Adds the entries that were drawn again and came out as before: their classes may have
    /// changed.
    fn add_drawn(&self, before: &Before, old: &mut Tables, new: &mut Tables) {
        for (subject, direction, touch) in &self.work.drawn {
            let subject = self.subject_number(*subject);
            let peers: Vec<(u32, u32)> = match touch {
                Touch::All => vec![(0, u32::MAX)],
                Touch::Peers(peers) => peers.iter().map(|peer| (*peer, *peer)).collect(),
            };
            for (first, last) in peers {
                let first = PolicyKey { subject, peer: first, service: 0 };
                let last = PolicyKey { subject, peer: last, service: u32::MAX };
                for (key, entry) in self.ledger.tables.policy.range(first..=last) {
                    if key.direction() == *direction && !before.policy.contains_key(key) {
                        old.policy.insert(*key, *entry);
                        new.policy.insert(*key, *entry);
                    }
                }
            }
        }
    }
}

/// What was written, as it was before and as it is.
fn split<Key: Ord + Clone, Value: Clone>(
    before: &Old<Key, Value>,
    now: &BTreeMap<Key, Value>,
) -> (BTreeMap<Key, Value>, BTreeMap<Key, Value>) {
    let old = before.iter().filter_map(|(key, was)| Some((key.clone(), was.clone()?)));
    let new = before.keys().filter_map(|key| Some((key.clone(), now.get(key)?.clone())));
    (old.collect(), new.collect())
}

/// The tables as they are.
struct Is<'a>(&'a State);

impl Is<'_> {
    fn uses(&self, peer: u32) -> usize {
        let holder = self.0.identity_numbers.holder(peer);
        holder.map_or(0, |peer| self.0.peers[peer].uses)
    }

    fn denials(&self, subject: u32, direction: Direction) -> usize {
        let side = self.0.subject_of(subject).and_then(|id| self.0.sides.get(&(id, direction)));
        side.map_or(0, |side| side.denials)
    }
}

impl Whole for Is<'_> {
    fn has_subject(&self, subject: u32) -> bool {
        self.0.ledger.tables.subjects.contains_key(&subject)
    }

    fn is_meant(&self, peer: u32) -> bool {
        peer < identity::FIRST_DYNAMIC || self.uses(peer) > 0
    }

    fn denies(&self, subject: u32, direction: Direction) -> bool {
        self.denials(subject, direction) > 0
    }
}

/// The tables as they were.
struct Was<'a> {
    now: Is<'a>,
    before: &'a Before,
    /// How many addresses and prefixes fewer mean a peer now.
    lost_uses: HashMap<u32, isize>,
    /// How many denials fewer a side has now.
    lost_denials: HashMap<(u32, Direction), isize>,
}

impl<'a> Was<'a> {
    fn of(state: &'a State, before: &'a Before) -> Self {
        let tables = &state.ledger.tables;
        let mut lost_uses: HashMap<u32, isize> = HashMap::new();
        let addresses = before.addresses.iter();
        let addresses = addresses.map(|(key, was)| (*was, tables.addresses.get(key).copied()));
        let prefixes = before.prefixes.iter();
        let prefixes = prefixes.map(|(key, was)| (*was, tables.prefixes.get(key).copied()));
        for (was, is) in addresses.chain(prefixes) {
            was.into_iter().for_each(|number| *lost_uses.entry(number).or_default() += 1);
            is.into_iter().for_each(|number| *lost_uses.entry(number).or_default() -= 1);
        }
        let mut lost_denials: HashMap<(u32, Direction), isize> = HashMap::new();
        let denies = |entry: Option<&PolicyEntry>| {
            isize::from(entry.is_some_and(|entry| entry.action != action::ALLOW))
        };
        for (key, was) in &before.policy {
            let lost = denies(was.as_ref()) - denies(tables.policy.get(key));
            *lost_denials.entry((key.subject, key.direction())).or_default() += lost;
        }
        Self { now: Is(state), before, lost_uses, lost_denials }
    }
}

impl Whole for Was<'_> {
    fn has_subject(&self, subject: u32) -> bool {
        match self.before.subjects.get(&subject) {
            Some(was) => was.is_some(),
            None => self.now.has_subject(subject),
        }
    }

    fn is_meant(&self, peer: u32) -> bool {
        let lost = self.lost_uses.get(&peer).copied().unwrap_or(0);
        peer < identity::FIRST_DYNAMIC || self.now.uses(peer) as isize + lost > 0
    }

    fn denies(&self, subject: u32, direction: Direction) -> bool {
        let lost = self.lost_denials.get(&(subject, direction)).copied().unwrap_or(0);
        self.now.denials(subject, direction) as isize + lost > 0
    }
}
