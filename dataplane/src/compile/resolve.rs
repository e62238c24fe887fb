//! Precedence resolved: which rule decides each service, for one subject, direction and peer.
//!
//! Goals: (1) the answer for *every* service, without asking one by one; (2) rules are asked in
//! the order of [`super::precedence`]: the first of a policy's rules says what the policy says, the
//! strongest of what the policies of one priority say counts, and the first priority wins.
//!
//! Design: a [`Picture`] has one [`Cell`] for the protocols without ports, one per protocol for
//! "a port no rule has singled out", and one for each class of ports that some rule has. Rules
//! paint on it in order; a cell takes one stroke of a policy, keeps the strongest of a priority's
//! until that priority is settled, and once decided keeps its colour (2). A class that a rule
//! singles out for the first time starts from its protocol's cell, because only rules about the
//! whole protocol have touched it so far (1).

use std::collections::BTreeMap;

use super::precedence::Place;
use super::services::{Class, Classes, PortSet, Services};
use crate::model::{PortRange, Tier};

/// What is decided about a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether it may pass.
    pub(super) allow: bool,
    /// Whether it is reported.
    pub(super) log: bool,
    /// Where that was decided.
    pub(super) place: Place,
    /// The rule that did; 0 for the default.
    pub(super) rule: u32,
}

impl Outcome {
    /// What happens where no entry says otherwise.
    pub(super) const REFUSED: Self =
        Self { allow: false, log: false, place: Place::Isolated, rule: 0 };

    /// Whether an entry for `self` decides `other` the same way: by the same rules, if not in the
    /// name of the same.
    pub(super) fn stands_for(self, other: Self) -> bool {
        (self.allow, self.log, self.place) == (other.allow, other.log, other.place)
    }
}

/// What a rule does to the flows it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Decides.
    Decide {
        /// Which way.
        allow: bool,
        /// Where.
        place: Place,
        /// The rule's number.
        rule: u32,
    },
    /// Leaves them to the next tier.
    Pass,
    /// Reports them.
    Log,
}

impl Effect {
    /// Which of what the policies of one priority say counts: the lowest.
    fn rank(self) -> u8 {
        match self {
            Self::Decide { allow: false, .. } => 0,
            Self::Decide { allow: true, .. } => 1,
            Self::Pass => 2,
            Self::Log => 3,
        }
    }
}

/// Whose rule paints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Painter {
    /// The tier of its policy.
    pub(super) tier: Tier,
    /// The policy's position among all.
    pub(super) policy: usize,
}

/// What is known so far about some services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    decided: Option<(bool, Place, u32)>,
    passed: Option<Tier>,
    log: bool,
    /// The last policy of the priority that is being asked that said something.
    heard: Option<usize>,
    /// The strongest that the policies of that priority said so far.
    said: Option<Effect>,
}

impl Cell {
    fn paint(&mut self, painter: Painter, effect: Effect) {
        if effect == Effect::Log {
            self.log = true;
        } else if self.is_open(painter.tier) && self.heard != Some(painter.policy) {
            self.heard = Some(painter.policy);
            if self.said.is_none_or(|said| effect.rank() < said.rank()) {
                self.said = Some(effect);
            }
        }
    }

    fn settle(&mut self, tier: Tier) {
        self.heard = None;
        match self.said.take() {
            Some(Effect::Decide { allow, place, rule }) => {
                self.decided = Some((allow, place, rule))
            }
            Some(Effect::Pass) => self.passed = Some(tier),
            Some(Effect::Log) | None => {}
        }
    }

    fn refuse(&mut self, tier: Tier) {
        if self.is_open(tier) {
            self.decided = Some((false, Place::Isolated, 0));
        }
    }

    /// Whether rules of `tier` still have a say.
    fn is_open(&self, tier: Tier) -> bool {
        self.decided.is_none() && self.passed != Some(tier)
    }

    fn outcome(&self) -> Outcome {
        let (allow, place, rule) = self.decided.unwrap_or((true, Place::Open, 0));
        Outcome { allow, log: self.log, place, rule }
    }
}

