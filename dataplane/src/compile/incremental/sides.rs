//! Entries that are drawn again: of whole sides, or for some peers of a side.
//!
//! A side is one direction of a subject. What it says about a peer depends on the rules that name
//! the peer and on those about everyone, so a rule about some peers touches the entries for these
//! alone, however many others the side has.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_common::abi::identity::identity::ANY;
use ringfence_common::abi::limits;
use ringfence_common::abi::policy::{PolicyEntry, PolicyKey, action};

use super::state::{Anew, SideState, State, Touch};
use super::{PeerId, PolicyId, RuleId, SubjectId};
use crate::compile::entries::{Entry, Side, form};
use crate::model::{Direction, Protocol, Tier};

/// The largest service of a direction.
const LAST_SERVICE: u32 = PolicyKey::any_service(Direction::Egress) - 1;

impl State {
    /// Brings the classes of ports up to date, and touches the rules that they cut in another way.
    pub(super) fn follow_classes(&mut self) {
        let changed = self.ports.follow();
        let protocols: BTreeSet<Protocol> = changed.iter().map(|(protocol, _)| *protocol).collect();
        for start in changed {
            for rule in self.ports.cut(start) {
                self.touch_rule(rule);
            }
        }
        for protocol in protocols {
            let starts = self.ports.classes.boundaries_of(protocol);
            self.ledger.classes(protocol.number(), starts);
        }
    }

    /// Draws what has been touched.
    ///
    /// # Errors
    ///
    /// [`Anew`] if there is no room for all entries.
    pub(super) fn draw_sides(&mut self) -> Result<(), Anew> {
        for ((subject, direction), touch) in std::mem::take(&mut self.work.sides) {
            if self.subjects.get(subject).is_none() {
                continue;
            }
            match &touch {
                Touch::Peers(peers) if self.sides.contains_key(&(subject, direction)) => {
                    self.draw_peers(subject, direction, peers);
                }
                Touch::Peers(_) | Touch::All => self.draw_all(subject, direction),
            }
            if !self.is_new() {
                self.work.drawn.push((subject, direction, touch));
            }
            if !self.is_new() && self.entries > limits::POLICY_ENTRIES as usize {
                return Err(Anew);
            }
        }
        Ok(())
    }

    /// Draws a whole side.
    fn draw_all(&mut self, subject: SubjectId, direction: Direction) {
        let selecting = &self.subjects[subject].selecting;
        let of = |id: &PolicyId| &self.policies[*id].rules[direction as usize];
        let side = self.side(subject, direction, selecting.iter().flat_map(of));
        let mut entries = side.entries(&self.ports.classes, |peer| self.number(peer), None);
        let (is_open, is_isolated) = (side.is_open(&entries), side.is_isolated());
        if is_open {
            entries.clear();
        }
        let number = self.subject_number(subject);
        let before: Vec<PolicyKey> = if self.is_new() {
            Vec::new()
        } else {
            let first = PolicyKey { subject: number, peer: 0, service: 0 };
            let last = PolicyKey { subject: number, peer: u32::MAX, service: u32::MAX };
            let old = self.ledger.tables.policy.range(first..=last).map(|(key, _)| *key);
            old.filter(|key| key.direction() == direction).collect()
        };
        self.replace(subject, direction, before, entries);
        if is_open {
            self.sides.remove(&(subject, direction));
        } else {
            self.sides.entry((subject, direction)).or_default();
        }
        self.write_forms(subject, direction, is_isolated);
    }

    /// Draws the entries of a side for the peers of some numbers; the rest stays.
    fn draw_peers(&mut self, subject: SubjectId, direction: Direction, numbers: &BTreeSet<u32>) {
        let holder = |number: &u32| self.identity_numbers.holder(*number);
        let peers: BTreeSet<PeerId> = numbers.iter().filter_map(holder).collect();
        let rules = self.rules_about(subject, direction, &peers);
        let side = self.side(subject, direction, rules.iter());
        let mut entries = side.entries(&self.ports.classes, |peer| self.number(peer), Some(&peers));
        let is_isolated = side.is_isolated();
        entries.retain(|(peer, ..)| *peer != ANY);
        let subject_number = self.subject_number(subject);
        let mut before = Vec::new();
        for number in numbers {
            let first = PolicyKey::any_service(direction);
            let key = |service| PolicyKey { subject: subject_number, peer: *number, service };
            let old = self.ledger.tables.policy.range(key(first)..=key(first | LAST_SERVICE));
            before.extend(old.map(|(key, _)| *key));
        }
        self.replace(subject, direction, before, entries);
        if !is_isolated && self.sides[&(subject, direction)].entries <= 1 {
            // It may say no more than that everything is open.
            return self.draw_all(subject, direction);
        }
        self.write_forms(subject, direction, is_isolated);
    }

