//! The flows at which anything can change: between all workloads and the addresses around the ends
//! of every prefix, on the ports around the ends of every class, and on protocols without ports.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::oracle::Flow;

/// All flows worth asking about `tables`; those of one workload with itself among them.
pub fn all(tables: &[&Tables]) -> Vec<Flow> {
    let addresses: BTreeSet<IpAddr> =
        tables.iter().flat_map(|tables| tables.addresses.keys().copied()).collect();
    let mut world: BTreeSet<IpAddr> =
        ["203.0.113.7", "2001:db8:ffff::1"].map(|a| a.parse().unwrap()).into();
    for prefix in tables.iter().flat_map(|tables| tables.prefixes.keys()) {
        world.extend(around(prefix));
    }
    let services = services(tables);
    let everyone = || addresses.union(&world).copied();
    let pairs = everyone().flat_map(|from| everyone().map(move |to| (from, to)));
    pairs
        .filter(|(from, to)| from.is_ipv4() == to.is_ipv4())
        .filter(|(from, to)| addresses.contains(from) || addresses.contains(to))
        .flat_map(|(source, destination)| {
            services.iter().map(move |(protocol, port)| Flow {
                source,
                destination,
                protocol: *protocol,
                port: *port,
            })
        })
        .collect()
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

fn services(tables: &[&Tables]) -> BTreeSet<(u8, Option<u16>)> {
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
