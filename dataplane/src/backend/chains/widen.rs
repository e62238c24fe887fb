//! Fewer and rounder ranges for chains that are asked line by line.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::space::Block;
use super::{Form, Line, Peers, PortRange, Service, Side};

impl Side {
    /// The same side in fewer ranges, for those who ask its lines in order.
    ///
    /// What an earlier line of the same form and service says cannot be changed by a later one, so
    /// the ranges of the later may run over the peers of the earlier: everybody but one is then one
    /// range instead of two, and a prefix with a hole is that prefix. Lines that have the same
    /// peers then become one. No verdict about anything changes, but unlike those of the plan,
    /// lines of one form and service may overlap.
    #[must_use]
    pub fn widened(&self) -> Self {
        let mut known: BTreeMap<(Form, &Service), [Known; 2]> = BTreeMap::new();
        let widened = self.lines.iter().map(|line| {
            let Peers::Of { v4, v6 } = &line.peers else { return (line, None) };
            let [known_v4, known_v6] = known.entry((line.form, &line.service)).or_default();
            let v4 = v4.iter().map(block_v4).collect();
            let v6 = v6.iter().map(block_v6).collect();
            (line, Some([known_v4.widen(v4), known_v6.widen(v6)]))
        });
        Self { lines: joined(widened.collect()), default: self.default }
    }
}

/// A line and, but for everybody, its peers of both families.
type Widened<'a> = (&'a Line, Option<[Vec<Block>; 2]>);

/// Makes one line of those that differ in their ports alone and have nothing between them but what
/// is of the same form and decided the same way.
fn joined(widened: Vec<Widened<'_>>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::with_capacity(widened.len());
    // Protocol and peers → the place of the line, since the last change of form or decision.
    let mut places: BTreeMap<(u8, [Vec<Block>; 2]), usize> = BTreeMap::new();
    for (line, peers) in widened {
        if lines.last().is_some_and(|last| (last.form, last.decided) != (line.form, line.decided)) {
            places.clear();
        }
        let Some(peers) = peers else {
            lines.push(line.clone());
            continue;
        };
        if let Service::Ports { protocol, ranges } = &line.service {
            let place = *places.entry((*protocol, peers.clone())).or_insert(lines.len());
            if let Some(Line { service: Service::Ports { ranges: first, .. }, .. }) =
                lines.get_mut(place)
            {
                *first = merged(first, ranges);
                continue;
            }
        }
        let [v4, v6] = peers;
        let peers = Peers::Of {
            v4: v4.into_iter().map(Block::v4).collect(),
            v6: v6.into_iter().map(Block::v6).collect(),
        };
        lines.push(Line { peers, ..line.clone() });
    }
    lines
}

/// The ports of both, which have none in common.
fn merged(a: &[PortRange], b: &[PortRange]) -> Vec<PortRange> {
    let mut ranges = [a, b].concat();
    ranges.sort_unstable();
    ranges.dedup_by(|next, range| {
        let continues = range.last.checked_add(1) == Some(next.first);
        if continues {
            range.last = next.last;
        }
        continues
    });
    ranges
}

/// The addresses about which earlier lines of a form and service have decided: the first of each
/// block → its last. Blocks are not adjacent.
#[derive(Default)]
struct Known(BTreeMap<u128, u128>);

impl Known {
    /// The fewest blocks that hold all that is needed and beside it only what was known before.
    /// Where a block may end in several places, it ends where it takes the fewest prefixes. What
    /// was needed is known afterwards.
    fn widen(&mut self, needed: Vec<Block>) -> Vec<Block> {
        let mut groups: Vec<Block> = Vec::with_capacity(needed.len());
        for block in &needed {
            match groups.last_mut() {
                Some(group) if self.reaches(group.last).checked_add(1) == Some(block.first) => {
                    group.last = block.last;
                }
                _ => groups.push(*block),
            }
        }
        for group in &mut groups {
            let begin = self.reaches_back(group.first);
            // The block that ends with the very last address is followed by none: it stays.
            if let Some(after) = self.reaches(group.last).checked_add(1) {
                group.last = roundest(group.last + 1, after) - 1;
            } else {
                group.last = u128::MAX;
            }
            group.first = roundest(begin, group.first);
        }
        needed.into_iter().for_each(|block| self.add(block));
        groups
    }

    /// The last address of what follows `last` without a gap; itself where nothing does.
    fn reaches(&self, last: u128) -> u128 {
        last.checked_add(1).and_then(|next| self.0.get(&next)).copied().unwrap_or(last)
    }

    /// The first address of what comes before `first` without a gap; itself where nothing does.
    fn reaches_back(&self, first: u128) -> u128 {
        let before = self.0.range(..first).next_back();
        let adjacent = before.filter(|(_, last)| last.checked_add(1) == Some(first));
        adjacent.map_or(first, |(begin, _)| *begin)
    }

    fn add(&mut self, block: Block) {
        let first = self.reaches_back(block.first);
        let last = self.reaches(block.last);
        if last != block.last {
            self.0.remove(&(block.last + 1));
        }
        self.0.insert(first, last);
    }
}

/// Of the numbers from `low` to `high`, the one that the highest power of two divides.
fn roundest(low: u128, high: u128) -> u128 {
    let Some(before) = low.checked_sub(1) else { return 0 };
    let differing = u128::BITS - 1 - (before ^ high).leading_zeros();
    high >> differing << differing
}

