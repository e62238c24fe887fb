//! When new tables may take the old ones' place entry by entry, and in which steps.
//!
//! # Goals
//!
//! 1. A packet that both tables allow is never denied, and one that both deny is never allowed,
//!    not even for a moment (safety P1, semantics 18). Where the tables disagree, either answer
//!    is right while one replaces the other.
//! 2. Changing one rule costs a few entries, not a copy of everything.
//! 3. Whatever the argument below does not cover goes through a generation of its own.
//!
//! # Order
//!
//! A difference without hazards is applied in this order. Every change of one entry is atomic,
//! and between the phases all packets under way are waited for (an RCU grace period; updating an
//! entry of a map of maps waits for one).
//!
//! 1. Policy entries are added and changed.
//! 2. Endpoints (with their forms) are added and changed.
//! 3. Ports change their class, each port atomically.
//! 4. Addresses are added, changed and removed.
//! 5. Policy entries, then endpoints, are removed.
//!
//! # Argument
//!
//! Call the old entries O and the new ones N, and take one packet. It is decided by at most two
//! sides, its source's egress and its destination's ingress; each consults only the entries of its
//! (subject, direction), with the peer its addresses mean and the class its port has.
//!
//! *Allow entries alone.* Where a side has only allow entries and stays enforced
//! ([`Hazard::Denials`], [`Hazard::Enforcement`]), it allows a packet exactly if any of the
//! packet's keys is there, so its answer only grows with entries. Up to phase 4 all of O is there,
//! from phase 2 on all of N, and never anything else. So whatever both allow keeps being allowed
//! (1), and a side lets through more than both do only by an entry of N in phases 1 to 4 or of O
//! in phase 5, that is more than the old, or more than the new, but not more than the two.
//!
//! *Both sides.* A mixture of sides is a verdict of its own: the egress of N with the ingress of O
//! may allow what both deny. If entries are only added, every mixture is within N; if they are
//! only removed, within O; if entries of one direction alone change, the other side is as it was
//! and the first is old or new. Everything else is [`Hazard::BothDirections`].
//!
//! *Forms.* They follow the entries between adding and removing, so that at either time all
//! entries that count are looked for. They may lose a bit only where nothing else happens between
//! (no class or address changes), because an old entry could still be needed until then
//! ([`Hazard::Forms`]).
//!
//! *Classes.* Until phase 3 a port has its old class, and finds all of O; after it, its new class,
//! and finds all of N. Something too much could be found if N has a new entry for a class that was
//! wider before than it is now, or O an entry that goes for a class that is wider now: those are
//! [`Hazard::Classes`]. Classes whose number is not in use on the other side are invisible there.
//!
//! *Addresses.* An entry is invisible while no address means its peer, or none its subject. If
//! all entries that are added are invisible in the old tables, and all that go in the new ones,
//! then the change of the one address is the moment at which old becomes new. A packet has two
//! addresses, so at most one of each family may change ([`Hazard::Addresses`]), classes may not
//! change with it, and no address may change hands ([`Hazard::Endpoints`]).
//!
//! *What belongs to no flow.* A packet that opens none asks its endpoint about both directions
//! ([`ringfence_common::decide`]). By an endpoint that nobody isolates it needs both, of which one
//! stays as it was. Not covered: while connections are picked up (semantics 10) one direction is
//! enough, so entries of one direction that change at both ends of an old connection may let a
//! packet of it pass between the phases, though the old tables deny it at one end and the new ones
//! at the other. Its next packet is asked about again.
//!
//! *Numbers.* All this takes for granted that a number means the same in both tables
//! ([`Hazard::Numbers`]). Prefixes nest, so that changing one changes the meaning of another's
//! addresses: always a hazard ([`Hazard::Prefixes`]).
//!
//! # Detour
//!
//! A rule that moves from port 5432 to 5433 meets [`Hazard::Classes`]: 5433 was the number of all
//! ports above 5432. [`Tables::steps_to`] then goes by way of classes that are fine enough for
//! both tables: the old policy on these, the new policy on these, the new tables. The first and
//! the last of these steps change no verdict at all and the middle one no class.
//!
//! # Not done
//!
//! Changes in both directions at once, new or vanishing isolation, and more than one workload at a
//! time could be cut into safe steps too; they take the generation instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ringfence_common::abi::identity::identity;
use ringfence_common::abi::policy::{Direction, PolicyKey, action, forms};

use super::diff::difference;
use super::{Tables, TablesDiff};

