//! The flows at which anything can change: between all workloads and the addresses around the ends
//! of every prefix, on the ports around the ends of every class, and on protocols without ports.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::model::{
    Peer, Peers, Policy, PolicySet, PortMatch, Ports, Protocol, Rule,
};
use ringfence_dataplane::oracle::Flow;
use ringfence_testbed::random::Random;

/// A destination's protocol, and its port if it has ports.
type Service = (u8, Option<u16>);

/// Who may talk, and about what.
pub struct Boundaries {
    workloads: Vec<IpAddr>,
    everyone: Vec<IpAddr>,
    services: Vec<Service>,
}

/// All flows worth asking about `tables`; those of one workload with itself among them.
pub fn all(tables: &[&Tables]) -> Vec<Flow> {
    let workloads = tables.iter().flat_map(|tables| tables.addresses.keys().copied());
    let prefixes = tables.iter().flat_map(|tables| tables.prefixes.keys().copied());
    let starts = tables.iter().flat_map(|tables| &tables.classes);
    let starts = starts.flat_map(|(of, starts)| starts.iter().map(|start| (*of, *start)));
    Boundaries::of(workloads.collect(), prefixes, starts.collect()).all()
}

impl Boundaries {
    /// What the policies and inventories of `sets` name, read from the model: tables that are
    /// wrong do not hide where.
    pub fn of_sets(sets: &[&PolicySet]) -> Self {
        let everybody = || sets.iter().flat_map(|set| set.inventory.workloads());
        let workloads = everybody().flat_map(|workload| workload.addresses.iter().copied());
        let named = everybody().flat_map(|workload| &workload.ports);
        let mut starts: BTreeSet<(u8, u16)> = BTreeSet::new();
        let mut cut = |protocol: Protocol, first: u16, last: u16| {
            starts.insert((protocol.number(), first));
            starts.extend(last.checked_add(1).map(|next| (protocol.number(), next)));
        };
        named.for_each(|port| cut(port.protocol, port.port, port.port));
        let mut prefixes = Vec::new();
        for rule in sets.iter().flat_map(|set| &set.policies).flat_map(rules) {
            if let Ports::Any(ports) = &rule.ports {
                for port in ports {
                    if let PortMatch::Range(protocol, range) = port {
                        cut(*protocol, range.first(), range.last());
                    }
                }
            }
            if let Peers::Any(peers) = &rule.peers {
                for peer in peers {
                    if let Peer::Block(block) = peer {
                        prefixes.push(block.block());
                        prefixes.extend(block.except());
                    }
                }
            }
        }
        Self::of(workloads.collect(), prefixes.into_iter(), starts)
    }

    /// `starts` are the ports, by protocol, where something may begin.
    fn of(
        workloads: BTreeSet<IpAddr>,
        prefixes: impl Iterator<Item = IpNet>,
        starts: BTreeSet<(u8, u16)>,
    ) -> Self {
        let mut everyone: BTreeSet<IpAddr> =
            ["203.0.113.7", "2001:db8:ffff::1"].map(|a| a.parse().unwrap()).into();
        everyone.extend(prefixes.flat_map(|prefix| around(&prefix)));
        everyone.extend(&workloads);
        // ICMP, GRE and ICMPv6 have no ports.
        let mut services: BTreeSet<Service> = BTreeSet::from([(1, None), (47, None), (58, None)]);
        for protocol in Protocol::ALL.map(Protocol::number) {
            services.extend([0, u16::MAX, 4_321].map(|port| (protocol, Some(port))));
        }
        let edges = starts.into_iter().flat_map(|(protocol, start)| {
            [start.checked_sub(1), Some(start)].into_iter().flatten().map(move |p| (protocol, p))
        });
        services.extend(edges.map(|(protocol, port)| (protocol, Some(port))));
        Self {
            workloads: workloads.into_iter().collect(),
            everyone: everyone.into_iter().collect(),
            services: services.into_iter().collect(),
        }
    }

    /// Every flow that concerns a workload.
    pub fn all(&self) -> Vec<Flow> {
        let is_workload = |address| self.workloads.binary_search(address).is_ok();
        let everyone = || self.everyone.iter();
        let pairs = everyone().flat_map(|from| everyone().map(move |to| (from, to)));
        pairs
            .filter(|(from, to)| from.is_ipv4() == to.is_ipv4())
            .filter(|(from, to)| is_workload(from) || is_workload(to))
            .flat_map(|(from, to)| self.services.iter().map(|of| flow(*from, *to, *of)))
            .collect()
    }

    /// So many flows that concern a workload, drawn from `seed`; none where no workload has an
    /// address.
    pub fn sample(&self, count: usize, seed: u64) -> Vec<Flow> {
        if self.workloads.is_empty() {
            return Vec::new();
        }
        let mut random = Random::new(seed);
        let mut draw = || {
            let workload = *random.pick(&self.workloads);
            let of_family = |others: &[IpAddr]| -> Vec<IpAddr> {
                let same = |other: &&IpAddr| other.is_ipv4() == workload.is_ipv4();
                others.iter().filter(same).copied().collect()
            };
            let others = if random.chance(50) { &self.workloads } else { &self.everyone };
            let other = *random.pick(&of_family(others));
            let service = *random.pick(&self.services);
            match random.chance(50) {
                true => flow(workload, other, service),
                false => flow(other, workload, service),
            }
        };
        (0..count).map(|_| draw()).collect()
    }
}

fn flow(source: IpAddr, destination: IpAddr, (protocol, port): Service) -> Flow {
    Flow { source, destination, protocol, port }
}

/// The first and last address of a prefix and their neighbours outside.
pub fn around(prefix: &IpNet) -> Vec<IpAddr> {
    let step = |address: IpAddr, up: bool| match address {
        IpAddr::V4(a) => {
            let bits = u32::from(a);
            let next = if up { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
            IpAddr::from(Ipv4Addr::from(next))
        }
        IpAddr::V6(a) => {
            let bits = u128::from(a);
            let next = if up { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
            IpAddr::from(Ipv6Addr::from(next))
        }
    };
    let (first, last) = (prefix.network(), prefix.broadcast());
    vec![first, last, step(first, false), step(last, true)]
}

fn rules(policy: &Policy) -> impl Iterator<Item = &Rule> {
    policy.ingress.iter().chain(&policy.egress)
}
