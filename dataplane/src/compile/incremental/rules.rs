//! Policies and rules that come, go and change.

use std::collections::BTreeSet;

use super::counts::Counts;
use super::sources::{Extent, Sources, Touched};
use super::state::{Anew, PolicyState, RuleState, RuleThings, State};
use super::{PolicyId, RuleId};
use crate::compile::RuleDescription;
use crate::compile::precedence::{Rule, place};
use crate::compile::services::named;
use crate::model::{
    self, Direction, NAMESPACE_NAME_LABEL, NamespaceScope, Peer, Peers, Policy, PolicyName,
    Selector,
};

const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

impl State {
    /// Makes the policies and their rules those of `sources`. Whom the rules are about is found
    /// later ([`State::resolve_rules`]), when it is known who there is.
    pub(super) fn follow_policies(&mut self, sources: &Sources, touched: &Touched) {
        for (name, extent) in &touched.policies {
            match extent {
                Extent::Whole => {
                    self.remove_policy(name);
                    if let Some(policy) = sources.policies.get(name) {
                        self.add_policy(policy);
                    }
                }
                Extent::Rules(places) => self.change_rules(&sources.policies[name], places),
            }
        }
        for (id, selection) in self.selections.sweep() {
            for subject in &selection.subjects {
                self.subjects[*subject].selections.remove(&id);
            }
            self.read(&selection.scope, &selection.selector, false);
        }
    }

    fn remove_policy(&mut self, name: &PolicyName) {
        let Some(id) = self.policy_ids.remove(name) else { return };
        for direction in DIRECTIONS {
            self.touch_policy(id, direction);
            while let Some(rule) = self.policies[id].rules[direction as usize].pop() {
                self.remove_rule(rule);
            }
        }
        let Some(policy) = self.policies.remove(id) else { return };
        let selection = &mut self.selections.all[policy.selection];
        selection.policies.remove(&id);
        for subject in &selection.subjects {
            self.subjects[*subject].selecting.retain(|other| *other != id);
        }
        self.selections.leave(policy.selection);
    }

    fn add_policy(&mut self, policy: &Policy) {
        let selection = self.selection(&policy.subject_namespaces, &policy.subjects);
        let id = self.policies.add(PolicyState {
            name: policy.name.clone(),
            tier: policy.tier,
            priority: policy.priority,
            isolates: DIRECTIONS.map(|direction| policy.isolates(direction)),
            selection,
            rules: Default::default(),
            everyone: Default::default(),
            said: Default::default(),
            several: Default::default(),
        });
        self.policy_ids.insert(policy.name.clone(), id);
        self.selections.all[selection].policies.insert(id);
        for direction in DIRECTIONS {
            for position in 0..policy.rules(direction).len() {
                self.add_rule(id, policy, direction, position);
            }
        }
        self.work.new_policies.insert(id);
        self.work.policies.insert(id);
    }

    /// Makes the rules at `places` those of `policy`.
    fn change_rules(&mut self, policy: &Policy, places: &BTreeSet<(Direction, usize)>) {
        let id = self.policy_ids[&policy.name];
        for (direction, position) in places.iter().rev() {
            let of = *direction as usize;
            if *position >= policy.rules(*direction).len()
                && *position < self.policies[id].rules[of].len()
                && let Some(rule) = self.policies[id].rules[of].pop()
            {
                self.touch_rule(rule);
                self.remove_rule(rule);
            }
        }
        for (direction, position) in places {
            if *position < policy.rules(*direction).len() {
                match self.policies[id].rules[*direction as usize].get(*position) {
                    Some(rule) => self.replace_rule(*rule, policy),
                    None => self.add_rule(id, policy, *direction, *position),
                }
            }
        }
        self.work.policies.insert(id);
    }

    fn add_rule(&mut self, id: PolicyId, of: &Policy, direction: Direction, position: usize) {
        let source = &of.rules(direction)[position];
        let compiled = Rule::new((id, of), direction, source, 0, false);
        let rule = self.rules.add(RuleState {
            compiled,
            direction,
            position,
            origin: source.origin.clone(),
            selections: BTreeSet::new(),
            blocks: BTreeSet::new(),
            about_everyone: false,
            named: Vec::new(),
        });
        self.policies[id].rules[direction as usize].push(rule);
        self.enter(rule, source);
        self.work.new_rules.insert(rule);
    }

