//! From one table to another, so that each packet meets the old one or the new one.
//!
//! # What the kernel promises, and what not
//!
//! One `nft -f` is one transaction, and its rules count all at once. Elements do not quite: those
//! of maps with concatenated intervals begin to count map by map, a moment after the rules of the
//! same transaction (Linux 6.18: `nf_tables_commit` turns the generation first and then has each
//! set commit its own copy, `nft_pipapo_commit`). A packet in that moment meets new chains and old
//! maps, or empty ones; under load some do. So a change is made in steps, each a transaction,
//! none of which needs that promise:
//!
//! * Where only elements of the policy of one direction differ, they are put in and replaced from
//!   the first form to the fifth, then the others are taken out from the fifth to the first. A
//!   packet looks in one map for each form. While elements go in, the first one that it finds is
//!   its old one, or its new one where that is of the same form or an earlier one; and while they
//!   go out, its old one is found until it goes, and everything old behind that has gone before: so
//!   the new one is next. Chains stay as they are.
//! * Otherwise no map changes that a chain looks in. What differs is filled under a fresh name,
//!   with the chains that nobody leads to yet; then the chains that the kernel calls,
//!   and all others, switch to them in one transaction that has only rules in it; then what nobody
//!   leads to any more is taken away.
//!
//! What interrupts the steps leaves a table that enforces the old policy or the new one, and maps
//! and chains that nobody leads to, which the next apply takes away.

mod in_order;
mod switch;

use std::collections::BTreeMap;

pub(super) use self::switch::There;
use super::script::{MARK, TABLE, hash};
use super::{Chain, Map, Rule, Ruleset};
use crate::backend::chains::Script;

/// What it takes to make one table of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The texts, each for a transaction of its own; none where nothing differs.
    pub steps: Vec<Script>,
    /// The table under the names that its maps have then.
    pub ruleset: Ruleset,
    /// The chains whose rules are written, and the chains that go.
    pub chains: usize,
    /// Rules and elements that are new, that say something else, and that go.
    pub entries: [usize; 3],
    /// Rules and elements written or removed; more than differ where maps are filled anew.
    pub touched: usize,
    /// Whether chains and maps stay, and only elements come and go.
    pub in_order: bool,
}

impl Changes {
    /// All steps as one text, for nft to look at before any of them is taken.
    #[must_use]
    pub fn whole(&self) -> Script {
        Script { lines: self.steps.iter().flat_map(|step| step.lines.clone()).collect() }
    }
}

impl Ruleset {
    /// What makes this table of `before`, which is there under the names that it has.
    #[must_use]
    pub fn changes(&self, before: &Self) -> Changes {
        let names = before.maps.keys().map(|name| (canonical(name), name.clone())).collect();
        let same = self.named(&names);
        let entries = difference(&before.canonical(), self);
        if let Some(steps) = in_order::steps(before, &same) {
            let touched = entries.iter().sum();
            return Changes { steps, ruleset: same, chains: 0, entries, touched, in_order: true };
        }
        let there = There::recorded(before);
        let keeps = |(name, map): &(&String, &Map)| {
            names.get(*name).is_some_and(|there| before.maps.get(there) == Some(*map))
        };
        let kept = self.maps.iter().filter(keeps);
        let mut new_names: BTreeMap<String, String> =
            kept.map(|(name, _)| (name.clone(), names[name].clone())).collect();
        for name in self.maps.keys() {
            new_names.entry(name.clone()).or_insert_with(|| there.fresh(name));
        }
        let ruleset = self.named(&new_names);
        let steps = there.switch(&ruleset);
        let (chains, removed) = gone(before, &ruleset);
        let touched = written(&steps) + removed;
        Changes { steps, ruleset, chains, entries, touched, in_order: false }
    }

    /// What puts this table where there is none.
    #[must_use]
    pub fn installation(&self) -> Changes {
        self.instead_of(&There::default())
    }

    /// What makes this table of one of ours of which only the names are known.
    pub(super) fn instead_of(&self, there: &There) -> Changes {
        let names = self.maps.keys().map(|name| (name.clone(), there.fresh(name))).collect();
        let ruleset = self.named(&names);
        let steps = there.switch(&ruleset);
        let (chains, entries) = (ruleset.chains.len(), [ruleset.entries(), 0, 0]);
        let touched = written(&steps);
        Changes { steps, ruleset, chains, entries, touched, in_order: false }
    }

    /// The text that puts this table in the place of whatever table of its name there is. For a
    /// moment packets may meet its chains without the elements of its maps.
    #[must_use]
    pub fn replacement(&self) -> Script {
        let mut script = Script::default();
        // Deleting what is not there is an error, adding what is there is none.
        script.line(format!("add table {TABLE} {{ {MARK}; }}"));
        script.line(format!("delete table {TABLE}"));
        script.lines.extend(self.script().lines);
        script
    }

