//! Client, router and server, and the cables between them.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use super::asked::sources;
use super::error::LabError;
use super::guardian::Guardian;
use super::policies::inventory;
use super::probe::LOOK;
use crate::netns::Namespace;
use crate::topology::{
    FilterBox, GATEWAY_V4, GATEWAY_V6, INSIDE, OUTSIDE_V4, OUTSIDE_V6, Outsider, Place, Topology,
    TopologyError, UPLINK, UPLINK_V4, UPLINK_V6, Wiring,
};
use crate::veth::{Netlink, NetlinkError};

/// How long the kernel may take to get interfaces and addresses ready; it takes a moment, or a second
/// where it has just done so for others.
const READY: Duration = Duration::from_secs(10);

/// An interface of the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
}

/// The namespaces. Everything in them ends when this does.
#[derive(Debug)]
pub(super) struct Network {
    /// Before the namespaces, so that it is gone before they are.
    _guardian: Guardian,
    topology: Topology,
    pub wiring: Wiring,
    pub uplink: Port,
    pub workload: Port,
}

impl Network {
    pub fn build(wiring: Wiring) -> Result<Self, LabError> {
        let client = Outsider { name: "client".to_owned(), addresses: sources().collect() };
        let topology = Topology::build_wired(&inventory(false), &[client], wiring)?;
        let guardian = Guardian::start(topology.host())?;
        let server = named(&topology, super::policies::SERVER);
        let workload = server.interface.clone().expect("a workload sits behind an interface");
        acquaint(&topology, &workload)?;
        await_ready(&topology, &workload)?;
        let (uplink, workload) = in_network(topology.host(), |netlink| {
            let port = |name: &str| netlink.index(name).map(|index| (name.to_owned(), index));
            Ok((port(UPLINK)?, port(&workload)?))
        })?;
        let port = |(name, index)| Port { name, index };
        Ok(Self {
            _guardian: guardian,
            topology,
            wiring,
            uplink: port(uplink),
            workload: port(workload),
        })
    }

    pub fn client(&self) -> &Namespace {
        &named(&self.topology, "client").namespace
    }

    pub fn router(&self) -> &Namespace {
        self.topology.host()
    }

    pub fn server(&self) -> &Namespace {
        &named(&self.topology, super::policies::SERVER).namespace
    }

    pub fn filter_box(&self) -> Option<&FilterBox> {
        self.topology.filter_box()
    }
}

fn named<'t>(topology: &'t Topology, name: &str) -> &'t Place {
    let mut places = topology.places().iter();
    let found = places.find(|place| place.name.rsplit('/').next() == Some(name));
    found.expect("client and server are described")
}

/// Tells everybody for good where his neighbours are, so that nobody asks during a measurement.
fn acquaint(topology: &Topology, workload: &str) -> Result<(), LabError> {
    let address = |namespace: &Namespace, interface: &str| {
        in_network(namespace, |netlink| netlink.link_address(interface))
    };
    let router = topology.host();
    let (client, server) = (named(topology, "client"), named(topology, super::policies::SERVER));
    let neighbours: [(&Namespace, &str, Vec<IpAddr>, Vec<u8>); 4] = [
        (
            &client.namespace,
            INSIDE,
            vec![UPLINK_V4.into(), UPLINK_V6.into()],
            address(router, UPLINK)?,
        ),
        (
            router,
            UPLINK,
            vec![OUTSIDE_V4.into(), OUTSIDE_V6.into()],
            address(&client.namespace, INSIDE)?,
        ),
        (router, workload, server.addresses.clone(), address(&server.namespace, INSIDE)?),
        (
            &server.namespace,
            INSIDE,
            vec![GATEWAY_V4.into(), GATEWAY_V6.into()],
            address(router, workload)?,
        ),
    ];
    for (namespace, interface, addresses, link_address) in neighbours {
        in_network(namespace, |netlink| {
            let mut addresses = addresses.iter();
            addresses.try_for_each(|one| netlink.add_neighbour(interface, *one, &link_address))
        })?;
    }
    Ok(())
}

/// Waits until all interfaces carry packets and all addresses take them.
fn await_ready(topology: &Topology, workload: &str) -> Result<(), LabError> {
    let mut places = vec![
        (topology.host(), UPLINK),
        (topology.host(), workload),
        (&named(topology, "client").namespace, INSIDE),
        (&named(topology, super::policies::SERVER).namespace, INSIDE),
    ];
    if let Some(filter) = topology.filter_box() {
        let links = filter.links.iter().flat_map(|link| [&link.inside, &link.outside]);
        places.extend(links.map(|name| (&*filter.namespace, name.as_str())));
    }
    for (namespace, interface) in places {
        eventually(&format!("get `{interface}` ready"), || {
            in_network(namespace, |netlink| netlink.is_ready(interface))
        })?;
    }
    for place in [named(topology, "client"), named(topology, super::policies::SERVER)] {
        eventually("take its own IPv6 addresses", || {
            Ok(place.namespace.run(|| takes_own(&place.addresses))?)
        })?;
    }
    Ok(())
}

/// Whether the calling thread's host takes packets for its own IPv6 addresses. Also without
/// duplicate address detection the kernel routes them to itself only some time after they were added
/// (`addrconf_dad_completed`, Linux `net/ipv6/addrconf.c`).
fn takes_own(addresses: &[IpAddr]) -> bool {
    let routes = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    addresses.iter().all(|address| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(own) => routes.lines().any(|line| is_own(line, *own)),
    })
}

/// Whether a line of `/proc/net/ipv6_route` says that packets for `own` are for the host itself:
/// destination and length come first, flags ninth, all in hexadecimal (`RTF_LOCAL`, Linux
/// `include/uapi/linux/ipv6_route.h`).
fn is_own(line: &str, own: Ipv6Addr) -> bool {
    const LOCAL: u32 = 1 << 31;
    let words: Vec<&str> = line.split_whitespace().collect();
    let [destination, "80", _, _, _, _, _, _, flags, ..] = words[..] else { return false };
    u128::from_str_radix(destination, 16) == Ok(own.to_bits())
        && u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & LOCAL != 0)
}

/// Waits until `is_so`.
fn eventually(what: &str, is_so: impl Fn() -> Result<bool, LabError>) -> Result<(), LabError> {
    let deadline = Instant::now() + READY;
    while !is_so()? {
        if Instant::now() > deadline {
            let why = format!("after {READY:?} it has not");
            return Err(LabError::refused::<String>(what)(why));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

fn in_network<T: Send>(
    namespace: &Namespace,
    requests: impl FnOnce(&Netlink) -> Result<T, NetlinkError> + Send,
) -> Result<T, LabError> {
    namespace.run(|| requests(&Netlink::open()?))?.map_err(|source| {
        TopologyError::Network { place: "client, router and server".to_owned(), source }.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_route_to_itself_makes_an_address_a_hosts_own() {
        let zero = "0".repeat(32);
        let line = |flags: &str| {
            let own = "fd200000000000000000000000000001";
            format!("{own} 80 {zero} 00 {zero} 00000100 00000001 00000000 {flags}     eth0")
        };
        let own: Ipv6Addr = "fd20::1".parse().unwrap();
        assert!(is_own(&line("80200001"), own));
        assert!(!is_own(&line("00000001"), own), "to a neighbour");
        assert!(!is_own(&line("80200001"), "fd20::2".parse().unwrap()));
        assert!(!is_own("", own));
    }
}