/// Why a difference must not be applied entry by entry. See the module's text for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Hazard {
    /// A number stands for something else than before.
    Numbers,
    /// Prefixes change.
    Prefixes,
    /// More than one address of a family changes, or one changes together with visible policy.
    Addresses,
    /// An endpoint changes its subject, its interface, or hands an address to another.
    Endpoints,
    /// A subject becomes isolated, or is no longer.
    Enforcement,
    /// Entries change for a subject that has denials.
    Denials,
    /// Entries are added and removed, and not for one direction alone.
    BothDirections,
    /// A class changes its ports while entries for it come or go.
    Classes,
    /// A form is no longer looked for while classes or addresses change.
    Forms,
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Numbers => "a number stands for something else",
            Self::Prefixes => "address prefixes change",
            Self::Addresses => "several addresses change, or one together with policy",
            Self::Endpoints => "an endpoint changes its labels, interface or addresses",
            Self::Enforcement => "isolation begins or ends",
            Self::Denials => "rules change beside rules that deny",
            Self::BothDirections => "rules come and go in both directions",
            Self::Classes => "a class of ports changes together with its rules",
            Self::Forms => "a kind of entry vanishes while ports or addresses change",
        })
    }
}

/// The steps by way of classes that are fine enough for both tables, where the `direct` one is not
/// safe; `None` if these are not either, or no class changes.
pub(super) fn detour(old: Part<'_>, new: Part<'_>, direct: &TablesDiff) -> Option<Vec<TablesDiff>> {
    if direct.classes.is_empty() {
        return None;
    }
    let mut classes = old.tables.classes.clone();
    for (protocol, starts) in &new.tables.classes {
        classes.entry(*protocol).or_default().extend(starts);
    }
    let (first, second) = (old.tables.refined(&classes), new.tables.refined(&classes));
    let (first, second) = (Part::of(&first, old.whole), Part::of(&second, new.whole));
    let steps = [difference(old, first), difference(first, second), difference(second, new)];
    let steps: Vec<TablesDiff> = steps.into_iter().filter(|step| !step.is_empty()).collect();
    steps.iter().all(TablesDiff::safe_in_place).then_some(steps)
}

/// What whole tables say, of which a part is at hand.
pub(super) trait Whole {
    /// Whether some workload is of this subject.
    fn has_subject(&self, subject: u32) -> bool;

    /// Whether some address means this peer; those that do not depend on the tables are meant
    /// always.
    fn is_meant(&self, peer: u32) -> bool;

    /// Whether a side has denials.
    fn denies(&self, subject: u32, direction: Direction) -> bool;
}

/// What there is to know about tables that are all at hand.
pub(super) struct Facts<'a> {
    tables: &'a Tables,
    meant: BTreeSet<u32>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(tables: &'a Tables) -> Self {
        let meant = tables.addresses.values().chain(tables.prefixes.values()).copied();
        Self { tables, meant: meant.collect() }
    }
}

impl Whole for Facts<'_> {
    fn has_subject(&self, subject: u32) -> bool {
        self.tables.subjects.contains_key(&subject)
    }

    fn is_meant(&self, peer: u32) -> bool {
        peer < identity::FIRST_DYNAMIC || self.meant.contains(&peer)
    }

    fn denies(&self, subject: u32, direction: Direction) -> bool {
        let key = |peer, service| PolicyKey { subject, peer, service };
        let entries = self.tables.policy.range(key(0, 0)..=key(u32::MAX, u32::MAX));
        let mut of_side = entries.filter(|(key, _)| key.direction() == direction);
        of_side.any(|(_, entry)| entry.action != action::ALLOW)
    }
}

/// Some tables, as far as they matter for a difference: all that differs from the others, and where
/// classes of ports do, all entries that go by them.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// What is at hand.
    pub(super) tables: &'a Tables,
    whole: &'a dyn Whole,
}

impl<'a> Part<'a> {
    /// The part `tables` of some whole.
    pub(super) fn of(tables: &'a Tables, whole: &'a dyn Whole) -> Self {
        Self { tables, whole }
    }

    /// Whether a packet could meet the entry of `key`, if it were there.
    fn shows(self, key: &PolicyKey) -> bool {
        self.whole.has_subject(key.subject) && self.whole.is_meant(key.peer)
    }

    fn last_port(self, protocol: u8, class: u16) -> Option<u16> {
        self.tables.last_port(protocol, class)
    }
}

/// Everything that forbids to go from `old` to `new` entry by entry; `diff` is their difference.
pub(super) fn hazards(old: Part<'_>, new: Part<'_>, diff: &TablesDiff) -> BTreeSet<Hazard> {
    let classes_change = !diff.classes.is_empty();
    let addresses_change = !diff.addresses.is_empty();
    let visible = visible_changes(old, new, diff);
    let checks = [
        (Hazard::Numbers, !diff.identities.changed.is_empty()),
        (Hazard::Prefixes, !diff.prefixes.is_empty()),
        (Hazard::Endpoints, endpoints_change_hands(diff)),
        (Hazard::Addresses, addresses_change && !(one_address(diff) && visible.is_empty())),
        (Hazard::Enforcement, diff.subjects.changed.values().any(|(a, b)| enforcement(a, b))),
        (Hazard::Denials, visible_beside_denials(old, new, diff, &visible)),
        (Hazard::BothDirections, both_directions(diff, &visible)),
        (Hazard::Classes, classes_change && classes_move(old, new, diff)),
        (Hazard::Forms, (classes_change || addresses_change) && forms_vanish(diff)),
    ];
    checks.into_iter().filter(|(_, there)| *there).map(|(hazard, _)| hazard).collect()
}