    /// Puts the rule of `policy` in the place of the one that was there.
    fn replace_rule(&mut self, id: RuleId, policy: &Policy) {
        let RuleState { direction, position, .. } = self.rules[id];
        let source = &policy.rules(direction)[position];
        self.touch_rule(id);
        let (selections, blocks) = self.leave(id);
        let number = self.rules[id].compiled.number;
        let policy_id = self.rules[id].compiled.policy;
        let compiled = Rule::new((policy_id, policy), direction, source, number, false);
        let rule = &mut self.rules[id];
        rule.compiled = compiled;
        rule.origin.clone_from(&source.origin);
        self.enter(id, source);
        self.release(id, &selections, &blocks);
    }

    fn remove_rule(&mut self, id: RuleId) {
        let (selections, blocks) = self.leave(id);
        self.release(id, &selections, &blocks);
        self.rule_numbers.remove(id, &RuleThings(&self.policies, &self.rules));
        self.ledger.rule(self.rules[id].compiled.number, None);
        self.rules.remove(id);
        self.work.rules.remove(&id);
        self.work.new_rules.remove(&id);
    }

    /// Notes what a rule needs.
    fn enter(&mut self, id: RuleId, source: &model::Rule) {
        let (mut selections, mut blocks) = (BTreeSet::new(), BTreeSet::new());
        if let Peers::Any(peers) = &source.peers {
            for peer in peers {
                match peer {
                    Peer::Workloads { namespaces, workloads } => {
                        selections.insert(self.selection(namespaces, workloads));
                    }
                    Peer::Block(block) => _ = blocks.insert(self.blocks.of(block, id)),
                }
            }
        }
        for selection in &selections {
            self.selections.all[*selection].rules.insert(id);
        }
        let rule = &mut self.rules[id];
        rule.selections = selections;
        rule.blocks = blocks;
        rule.about_everyone = source.peers == Peers::Everyone;
        let names = named(&source.ports).map(|(protocol, name)| (protocol, name.to_owned()));
        rule.named = names.collect();
        rule.named.iter().for_each(|name| self.port_names.add(name));
        self.ports.add_rule(id, &rule.compiled.services);
        let policy = &mut self.policies[rule.compiled.policy];
        policy.said[rule.direction as usize][rule.compiled.action as usize] += 1;
        if rule.about_everyone {
            policy.everyone[rule.direction as usize].insert(id);
            if rule.direction == Direction::Egress && !rule.named.is_empty() {
                self.everyone_named.insert(id);
            }
        }
        self.work.rules.insert(id);
    }

    /// Takes back what a rule needs, but for its selections and blocks, which are returned.
    fn leave(&mut self, id: RuleId) -> (BTreeSet<usize>, BTreeSet<usize>) {
        let rule = &mut self.rules[id];
        let mut peers = rule.compiled.peers.take().unwrap_or_default();
        peers.extend(rule.compiled.peer_ports.values().flatten());
        for peer in peers {
            if let Some(peer) = self.peers.get_mut(peer) {
                peer.rules.remove(&id);
            }
        }
        rule.named.iter().for_each(|name| self.port_names.remove(name));
        self.ports.remove_rule(id, &rule.compiled.services);
        let policy = &mut self.policies[rule.compiled.policy];
        policy.said[rule.direction as usize][rule.compiled.action as usize] -= 1;
        policy.everyone[rule.direction as usize].remove(&id);
        self.everyone_named.remove(&id);
        (std::mem::take(&mut rule.selections), std::mem::take(&mut rule.blocks))
    }

    /// Gives up the selections and blocks that a rule needed and does not need now.
    fn release(&mut self, id: RuleId, selections: &BTreeSet<usize>, blocks: &BTreeSet<usize>) {
        let rule = &self.rules[id];
        for selection in selections.difference(&rule.selections) {
            self.selections.all[*selection].rules.remove(&id);
            self.selections.leave(*selection);
        }
        for block in blocks.difference(&rule.blocks) {
            self.blocks.leave(*block, id);
        }
    }

    fn selection(&mut self, scope: &NamespaceScope, selector: &Selector) -> usize {
        let (id, is_new) = self.selections.of(scope, selector);
        if is_new {
            self.read(scope, selector, true);
        }
        id
    }

    /// Counts the keys that a selection reads, or counts them off.
    fn read(&mut self, scope: &NamespaceScope, selector: &Selector, is_new: bool) {
        let count = if is_new { Counts::add::<str> } else { Counts::remove::<str> };
        selector.keys().for_each(|key| count(&mut self.keys, key));
        match scope {
            NamespaceScope::Named(_) => count(&mut self.namespace_keys, NAMESPACE_NAME_LABEL),
            NamespaceScope::Selected(selector) => {
                selector.keys().for_each(|key| count(&mut self.namespace_keys, key));
            }
        }
    }