    /// The rules of a side about everyone or one of `peers`, in order.
    fn rules_about(
        &self,
        subject: SubjectId,
        direction: Direction,
        peers: &BTreeSet<PeerId>,
    ) -> Vec<RuleId> {
        let selecting = &self.subjects[subject].selecting;
        let policies = || selecting.iter().map(|id| &self.policies[*id]);
        let all: usize = policies().map(|policy| policy.rules[direction as usize].len()).sum();
        let naming: usize = peers.iter().map(|peer| self.peers[*peer].rules.len()).sum();
        if all <= naming {
            return policies()
                .flat_map(|policy| &policy.rules[direction as usize])
                .copied()
                .collect();
        }
        let is_of_side = |rule: &RuleId| {
            let rule = &self.rules[*rule];
            let selection = self.policies[rule.compiled.policy].selection;
            rule.direction == direction
                && self.selections.all[selection].subjects.contains(&subject)
        };
        let naming = peers.iter().flat_map(|peer| &self.peers[*peer].rules).copied();
        let everyone = policies().flat_map(|policy| &policy.everyone[direction as usize]).copied();
        let mut rules: Vec<RuleId> = naming.filter(is_of_side).chain(everyone).collect();
        let order = |id: RuleId| {
            let rule = &self.rules[id];
            (self.policies[rule.compiled.policy].order(), rule.position)
        };
        rules.sort_unstable_by(|one, other| order(*one).cmp(&order(*other)));
        rules.dedup();
        rules
    }

    fn side<'a>(
        &'a self,
        subject: SubjectId,
        direction: Direction,
        rules: impl Iterator<Item = &'a RuleId>,
    ) -> Side<'a> {
        let subject = &self.subjects[subject];
        let mut isolated = [false; Tier::ALL.len()];
        for policy in &subject.selecting {
            let policy = &self.policies[*policy];
            isolated[policy.tier as usize] |= policy.isolates[direction as usize];
        }
        let rules = rules.map(|rule| &self.rules[*rule].compiled).collect();
        Side { direction, ports: &subject.ports, rules, isolated }
    }

    /// Puts `entries` in the place of those at `before`.
    fn replace(
        &mut self,
        subject: SubjectId,
        direction: Direction,
        before: Vec<PolicyKey>,
        entries: Vec<Entry>,
    ) {
        let number = self.subject_number(subject);
        let mut state = self.sides.remove(&(subject, direction)).unwrap_or_default();
        let entries: BTreeMap<PolicyKey, PolicyEntry> = entries
            .into_iter()
            .map(|(peer, service, entry)| (PolicyKey { subject: number, peer, service }, entry))
            .collect();
        for key in before {
            let old = self.ledger.tables.policy[&key];
            if entries.get(&key) != Some(&old) {
                state.count(&key, &old, false);
                self.entries -= 1;
                if !entries.contains_key(&key) {
                    self.ledger.entry(key, None);
                }
            }
        }
        for (key, entry) in entries {
            if self.ledger.tables.policy.get(&key) == Some(&entry) {
                continue;
            }
            state.count(&key, &entry, true);
            self.entries += 1;
            if self.entries <= limits::POLICY_ENTRIES as usize {
                self.ledger.entry(key, Some(entry));
            }
        }
        self.sides.insert((subject, direction), state);
    }

    fn write_forms(&mut self, subject: SubjectId, direction: Direction, is_isolated: bool) {
        let number = self.subject_number(subject);
        let Some(before) = self.ledger.tables.subjects.get(&number).copied() else { return };
        let mut after = before;
        match self.sides.get(&(subject, direction)) {
            Some(side) => after.set(direction, side.used(), is_isolated),
            None => after.put(direction, 0),
        }
        if after != before {
            self.ledger.subject(number, Some(after));
        }
    }

    /// Takes a subject and all its entries out of the tables.
    pub(super) fn erase_subject(&mut self, subject: SubjectId) {
        let number = self.subject_number(subject);
        let first = PolicyKey { subject: number, peer: 0, service: 0 };
        let last = PolicyKey { subject: number, peer: u32::MAX, service: u32::MAX };
        let old = self.ledger.tables.policy.range(first..=last).map(|(key, _)| *key);
        for key in old.collect::<Vec<_>>() {
            self.entries -= 1;
            self.ledger.entry(key, None);
        }
        self.sides.remove(&(subject, Direction::Ingress));
        self.sides.remove(&(subject, Direction::Egress));
        self.ledger.subject(number, None);
    }

    fn number(&self, peer: PeerId) -> u32 {
        self.peers[peer].number
    }

    /// The number of a subject: of its addresses in no block.
    pub(super) fn subject_number(&self, subject: SubjectId) -> u32 {
        self.number(self.subjects[subject].base)
    }
}

impl SideState {
    fn count(&mut self, key: &PolicyKey, entry: &PolicyEntry, comes: bool) {
        let bit = form(key.peer, key.service).trailing_zeros() as usize;
        let denies = usize::from(entry.action != action::ALLOW);
        if comes {
            self.forms[bit] += 1;
            self.entries += 1;
            self.denials += denies;
        } else {
            self.forms[bit] -= 1;
            self.entries -= 1;
            self.denials -= denies;
        }
    }

    /// The forms of entries that there are.
    fn used(&self) -> u8 {
        let bits = self.forms.iter().enumerate().filter(|(_, entries)| **entries > 0);
        bits.fold(0, |used, (bit, _)| used | 1 << bit)
    }
}