fn endpoints_change_hands(diff: &TablesDiff) -> bool {
    let other = diff.endpoints.changed.values().any(|(before, after)| {
        (before.subject, &before.interface, before.host)
            != (after.subject, &after.interface, after.host)
    });
    other
        || diff.addresses.changed.values().any(|(before, after)| before.endpoint != after.endpoint)
}

/// Whether at most one address of a family changes, no class with it, and no action of an entry.
fn one_address(diff: &TablesDiff) -> bool {
    let v4 = diff.addresses.keys().filter(|address| matches!(address, IpAddr::V4(_))).count();
    let v6 = diff.addresses.keys().count() - v4;
    v4 <= 1 && v6 <= 1 && diff.classes.is_empty() && same_actions(diff)
}

fn same_actions(diff: &TablesDiff) -> bool {
    diff.policy.changed.values().all(|(before, after)| before.action == after.action)
}

fn enforcement(before: &super::Subject, after: &super::Subject) -> bool {
    let bits = forms::ENFORCED | forms::ISOLATED;
    let enforced =
        |subject: &super::Subject| (subject.ingress_forms & bits, subject.egress_forms & bits);
    enforced(before) != enforced(after)
}

/// The keys that come or go and that some packet could meet on the other side of the change.
fn visible_changes<'a>(
    old: Part<'_>,
    new: Part<'_>,
    diff: &'a TablesDiff,
) -> BTreeSet<&'a PolicyKey> {
    let added = diff.policy.added.keys().filter(|key| old.shows(key));
    let removed = diff.policy.removed.keys().filter(|key| new.shows(key));
    added.chain(removed).collect()
}

/// Whether a side whose entries visibly change has denials before or after.
fn visible_beside_denials(
    old: Part<'_>,
    new: Part<'_>,
    diff: &TablesDiff,
    visible: &BTreeSet<&PolicyKey>,
) -> bool {
    let changed = diff.policy.changed.iter().filter(|(_, (a, b))| a.action != b.action);
    let keys = visible.iter().copied().chain(changed.map(|(key, _)| key));
    let sides: BTreeSet<(u32, Direction)> =
        keys.map(|key| (key.subject, key.direction())).collect();
    let denies = |part: Part<'_>, (subject, direction)| part.whole.denies(subject, direction);
    sides.into_iter().any(|side| denies(old, side) || denies(new, side))
}

fn both_directions(diff: &TablesDiff, visible: &BTreeSet<&PolicyKey>) -> bool {
    let directions: BTreeSet<Direction> = visible.iter().map(|key| key.direction()).collect();
    let come = visible.iter().any(|key| diff.policy.added.contains_key(key));
    let go = visible.iter().any(|key| diff.policy.removed.contains_key(key));
    come && go && directions.len() == 2
}

/// Whether an entry comes for a class that was wider, or goes for a class that becomes wider.
fn classes_move(old: Part<'_>, new: Part<'_>, diff: &TablesDiff) -> bool {
    let grows = |key: &PolicyKey, from: Part<'_>, to: Part<'_>| match key.protocol_and_class() {
        Some((protocol, Some(class))) => {
            match (from.last_port(protocol, class), to.last_port(protocol, class)) {
                (Some(from), Some(to)) => from < to,
                (None, _) | (_, None) => false,
            }
        }
        Some((_, None)) | None => false,
    };
    diff.policy.added.keys().any(|key| grows(key, new, old))
        || diff.policy.removed.keys().any(|key| grows(key, old, new))
}

fn forms_vanish(diff: &TablesDiff) -> bool {
    diff.subjects.changed.values().any(|(before, after)| {
        before.ingress_forms & !after.ingress_forms != 0
            || before.egress_forms & !after.egress_forms != 0
    })
}

impl Tables {
    /// The differences that lead from these tables to `new`, each [`TablesDiff::safe_in_place`];
    /// `None` if a new generation has to take over.
    #[must_use]
    pub fn steps_to(&self, new: &Self) -> Option<Vec<TablesDiff>> {
        let (here, there) = (Facts::of(self), Facts::of(new));
        let (old, new) = (Part::of(self, &here), Part::of(new, &there));
        let direct = difference(old, new);
        if direct.safe_in_place() { Some(vec![direct]) } else { detour(old, new, &direct) }
    }

    /// The same policy with more classes: `classes` has all that these tables have.
    fn refined(&self, classes: &BTreeMap<u8, BTreeSet<u16>>) -> Self {
        let mut refined = self.clone();
        refined.classes = classes.clone();
        for (key, entry) in &self.policy {
            let Some((protocol, Some(class))) = key.protocol_and_class() else { continue };
            let Some(last) = self.last_port(protocol, class) else { continue };
            let starts = classes.get(&protocol).into_iter().flatten();
            for start in starts.filter(|start| (class..=last).contains(start)) {
                let service = PolicyKey::service(key.direction(), protocol, *start);
                refined.policy.insert(PolicyKey { service, ..*key }, *entry);
            }
        }
        refined
    }
}
