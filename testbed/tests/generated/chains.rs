//! The lines of chains say what the tables say: whoever asks them in order gets the verdict, the
//! rule and the log flag that a look-up gives.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use ringfence_common::abi::config::Config;
use ringfence_common::abi::policy::{CLASSED_PROTOCOLS, Direction, class_table, forms};
use ringfence_common::verdict::Verdict;
use ringfence_dataplane::backend::chains::{Peers, Plan, PortRange, Service, Side};
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::{Arrival, Desired};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::model::PolicySet;

use crate::flows::around;
use crate::policies::{self, Kind};
use crate::runs;

/// Addresses of the host's interfaces: some that workloads have too, some in blocks of policy.
const HOST_ADDRESSES: [&str; 7] =
    ["127.0.0.1", "::1", "fe80::1", "10.0.0.2", "10.0.0.200", "192.0.2.1", "2001:db8::2"];

/// Ends of the address spaces, and addresses that nobody has.
const EDGES: [&str; 6] = [
    "0.0.0.0",
    "255.255.255.255",
    "::",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "203.0.113.7",
    "::ffff:10.0.0.1",
];

proptest! {
    #![proptest_config(runs::config(128))]

    #[test]
    fn lines_say_what_tables_say(
        set in prop_oneof![
            policies::policy_set(Kind::Everything),
            policies::policy_set(Kind::MostlyNetworkPolicy),
        ],
        own in btree_set(select(&HOST_ADDRESSES[..]), 0..4),
        strangers in vec(any::<IpAddr>(), 8),
        is_local in vec(any::<bool>(), 16),
    ) {
        let own = own.into_iter().map(address).collect();
        let scene = Scene::new(&set, own, &is_local);
        let plan = Plan::of(&scene.desired);
        prop_assert_eq!(&Plan::of(&scene.desired.clone()), &plan);
        let peers: Vec<IpAddr> = scene.edges().into_iter().chain(strangers).collect();
        for (number, subject) in &scene.desired.tables.subjects {
            for direction in [Direction::Ingress, Direction::Egress] {
                let side = plan.sides.get(&(*number, direction));
                let enforced = subject.forms(direction) & forms::ENFORCED != 0;
                prop_assert_eq!(side.is_some(), enforced, "{} {:?}", number, direction);
                if let Some(side) = side {
                    assert_well_formed(side)?;
                    scene.assert_says((*number, direction), side, &peers)?;
                }
            }
        }
    }
}

/// A host with some of the workloads.
struct Scene {
    desired: Desired,
    /// What the other backends look up on this host.
    looked_up: HostTables,
}

impl Scene {
    fn new(set: &PolicySet, own: BTreeSet<IpAddr>, is_local: &[bool]) -> Self {
        let tables = compile(set).unwrap();
        let local = tables.endpoints.keys().zip(is_local).filter(|(_, is_local)| **is_local);
        let tables = tables.for_host(&local.map(|(number, _)| *number).collect());
        let mut index = 1;
        let mut desired = Desired::all_local(tables, Arrival::Tcx, 1, |_| {
            index += 1;
            index
        });
        desired.host_addresses = own;
        let looked_up = desired.host_tables(Config::default());
        Self { desired, looked_up }
    }

    /// Addresses at which anything can change.
    fn edges(&self) -> BTreeSet<IpAddr> {
        let Tables { prefixes, .. } = &self.desired.tables;
        let of_prefixes = prefixes.keys().flat_map(around);
        let known = self.looked_up.addresses.keys().copied();
        of_prefixes.chain(known).chain(EDGES.map(address)).collect()
    }

    /// Ports at which anything can change, of every protocol, and protocols without ports.
    fn services(&self) -> BTreeSet<(u8, u16)> {
        let starts = |protocol| self.looked_up.classes.get(&protocol).into_iter().flatten();
        let ports = CLASSED_PROTOCOLS.into_iter().flat_map(|protocol| {
            let edges = starts(protocol).flat_map(|start| [start.saturating_sub(1), *start]);
            edges.chain([0, 4_321, u16::MAX]).map(move |port| (protocol, port))
        });
        ports.chain([(0, 0), (47, 0), (255, 0)]).collect()
    }

    fn identity_of(&self, peer: IpAddr) -> u32 {
        let known = self.looked_up.addresses.get(&peer).map(|entry| entry.identity);
        known.unwrap_or_else(|| self.desired.tables.identity_of(peer))
    }

