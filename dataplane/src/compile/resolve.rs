//! Precedence resolved: which rule decides each service, for one subject, direction and peer.
//!
//! Goals: (1) the answer for *every* service, without asking one by one; (2) rules are asked in
//! the order of [`super::precedence`], the first that decides wins.
//!
//! Design: a [`Picture`] has one [`Cell`] for the protocols without ports, one per protocol for
//! "a port no rule has singled out", and one for each class of ports that some rule has. Rules
//! paint on it in order; a cell that is decided keeps its colour (2). A class that a rule singles
//! out for the first time starts from its protocol's cell, because only rules about the whole
//! protocol have touched it so far (1).

use std::collections::BTreeMap;

use super::precedence::Place;
use super::services::{ClassIndex, PortSet, Services};
use crate::model::Tier;

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

/// What a rule, or the end of a tier, does to the flows it matches.
#[derive(Clone, Copy, Debug)]
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

/// What is known so far about some services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    decided: Option<(bool, Place, u32)>,
    passed: Option<Tier>,
    log: bool,
}

impl Cell {
    fn paint(&mut self, tier: Tier, effect: Effect) {
        match effect {
            Effect::Log => self.log = true,
            _ if self.decided.is_some() || self.passed == Some(tier) => {}
            Effect::Decide { allow, place, rule } => self.decided = Some((allow, place, rule)),
            Effect::Pass => self.passed = Some(tier),
        }
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
    classes: BTreeMap<ClassIndex, Cell>,
}

impl Picture {
    /// Lets a rule of `tier`, or its end, say what happens to `services`.
    pub(super) fn paint(&mut self, services: &Services, tier: Tier, effect: Effect) {
        match services {
            Services::Everything => {
                self.portless.paint(tier, effect);
                self.protocols.iter_mut().for_each(|protocol| protocol.every(tier, effect));
            }
            Services::Ports(sets) => {
                for (protocol, set) in self.protocols.iter_mut().zip(sets) {
                    match set {
                        PortSet::None => {}
                        PortSet::Every => protocol.every(tier, effect),
                        PortSet::Classes(ranges) => {
                            for class in ranges.iter().cloned().flatten() {
                                let rest = protocol.rest;
                                let cell = protocol.classes.entry(class).or_insert(rest);
                                cell.paint(tier, effect);
                            }
                        }
                    }
                }
            }
        }
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
    pub(super) fn class(&self, protocol: usize, class: ClassIndex) -> Outcome {
        let protocol = &self.protocols[protocol];
        protocol.classes.get(&class).unwrap_or(&protocol.rest).outcome()
    }

    /// The classes of ports of a protocol that some rule has singled out, in order.
    pub(super) fn classes(&self, protocol: usize) -> impl Iterator<Item = (ClassIndex, Outcome)> {
        self.protocols[protocol].classes.iter().map(|(class, cell)| (*class, cell.outcome()))
    }
}

impl Protocol {
    fn every(&mut self, tier: Tier, effect: Effect) {
        self.rest.paint(tier, effect);
        self.classes.values_mut().for_each(|cell| cell.paint(tier, effect));
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;
    use crate::model::Action;

    const HTTP: ClassIndex = 3;

    fn decide(tier: Tier, allow: bool, rule: u32) -> Effect {
        let action = if allow { Action::Allow } else { Action::Deny };
        Effect::Decide { allow, place: Place::Rule(tier, 0, action), rule }
    }

    fn http() -> Services {
        let http = iter::once(HTTP..HTTP + 1).collect();
        Services::Ports([PortSet::Classes(http), PortSet::None, PortSet::None])
    }

    fn tcp() -> Services {
        Services::Ports([PortSet::Every, PortSet::None, PortSet::None])
    }

    #[test]
    fn the_first_rule_that_decides_wins() {
        let mut picture = Picture::default();
        picture.paint(&http(), Tier::Admin, decide(Tier::Admin, true, 1));
        picture.paint(&tcp(), Tier::Admin, decide(Tier::Admin, false, 2));
        picture.paint(&Services::Everything, Tier::Developer, decide(Tier::Developer, true, 3));
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
        picture.paint(&tcp(), Tier::Admin, decide(Tier::Admin, false, 1));
        picture.paint(&http(), Tier::Developer, decide(Tier::Developer, true, 2));
        assert_eq!((picture.class(0, HTTP).allow, picture.class(0, HTTP).rule), (false, 1));
    }

    #[test]
    fn passing_skips_the_rest_of_the_tier_alone() {
        let mut picture = Picture::default();
        picture.paint(&http(), Tier::Admin, Effect::Pass);
        picture.paint(&Services::Everything, Tier::Admin, decide(Tier::Admin, false, 1));
        picture.paint(&tcp(), Tier::Developer, decide(Tier::Developer, true, 2));
        assert_eq!((picture.class(0, HTTP).allow, picture.class(0, HTTP).rule), (true, 2));
        assert_eq!((picture.rest(0).allow, picture.rest(0).rule), (false, 1));
    }

    #[test]
    fn logging_decides_nothing_wherever_it_stands() {
        let mut picture = Picture::default();
        picture.paint(&tcp(), Tier::Admin, decide(Tier::Admin, false, 1));
        picture.paint(&http(), Tier::Baseline, Effect::Log);
        let outcome = picture.class(0, HTTP);
        assert_eq!((outcome.allow, outcome.log, outcome.rule), (false, true, 1));
        assert!(!picture.rest(0).log);
        assert_eq!(
            picture.portless(),
            Outcome { allow: true, log: false, place: Place::Open, rule: 0 }
        );
    }
}
