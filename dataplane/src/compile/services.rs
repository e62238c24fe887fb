//! Ports to classes: the intervals of ports that all rules treat alike.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::ops::Range;

use crate::model::{Direction, Policy, PortMatch, PortRange, Ports, Protocol};

/// Position of a class among the classes of its protocol.
pub(super) type ClassIndex = u32;

/// First port of every class, by protocol in the order of [`Protocol::ALL`]; class 0 starts at
/// port 0 always.
pub(super) struct Classes {
    starts: [Vec<u16>; 3],
}

impl Classes {
    /// The classes that the rules of `policies` tell apart, with `named` the numbers that the named
    /// ports of those rules stand for.
    pub(super) fn of(policies: &[&Policy], named: &BTreeSet<(Protocol, u16)>) -> Self {
        let mut starts = [const { BTreeSet::new() }; 3];
        let mut cut = |protocol: Protocol, first: u16, last: u16| {
            starts[protocol as usize].insert(first);
            starts[protocol as usize].extend(last.checked_add(1));
        };
        let rules = policies.iter().flat_map(|policy| {
            [Direction::Ingress, Direction::Egress].into_iter().flat_map(|d| policy.rules(d))
        });
        for rule in rules {
            let Ports::Any(matches) = &rule.ports else { continue };
            for protocol in Protocol::ALL {
                for range in merged(matches, protocol) {
                    cut(protocol, range.first(), range.last());
                }
            }
        }
        for (protocol, port) in named {
            cut(*protocol, *port, *port);
        }
        Self {
            starts: starts.map(|starts| {
                starts.into_iter().chain([0]).collect::<BTreeSet<_>>().into_iter().collect()
            }),
        }
    }

    /// The class of `port`.
    pub(super) fn class(&self, protocol: Protocol, port: u16) -> ClassIndex {
        (self.starts[protocol as usize].partition_point(|start| *start <= port) - 1) as ClassIndex
    }

    /// How many classes a protocol has.
    pub(super) fn count(&self, protocol: Protocol) -> usize {
        self.starts[protocol as usize].len()
    }

    /// The number of a class: its first port.
    pub(super) fn number(&self, protocol: Protocol, class: ClassIndex) -> u16 {
        self.starts[protocol as usize][class as usize]
    }

    /// Protocol number → first ports of the classes after class 0; protocols with class 0 alone
    /// are left out.
    pub(super) fn boundaries(&self) -> BTreeMap<u8, BTreeSet<u16>> {
        Protocol::ALL
            .into_iter()
            .map(|protocol| {
                let starts = self.starts[protocol as usize].iter().copied();
                (protocol.number(), starts.filter(|start| *start > 0).collect())
            })
            .filter(|(_, starts): &(u8, BTreeSet<u16>)| !starts.is_empty())
            .collect()
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
    /// Those of these classes.
    Classes(Vec<Range<ClassIndex>>),
}

impl Services {
    /// What `ports` match whoever the destination is, that is without named ports.
    pub(super) fn of(ports: &Ports, classes: &Classes) -> Self {
        let Ports::Any(matches) = ports else { return Self::Everything };
        Self::Ports(Protocol::ALL.map(|protocol| {
            let ranges = merged(matches, protocol);
            if ranges == [PortRange::new(0, u16::MAX).expect("0 is below the maximum")] {
                return PortSet::Every;
            }
            let ranges: Vec<_> = ranges
                .into_iter()
                .map(|range| {
                    let last = classes.class(protocol, range.last());
                    classes.class(protocol, range.first())..last + 1
                })
                .collect();
            if ranges.is_empty() { PortSet::None } else { PortSet::Classes(ranges) }
        }))
    }

    /// One port.
    pub(super) fn port(protocol: Protocol, port: u16, classes: &Classes) -> Self {
        let class = classes.class(protocol, port);
        let mut sets = [const { PortSet::None }; 3];
        sets[protocol as usize] = PortSet::Classes(iter::once(class..class + 1).collect());
        Self::Ports(sets)
    }

    /// Whether nothing is matched.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Everything => false,
            Self::Ports(sets) => sets.iter().all(|set| *set == PortSet::None),
        }
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
        let numbers = [0, 79, 80, 81, 1_023, 1_024, u16::MAX]
            .map(|port| classes.number(Tcp, classes.class(Tcp, port)));
        assert_eq!(numbers, [0, 0, 80, 81, 81, 1_024, 1_024]);
    }

    #[test]
    fn the_whole_range_is_every_port() {
        let policy = policy_with_ports(vec![range(0, 99), range(100, u16::MAX)]);
        let classes = Classes::of(&[&policy], &BTreeSet::new());
        assert_eq!(classes.boundaries(), BTreeMap::new());
        let services = Services::of(&policy.ingress[0].ports, &classes);
        assert_eq!(services, Services::Ports([PortSet::Every, PortSet::None, PortSet::None]));
        assert!(!services.is_empty());
    }

    #[test]
    fn a_rule_of_named_ports_matches_nothing_by_itself() {
        let policy = policy_with_ports(vec![PortMatch::Named(Tcp, "http".into())]);
        let classes = Classes::of(&[&policy], &BTreeSet::from([(Tcp, 8_080)]));
        assert!(Services::of(&policy.ingress[0].ports, &classes).is_empty());
        assert_eq!(named(&policy.ingress[0].ports).collect::<Vec<_>>(), [(Tcp, "http")]);
        let port = Services::port(Tcp, 8_080, &classes);
        assert_eq!(
            port,
            Services::Ports([
                PortSet::Classes(iter::once(1..2).collect()),
                PortSet::None,
                PortSet::None
            ])
        );
    }
}
