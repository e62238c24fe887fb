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
use std::collections::BTreeMap;
use std::rc::Rc;

use hashbrown::HashMap;
use ringfence_common::abi::identity::identity::ANY;
use ringfence_common::abi::policy::{PolicyEntry, PolicyKey, action, entry_flags, forms};

use super::identities::{Identities, PeerIndex, SubjectIndex};
use super::precedence::{Rule, Rules};
use super::resolve::{Effect, Outcome, Painter, Picture};
use super::services::{ClassIndex, Classes, Services};
use super::tables::Subject;
use crate::model::{Action, Direction, Protocol, Tier};

/// What policy says about one direction of one subject.
pub(super) struct Side<'a> {
    /// Whom it protects.
    pub(super) subject: SubjectIndex,
    /// Which way.
    pub(super) direction: Direction,
    /// Positions in [`Rules::list`], in order.
    pub(super) rules: &'a [usize],
    /// Whether some policy of each [`Tier`] isolates the subject.
    pub(super) isolated: [bool; Tier::ALL.len()],
}

/// Makes the entries of all sides. Keeps at most `limit`, but counts them all.
pub(super) struct Entries<'a> {
    identities: &'a Identities,
    rules: &'a Rules<'a>,
    classes: &'a Classes,
    limit: usize,
    /// The entries.
    pub(super) policy: BTreeMap<PolicyKey, PolicyEntry>,
    /// How many there are, those beyond the limit among them.
    pub(super) count: usize,
    /// Subject number → its forms.
    pub(super) subjects: BTreeMap<u32, Subject>,
}

impl<'a> Entries<'a> {
    /// None yet.
    pub(super) fn new(
        identities: &'a Identities,
        rules: &'a Rules<'a>,
        classes: &'a Classes,
        limit: usize,
    ) -> Self {
        Self {
            identities,
            rules,
            classes,
            limit,
            policy: BTreeMap::new(),
            count: 0,
            subjects: identities.subjects.iter().map(|s| (s.number, Subject::default())).collect(),
        }
    }

    /// Adds the entries of one side.
    pub(super) fn add(&mut self, side: &Side<'_>) {
        let clauses = Clauses::of(side, self.identities, self.rules, self.classes);
        let default = clauses.ask(&[], &side.isolated);
        let mut level = Level { side, classes: self.classes, entries: Vec::new(), forms: 0 };
        level.add(ANY, &default, None);

        let mut asked: HashMap<&[ClauseIndex], Rc<Picture>> = HashMap::new();
        for (peer, own) in &clauses.named {
            let ask = || Rc::new(clauses.ask(own, &side.isolated));
            let picture = asked.entry(own).or_insert_with(ask);
            level.add(self.identities.peers[*peer].number, picture, Some(&default));
        }
        let Level { entries, forms: used, .. } = level;
        let open = PolicyEntry { action: action::ALLOW, ..PolicyEntry::default() };
        let is_isolated = side.isolated.contains(&true);
        let is_open = entries == [(ANY, PolicyKey::any_service(side.direction), open)];
        if is_open && !is_isolated {
            return;
        }
        let subject = self.identities.subjects[side.subject].number;
        let forms = self.subjects.entry(subject).or_default();
        let isolated = if is_isolated { forms::ISOLATED } else { 0 };
        let all = used | forms::ENFORCED | isolated;
        match side.direction {
            Direction::Ingress => forms.ingress_forms = all,
            Direction::Egress => forms.egress_forms = all,
        }
        self.count += entries.len();
        for (peer, service, entry) in entries {
            if self.policy.len() < self.limit {
                self.policy.insert(PolicyKey { subject, peer, service }, entry);
            }
        }
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
    fn of(
        side: &Side<'_>,
        identities: &Identities,
        rules: &'a Rules<'_>,
        classes: &Classes,
    ) -> Self {
        let mut clauses = Self { list: Vec::new(), everyone: Vec::new(), named: BTreeMap::new() };
        for rule in side.rules.iter().map(|position| &rules.list[*position]) {
            for (peers, services) in &rule.matches {
                clauses.add(rule, peers.as_deref(), Cow::Borrowed(services));
            }
            for (protocol, name) in &rule.own_ports {
                for port in identities.subjects[side.subject].ports_named(*protocol, name) {
                    let services = Cow::Owned(Services::port(*protocol, port, classes));
                    clauses.add(rule, rule.peers.as_deref(), services);
                }
            }
        }
        clauses
    }

    fn add(&mut self, rule: &Rule<'_>, peers: Option<&[PeerIndex]>, services: Cow<'a, Services>) {
        let index = self.list.len();
        match peers {
            None => self.everyone.push(index),
            Some(peers) => {
                peers.iter().for_each(|peer| self.named.entry(*peer).or_default().push(index));
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
    fn ask(&self, own: &[ClauseIndex], isolated: &[bool; Tier::ALL.len()]) -> Picture {
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
                picture.paint(&stroke.services, stroke.painter, stroke.effect);
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
    side: &'a Side<'a>,
    classes: &'a Classes,
    /// Peer, service and value.
    entries: Vec<(u32, u32, PolicyEntry)>,
    /// Bits of [`forms`] of the entries so far.
    forms: u8,
}

impl Level<'_> {
    /// Adds what is decided about `peer`, where it differs from what a packet finds `below`: the
    /// entries for everyone, or the refusal under those.
    fn add(&mut self, peer: u32, picture: &Picture, below: Option<&Picture>) {
        let direction = self.side.direction;
        let mut below = Below { picture: below, wider: None };
        let everything = picture.portless();
        if !below.portless().stands_for(everything) {
            self.push(peer, PolicyKey::any_service(direction), everything, forms::PEER);
            below.wider = Some(everything);
        }
        for protocol in Protocol::ALL {
            let mut below = below;
            let rest = picture.rest(protocol as usize);
            // With every class singled out, no port is left that the entry could be for.
            let is_all = picture.classes(protocol as usize).count() == self.classes.count(protocol);
            if !is_all && !below.rest(protocol).stands_for(rest) {
                let service = PolicyKey::any_port(direction, protocol.number());
                self.push(peer, service, rest, forms::PEER_PROTOCOL);
                below.wider = Some(rest);
            }
            for (class, outcome) in picture.classes(protocol as usize) {
                if !below.class(protocol, class).stands_for(outcome) {
                    let class = self.classes.number(protocol, class);
                    let service = PolicyKey::service(direction, protocol.number(), class);
                    self.push(peer, service, outcome, forms::PEER_CLASS);
                }
            }
        }
    }

    fn push(&mut self, peer: u32, service: u32, outcome: Outcome, form: u8) {
        self.forms |= match (peer, form) {
            (ANY, forms::PEER_CLASS) => forms::ANY_CLASS,
            (ANY, forms::PEER_PROTOCOL) => forms::ANY_PROTOCOL,
            (ANY, _) => forms::ANY,
            (_, form) => form,
        };
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

    fn class(self, protocol: Protocol, class: ClassIndex) -> Outcome {
        self.find(|picture| picture.class(protocol as usize, class))
    }
}
