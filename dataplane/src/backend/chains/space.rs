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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ringfence_common::abi::identity::{AddressEntry, identity::WORLD};

    use super::{Peers, Space};

    fn space(addresses: &[(&str, u32)], prefixes: &[(&str, u32)]) -> Space {
        let entry = |identity| AddressEntry { identity, endpoint: 0 };
        let addresses = addresses.iter().map(|(at, of)| (at.parse().unwrap(), entry(*of)));
        let prefixes = prefixes.iter().map(|(net, of)| (net.parse().unwrap(), *of));
        Space::of(&addresses.collect(), &prefixes.collect::<BTreeMap<_, _>>())
    }

    /// The ranges of both families as text.
    fn text(space: &Space, identities: &[u32]) -> Vec<String> {
        match space.peers(identities) {
            None => Vec::new(),
            Some(Peers::Anyone) => panic!("identities are never everybody"),
            Some(Peers::Of { v4, v6 }) => {
                let v4 = v4.iter().map(|range| format!("{}-{}", range.start(), range.end()));
                let v6 = v6.iter().map(|range| format!("{}-{}", range.start(), range.end()));
                v4.chain(v6).collect()
            }
        }
    }

    #[test]
    fn an_address_is_of_its_workload_then_of_the_longest_prefix_then_of_the_world() {
        let space = space(
            &[("10.0.0.5", 300), ("10.0.0.6", 301)],
            &[("10.0.0.0/8", 400), ("10.0.0.0/24", 401), ("10.0.0.6/32", 402)],
        );
        assert_eq!(text(&space, &[300]), ["10.0.0.5-10.0.0.5"]);
        assert_eq!(text(&space, &[301]), ["10.0.0.6-10.0.0.6"]);
        assert_eq!(text(&space, &[402]), Vec::<String>::new(), "a workload has its only address");
        assert_eq!(text(&space, &[401]), ["10.0.0.0-10.0.0.4", "10.0.0.7-10.0.0.255"]);
        assert_eq!(text(&space, &[400]), ["10.0.1.0-10.255.255.255"]);
        let world = [
            "0.0.0.0-9.255.255.255",
            "11.0.0.0-255.255.255.255",
            "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ];
        assert_eq!(text(&space, &[WORLD]), world);
        assert!(space.has(WORLD) && space.has(401) && !space.has(402) && !space.has(999));
    }

    #[test]
    fn adjacent_ranges_of_several_identities_are_one() {
        let space = space(
            &[("10.0.0.5", 300), ("10.0.0.6", 301), ("2001:db8::1", 300)],
            &[("10.0.0.0/24", 401)],
        );
        assert_eq!(text(&space, &[300, 301]), ["10.0.0.5-10.0.0.6", "2001:db8::1-2001:db8::1"]);
        let both = ["10.0.0.0-10.0.0.255", "2001:db8::1-2001:db8::1"];
        assert_eq!(text(&space, &[401, 300, 301]), both);
        let everything = ["0.0.0.0-255.255.255.255", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"];
        assert_eq!(text(&space, &[WORLD, 300, 301, 401]), everything);
    }

    #[test]
    fn the_ends_of_the_address_space_belong_to_somebody() {
        let last_v6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let space = space(
            &[("255.255.255.255", 300), ("0.0.0.0", 300), (last_v6, 300)],
            &[("::/0", 400), ("ffff::/16", 401)],
        );
        let ends = ["0.0.0.0-0.0.0.0", "255.255.255.255-255.255.255.255"].map(str::to_owned);
        assert_eq!(text(&space, &[300])[..2], ends);
        assert_eq!(text(&space, &[300])[2..], [format!("{last_v6}-{last_v6}")]);
        assert_eq!(text(&space, &[400]), ["::-fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]);
        let others = ["ffff::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"];
        assert_eq!(text(&space, &[401]), others);
        assert_eq!(text(&space, &[WORLD]), ["0.0.0.1-255.255.255.254"]);
    }

    #[test]
    fn nobody_is_never_everybody() {
        let space = space(&[("10.0.0.5", 300)], &[]);
        assert!(space.peers(&[]).is_none());
        assert!(space.peers(&[999]).is_none());
    }
}
