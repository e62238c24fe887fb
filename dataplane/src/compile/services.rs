//! Ports to classes: the intervals of ports that all rules treat alike.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Direction, Policy, PortMatch, PortRange, Ports, Protocol};

/// A class of ports of a protocol, named by its first port.
pub(super) type Class = u16;

/// The classes of every protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Classes {
    /// In the order of [`Protocol::ALL`]; class 0 is there always.
    starts: [BTreeSet<Class>; 3],
}

impl Default for Classes {
    fn default() -> Self {
        Self { starts: [const { BTreeSet::new() }; 3].map(|_: BTreeSet<Class>| [0].into()) }
    }
}

impl Classes {
    /// The classes that the rules of `policies` tell apart, with `named` the numbers that the named
    /// ports of those rules stand for.
    pub(super) fn of(policies: &[&Policy], named: &BTreeSet<(Protocol, u16)>) -> Self {
        let mut classes = Self::default();
        let rules = policies.iter().flat_map(|policy| {
            [Direction::Ingress, Direction::Egress].into_iter().flat_map(|d| policy.rules(d))
        });
        for rule in rules {
            for (protocol, start) in Services::of(&rule.ports).starts() {
                classes.insert(protocol, start);
            }
        }
        for (protocol, port) in named {
            for (protocol, start) in Services::port(*protocol, *port).starts() {
                classes.insert(protocol, start);
            }
        }
        classes
    }

    /// Begins a class at `start`.
    pub(super) fn insert(&mut self, protocol: Protocol, start: Class) {
        self.starts[protocol as usize].insert(start);
    }

    /// Joins the class that begins at `start` with the one before it; class 0 stays.
    pub(super) fn remove(&mut self, protocol: Protocol, start: Class) {
        if start > 0 {
            self.starts[protocol as usize].remove(&start);
        }
    }

    /// The classes that begin in `range`: all there are in it, if one begins with it.
    pub(super) fn within(&self, protocol: usize, range: PortRange) -> impl Iterator<Item = Class> {
        self.starts[protocol].range(range.first()..=range.last()).copied()
    }

    /// How many classes a protocol has.
    pub(super) fn count(&self, protocol: Protocol) -> usize {
        self.starts[protocol as usize].len()
    }

    /// Protocol number → first ports of the classes after class 0; protocols with class 0 alone
    /// are left out.
    pub(super) fn boundaries(&self) -> BTreeMap<u8, BTreeSet<u16>> {
        let all = Protocol::ALL.into_iter();
        all.filter_map(|protocol| Some((protocol.number(), self.boundaries_of(protocol)?)))
            .collect()
    }

    /// First ports of the classes of a protocol after class 0; `None` if there are none.
    pub(super) fn boundaries_of(&self, protocol: Protocol) -> Option<BTreeSet<u16>> {
        let mut starts = self.starts[protocol as usize].clone();
        starts.remove(&0);
        (!starts.is_empty()).then_some(starts)
    }
}

/// The services that a rule matches, or one of its named ports for one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Services {
    /// Every protocol, those without ports among them.
    Everything,
    /// Ports of the protocols of [`Protocol::ALL`].
    Ports([PortSet; 3]),
}

/// Which ports of one protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum PortSet {
    /// None.
    #[default]
    None,
    /// All.
    Every,
    /// Those of these ranges, which are in order, apart, and neither none nor all.
    Ranges(Vec<PortRange>),
}

impl Services {
    /// What `ports` match whoever the destination is, that is without named ports.
    pub(super) fn of(ports: &Ports) -> Self {
        let Ports::Any(matches) = ports else { return Self::Everything };
        Self::Ports(Protocol::ALL.map(|protocol| {
            let ranges = merged(matches, protocol);
            if ranges == [PortRange::new(0, u16::MAX).expect("0 is below the maximum")] {
                return PortSet::Every;
            }
            if ranges.is_empty() { PortSet::None } else { PortSet::Ranges(ranges) }
        }))
    }

    /// One port.
    pub(super) fn port(protocol: Protocol, port: u16) -> Self {
        let mut sets = [const { PortSet::None }; 3];
        sets[protocol as usize] = PortSet::Ranges(vec![PortRange::single(port)]);
        Self::Ports(sets)
    }

    /// Whether nothing is matched.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Everything => false,
            Self::Ports(sets) => sets.iter().all(|set| *set == PortSet::None),
        }
    }

    /// The ranges that are neither none of a protocol's ports nor all.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (Protocol, PortRange)> {
        let sets = match self {
            Self::Everything => &[][..],
            Self::Ports(sets) => sets,
        };
        Protocol::ALL.into_iter().zip(sets).flat_map(|(protocol, set)| {
            let ranges = match set {
                PortSet::None | PortSet::Every => &[][..],
                PortSet::Ranges(ranges) => ranges,
            };
            ranges.iter().map(move |range| (protocol, *range))
        })
    }

    /// Where classes have to begin so that each is matched as a whole or not at all.
    pub(super) fn starts(&self) -> impl Iterator<Item = (Protocol, Class)> {
        self.ranges().flat_map(|(protocol, range)| {
            let starts = [Some(range.first()), range.last().checked_add(1)];
            starts.into_iter().flatten().map(move |start| (protocol, start))
        })
    }
}