/// What is decided about every service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Picture {
    portless: Cell,
    protocols: [Protocol; 3],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Protocol {
    rest: Cell,
    classes: BTreeMap<Class, Cell>,
}

impl Picture {
    /// Lets a rule say what happens to `services`.
    pub(super) fn paint(
        &mut self,
        services: &Services,
        painter: Painter,
        effect: Effect,
        classes: &Classes,
    ) {
        match services {
            Services::Everything => self.every(|cell| cell.paint(painter, effect)),
            Services::Ports(sets) => {
                for (number, (protocol, set)) in self.protocols.iter_mut().zip(sets).enumerate() {
                    match set {
                        PortSet::None => {}
                        PortSet::Every => protocol.every(|cell| cell.paint(painter, effect)),
                        PortSet::Ranges(ranges) => {
                            let within = |range: &PortRange| classes.within(number, *range);
                            for class in ranges.iter().flat_map(within) {
                                let rest = protocol.rest;
                                let cell = protocol.classes.entry(class).or_insert(rest);
                                cell.paint(painter, effect);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Lets what the policies of one priority of `tier` have said count, after the last of them.
    pub(super) fn settle(&mut self, tier: Tier) {
        self.every(|cell| cell.settle(tier));
    }

    /// Refuses what `tier` has neither decided nor passed on, after its last priority.
    pub(super) fn refuse(&mut self, tier: Tier) {
        self.every(|cell| cell.refuse(tier));
    }

    fn every(&mut self, mut change: impl FnMut(&mut Cell)) {
        change(&mut self.portless);
        self.protocols.iter_mut().for_each(|protocol| protocol.every(&mut change));
    }

    /// Protocols without ports.
    pub(super) fn portless(&self) -> Outcome {
        self.portless.outcome()
    }

    /// The ports of a protocol that no rule has singled out.
    pub(super) fn rest(&self, protocol: usize) -> Outcome {
        self.protocols[protocol].rest.outcome()
    }

    /// A class of ports.
    pub(super) fn class(&self, protocol: usize, class: Class) -> Outcome {
        let protocol = &self.protocols[protocol];
        protocol.classes.get(&class).unwrap_or(&protocol.rest).outcome()
    }

    /// The classes of ports of a protocol that some rule has singled out, in order.
    pub(super) fn classes(&self, protocol: usize) -> impl Iterator<Item = (Class, Outcome)> {
        self.protocols[protocol].classes.iter().map(|(class, cell)| (*class, cell.outcome()))
    }
}

impl Protocol {
    fn every(&mut self, mut change: impl FnMut(&mut Cell)) {
        change(&mut self.rest);
        self.classes.values_mut().for_each(change);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::{self, Action};

    const HTTP: Class = 3;

    fn decide(tier: Tier, allow: bool, rule: u32) -> Effect {
        let action = if allow { Action::Allow } else { Action::Deny };
        Effect::Decide { allow, place: Place::Rule(tier, 0, action, None), rule }
    }

    /// Paints the rules of one policy, and settles them.
    fn paint(picture: &mut Picture, tier: Tier, rules: &[(Services, Effect)]) {
        let painter = Painter { tier, policy: 0 };
        for (services, effect) in rules {
            picture.paint(services, painter, *effect, &classes());
        }
        picture.settle(tier);
    }

    fn http() -> Services {
        Services::port(model::Protocol::Tcp, HTTP)
    }

    fn classes() -> Classes {
        Classes::of(&[], &BTreeSet::from([(model::Protocol::Tcp, HTTP)]))
    }

    fn tcp() -> Services {
        Services::Ports([PortSet::Every, PortSet::None, PortSet::None])
    }

    #[test]
    fn the_first_rule_that_decides_wins() {
        let mut picture = Picture::default();
        let admin =
            [(http(), decide(Tier::Admin, true, 1)), (tcp(), decide(Tier::Admin, false, 2))];
        paint(&mut picture, Tier::Admin, &admin);
        let developer = [(Services::Everything, decide(Tier::Developer, true, 3))];
        paint(&mut picture, Tier::Developer, &developer);
        let rules = [
            picture.class(0, HTTP),
            picture.class(0, 9),
            picture.rest(0),
            picture.rest(1),
            picture.portless(),
        ]
        .map(|outcome| (outcome.allow, outcome.rule));
        assert_eq!(rules, [(true, 1), (false, 2), (false, 2), (true, 3), (true, 3)]);
    }

    #[test]
    fn a_class_inherits_what_was_said_about_its_protocol() {
        let mut picture = Picture::default();
        paint(&mut picture, Tier::Admin, &[(tcp(), decide(Tier::Admin, false, 1))]);
        paint(&mut picture, Tier::Developer, &[(http(), decide(Tier::Developer, true, 2))]);
        assert_eq!((picture.class(0, HTTP).allow, picture.class(0, HTTP).rule), (false, 1));
        // Also before the priority is settled.
        let mut picture = Picture::default();
        let painter = Painter { tier: Tier::Admin, policy: 0 };
        picture.paint(&tcp(), painter, Effect::Pass, &classes());
        let deny = decide(Tier::Admin, false, 1);
        picture.paint(&http(), painter, deny, &classes());
        picture.settle(Tier::Admin);
        assert!(picture.class(0, HTTP).allow);
    }

    #[test]
    fn of_policies_of_one_priority_the_strongest_counts() {
        let (deny, allow) = (decide(Tier::Admin, false, 1), decide(Tier::Admin, true, 2));
        for (said, expected) in [
            ([allow, deny, Effect::Pass], (false, 1)),
            ([Effect::Pass, allow, allow], (true, 2)),
            ([Effect::Log, Effect::Pass, deny], (false, 1)),
        ] {
            let mut picture = Picture::default();
            for (policy, effect) in said.into_iter().enumerate() {
                let painter = Painter { tier: Tier::Admin, policy };
                picture.paint(&Services::Everything, painter, effect, &classes());
            }
            picture.settle(Tier::Admin);
            let outcome = picture.portless();
            assert_eq!((outcome.allow, outcome.rule), expected, "{said:?}");
        }
    }

    #[test]
    fn passing_skips_the_rest_of_the_tier_alone() {
        let mut picture = Picture::default();
        paint(&mut picture, Tier::Admin, &[(http(), Effect::Pass)]);
        let deny = [(Services::Everything, decide(Tier::Admin, false, 1))];
        paint(&mut picture, Tier::Admin, &deny);
        paint(&mut picture, Tier::Developer, &[(tcp(), decide(Tier::Developer, true, 2))]);
        assert_eq!((picture.class(0, HTTP).allow, picture.class(0, HTTP).rule), (true, 2));
        assert_eq!((picture.rest(0).allow, picture.rest(0).rule), (false, 1));
    }

    #[test]
    fn isolation_refuses_what_the_tier_neither_decided_nor_passed() {
        let mut picture = Picture::default();
        paint(&mut picture, Tier::Developer, &[(http(), Effect::Pass)]);
        picture.refuse(Tier::Developer);
        assert_eq!(picture.class(0, HTTP).place, Place::Open);
        assert_eq!(picture.rest(0), Outcome::REFUSED);
    }

    #[test]
    fn logging_decides_nothing_wherever_it_stands() {
        let mut picture = Picture::default();
        paint(&mut picture, Tier::Admin, &[(tcp(), decide(Tier::Admin, false, 1))]);
        paint(&mut picture, Tier::Baseline, &[(http(), Effect::Log)]);
        let outcome = picture.class(0, HTTP);
        assert_eq!((outcome.allow, outcome.log, outcome.rule), (false, true, 1));
        assert!(!picture.rest(0).log);
        assert_eq!(
            picture.portless(),
            Outcome { allow: true, log: false, place: Place::Open, rule: 0 }
        );
    }
}
