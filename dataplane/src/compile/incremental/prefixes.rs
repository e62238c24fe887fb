//! Address blocks, as [`crate::compile::blocks`] tells addresses apart by them, kept while blocks
//! come and go: only what lies within a block that came or went is looked at again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

use super::{PeerId, RuleId};
use crate::model::IpBlock;

/// Number of a block; never given twice.
pub(super) type BlockId = usize;

/// The blocks that an address is in, sorted.
pub(super) type Set = Arc<[BlockId]>;

/// A block that some rule names.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) block: IpBlock,
    /// The rules that name it.
    pub(super) rules: BTreeSet<RuleId>,
    /// The peers with addresses in it.
    pub(super) peers: BTreeSet<PeerId>,
}

/// A prefix that tells addresses apart.
#[derive(Debug, Default)]
struct Node {
    /// The blocks that begin with it, and those that it is an exception of.
    entered: BTreeSet<BlockId>,
    left: BTreeSet<BlockId>,
    set: Option<Set>,
}

/// All blocks of policy.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    all: BTreeMap<BlockId, Block>,
    known: HashMap<IpBlock, BlockId>,
    next: BlockId,
    prefixes: JointPrefixMap<IpNet, Node>,
    /// Blocks that may be idle.
    left: BTreeSet<BlockId>,
    /// Where prefixes came or went.
    touched: BTreeSet<IpNet>,
}

/// What changed in [`Blocks::follow`].
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// The prefixes whose blocks are others now; `None` for those that are no more.
    pub(super) prefixes: Vec<(IpNet, Option<Set>)>,
    /// Within these, addresses may be in other blocks now; they are apart from each other.
    pub(super) within: Vec<IpNet>,
}

impl Blocks {
    /// The number of a block that `rule` names.
    pub(super) fn of(&mut self, block: &IpBlock, rule: RuleId) -> BlockId {
        if let Some(id) = self.known.get(block).copied() {
            self.get_mut(id).rules.insert(rule);
            return id;
        }
        let id = self.next;
        self.next += 1;
        self.known.insert(block.clone(), id);
        self.node(block.block()).entered.insert(id);
        for except in block.except() {
            self.node(*except).left.insert(id);
        }
        self.touched.insert(block.block());
        let rules = BTreeSet::from([rule]);
        self.all.insert(id, Block { block: block.clone(), rules, peers: BTreeSet::new() });
        id
    }

    fn node(&mut self, prefix: IpNet) -> &mut Node {
        self.prefixes.entry(prefix).or_default()
    }

    /// A block that `rule` names no more.
    pub(super) fn leave(&mut self, id: BlockId, rule: RuleId) {
        self.get_mut(id).rules.remove(&rule);
        self.left.insert(id);
    }

    /// The block of a number that is in use.
    pub(super) fn get(&self, id: BlockId) -> &Block {
        self.all.get(&id).expect("nobody keeps the number of a block that is gone")
    }

    fn get_mut(&mut self, id: BlockId) -> &mut Block {
        self.all.get_mut(&id).expect("nobody keeps the number of a block that is gone")
    }

    /// Notes that a peer has addresses in the blocks of its set.
    pub(super) fn add_peer(&mut self, peer: PeerId, set: &Set) {
        for block in set.iter() {
            self.get_mut(*block).peers.insert(peer);
        }
    }

    /// Notes that it has no more; some of the blocks may be gone.
    pub(super) fn remove_peer(&mut self, peer: PeerId, set: &Set) {
        for block in set.iter() {
            if let Some(block) = self.all.get_mut(block) {
                block.peers.remove(&peer);
            }
        }
    }

    /// The blocks that `address` is in.
    pub(super) fn around(&self, address: IpAddr) -> Set {
        self.set_of(self.prefixes.get_lpm(&IpNet::from(address)).map(|(_, node)| node))
    }

    fn set_of(&self, node: Option<&Node>) -> Set {
        node.and_then(|node| node.set.clone()).unwrap_or_default()
    }

    /// How the blocks of a set are written.
    pub(super) fn names(&self, set: &Set) -> BTreeSet<String> {
        set.iter().map(|block| self.get(*block).block.to_string()).collect()
    }

    /// Forgets the blocks that no rule names, and finds out who is in which block now.
    pub(super) fn follow(&mut self) -> Moves {
        for id in std::mem::take(&mut self.left) {
            if self.get(id).rules.is_empty()
                && let Some(Block { block, .. }) = self.all.remove(&id)
            {
                self.known.remove(&block);
                self.node(block.block()).entered.remove(&id);
                for except in block.except() {
                    self.node(*except).left.remove(&id);
                }
                self.touched.insert(block.block());
            }
        }
        let mut moves = Moves::default();
        // `IpNet` sorts a prefix before the longer ones within it.
        for prefix in std::mem::take(&mut self.touched) {
            if !moves.within.last().is_some_and(|outer| outer.contains(&prefix)) {
                moves.within.push(prefix);
            }
        }
        for root in &moves.within {
            self.follow_within(*root, &mut moves.prefixes);
        }
        moves
    }

    /// Finds the blocks of every prefix within `root` from those of the prefix around it.
    fn follow_within(&mut self, root: IpNet, moved: &mut Vec<(IpNet, Option<Set>)>) {
        let outside = root.supernet().and_then(|wider| self.prefixes.get_lpm(&wider));
        let outside = self.set_of(outside.map(|(_, node)| node));
        let mut around: Vec<(IpNet, Set)> = Vec::new();
        let mut gone = Vec::new();
        for (prefix, node) in self.prefixes.children_mut(&root) {
            if node.entered.is_empty() && node.left.is_empty() {
                gone.push(prefix);
                continue;
            }
            while around.last().is_some_and(|(outer, _)| !outer.contains(&prefix)) {
                around.pop();
            }
            let outer = around.last().map_or(&outside, |(_, set)| set);
            let kept = outer.iter().filter(|block| !node.left.contains(*block));
            let mut blocks: Vec<BlockId> = kept.chain(&node.entered).copied().collect();
            blocks.sort_unstable();
            if node.set.as_deref() != Some(&*blocks) {
                node.set = Some(blocks.into());
                moved.push((prefix, node.set.clone()));
            }
            around.push((prefix, node.set.clone().unwrap_or_default()));
        }
        for prefix in gone {
            self.prefixes.remove(&prefix);
            moved.push((prefix, None));
        }
    }
}
