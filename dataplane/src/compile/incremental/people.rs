//! Workloads, subjects and identities that come, go and change.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_common::abi::identity::{endpoint, identity};

use super::prefixes::Set;
use super::sources::{Sources, Touched};
use super::state::{Anew, PeerState, State, SubjectState, WorkloadState};
use super::{PeerId, SubjectId};
use crate::compile::reads::Reads;
use crate::compile::services::Services;
use crate::compile::{EndpointDescription, IdentityDescription, Subject, identities};
use crate::model::{Direction, Workload, WorkloadName};

impl State {
    /// Lets prefixes, and the addresses within blocks that came or went, mean what they mean now.
    pub(super) fn follow_blocks(&mut self) {
        let moves = self.blocks.follow();
        for (prefix, set) in moves.prefixes {
            if let Some(Some(peer)) = self.prefixes.remove(&prefix) {
                self.drop_peer(peer);
            }
            match set {
                Some(set) => {
                    let peer = self.use_peer(None, &set);
                    self.prefixes.insert(prefix, peer);
                    // Its number is written when it is known.
                    self.work.prefixes.insert(prefix);
                }
                None => self.ledger.prefix(prefix, None),
            }
        }
        for within in moves.within {
            let inside = self.addresses.range(first(within)..=last(within));
            let moved: Vec<(IpAddr, PeerId)> = inside
                .filter(|(address, (_, peer))| {
                    self.blocks.around(**address) != self.peers[*peer].set
                })
                .map(|(address, (_, peer))| (*address, *peer))
                .collect();
            for (address, before) in moved {
                let subject = self.peers[before].subject;
                let set = self.blocks.around(address);
                self.drop_peer(before);
                let peer = self.use_peer(subject, &set);
                if let (Some(owned), Some(peer)) = (self.addresses.get_mut(&address), peer) {
                    owned.1 = peer;
                }
                self.work.addresses.insert(address);
            }
        }
    }

    /// The identity of another address or prefix; `None` for that of everyone.
    fn use_peer(&mut self, subject: Option<SubjectId>, set: &Set) -> Option<PeerId> {
        if subject.is_none() && set.is_empty() {
            return None;
        }
        let id = self.peer(subject, set);
        self.peers[id].uses += 1;
        self.work.peers.insert(id);
        Some(id)
    }

    fn drop_peer(&mut self, id: PeerId) {
        self.peers[id].uses -= 1;
        self.work.peers.insert(id);
    }

    /// The identity of a subject's addresses, or nobody's, in a set of blocks.
    fn peer(&mut self, subject: Option<SubjectId>, set: &Set) -> PeerId {
        let key = (subject, set.clone());
        if let Some(id) = self.peer_ids.get(&key) {
            return *id;
        }
        let id = self.peers.add(PeerState {
            subject,
            set: set.clone(),
            description: IdentityDescription {
                blocks: self.blocks.names(set),
                ..subject.map(|id| self.subjects[id].description.clone()).unwrap_or_default()
            },
            number: identity::WORLD,
            uses: 0,
            rules: BTreeSet::new(),
            numbered: false,
            meant: false,
        });
        self.peer_ids.insert(key, id);
        self.work.peers.insert(id);
        id
    }

