//! The flows at which anything can change: between all workloads and the addresses around the ends
//! of every prefix, on the ports around the ends of every class, and on protocols without ports.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::oracle::Flow;
use ringfence_testbed::packet::generate::Random;

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
    Boundaries::of(tables).all()
}

impl Boundaries {
    /// Those of all `tables` together.
    pub fn of(tables: &[&Tables]) -> Self {
        let workloads: BTreeSet<IpAddr> =
            tables.iter().flat_map(|tables| tables.addresses.keys().copied()).collect();
        let mut everyone: BTreeSet<IpAddr> =
            ["203.0.113.7", "2001:db8:ffff::1"].map(|a| a.parse().unwrap()).into();
        for prefix in tables.iter().flat_map(|tables| tables.prefixes.keys()) {
            everyone.extend(around(prefix));
        }
        everyone.extend(&workloads);
        Self {
            workloads: workloads.into_iter().collect(),
            everyone: everyone.into_iter().collect(),
            services: services(tables).into_iter().collect(),
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
fn around(prefix: &IpNet) -> Vec<IpAddr> {
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

fn services(tables: &[&Tables]) -> BTreeSet<Service> {
    // ICMP, GRE and ICMPv6 have no ports.
    let mut services = BTreeSet::from([(1, None), (47, None), (58, None)]);
    for protocol in [6, 17, 132] {
        let mut ports = BTreeSet::from([0, u16::MAX, 4_321]);
        let starts = tables.iter().filter_map(|tables| tables.classes.get(&protocol)).flatten();
        ports.extend(starts.flat_map(|start| [start - 1, *start]));
        services.extend(ports.into_iter().map(|port| (protocol, Some(port))));
    }
    services
}