    /// Gives new rules their numbers and all that changed their places.
    ///
    /// # Errors
    ///
    /// [`Anew`] if another rule's number moves.
    pub(super) fn number_rules(&mut self) -> Result<(), Anew> {
        let things = RuleThings(&self.policies, &self.rules);
        let new = std::mem::take(&mut self.work.new_rules);
        new.iter().for_each(|rule| self.rule_numbers.insert(*rule, &things));
        for rule in self.rule_numbers.moved() {
            let moves = |state: &RuleState| state.compiled.number != self.rule_numbers.of(rule);
            if !new.contains(&rule) && self.rules.get(rule).is_some_and(moves) {
                return Err(Anew);
            }
        }
        for rule in new {
            self.rules[rule].compiled.number = self.rule_numbers.of(rule);
        }
        let mut placed = self.work.rules.clone();
        for id in std::mem::take(&mut self.work.policies) {
            for direction in DIRECTIONS {
                let Some(policy) = self.policies.get_mut(id) else { continue };
                let several = policy.says_several(direction);
                if several != policy.several[direction as usize] {
                    policy.several[direction as usize] = several;
                    placed.extend(&policy.rules[direction as usize]);
                    self.touch_policy(id, direction);
                }
            }
        }
        for id in placed {
            let RuleState { compiled, direction, .. } = &mut self.rules[id];
            let several = self.policies[compiled.policy].several[*direction as usize];
            let number = several.then_some(compiled.number);
            compiled.place = place(compiled.tier, compiled.priority, compiled.action, number);
        }
        Ok(())
    }

    /// Finds the subjects of new selections, and lets new policies be about theirs.
    pub(super) fn attach_policies(&mut self) {
        let subjects = &self.subjects;
        for (selection, subject) in self.selections.evaluate(|id| &subjects[id].description) {
            self.subjects[subject].selections.insert(selection);
        }
        for id in std::mem::take(&mut self.work.new_policies) {
            let Some(policy) = self.policies.get(id) else { continue };
            let selected = &self.selections.all[policy.selection].subjects;
            for subject in selected.iter().copied().collect::<Vec<_>>() {
                self.select(subject, id);
            }
            DIRECTIONS.into_iter().for_each(|direction| self.touch_policy(id, direction));
        }
    }

    /// Lets a policy be about a subject, if it is not yet.
    pub(super) fn select(&mut self, subject: usize, policy: PolicyId) {
        let policies = &self.policies;
        let order = |id: &PolicyId| policies[*id].order();
        let selecting = &mut self.subjects[subject].selecting;
        if let Err(at) = selecting.binary_search_by(|other| order(other).cmp(&order(&policy))) {
            selecting.insert(at, policy);
        }
    }

    /// Finds whom new and changed rules are about.
    pub(super) fn resolve_rules(&mut self) {
        for id in std::mem::take(&mut self.work.rules) {
            self.resolve_rule(id);
            self.touch_rule(id);
            let name = RuleThings(&self.policies, &self.rules).name(id).to_string();
            let origin = self.rules[id].origin.clone();
            let number = self.rules[id].compiled.number;
            self.ledger.rule(number, Some(RuleDescription { name, origin }));
        }
    }

    fn resolve_rule(&mut self, id: RuleId) {
        let rule = &self.rules[id];
        let mut peers = Vec::new();
        for selection in &rule.selections {
            for subject in &self.selections.all[*selection].subjects {
                peers.extend(&self.subjects[*subject].peers);
            }
        }
        for block in &rule.blocks {
            peers.extend(&self.blocks.get(*block).peers);
        }
        peers.sort_unstable();
        peers.dedup();
        if rule.about_everyone {
            if rule.direction == Direction::Egress && !rule.named.is_empty() {
                let all: Vec<usize> = self.peers.positions().collect();
                all.into_iter().for_each(|peer| self.name_ports(id, peer));
            }
            return;
        }
        for peer in &peers {
            self.peers[*peer].rules.insert(id);
        }
        if rule.direction == Direction::Egress && !rule.named.is_empty() {
            peers.iter().for_each(|peer| self.name_ports(id, *peer));
        }
        self.rules[id].compiled.peers = Some(peers);
    }

    /// Lets an egress rule be about a peer of its by the ports that it has names for.
    pub(super) fn name_ports(&mut self, id: RuleId, peer: usize) {
        let state = &mut self.peers[peer];
        let (true, Some(subject)) = (state.meant, state.subject) else { return };
        let RuleState { named, compiled, .. } = &mut self.rules[id];
        for port in &self.subjects[subject].ports {
            if named.iter().any(|(protocol, name)| port.is(*protocol, name)) {
                let peers = compiled.peer_ports.entry((port.protocol, port.number)).or_default();
                if let Err(at) = peers.binary_search(&peer) {
                    peers.insert(at, peer);
                }
                state.rules.insert(id);
            }
        }
    }
}