    /// Makes the workloads those of `sources`.
    ///
    /// # Errors
    ///
    /// [`Anew`] if another endpoint's number moves.
    pub(super) fn follow_workloads(
        &mut self,
        sources: &Sources,
        touched: &Touched,
    ) -> Result<(), Anew> {
        let mut names: BTreeSet<WorkloadName> = touched.workloads.clone();
        for namespace in &touched.namespaces {
            let first = WorkloadName::new(namespace.clone(), "");
            let of = self.workload_ids.range(first..).map(|(name, _)| name);
            names.extend(of.take_while(|name| name.namespace == *namespace).cloned());
        }
        let keys = [self.namespace_keys.follow(), self.keys.follow()].concat();
        let ports = self.port_names.follow();
        if !keys.is_empty() || !ports.is_empty() {
            names = sources.inventory.workloads().map(|one| one.name.clone()).collect();
            names.extend(self.workload_ids.keys().cloned());
        }
        if names.is_empty() {
            return Ok(());
        }
        let reads = self.reads();
        let describe = |one| identities::describe(one, &sources.inventory, &reads);
        let described: Vec<_> = names
            .iter()
            .map(|name| (name, sources.inventory.workload(name)))
            .map(|(name, workload)| (name, workload.map(|one| (one, describe(one)))))
            .collect();
        let mut coming = Vec::new();
        for (name, now) in described {
            let before = self.workload_ids.get(name).map(|id| &self.workloads[*id]);
            if let (Some(before), Some((workload, kind))) = (before, &now)
                && self.subject_ids.get(kind) == Some(&before.subject)
                && before.is_as(workload)
            {
                continue;
            }
            self.remove_workload(name);
            coming.extend(now);
        }
        for (workload, kind) in coming {
            self.add_workload(workload, kind);
        }
        for workload in self.endpoint_numbers.moved() {
            let is_new = self.work.workloads.contains(&workload);
            if !is_new && self.workloads.get(workload).is_some() {
                return Err(Anew);
            }
        }
        Ok(())
    }