/// The named ports of `ports`.
pub(super) fn named(ports: &Ports) -> impl Iterator<Item = (Protocol, &str)> {
    let matches = match ports {
        Ports::Everything => &[][..],
        Ports::Any(matches) => matches,
    };
    matches.iter().filter_map(|port| match port {
        PortMatch::Named(protocol, name) => Some((*protocol, name.as_str())),
        PortMatch::Every(_) | PortMatch::Range(..) => None,
    })
}

/// The ports of `protocol` that `matches` name by number, as few ranges as possible, in order.
fn merged(matches: &[PortMatch], protocol: Protocol) -> Vec<PortRange> {
    let mut ranges: Vec<(u16, u16)> = matches
        .iter()
        .filter_map(|port| match port {
            PortMatch::Every(of) if *of == protocol => Some((0, u16::MAX)),
            PortMatch::Range(of, range) if *of == protocol => Some((range.first(), range.last())),
            _ => None,
        })
        .collect();
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(previous) if u32::from(first) <= u32::from(previous.1) + 1 => {
                previous.1 = previous.1.max(last);
            }
            _ => merged.push((first, last)),
        }
    }
    merged
        .into_iter()
        .map(|(first, last)| PortRange::new(first, last).expect("merging keeps ranges in order"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::testing::policy_with_ports;
    use Protocol::{Sctp, Tcp, Udp};

    fn range(first: u16, last: u16) -> PortMatch {
        PortMatch::Range(Tcp, PortRange::new(first, last).unwrap())
    }

    #[test]
    fn adjacent_and_overlapping_ranges_become_one() {
        let matches = [range(81, 90), range(80, 80), range(85, 100), range(102, 102)];
        let expected = [PortRange::new(80, 100).unwrap(), PortRange::single(102)];
        assert_eq!(merged(&matches, Tcp), expected);
        assert_eq!(merged(&matches, Udp), []);
        let ends = [range(0, 0), range(65_535, 65_535), range(1, 65_534)];
        assert_eq!(merged(&ends, Tcp), [PortRange::new(0, u16::MAX).unwrap()]);
    }

    #[test]
    fn classes_are_cut_where_rules_differ() {
        let policy = policy_with_ports(vec![range(80, 80), range(1_024, u16::MAX)]);
        let classes = Classes::of(&[&policy], &BTreeSet::from([(Sctp, 0), (Udp, 53)]));
        assert_eq!(
            classes.boundaries(),
            BTreeMap::from([
                (6, BTreeSet::from([80, 81, 1_024])),
                (17, BTreeSet::from([53, 54])),
                (132, BTreeSet::from([1])),
            ])
        );
        let within = |first, last| {
            let range = PortRange::new(first, last).unwrap();
            classes.within(Tcp as usize, range).collect::<Vec<_>>()
        };
        assert_eq!(within(80, 80), [80]);
        assert_eq!(within(80, u16::MAX), [80, 81, 1_024]);
        assert_eq!(within(0, u16::MAX).len(), classes.count(Tcp));
    }

    #[test]
    fn the_whole_range_is_every_port() {
        let policy = policy_with_ports(vec![range(0, 99), range(100, u16::MAX)]);
        let classes = Classes::of(&[&policy], &BTreeSet::new());
        assert_eq!(classes.boundaries(), BTreeMap::new());
        let services = Services::of(&policy.ingress[0].ports);
        assert_eq!(services, Services::Ports([PortSet::Every, PortSet::None, PortSet::None]));
        assert!(!services.is_empty());
    }

    #[test]
    fn a_rule_of_named_ports_matches_nothing_by_itself() {
        let policy = policy_with_ports(vec![PortMatch::Named(Tcp, "http".into())]);
        let classes = Classes::of(&[&policy], &BTreeSet::from([(Tcp, 8_080)]));
        assert!(Services::of(&policy.ingress[0].ports).is_empty());
        assert_eq!(named(&policy.ingress[0].ports).collect::<Vec<_>>(), [(Tcp, "http")]);
        let port = Services::port(Tcp, 8_080);
        let ranges = PortSet::Ranges(vec![PortRange::single(8_080)]);
        assert_eq!(port, Services::Ports([ranges, PortSet::None, PortSet::None]));
        assert_eq!(port.starts().collect::<Vec<_>>(), [(Tcp, 8_080), (Tcp, 8_081)]);
        assert_eq!(classes.count(Tcp), 3);
    }
}
