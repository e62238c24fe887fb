//! How addresses are written means nothing.

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::Index;
use ringfence_dataplane::model::{IpBlock, Peer, Peers, PolicySet};

use super::{CASES, Law, compare, flows, hold, rule_at, rule_mut};
use crate::policies::{self, Kind};
use crate::runs;

proptest! {
    #![proptest_config(runs::config(CASES))]

    /// Splitting one way is merging the other way.
    #[test]
    fn a_block_in_two_halves(
        set in policies::policy_set(Kind::Everything),
        at: Index,
        seed: u64,
    ) {
        let Some(split) = with_a_block_in_halves(&set, at) else {
            return Err(TestCaseError::reject("no block of several addresses"));
        };
        hold(Law::Same, &set, &split, seed)?;
    }

    #[test]
    fn an_exception_in_two_halves(
        set in policies::policy_set(Kind::Everything),
        at: Index,
        seed: u64,
    ) {
        let Some(split) = with_an_exception_in_halves(&set, at) else {
            return Err(TestCaseError::reject("no exception of several addresses"));
        };
        hold(Law::Same, &set, &split, seed)?;
    }

    /// What is said about one family does not matter to the other.
    #[test]
    fn a_block_of_the_other_family(
        set in policies::policy_set(Kind::Everything),
        at: Index,
        v6: bool,
        seed: u64,
    ) {
        let Some(place) = rule_at(&set, at, |rule| matches!(rule.peers, Peers::Any(_))) else {
            return Err(TestCaseError::reject("no rule about some peers"));
        };
        let mut more = set.clone();
        let block = if v6 { "2001:db8::/32" } else { "10.0.0.0/8" };
        if let Peers::Any(peers) = &mut rule_mut(&mut more, place).peers {
            peers.push(Peer::Block(IpBlock::new(block.parse().unwrap(), Vec::new()).unwrap()));
        }
        let mut flows = flows(&[&set, &more], seed);
        flows.retain(|flow| flow.source.is_ipv6() != v6);
        compare(Law::Same, &set, &more, &flows)?;
    }
}

/// The first block among `peers` that `wanted` accepts, and its position.
fn block_in(peers: &Peers, wanted: impl Fn(&IpBlock) -> bool) -> Option<(usize, IpBlock)> {
    let Peers::Any(peers) = peers else { return None };
    peers.iter().enumerate().find_map(|(index, peer)| match peer {
        Peer::Block(block) if wanted(block) => Some((index, block.clone())),
        _ => None,
    })
}

/// Half as large; nothing for a single address.
fn halves(net: IpNet) -> Option<Vec<IpNet>> {
    let halves = net.subnets(net.prefix_len() + 1).ok()?;
    Some(halves.collect())
}

fn with_a_block_in_halves(set: &PolicySet, at: Index) -> Option<PolicySet> {
    let wanted = |block: &IpBlock| halves(block.block()).is_some();
    let place = rule_at(set, at, |rule| block_in(&rule.peers, wanted).is_some())?;
    let mut split = set.clone();
    let rule = rule_mut(&mut split, place);
    let (index, block) = block_in(&rule.peers, wanted)?;
    let Peers::Any(peers) = &mut rule.peers else { return None };
    peers.remove(index);
    for half in halves(block.block())? {
        let inside = |except: &&IpNet| half.contains(*except);
        let except: Vec<IpNet> = block.except().iter().filter(inside).copied().collect();
        // A half that is excepted as a whole is not there.
        if !except.contains(&half) {
            peers.push(Peer::Block(IpBlock::new(half, except).ok()?));
        }
    }
    // Both halves may have been excepted: then nobody is left, which no list of peers can say.
    (!peers.is_empty()).then_some(split)
}

fn with_an_exception_in_halves(set: &PolicySet, at: Index) -> Option<PolicySet> {
    let wanted = |block: &IpBlock| block.except().iter().any(|net| halves(*net).is_some());
    let place = rule_at(set, at, |rule| block_in(&rule.peers, wanted).is_some())?;
    let mut split = set.clone();
    let rule = rule_mut(&mut split, place);
    let (index, block) = block_in(&rule.peers, wanted)?;
    let except = block.except().iter().flat_map(|net| halves(*net).unwrap_or_else(|| vec![*net]));
    let Peers::Any(peers) = &mut rule.peers else { return None };
    peers[index] = Peer::Block(IpBlock::new(block.block(), except.collect()).ok()?);
    Some(split)
}
