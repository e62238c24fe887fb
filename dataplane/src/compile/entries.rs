//! What is decided, as few entries as the lookup order needs.
//!
//! Goals: (1) the first hit in the lookup order is the decision, for every peer and service; (2) no
//! entry repeats what a wider one after it says; (3) time grows with the entries, not with pairs
//! of workloads times rules.
//!
//! Design: the lookup order is, for one subject and direction,
//!
//! 1. (peer, class of ports)   2. (peer, every port of the protocol)   3. (peer, everything)
//! 4. (anyone, class of ports) 5. (anyone, every port of the protocol) 6. (anyone, everything)
//! 7. refused.
//!
//! Entries are made from the widest to the narrowest. Protocols without ports only ever reach 3
//! and 6, so those entries say what holds for them; 2 and 5 say what holds for the ports that no
//! rule singles out, and exist where 3 and 6 do not say the same; 1 and 4 say what holds for a
//! class of ports where that differs from what the packet would find next. Where nothing is more
//! specific, a peer finds 4 to 7, which are true for it unless some rule names it (1, 2).
//!
//! Only peers that some rule names get entries of their own. Peers that the same rules name get the
//! same ones, so the rules are asked once for all of them (3).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use hashbrown::HashMap;
use ringfence_common::abi::identity::identity::ANY;
use ringfence_common::abi::policy::{PolicyEntry, PolicyKey, action, entry_flags, forms};

use super::identities::{NamedPort, PeerIndex};
use super::precedence::Rule;
use super::resolve::{Effect, Outcome, Painter, Picture};
use super::services::{Class, Classes, Services};
use crate::model::{Action, Direction, Protocol, Tier};

/// What policy says about one direction of one subject.
pub(super) struct Side<'a> {
    /// Which way.
    pub(super) direction: Direction,
    /// The subject's ports that have names.
    pub(super) ports: &'a BTreeSet<NamedPort>,
    /// In the order in which they are asked.
    pub(super) rules: Vec<&'a Rule>,
    /// Whether some policy of each [`Tier`] isolates the subject.
    pub(super) isolated: [bool; Tier::ALL.len()],
}

/// An entry of a side: peer, service and value.
pub(super) type Entry = (u32, u32, PolicyEntry);

impl Side<'_> {
    /// The entries, with `number` the numbers of peers: for everyone, and for all peers that some
    /// rule names or for those of `only`.
    pub(super) fn entries(
        &self,
        classes: &Classes,
        number: impl Fn(PeerIndex) -> u32,
        only: Option<&BTreeSet<PeerIndex>>,
    ) -> Vec<Entry> {
        let clauses = Clauses::of(self, only);
        let default = clauses.ask(&[], &self.isolated, classes);
        let mut level = Level { direction: self.direction, classes, entries: Vec::new() };
        level.add(ANY, &default, None);

        let mut asked: HashMap<&[ClauseIndex], Rc<Picture>> = HashMap::new();
        for (peer, own) in &clauses.named {
            let ask = || Rc::new(clauses.ask(own, &self.isolated, classes));
            let picture = asked.entry(own).or_insert_with(ask);
            level.add(number(*peer), picture, Some(&default));
        }
        level.entries
    }

    /// Whether some policy isolates the subject.
    pub(super) fn is_isolated(&self) -> bool {
        self.isolated.contains(&true)
    }

    /// Whether `entries`, all that the side has, say no more than that everything is open.
    pub(super) fn is_open(&self, entries: &[Entry]) -> bool {
        let open = PolicyEntry { action: action::ALLOW, ..PolicyEntry::default() };
        !self.is_isolated() && entries == [(ANY, PolicyKey::any_service(self.direction), open)]
    }
}

/// The bit of [`forms`] that an entry needs.
pub(super) fn form(peer: u32, service: u32) -> u8 {
    let key = PolicyKey { subject: 0, peer, service };
    match (peer == ANY, key.protocol_and_class()) {
        (false, Some((_, Some(_)))) => forms::PEER_CLASS,
        (false, Some((_, None))) => forms::PEER_PROTOCOL,
        (false, None) => forms::PEER,
        (true, Some((_, Some(_)))) => forms::ANY_CLASS,
        (true, Some((_, None))) => forms::ANY_PROTOCOL,
        (true, None) => forms::ANY,
    }
}

/// Position in [`Clauses::list`].
type ClauseIndex = usize;

/// The rules of one side, each once per set of services.
struct Clauses<'a> {
    /// In the order in which they are asked.
    list: Vec<Clause<'a>>,
    /// Those about every peer.
    everyone: Vec<ClauseIndex>,
    /// Those about some peers, by peer.
    named: BTreeMap<PeerIndex, Vec<ClauseIndex>>,
}

struct Clause<'a> {
    painter: Painter,
    priority: u32,
    effect: Effect,
    services: Cow<'a, Services>,
}

impl<'a> Clauses<'a> {
    fn of(side: &Side<'a>, only: Option<&BTreeSet<PeerIndex>>) -> Self {
        let mut clauses = Self { list: Vec::new(), everyone: Vec::new(), named: BTreeMap::new() };
        for rule in &side.rules {
            if !rule.services.is_empty() {
                clauses.add(rule, rule.peers.as_deref(), Cow::Borrowed(&rule.services), only);
            }
            for ((protocol, port), peers) in &rule.peer_ports {
                let services = Cow::Owned(Services::port(*protocol, *port));
                clauses.add(rule, Some(peers), services, only);
            }
            for (protocol, name) in &rule.own_ports {
                let ports = side.ports.iter();
                for port in ports.filter(|port| port.is(*protocol, name)) {
                    let services = Cow::Owned(Services::port(*protocol, port.number));
                    clauses.add(rule, rule.peers.as_deref(), services, only);
                }
            }
        }
        clauses
    }