fn block_v4(range: &RangeInclusive<Ipv4Addr>) -> Block {
    let number = |address: &Ipv4Addr| u128::from(address.to_bits());
    Block { first: number(range.start()), last: number(range.end()) }
}

fn block_v6(range: &RangeInclusive<Ipv6Addr>) -> Block {
    Block { first: range.start().to_bits(), last: range.end().to_bits() }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::ops::RangeInclusive;

    use super::super::{Decided, Form, Line, Peers, PortRange, Service, Side};
    use super::roundest;

    fn range(text: &str) -> RangeInclusive<Ipv4Addr> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        first.parse().unwrap()..=last.parse().unwrap()
    }

    fn line(form: Form, peers: &[&str], port: u16, decided: (bool, u32)) -> Line {
        Line {
            form,
            peers: Peers::Of { v4: peers.iter().map(|text| range(text)).collect(), v6: Vec::new() },
            service: Service::Ports {
                protocol: 6,
                ranges: vec![PortRange { first: port, last: port }],
            },
            decided: Decided { allows: decided.0, logs: false, rule: decided.1 },
        }
    }

    fn widened(lines: Vec<Line>) -> Vec<Line> {
        Side { lines, default: Decided { allows: false, logs: false, rule: 0 } }.widened().lines
    }

    #[test]
    fn a_prefix_with_a_hole_is_that_prefix() {
        let denied = line(Form::PeerPorts, &["10.0.0.0", "10.0.0.9"], 80, (false, 1));
        let allowed = |peers: &[&str]| line(Form::PeerPorts, peers, 80, (true, 2));
        let with_holes = allowed(&["10.0.0.1-10.0.0.8", "10.0.0.10-10.0.0.255"]);
        let lines = widened(vec![denied.clone(), with_holes]);
        assert_eq!(lines, [denied, allowed(&["10.0.0.0-10.0.0.255"])]);
    }

    #[test]
    fn a_line_may_not_run_over_other_forms_services_or_gaps() {
        let lines = vec![
            line(Form::PeerPorts, &["10.0.0.1"], 80, (false, 1)),
            line(Form::PeerPorts, &["10.0.0.0", "10.0.0.2"], 81, (true, 2)),
            line(Form::PeerProtocol, &["10.0.0.0", "10.0.0.2"], 80, (true, 2)),
        ];
        assert_eq!(widened(lines.clone()), lines);
        let lines = vec![
            line(Form::PeerPorts, &["10.0.0.2"], 80, (false, 1)),
            line(Form::PeerPorts, &["10.0.0.1", "10.0.0.4"], 80, (true, 2)),
        ];
        let lone = line(Form::PeerPorts, &["10.0.0.1-10.0.0.2", "10.0.0.4"], 80, (true, 2));
        assert_ne!(widened(lines.clone())[1], lone, "it would take more prefixes");
        assert_eq!(widened(lines.clone()), lines);
    }

    #[test]
    fn an_end_lies_where_it_takes_the_fewest_prefixes() {
        let denied = line(Form::PeerPorts, &["10.0.0.250-10.0.0.255"], 80, (false, 1));
        let allowed = |peers: &[&str]| line(Form::PeerPorts, peers, 80, (true, 2));
        let lines = widened(vec![denied.clone(), allowed(&["10.0.0.192-10.0.0.249"])]);
        assert_eq!(lines[1], allowed(&["10.0.0.192-10.0.0.255"]));
        let lines = widened(vec![denied, allowed(&["10.0.1.0-10.0.1.127"])]);
        assert_eq!(lines[1], allowed(&["10.0.1.0-10.0.1.127"]), "it is one prefix already");
    }

    #[test]
    fn lines_that_have_the_same_peers_now_are_one() {
        let denied = line(Form::PeerPorts, &["10.0.0.3"], 80, (false, 1));
        let lines = widened(vec![
            denied.clone(),
            line(Form::PeerPorts, &["10.0.0.0-10.0.0.2"], 80, (true, 2)),
            line(Form::PeerPorts, &["10.0.0.0-10.0.0.3"], 81, (true, 2)),
            line(Form::PeerPorts, &["10.0.0.0-10.0.0.3"], 443, (true, 2)),
        ]);
        let mut all = line(Form::PeerPorts, &["10.0.0.0-10.0.0.3"], 80, (true, 2));
        all.service = Service::Ports {
            protocol: 6,
            ranges: vec![PortRange { first: 80, last: 81 }, PortRange { first: 443, last: 443 }],
        };
        assert_eq!(lines, [denied, all]);
    }

    #[test]
    fn only_lines_decided_alike_and_side_by_side_become_one() {
        let lines = vec![
            line(Form::PeerPorts, &["10.0.0.1"], 80, (true, 2)),
            line(Form::PeerPorts, &["10.0.0.1"], 81, (true, 3)),
            line(Form::PeerPorts, &["10.0.0.1"], 82, (true, 2)),
        ];
        assert_eq!(widened(lines.clone()), lines);
    }

    #[test]
    fn the_roundest_number_has_the_most_zeros_at_its_end() {
        for low in 0..70 {
            for high in low..70_u128 {
                let best = (low..=high).max_by_key(|number| (number.trailing_zeros(), *number));
                assert_eq!(Some(roundest(low, high)), best, "{low}..={high}");
            }
        }
        assert_eq!(roundest(u128::MAX, u128::MAX), u128::MAX);
    }
}
