//! Where classes of ports begin, and which rules a new beginning cuts.

use std::collections::{BTreeMap, BTreeSet};

use super::RuleId;
use super::counts::Counts;
use crate::compile::services::{Class, Classes, Services};
use crate::model::Protocol;

/// The classes of ports, kept while rules come and go.
#[derive(Debug, Default)]
pub(super) struct Ports {
    pub(super) classes: Classes,
    starts: Counts<(Protocol, Class)>,
    /// The ranges of more than one port, and whose they are.
    wide: BTreeMap<(Protocol, u16, u16), BTreeSet<RuleId>>,
}

impl Ports {
    /// Adds the services of a rule.
    pub(super) fn add_rule(&mut self, rule: RuleId, services: &Services) {
        self.add(services);
        for (protocol, range) in services.ranges().filter(|(_, r)| r.first() < r.last()) {
            self.wide.entry((protocol, range.first(), range.last())).or_default().insert(rule);
        }
    }

    /// Removes the services of a rule.
    pub(super) fn remove_rule(&mut self, rule: RuleId, services: &Services) {
        self.remove(services);
        for (protocol, range) in services.ranges().filter(|(_, r)| r.first() < r.last()) {
            let key = (protocol, range.first(), range.last());
            if let Some(rules) = self.wide.get_mut(&key) {
                rules.remove(&rule);
                if rules.is_empty() {
                    self.wide.remove(&key);
                }
            }
        }
    }

    /// Adds a port that somebody has a name for.
    pub(super) fn add(&mut self, services: &Services) {
        services.starts().for_each(|start| self.starts.add(&start));
    }

    /// Removes one.
    pub(super) fn remove(&mut self, services: &Services) {
        services.starts().for_each(|start| self.starts.remove(&start));
    }

    /// Brings the classes up to date; where they begin that did not, or the other way round.
    pub(super) fn follow(&mut self) -> Vec<(Protocol, Class)> {
        let mut changed = self.starts.follow();
        changed.retain(|((_, start), _)| *start > 0);
        for ((protocol, start), is_there) in &changed {
            if *is_there {
                self.classes.insert(*protocol, *start);
            } else {
                self.classes.remove(*protocol, *start);
            }
        }
        changed.into_iter().map(|(start, _)| start).collect()
    }

    /// The rules about a range that goes on across `start`.
    pub(super) fn cut(&self, (protocol, start): (Protocol, Class)) -> BTreeSet<RuleId> {
        let before = self.wide.range((protocol, 0, 0)..(protocol, start, 0));
        let across = before.filter(|((_, _, last), _)| *last >= start);
        across.flat_map(|(_, rules)| rules).copied().collect()
    }
}