    /// Adds a clause of `rule` about `peers`, which are sorted.
    fn add(
        &mut self,
        rule: &Rule,
        peers: Option<&[PeerIndex]>,
        services: Cow<'a, Services>,
        only: Option<&BTreeSet<PeerIndex>>,
    ) {
        let index = self.list.len();
        let mut name = |peer: &PeerIndex| self.named.entry(*peer).or_default().push(index);
        match (peers, only) {
            (None, _) => self.everyone.push(index),
            (Some(peers), None) => peers.iter().for_each(name),
            (Some(peers), Some(only)) => {
                let named = only.iter().filter(|peer| peers.binary_search(peer).is_ok());
                named.for_each(&mut name);
            }
        }
        let decide = |allow| Effect::Decide { allow, place: rule.place, rule: rule.number };
        let effect = match rule.action {
            Action::Allow => decide(true),
            Action::Deny => decide(false),
            Action::Pass => Effect::Pass,
            Action::Log => Effect::Log,
        };
        let painter = Painter { tier: rule.tier, policy: rule.policy };
        self.list.push(Clause { painter, priority: rule.priority, effect, services });
    }

    /// What is decided about a peer that the clauses of `own` name beside those about everyone.
    fn ask(
        &self,
        own: &[ClauseIndex],
        isolated: &[bool; Tier::ALL.len()],
        classes: &Classes,
    ) -> Picture {
        let mut picture = Picture::default();
        let mut everyone = self.everyone.iter().copied().peekable();
        let mut own = own.iter().copied().peekable();
        let mut next = || match (everyone.peek(), own.peek()) {
            (Some(first), Some(second)) if first < second => everyone.next(),
            (_, Some(_)) => own.next(),
            (_, None) => everyone.next(),
        };
        let mut clause = next();
        for tier in Tier::ALL {
            let of_tier = |c: &&Clause<'_>| c.painter.tier == tier;
            let mut priority = None;
            while let Some(stroke) = clause.map(|c| &self.list[c]).filter(of_tier) {
                if priority.replace(stroke.priority).is_some_and(|last| last != stroke.priority) {
                    picture.settle(tier);
                }
                picture.paint(&stroke.services, stroke.painter, stroke.effect, classes);
                clause = next();
            }
            picture.settle(tier);
            if isolated[tier as usize] {
                picture.refuse(tier);
            }
        }
        picture
    }
}

/// The entries of one side.
struct Level<'a> {
    direction: Direction,
    classes: &'a Classes,
    entries: Vec<Entry>,
}

impl Level<'_> {
    /// Adds what is decided about `peer`, where it differs from what a packet finds `below`: the
    /// entries for everyone, or the refusal under those.
    fn add(&mut self, peer: u32, picture: &Picture, below: Option<&Picture>) {
        let direction = self.direction;
        let mut below = Below { picture: below, wider: None };
        let everything = picture.portless();
        if !below.portless().stands_for(everything) {
            self.push(peer, PolicyKey::any_service(direction), everything);
            below.wider = Some(everything);
        }
        for protocol in Protocol::ALL {
            let mut below = below;
            let rest = picture.rest(protocol as usize);
            // With every class singled out, no port is left that the entry could be for.
            let is_all = picture.classes(protocol as usize).count() == self.classes.count(protocol);
            if !is_all && !below.rest(protocol).stands_for(rest) {
                let service = PolicyKey::any_port(direction, protocol.number());
                self.push(peer, service, rest);
                below.wider = Some(rest);
            }
            for (class, outcome) in picture.classes(protocol as usize) {
                if !below.class(protocol, class).stands_for(outcome) {
                    let service = PolicyKey::service(direction, protocol.number(), class);
                    self.push(peer, service, outcome);
                }
            }
        }
    }

    fn push(&mut self, peer: u32, service: u32, outcome: Outcome) {
        let entry = PolicyEntry {
            action: if outcome.allow { action::ALLOW } else { action::DENY },
            flags: if outcome.log { entry_flags::LOG } else { 0 },
            reserved: [0; 2],
            rule: outcome.rule,
        };
        self.entries.push((peer, service, entry));
    }
}

/// What a packet finds when no narrower entry stops it.
#[derive(Clone, Copy)]
struct Below<'a> {
    /// The entries for everyone; `None` for the refusal alone.
    picture: Option<&'a Picture>,
    /// A wider entry on top of those.
    wider: Option<Outcome>,
}

impl Below<'_> {
    fn find(self, below: impl Fn(&Picture) -> Outcome) -> Outcome {
        self.wider.unwrap_or_else(|| self.picture.map_or(Outcome::REFUSED, below))
    }

    fn portless(self) -> Outcome {
        self.find(Picture::portless)
    }

    fn rest(self, protocol: Protocol) -> Outcome {
        self.find(|picture| picture.rest(protocol as usize))
    }

    fn class(self, protocol: Protocol, class: Class) -> Outcome {
        self.find(|picture| picture.class(protocol as usize, class))
    }
}