    /// The same table with other names for its maps; those without a new one keep theirs.
    fn named(&self, names: &BTreeMap<String, String>) -> Self {
        let new = |name: &str| names.get(name).map_or(name, String::as_str).to_owned();
        let word = |word: &str| match word.strip_prefix('@') {
            Some(name) => format!("@{}", new(name)),
            None => word.to_owned(),
        };
        let mut ruleset = self.clone();
        ruleset.maps = self.maps.iter().map(|(name, map)| (new(name), map.clone())).collect();
        for rule in ruleset.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            if rule.text.contains('@') {
                rule.text = rule.text.split(' ').map(word).collect::<Vec<_>>().join(" ");
            }
        }
        ruleset
    }

    /// The same table under the names that are rendered.
    fn canonical(&self) -> Self {
        self.named(&self.maps.keys().map(|name| (name.clone(), canonical(name))).collect())
    }
}

/// What other names of a map end with: `_b` to `_z`, `_b1` to `_z1`, and so on without an end.
/// No name that is rendered ends like that.
fn other_ends() -> impl Iterator<Item = String> {
    (0_u64..).flat_map(|round| {
        let number = if round == 0 { String::new() } else { round.to_string() };
        ('b'..='z').map(move |letter| format!("_{letter}{number}"))
    })
}

/// The name of a map as it is rendered.
fn canonical(name: &str) -> String {
    let is_other = |end: &str| {
        let number = end.strip_prefix(|letter| matches!(letter, 'b'..='z'));
        number.is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
    };
    match name.rsplit_once('_') {
        Some((canonical, end)) if is_other(end) => canonical.to_owned(),
        _ => name.to_owned(),
    }
}

/// Rules and elements that are new, that say something else, and that go. Rules have no names:
/// those of a chain count that were not there before, and that are not there any more.
fn difference(before: &Ruleset, after: &Ruleset) -> [usize; 3] {
    let [mut new, mut other, mut gone] = [0; 3];
    for (name, map) in &after.maps {
        let old = before.maps.get(name).map(|map| &map.elements);
        for (key, element) in &map.elements {
            match old.and_then(|old| old.get(key)) {
                None => new += 1,
                Some(old) => other += usize::from(old != element),
            }
        }
    }
    for (name, map) in &before.maps {
        let now = after.maps.get(name).map(|map| &map.elements);
        gone +=
            map.elements.keys().filter(|key| now.is_none_or(|now| !now.contains_key(*key))).count();
    }
    let (old, now) = (by_name(before), by_name(after));
    let rules = |chains: &BTreeMap<&str, &Chain>, name: &str| -> Vec<Rule> {
        chains.get(name).map(|chain| chain.rules.clone()).unwrap_or_default()
    };
    let not_in =
        |these: &[Rule], those: &[Rule]| these.iter().filter(|rule| !those.contains(rule)).count();
    for name in now.keys() {
        new += not_in(&rules(&now, name), &rules(&old, name));
    }
    for name in old.keys() {
        gone += not_in(&rules(&old, name), &rules(&now, name));
    }
    [new, other, gone]
}

/// Chains that are written or go, and the rules and elements that go with the old ones.
fn gone(before: &Ruleset, after: &Ruleset) -> (usize, usize) {
    let (old, now) = (by_name(before), by_name(after));
    let is_same = |name: &str| match (old.get(name), now.get(name)) {
        (Some(old), Some(now)) => hash(old) == hash(now),
        _ => false,
    };
    let written = now.keys().filter(|name| !is_same(name)).count();
    let gone = old.keys().filter(|name| !now.contains_key(*name)).count();
    let rules = old.values().filter(|chain| !is_same(&chain.name));
    let rules: usize = rules.map(|chain| chain.rules.len()).sum();
    let maps = before.maps.iter().filter(|(name, _)| !after.maps.contains_key(*name));
    let elements: usize = maps.map(|(_, map)| map.elements.len()).sum();
    (written + gone, rules + elements)
}

/// The rules and elements that are written.
fn written(steps: &[Script]) -> usize {
    let lines = steps.iter().flat_map(|step| &step.lines);
    lines.filter(|line| line.text.starts_with('\t') || line.text.starts_with("add rule")).count()
}

fn by_name(ruleset: &Ruleset) -> BTreeMap<&str, &Chain> {
    ruleset.chains.iter().map(|chain| (chain.name.as_str(), chain)).collect()
}

#[cfg(test)]
mod tests;