    /// The side, as planned and widened, says what the look-up says.
    fn assert_says(
        &self,
        (subject, direction): (u32, Direction),
        side: &Side,
        peers: &[IpAddr],
    ) -> Result<(), TestCaseError> {
        let widened = side.widened();
        prop_assert!(ranges(&widened) <= ranges(side), "{:#?}\n{:#?}", widened, side);
        let services = self.services();
        for peer in peers {
            let identity = self.identity_of(*peer);
            for (protocol, port) in &services {
                let tables = &self.desired.tables;
                let decision = tables.decide(subject, direction, identity, *protocol, *port);
                let looked_up = (decision.verdict == Verdict::Allow, decision.log, decision.rule);
                for side in [side, &widened] {
                    let said = first_match(side, *peer, *protocol, *port);
                    let asked = (subject, direction, peer, protocol, port);
                    prop_assert_eq!(said, looked_up, "{:?}: {:#?}", asked, side);
                }
            }
        }
        Ok(())
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Whether it passes, whether it is reported, and the rule.
fn first_match(side: &Side, peer: IpAddr, protocol: u8, port: u16) -> (bool, bool, u32) {
    let matching = side
        .lines
        .iter()
        .find(|line| is_one(&line.peers, peer) && serves(&line.service, protocol, port));
    let decided = matching.map_or(side.default, |line| line.decided);
    (decided.allows, decided.logs, decided.rule)
}

fn is_one(peers: &Peers, peer: IpAddr) -> bool {
    match (peers, peer) {
        (Peers::Anyone, _) => true,
        (Peers::Of { v4, .. }, IpAddr::V4(peer)) => v4.iter().any(|range| range.contains(&peer)),
        (Peers::Of { v6, .. }, IpAddr::V6(peer)) => v6.iter().any(|range| range.contains(&peer)),
    }
}

fn serves(service: &Service, asked: u8, port: u16) -> bool {
    match service {
        Service::Everything => true,
        Service::Protocol(protocol) => *protocol == asked,
        Service::Ports { protocol, ranges } => {
            *protocol == asked && ranges.iter().any(|at| (at.first..=at.last).contains(&port))
        }
    }
}

/// How many ranges of addresses there are, once for each range of ports.
fn ranges(side: &Side) -> usize {
    let of = |peers: &Peers| match peers {
        Peers::Anyone => 1,
        Peers::Of { v4, v6 } => v4.len() + v6.len(),
    };
    let ports = |service: &Service| match service {
        Service::Ports { ranges, .. } => ranges.len(),
        Service::Everything | Service::Protocol(_) => 1,
    };
    side.lines.iter().map(|line| of(&line.peers) * ports(&line.service)).sum()
}

/// What the types promise in words.
fn assert_well_formed(side: &Side) -> Result<(), TestCaseError> {
    let order = side.lines.iter().map(|line| (line.form, line.decided.allows));
    prop_assert!(order.is_sorted(), "{:#?}", side);
    for (position, line) in side.lines.iter().enumerate() {
        if let Service::Ports { protocol, ranges } = &line.service {
            prop_assert!(class_table(*protocol).is_some() && !ranges.is_empty(), "{:?}", line);
            let ends = ranges.iter().map(|range| (range.first.into(), range.last.into()));
            prop_assert!(are_apart(ends), "{:?}", line);
        }
        let [v4, v6] = ends(&line.peers);
        let nobody = line.peers != Peers::Anyone && v4.is_empty() && v6.is_empty();
        prop_assert!(!nobody, "nobody became a line: {:?}", line);
        prop_assert!(are_apart(v4.into_iter()) && are_apart(v6.into_iter()), "{:?}", line);
        for other in &side.lines[..position] {
            let overlap = other.form == line.form
                && have_service_in_common(&other.service, &line.service)
                && have_peer_in_common(&other.peers, &line.peers);
            prop_assert!(!overlap, "{:?} and {:?}", other, line);
        }
    }
    Ok(())
}

/// First and last address as numbers, of both families.
fn ends(peers: &Peers) -> [Vec<(u128, u128)>; 2] {
    let Peers::Of { v4, v6 } = peers else { return Default::default() };
    let v4 = v4.iter().map(|range| (range.start().to_bits().into(), range.end().to_bits().into()));
    let v6 = v6.iter().map(|range| (range.start().to_bits(), range.end().to_bits()));
    [v4.collect(), v6.collect()]
}

/// Whether these are ranges, sorted, with something between each and the next.
fn are_apart(ranges: impl Iterator<Item = (u128, u128)>) -> bool {
    let ranges: Vec<(u128, u128)> = ranges.collect();
    ranges.iter().all(|(first, last)| first <= last)
        && ranges.windows(2).all(|pair| pair[0].1 < u128::MAX && pair[0].1 + 1 < pair[1].0)
}

fn have_service_in_common(a: &Service, b: &Service) -> bool {
    match (a, b) {
        (
            Service::Ports { protocol: a, ranges: of_a },
            Service::Ports { protocol: b, ranges: of_b },
        ) => {
            let meet = |a: &PortRange| of_b.iter().any(|b| a.first <= b.last && b.first <= a.last);
            a == b && of_a.iter().any(meet)
        }
        _ => a == b,
    }
}

fn have_peer_in_common(a: &Peers, b: &Peers) -> bool {
    if *a == Peers::Anyone || *b == Peers::Anyone {
        return true;
    }
    ends(a).iter().zip(ends(b)).any(|(of_a, of_b)| {
        of_a.iter().any(|(first, last)| of_b.iter().any(|(f, l)| first <= l && f <= last))
    })
}
