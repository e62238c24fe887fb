//! Address blocks of policy: which prefixes tell addresses apart, and who is in which block.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hashbrown::HashMap;
use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

use crate::model::{Direction, IpBlock, Peer, Peers, Policy};

/// Position of a block in [`Blocks::list`].
pub(super) type BlockIndex = usize;

/// Number of a set of blocks that some address is in. Set 0 is the empty one.
pub(super) type BlockSet = usize;

/// The distinct address blocks of all policies.
///
/// Prefixes nest or are disjoint, so the longest prefix an address matches, among all blocks and
/// all exceptions, settles which blocks the address is in.
pub(super) struct Blocks<'a> {
    /// The blocks, sorted.
    pub(super) list: Vec<&'a IpBlock>,
    /// The distinct sets of blocks, each sorted; the first is empty.
    pub(super) sets: Vec<Vec<BlockIndex>>,
    prefixes: JointPrefixMap<IpNet, BlockSet>,
}

impl<'a> Blocks<'a> {
    /// The blocks that the peers of `policies` name.
    pub(super) fn of(policies: &[&'a Policy]) -> Self {
        let list: Vec<&IpBlock> = policies
            .iter()
            .flat_map(|policy| [Direction::Ingress, Direction::Egress].map(|d| policy.rules(d)))
            .flatten()
            .filter_map(|rule| match &rule.peers {
                Peers::Everyone => None,
                Peers::Any(peers) => Some(peers),
            })
            .flatten()
            .filter_map(|peer| match peer {
                Peer::Block(block) => Some(block),
                Peer::Workloads { .. } => None,
            })
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let mut blocks = Self { list, sets: vec![Vec::new()], prefixes: JointPrefixMap::new() };
        blocks.walk_prefixes();
        blocks
    }

    /// Finds the set of blocks of every prefix from the set of the prefix around it.
    fn walk_prefixes(&mut self) {
        // Entered by the prefix itself, left by the prefix itself.
        let mut changes: BTreeMap<IpNet, (Vec<BlockIndex>, Vec<BlockIndex>)> = BTreeMap::new();
        for (index, block) in self.list.iter().enumerate() {
            changes.entry(block.block()).or_default().0.push(index);
            for except in block.except() {
                changes.entry(*except).or_default().1.push(index);
            }
        }
        let mut numbers: HashMap<Vec<BlockIndex>, BlockSet> = HashMap::new();
        numbers.insert(Vec::new(), 0);
        let mut around: Vec<(IpNet, BTreeSet<BlockIndex>)> = Vec::new();
        // `IpNet` sorts a prefix before the longer ones within it.
        for (prefix, (entered, left)) in changes {
            while around.last().is_some_and(|(outer, _)| !outer.contains(&prefix)) {
                around.pop();
            }
            let mut set = around.last().map(|(_, set)| set.clone()).unwrap_or_default();
            set.retain(|block| !left.contains(block));
            set.extend(entered);
            let sorted: Vec<BlockIndex> = set.iter().copied().collect();
            let sets = &mut self.sets;
            let number = *numbers.entry(sorted).or_insert_with_key(|sorted| {
                sets.push(sorted.clone());
                sets.len() - 1
            });
            self.prefixes.insert(prefix, number);
            around.push((prefix, set));
        }
    }

    /// The set of blocks that `address` is in.
    pub(super) fn around(&self, address: IpAddr) -> BlockSet {
        self.prefixes.get_lpm(&IpNet::from(address)).map_or(0, |(_, set)| *set)
    }

    /// Every prefix that tells addresses apart, and the set of blocks of the addresses in it that
    /// no longer prefix matches.
    pub(super) fn prefixes(&self) -> BTreeMap<IpNet, BlockSet> {
        self.prefixes.iter().map(|(prefix, set)| (prefix, *set)).collect()
    }

    /// How the blocks of a set are written.
    pub(super) fn names(&self, set: BlockSet) -> BTreeSet<String> {
        self.sets[set].iter().map(|block| self.list[*block].to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::testing::{net, policy_with_peers};

    fn block(block: &str, except: &[&str]) -> IpBlock {
        IpBlock::new(net(block), except.iter().map(|except| net(except)).collect()).unwrap()
    }

    #[test]
    fn the_longest_prefix_settles_membership() {
        let all = [
            block("10.0.0.0/8", &["10.1.0.0/16"]),
            block("10.1.0.0/16", &[]),
            block("10.0.0.0/16", &["10.0.0.0/24", "10.0.1.0/24"]),
            block("0.0.0.0/0", &["10.1.2.0/24"]),
            block("2001:db8::/32", &["2001:db8:1::/48"]),
            block("10.0.0.7/32", &[]),
        ];
        let policy = policy_with_peers(all.iter().cloned().map(Peer::Block).collect());
        let blocks = Blocks::of(&[&policy]);
        for address in [
            "10.0.0.0",
            "10.0.0.7",
            "10.0.1.1",
            "10.0.2.0",
            "10.1.2.3",
            "10.1.3.0",
            "10.255.0.1",
            "11.0.0.0",
            "0.0.0.0",
            "255.255.255.255",
            "2001:db8::1",
            "2001:db8:1::1",
            "::1",
            "::10.0.0.7",
        ] {
            let address: IpAddr = address.parse().unwrap();
            let expected: BTreeSet<String> =
                all.iter().filter(|b| b.contains(address)).map(ToString::to_string).collect();
            assert_eq!(blocks.names(blocks.around(address)), expected, "{address}");
        }
        assert_eq!(blocks.prefixes().len(), 10);
    }

    #[test]
    fn no_blocks_no_prefixes() {
        let blocks = Blocks::of(&[]);
        assert_eq!(blocks.prefixes(), BTreeMap::new());
        assert_eq!(blocks.around("10.0.0.1".parse().unwrap()), 0);
    }
}
