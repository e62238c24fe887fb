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
