//! Which addresses an identity has.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use ringfence_common::abi::identity::{AddressEntry, identity};

use super::Peers;

/// All addresses of both families, by the identity that has them. An address has its own
/// identity, else that of the longest prefix around it, else it is of the world.
pub(super) struct Space {
    v4: Partition,
    v6: Partition,
}

/// Identity → its addresses as numbers: sorted, and not overlapping.
type Partition = BTreeMap<u32, Vec<Block>>;

/// Addresses from a first to a last, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block {
    /// The first.
    pub(super) first: u128,
    /// The last, not less than the first.
    pub(super) last: u128,
}

impl Block {
    /// The block as IPv4 addresses.
    pub(super) fn v4(self) -> RangeInclusive<Ipv4Addr> {
        let address = |number: u128| {
            Ipv4Addr::from_bits(u32::try_from(number).expect("an address of this family"))
        };
        address(self.first)..=address(self.last)
    }

    /// The block as IPv6 addresses.
    pub(super) fn v6(self) -> RangeInclusive<Ipv6Addr> {
        Ipv6Addr::from_bits(self.first)..=Ipv6Addr::from_bits(self.last)
    }
}

impl Space {
    /// The space that these addresses and prefixes divide.
    pub(super) fn of(
        addresses: &BTreeMap<IpAddr, AddressEntry>,
        prefixes: &BTreeMap<IpNet, u32>,
    ) -> Self {
        let mut blocks: [BTreeMap<Nested, u32>; 2] = Default::default();
        let prefixes = prefixes.iter().map(|(prefix, identity)| (*prefix, *identity));
        // Asked before the prefixes, so they take the place of a prefix with a single address.
        let singles =
            addresses.iter().map(|(address, entry)| (IpNet::from(*address), entry.identity));
        for (net, identity) in prefixes.chain(singles) {
            let first = number(net.network());
            let last = number(net.broadcast());
            blocks[usize::from(net.addr().is_ipv6())].insert((first, Reverse(last)), identity);
        }
        let [v4, v6] = blocks;
        Self { v4: divide(v4, u128::from(u32::MAX)), v6: divide(v6, u128::MAX) }
    }

    /// The addresses of all these identities; nothing where none of them has any, because no
    /// addresses are nobody and never everybody.
    pub(super) fn peers(&self, identities: &[u32]) -> Option<Peers> {
        let v4 = united(&self.v4, identities);
        let v6 = united(&self.v6, identities);
        if v4.is_empty() && v6.is_empty() {
            return None;
        }
        Some(Peers::Of {
            v4: v4.into_iter().map(Block::v4).collect(),
            v6: v6.into_iter().map(Block::v6).collect(),
        })
    }

    /// Whether any address has this identity.
    pub(super) fn has(&self, identity: u32) -> bool {
        self.v4.contains_key(&identity) || self.v6.contains_key(&identity)
    }
}

/// A block by its first address and, of those that begin there, the longest first: what holds
/// another comes before it.
type Nested = (u128, Reverse<u128>);

/// Gives each address to the innermost of the blocks around it, and the others to the world.
/// Blocks are prefixes: of two, one holds the other or they have nothing in common.
fn divide(blocks: BTreeMap<Nested, u32>, last: u128) -> Partition {
    let mut partition = Partition::new();
    // The next address to be given away; none after the very last.
    let mut next = Some(0);
    let mut give = |next: &mut Option<u128>, last: u128, identity: u32| {
        let Some(first) = next.filter(|first| *first <= last) else { return };
        partition.entry(identity).or_default().push(Block { first, last });
        *next = last.checked_add(1);
    };
    // The blocks around `next`, the innermost last.
    let mut open = vec![(last, identity::WORLD)];
    for ((first, Reverse(last)), identity) in blocks {
        while let Some((end, of)) = open.pop_if(|(end, _)| *end < first) {
            give(&mut next, end, of);
        }
        if let (Some(before), Some((_, of))) = (first.checked_sub(1), open.last()) {
            give(&mut next, before, *of);
        }
        open.push((last, identity));
    }
    while let Some((end, of)) = open.pop() {
        give(&mut next, end, of);
    }
    partition
}

/// The addresses of all these identities, neither overlapping nor adjacent.
fn united(partition: &Partition, identities: &[u32]) -> Vec<Block> {
    let of = |identity| partition.get(identity).into_iter().flatten().copied();
    let mut blocks: Vec<Block> = identities.iter().flat_map(of).collect();
    blocks.sort_unstable();
    blocks.dedup_by(|next, block| {
        let continues = block.last.checked_add(1).is_none_or(|after| next.first <= after);
        if continues {
            block.last = block.last.max(next.last);
        }
        continues
    });
    blocks
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}
