//! When sets may change element by element, and in which order.
//!
//! # Goals
//!
//! 1. At every moment a packet that opens a connection meets a verdict of the old policy or one of
//!    the new: what both allow passes, what both deny does not (safety P1).
//! 2. One changed rule costs a few elements.
//! 3. What the argument does not cover goes into sets of fresh names, which the chains switch to in
//!    one transaction.
//!
//! # Order
//!
//! A side (what policy says about one direction of one subject) asks its sets one after the other:
//! by [`Form`](crate::backend::chains::Form), and in each form what is denied before what is
//! allowed. The first set that has the packet decides; if none has it, the side's default does,
//! which is a rule of the chain. First elements are added, the set that is asked first before the
//! others; then elements are removed, the set that is asked last before the others. The kernel
//! takes each element at once.
//!
//! # Argument
//!
//! Take one packet at one side. Let `o` be the place of the first set that has it in the old
//! elements, `n` in the new; the default has the last place. What a place decides is fixed, so it
//! is enough that the first set that has the packet is always at `o` or at `n`.
//!
//! *Adding.* The sets up to place `k` hold the old and the new elements, the others only the old.
//! If `n ≤ k`, the first that has the packet is at the lesser of `o` and `n`. If not, no set up to
//! `k` has it for its new elements, and it is found at `o` as before.
//!
//! *Removing.* The sets up to place `k` hold the old and the new elements, the others only the new.
//! If both are at most `k`, it is found at the lesser; if one is, there; if none is, the others
//! hold only new elements, and it is found at `n`.
//!
//! *Within one set.* Elements of one set decide alike, so their order does not matter.
//!
//! *Several sides.* A packet is asked for at most two: on its way out of its sender, and into its
//! receiver. If only sides of one direction change, the other one gives the same answer before and
//! after. If changes of both directions only ever let more pass (what is allowed grows, what is
//! denied shrinks), then each side's verdict changes at most once, from deny to allow, and what
//! both sides together allow grows from the old to the new; likewise if they only ever let less
//! pass. Everything else is not done in place.
//!
//! *Not covered*: a packet that belongs to no connection and opens none, which is asked about in
//! both orientations and can meet two sides of the same direction. While elements of one direction
//! change at both its ends, it may pass where neither policy would let it; a connection does not
//! come of that.
//!
//! An element that stands for several (`tcp:80-90`) may share what it stands for with others, and
//! taking one away would take theirs: nothing is removed in place from a set that has such elements.

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::chains::About;
use crate::backend::ipset::{ELEMENTS, Set, Sets};

/// A change of one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backend) struct ElementChange {
    /// The set, by the name that generators give it.
    pub(super) set: String,
    /// The element.
    pub(super) element: String,
    /// What it is about; nothing where it goes.
    pub(super) about: Option<About>,
    /// What it was about; nothing where it was not there.
    pub(super) before: Option<About>,
}

/// The changes that lead from `old` to `new`, in their order; nothing if they must not be made one
/// by one.
pub(in crate::backend) fn in_place(old: &Sets, new: &Sets) -> Option<Vec<ElementChange>> {
    let is_alike = |(a, b): (&Set, &Set)| {
        (&a.kind, a.family, a.form, a.denies, a.direction)
            == (&b.kind, b.family, b.form, b.denies, b.direction)
    };
    if !old.keys().eq(new.keys()) || !old.values().zip(new.values()).all(is_alike) {
        return None;
    }
    // Elements are added before others go.
    if old.values().zip(new.values()).any(|(old, new)| together(old, new) > ELEMENTS) {
        return None;
    }
    let mut added = Vec::new();
    let mut removed = Vec::new();
    for (name, set) in in_order(new) {
        let before = &old[name].elements;
        let change = |element: &String, before: Option<&About>, about: Option<&About>| {
            let (set, element) = (name.clone(), element.clone());
            ElementChange { set, element, about: about.cloned(), before: before.cloned() }
        };
        for (element, about) in &set.elements {
            if before.get(element) != Some(about) {
                added.push(change(element, before.get(element), Some(about)));
            }
        }
        let gone = before.iter().filter(|(element, _)| !set.elements.contains_key(*element));
        removed.extend(gone.map(|(element, about)| change(element, Some(about), None)));
    }
    removed.reverse();
    let may_share =
        |change: &ElementChange| has_ranges(&old[&change.set]) || has_ranges(&new[&change.set]);
    if removed.iter().any(may_share) || !is_covered(new, &added, &removed) {
        return None;
    }
    Some(added.into_iter().chain(removed).collect())
}

/// How many elements there are while the new ones have come and the old ones have not gone.
fn together(old: &Set, new: &Set) -> usize {
    let come = new.elements.keys().filter(|element| !old.elements.contains_key(*element));
    old.elements.len() + come.count()
}

/// Whether some element stands for several.
fn has_ranges(set: &Set) -> bool {
    set.elements.keys().any(|element| element.contains('-'))
}

/// The sets in the order in which a side asks them. Those of different sides are independent.
fn in_order(sets: &Sets) -> Vec<(&String, &Set)> {
    let mut ordered: Vec<_> = sets.iter().collect();
    ordered.sort_by_key(|(name, set)| (set.form, !set.denies, *name));
    ordered
}

/// Whether the argument about several sides holds.
fn is_covered(sets: &Sets, added: &[ElementChange], removed: &[ElementChange]) -> bool {
    // An element that is only about something else now decides what it decided.
    let added = added.iter().filter(|change| change.before.is_none());
    let mut directions = BTreeSet::new();
    let (mut loosens, mut tightens) = (false, false);
    for (change, is_added) in
        added.map(|change| (change, true)).chain(removed.iter().map(|change| (change, false)))
    {
        let set = &sets[&change.set];
        // Who sends is no side's affair.
        let (Some(direction), Some(_)) = (set.direction, set.form) else { return false };
        directions.insert(direction);
        let lets_more_pass = is_added != set.denies;
        loosens |= lets_more_pass;
        tightens |= !lets_more_pass;
    }
    directions.len() <= 1 || !(loosens && tightens)
}

/// The way back from `changes`, whether or not all of them were made.
pub(super) fn inverse(changes: &[ElementChange]) -> Vec<ElementChange> {
    let back = |change: &ElementChange| ElementChange {
        about: change.before.clone(),
        before: change.about.clone(),
        ..change.clone()
    };
    changes.iter().rev().map(back).collect()
}

/// How many elements are added, changed and removed.
pub(in crate::backend) fn count(changes: &[ElementChange]) -> [usize; 3] {
    let mut counts = [0; 3];
    for change in changes {
        let kind = match (&change.before, &change.about) {
            (None, _) => 0,
            (Some(_), Some(_)) => 1,
            (Some(_), None) => 2,
        };
        counts[kind] += 1;
    }
    counts
}

/// What elements differ between `old` and `new`, whichever way they get there.
pub(in crate::backend) fn differences(old: &Sets, new: &Sets) -> [usize; 3] {
    let nothing = BTreeMap::new();
    let mut counts = [0; 3];
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let old = old.get(name).map_or(&nothing, |set| &set.elements);
        let new = new.get(name).map_or(&nothing, |set| &set.elements);
        counts[0] += new.keys().filter(|element| !old.contains_key(*element)).count();
        counts[2] += old.keys().filter(|element| !new.contains_key(*element)).count();
        let is_changed = |(element, about): &(&String, &About)| {
            old.get(*element).is_some_and(|before| before != *about)
        };
        counts[1] += new.iter().filter(is_changed).count();
    }
    counts
}

#[cfg(test)]
mod tests;
