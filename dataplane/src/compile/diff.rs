//! What changes from one set of tables to another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_common::abi::identity::AddressEntry;
use ringfence_common::abi::policy::{PolicyEntry, PolicyKey, action, entry_flags};

use super::in_place::{self, Facts, Hazard, Part};
use super::text;
use super::{EndpointDescription, IdentityDescription, RuleDescription, Subject, Tables};

/// What changes in one map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapDiff<Key: Ord, Value> {
    /// Entries that are new.
    pub added: BTreeMap<Key, Value>,
    /// Entries whose value changes: the old one and the new one.
    pub changed: BTreeMap<Key, (Value, Value)>,
    /// Entries that go.
    pub removed: BTreeMap<Key, Value>,
}

impl<Key: Ord + Clone, Value: Clone + PartialEq> MapDiff<Key, Value> {
    fn of(old: &BTreeMap<Key, Value>, new: &BTreeMap<Key, Value>) -> Self {
        let mut diff =
            Self { added: BTreeMap::new(), changed: BTreeMap::new(), removed: BTreeMap::new() };
        for (key, value) in new {
            match old.get(key) {
                None => _ = diff.added.insert(key.clone(), value.clone()),
                Some(before) if before != value => {
                    diff.changed.insert(key.clone(), (before.clone(), value.clone()));
                }
                Some(_) => {}
            }
        }
        let gone = old.iter().filter(|(key, _)| !new.contains_key(key));
        diff.removed.extend(gone.map(|(key, value)| (key.clone(), value.clone())));
        diff
    }

    /// How many entries are added, changed or removed.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.added.len() + self.changed.len() + self.removed.len()
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.touched() == 0
    }

    /// The keys that are added, changed or removed.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.added.keys().chain(self.changed.keys()).chain(self.removed.keys())
    }
}

/// What changes from one set of tables to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablesDiff {
    /// What identity numbers stand for; not in the kernel.
    pub identities: MapDiff<u32, IdentityDescription>,
    /// Addresses.
    pub addresses: MapDiff<IpAddr, AddressEntry>,
    /// Prefixes.
    pub prefixes: MapDiff<IpNet, u32>,
    /// Protocol number → first ports of classes; each is one entry of the class map.
    pub classes: MapDiff<u8, BTreeSet<u16>>,
    /// Endpoints.
    pub endpoints: MapDiff<u32, EndpointDescription>,
    /// Forms of subjects; the kernel has them with the endpoints.
    pub subjects: MapDiff<u32, Subject>,
    /// Policy entries.
    pub policy: MapDiff<PolicyKey, PolicyEntry>,
    /// What rule numbers stand for; not in the kernel.
    pub rules: MapDiff<u32, RuleDescription>,
    /// Endpoints whose map entry changes: their own, or the forms of their subject.
    pub touched_endpoints: BTreeSet<u32>,
    /// Why the new tables cannot take the old ones' place entry by entry.
    pub hazards: BTreeSet<Hazard>,
}

impl TablesDiff {
    /// How many entries of kernel maps are added, changed or removed.
    #[must_use]
    pub fn entries_touched(&self) -> usize {
        self.addresses.touched()
            + self.prefixes.touched()
            + self.classes.touched()
            + self.touched_endpoints.len()
            + self.policy.touched()
    }

    /// Whether nothing changes, descriptions included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries_touched() == 0
            && self.identities.is_empty()
            && self.subjects.is_empty()
            && self.rules.is_empty()
    }

    /// Whether the difference may be applied entry by entry to the running tables, in the order
    /// that the module `compile::in_place` describes, without any packet meeting a verdict that
    /// belongs to neither.
    #[must_use]
    pub fn safe_in_place(&self) -> bool {
        self.hazards.is_empty()
    }
}

impl Tables {
    /// What changes from these tables to `new`.
    #[must_use]
    pub fn diff(&self, new: &Self) -> TablesDiff {
        let (here, there) = (Facts::of(self), Facts::of(new));
        difference(Part::of(self, &here), Part::of(new, &there))
    }
}

/// What changes from one part of tables to another, where the rest is the same.
pub(super) fn difference(old: Part<'_>, new: Part<'_>) -> TablesDiff {
    let (before, after) = (old.tables, new.tables);
    let endpoints = MapDiff::of(&before.endpoints, &after.endpoints);
    let subjects = MapDiff::of(&before.subjects, &after.subjects);
    let changed_forms: BTreeSet<u32> = subjects.keys().copied().collect();
    let mut touched_endpoints: BTreeSet<u32> = endpoints.keys().copied().collect();
    let of_changed_subject =
        after.endpoints.iter().filter(|(_, endpoint)| changed_forms.contains(&endpoint.subject));
    touched_endpoints.extend(of_changed_subject.map(|(number, _)| *number));
    let mut diff = TablesDiff {
        identities: MapDiff::of(&before.identities, &after.identities),
        addresses: MapDiff::of(&before.address_entries(), &after.address_entries()),
        prefixes: MapDiff::of(&before.prefixes, &after.prefixes),
        classes: MapDiff::of(&before.classes, &after.classes),
        endpoints,
        subjects,
        policy: MapDiff::of(&before.policy, &after.policy),
        rules: MapDiff::of(&before.rules, &after.rules),
        touched_endpoints,
        hazards: BTreeSet::new(),
    };
    diff.hazards = in_place::hazards(old, new, &diff);
    diff
}

/// One line per entry, `+` added, `~` changed, `-` removed; nothing where nothing changes.
impl fmt::Display for TablesDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        section(f, "identity", &self.identities, u32::to_string, ToString::to_string)?;
        section(f, "address", &self.addresses, IpAddr::to_string, |entry| {
            format!("identity {} endpoint {}", entry.identity, entry.endpoint)
        })?;
        section(f, "prefix", &self.prefixes, IpNet::to_string, |identity| {
            format!("identity {identity}")
        })?;
        section(f, "classes", &self.classes, |p| text::protocol(*p), text::list)?;
        section(f, "endpoint", &self.endpoints, u32::to_string, ToString::to_string)?;
        section(f, "subject", &self.subjects, u32::to_string, ToString::to_string)?;
        section(f, "entry", &self.policy, text::key, entry)?;
        section(f, "rule", &self.rules, u32::to_string, ToString::to_string)
    }
}

fn entry(entry: &PolicyEntry) -> String {
    let action = if entry.action == action::ALLOW { "allow" } else { "deny" };
    let log = if entry.flags & entry_flags::LOG == 0 { "" } else { " log" };
    format!("{action}{log} rule {}", entry.rule)
}

fn section<Key: Ord, Value>(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    diff: &MapDiff<Key, Value>,
    key: impl Fn(&Key) -> String,
    value: impl Fn(&Value) -> String,
) -> fmt::Result {
    for (of, added) in &diff.added {
        writeln!(f, "+ {what} {}: {}", key(of), value(added))?;
    }
    for (of, (before, after)) in &diff.changed {
        writeln!(f, "~ {what} {}: {} -> {}", key(of), value(before), value(after))?;
    }
    for (of, removed) in &diff.removed {
        writeln!(f, "- {what} {}: {}", key(of), value(removed))?;
    }
    Ok(())
}
