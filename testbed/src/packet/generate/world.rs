//! Who there is to talk to: what the generator draws addresses and ports from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_common::abi::identity::endpoint;
use ringfence_common::abi::policy::protocol;
use ringfence_dataplane::backend::host::HostTables;

use super::Random;

/// Addresses, ports and interfaces that matter to some tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// Addresses of workloads on this host, each with its interface.
    pub workloads: Vec<Place>,
    /// The host's own addresses.
    pub host: Vec<IpAddr>,
    /// Everyone else's: workloads elsewhere, both ends of every prefix that policy names and their
    /// neighbours outside, and addresses nobody has named.
    pub elsewhere: Vec<IpAddr>,
    /// Ports by protocol: first and last ports of every class.
    pub ports: BTreeMap<u8, Vec<u16>>,
    /// The interface to everyone else.
    pub uplink: u32,
    /// An interface index without hooks.
    pub unknown_interface: u32,
}

/// An address and the interface it is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address.
    pub address: IpAddr,
    /// The interface.
    pub interface: u32,
}

impl World {
    /// The world of `tables`. `uplink` and `unknown_interface` are interface indices.
    #[must_use]
    pub fn new(tables: &HostTables, uplink: u32, unknown_interface: u32) -> Self {
        let mut world = Self { uplink, unknown_interface, ..Self::default() };
        for (address, entry) in &tables.addresses {
            let address = *address;
            match entry.endpoint {
                endpoint::NONE => world.elsewhere.push(address),
                endpoint::HOST => world.host.push(address),
                number => {
                    let interface = tables.endpoints.get(&number).map_or(0, |one| one.ifindex);
                    world.workloads.push(Place { address, interface });
                }
            }
        }
        let edges = tables.prefixes.keys().flat_map(edges);
        let known: BTreeSet<IpAddr> = tables.addresses.keys().copied().collect();
        let strangers = ["8.8.8.8", "240.0.0.1", "2606:4700::1111", "fe80::1"];
        let strangers = strangers.map(|address| address.parse().expect("these are addresses"));
        let unknown = edges.chain(strangers).filter(|address| !known.contains(address));
        world.elsewhere.extend(unknown.collect::<BTreeSet<IpAddr>>());
        for number in [protocol::TCP, protocol::UDP, protocol::SCTP] {
            world.ports.insert(number, ports(tables, number));
        }
        world
    }

    /// Somebody of the family, on this host or not.
    pub(super) fn anyone(&self, random: &mut Random, v6: bool) -> Place {
        match random.below(10) {
            0..6 => self.workload(random, v6),
            6 => self.this_host(random, v6),
            _ => self.stranger(random, v6),
        }
    }

    /// A workload of this host.
    pub(super) fn workload(&self, random: &mut Random, v6: bool) -> Place {
        let of_family = self.workloads.iter().filter(|place| place.address.is_ipv6() == v6);
        **random.pick(&of_family.collect::<Vec<_>>())
    }

    /// The host, on the interface `uplink`.
    pub(super) fn this_host(&self, random: &mut Random, v6: bool) -> Place {
        let of_family = self.host.iter().filter(|address| address.is_ipv6() == v6);
        let address = **random.pick(&of_family.collect::<Vec<_>>());
        Place { address, interface: self.uplink }
    }

    /// Somebody behind the uplink.
    pub(super) fn stranger(&self, random: &mut Random, v6: bool) -> Place {
        let of_family = self.elsewhere.iter().filter(|address| address.is_ipv6() == v6);
        let address = **random.pick(&of_family.collect::<Vec<_>>());
        Place { address, interface: self.uplink }
    }

    /// A port that some rule may be about.
    pub(super) fn port(&self, random: &mut Random, protocol: u8) -> u16 {
        match self.ports.get(&protocol) {
            Some(ports) if random.chance(95) => *random.pick(ports),
            _ => random.number() as u16,
        }
    }
}

/// First and last address of a prefix, and those just outside it.
fn edges(prefix: &IpNet) -> Vec<IpAddr> {
    match prefix {
        IpNet::V4(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
                .map(|bits| IpAddr::V4(bits.into()))
                .into()
        }
        IpNet::V6(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
                .map(|bits| IpAddr::V6(bits.into()))
                .into()
        }
    }
}

fn ports(tables: &HostTables, protocol: u8) -> Vec<u16> {
    let starts = tables.classes.get(&protocol).into_iter().flatten();
    let mut ports: BTreeSet<u16> =
        starts.flat_map(|start| [start.wrapping_sub(1), *start]).collect();
    ports.extend([0, 1, 53, 65_535]);
    ports.into_iter().collect()
}