    /// What policy reads of workloads.
    fn reads(&self) -> Reads<'_> {
        let ports = self.port_names.things();
        Reads {
            namespace_keys: self.namespace_keys.things().map(String::as_str).collect(),
            keys: self.keys.things().map(String::as_str).collect(),
            ports: ports.map(|(protocol, name)| (*protocol, name.as_str())).collect(),
        }
    }

    fn remove_workload(&mut self, name: &WorkloadName) {
        let Some(id) = self.workload_ids.remove(name) else { return };
        let number = self.endpoint_number(id);
        self.ledger.endpoint(number, None);
        self.endpoint_numbers.remove(id, &self.workloads);
        let Some(workload) = self.workloads.remove(id) else { return };
        self.subjects[workload.subject].workloads.remove(&id);
        self.work.subjects.insert(workload.subject);
        for address in workload.addresses {
            if let Some((_, peer)) = self.addresses.remove(&address) {
                self.drop_peer(peer);
            }
            self.work.addresses.insert(address);
        }
    }

    fn add_workload(
        &mut self,
        workload: &Workload,
        kind: (IdentityDescription, BTreeSet<identities::NamedPort>),
    ) {
        let subject = self.subject(kind);
        let id = self.workloads.add(WorkloadState {
            name: workload.name.clone(),
            subject,
            addresses: workload.addresses.clone(),
            interface: workload.interface.clone(),
            host: workload.host,
        });
        self.workload_ids.insert(workload.name.clone(), id);
        if !workload.host {
            self.endpoint_numbers.insert(id, &self.workloads);
        }
        self.subjects[subject].workloads.insert(id);
        self.work.subjects.insert(subject);
        self.work.workloads.insert(id);
        for address in &workload.addresses {
            let set = self.blocks.around(*address);
            if let Some(peer) = self.use_peer(Some(subject), &set) {
                self.addresses.insert(*address, (id, peer));
            }
            self.work.addresses.insert(*address);
        }
    }

    fn subject(
        &mut self,
        kind: (IdentityDescription, BTreeSet<identities::NamedPort>),
    ) -> SubjectId {
        if let Some(id) = self.subject_ids.get(&kind) {
            return *id;
        }
        let (description, ports) = kind.clone();
        let id = self.subjects.add(SubjectState {
            description,
            ports,
            base: 0,
            workloads: BTreeSet::new(),
            peers: BTreeSet::new(),
            selections: BTreeSet::new(),
            selecting: Vec::new(),
            known: false,
        });
        self.subject_ids.insert(kind, id);
        self.subjects[id].base = self.peer(Some(id), &Set::default());
        id
    }

    /// The number of a workload's endpoint.
    pub(super) fn endpoint_number(&self, id: usize) -> u32 {
        if self.workloads[id].host { endpoint::HOST } else { self.endpoint_numbers.of(id) }
    }

    /// Lets selections know of the subjects that came and went.
    pub(super) fn follow_subjects(&mut self) {
        for id in self.work.subjects.clone() {
            let subject = &self.subjects[id];
            let is_there = !subject.workloads.is_empty();
            if is_there && !subject.known {
                let selections = self.selections.add_subject(id, &subject.description);
                for port in &subject.ports {
                    self.ports.add(&Services::port(port.protocol, port.number));
                }
                for selection in &selections {
                    let policies = self.selections.all[*selection].policies.clone();
                    policies.into_iter().for_each(|policy| self.select(id, policy));
                }
                self.subjects[id].selections.extend(selections);
                self.subjects[id].known = true;
                self.touch(id, Direction::Ingress);
                self.touch(id, Direction::Egress);
            } else if !is_there {
                self.remove_subject(id);
            }
        }
    }

    fn remove_subject(&mut self, id: SubjectId) {
        let subject = &self.subjects[id];
        if subject.known {
            let selections = subject.selections.iter().copied();
            self.selections.remove_subject(id, &subject.description, selections);
            for port in &subject.ports {
                self.ports.remove(&Services::port(port.protocol, port.number));
            }
            self.erase_subject(id);
        }
        self.work.peers.insert(self.subjects[id].base);
        let SubjectState { description, ports, .. } = &self.subjects[id];
        self.subject_ids.remove(&(description.clone(), ports.clone()));
    }

    /// Gives numbers to identities that are new, takes those of others back, and lets rules know.
    ///
    /// # Errors
    ///
    /// [`Anew`] if another identity's number moves.
    pub(super) fn follow_peers(&mut self) -> Result<(), Anew> {
        let touched = std::mem::take(&mut self.work.peers);
        let mut gone = Vec::new();
        for id in &touched {
            let is_needed = self.is_needed(*id);
            let peer = &self.peers[*id];
            let (number, numbered) = (peer.number, peer.numbered);
            if peer.meant && peer.uses == 0 {
                self.forget_peer(*id);
            }
            if !is_needed {
                gone.push(*id);
                if numbered {
                    self.identity_numbers.remove(*id, &self.peers);
                    self.ledger.identity(number, None);
                }
            }
        }
        for id in gone {
            let Some(peer) = self.peers.remove(id) else { continue };
            self.peer_ids.remove(&(peer.subject, peer.set));
        }
        let here = || touched.iter().copied().filter(|id| self.peers.get(*id).is_some());
        let new: BTreeSet<PeerId> = here().filter(|id| !self.peers[*id].numbered).collect();
        let meant: Vec<PeerId> =
            here().filter(|id| !self.peers[*id].meant && self.peers[*id].uses > 0).collect();
        new.iter().for_each(|id| self.identity_numbers.insert(*id, &self.peers));
        for id in self.identity_numbers.moved() {
            let moves = |peer: &PeerState| peer.number != self.identity_numbers.of(id);
            if !new.contains(&id) && self.peers.get(id).is_some_and(moves) {
                return Err(Anew);
            }
        }
        for id in new {
            let number = self.identity_numbers.of(id);
            let peer = &mut self.peers[id];
            (peer.number, peer.numbered) = (number, true);
            self.ledger.identity(number, Some(peer.description.clone()));
        }
        meant.into_iter().for_each(|id| self.introduce_peer(id));
        Ok(())
    }

    /// Whether an address or prefix means a peer, or it is a subject's own.
    fn is_needed(&self, id: PeerId) -> bool {
        let peer = &self.peers[id];
        let is_base = |subject: SubjectId| {
            let subject = &self.subjects[subject];
            subject.base == id && !subject.workloads.is_empty()
        };
        peer.uses > 0 || peer.subject.is_some_and(is_base)
    }

    /// Lets rules know of a peer.
    fn introduce_peer(&mut self, id: PeerId) {
        self.peers[id].meant = true;
        let PeerState { subject, set, number, .. } = &self.peers[id];
        let (subject, set, number) = (*subject, set.clone(), *number);
        self.blocks.add_peer(id, &set);
        let mut rules: BTreeSet<usize> = BTreeSet::new();
        let unresolved = |rule: &usize| self.work.rules.contains(rule);
        for block in set.iter() {
            rules.extend(self.blocks.get(*block).rules.iter().filter(|rule| !unresolved(rule)));
        }
        if let Some(subject) = subject {
            self.subjects[subject].peers.insert(id);
            for selection in &self.subjects[subject].selections {
                let of = &self.selections.all[*selection].rules;
                rules.extend(of.iter().filter(|rule| !unresolved(rule)));
            }
            rules.extend(self.everyone_named.iter().filter(|rule| !unresolved(rule)));
        }
        for rule in rules {
            let state = &mut self.rules[rule];
            if let Some(peers) = &mut state.compiled.peers
                && let Err(at) = peers.binary_search(&id)
            {
                peers.insert(at, id);
                self.peers[id].rules.insert(rule);
            }
            if state.direction == Direction::Egress {
                self.name_ports(rule, id);
            }
            self.touch_peer(rule, number);
        }
    }

    /// Lets rules forget a peer.
    fn forget_peer(&mut self, id: PeerId) {
        let peer = &mut self.peers[id];
        peer.meant = false;
        let number = peer.number;
        let rules = std::mem::take(&mut peer.rules);
        if let Some(subject) = peer.subject {
            self.subjects[subject].peers.remove(&id);
        }
        self.blocks.remove_peer(id, &peer.set);
        for rule in rules {
            let compiled = &mut self.rules[rule].compiled;
            if let Some(peers) = &mut compiled.peers
                && let Ok(at) = peers.binary_search(&id)
            {
                peers.remove(at);
            }
            compiled.peer_ports.retain(|_, peers| {
                peers.retain(|peer| *peer != id);
                !peers.is_empty()
            });
            self.touch_peer(rule, number);
        }
    }

    /// Writes addresses, prefixes, endpoints and subjects, whose numbers are known now.
    pub(super) fn write_people(&mut self) {
        for prefix in std::mem::take(&mut self.work.prefixes) {
            let peer = self.prefixes[&prefix];
            let number = peer.map_or(identity::WORLD, |peer| self.peers[peer].number);
            self.ledger.prefix(prefix, Some(number));
        }
        for address in std::mem::take(&mut self.work.addresses) {
            let number = self.addresses.get(&address).map(|(_, peer)| self.peers[*peer].number);
            self.ledger.address(address, number);
        }
        for id in std::mem::take(&mut self.work.subjects) {
            let base = self.subjects[id].base;
            if self.subjects[id].workloads.is_empty() {
                self.subjects.remove(id);
            } else if !self.ledger.tables.subjects.contains_key(&self.peers[base].number) {
                self.ledger.subject(self.peers[base].number, Some(Subject::default()));
            }
        }
        for id in std::mem::take(&mut self.work.workloads) {
            let workload = &self.workloads[id];
            let description = EndpointDescription {
                name: workload.name.to_string(),
                subject: self.peers[self.subjects[workload.subject].base].number,
                addresses: workload.addresses.clone(),
                interface: workload.interface.clone(),
                host: workload.host,
            };
            self.ledger.endpoint(self.endpoint_number(id), Some(description));
        }
    }
}

impl WorkloadState {
    /// Whether it is as `workload`, but for its labels and ports.
    fn is_as(&self, workload: &Workload) -> bool {
        (&self.addresses, &self.interface, self.host)
            == (&workload.addresses, &workload.interface, workload.host)
    }
}

fn first(net: IpNet) -> IpAddr {
    net.network()
}

fn last(net: IpNet) -> IpAddr {
    net.broadcast()
}
