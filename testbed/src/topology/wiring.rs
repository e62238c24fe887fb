//! Making the namespaces, cables, addresses and routes of a topology.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    Family, FilterBox, GATEWAY_V4, GATEWAY_V6, Link, Outsider, Place, TopologyError, UPLINK,
};
use crate::netns::Namespace;
use crate::veth::{Netlink, NetlinkError, Via};

/// The interface inside every namespace but the host's.
pub const INSIDE: &str = "eth0";
/// The host's IPv4 address at its uplink.
pub const UPLINK_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 2, 1);
/// The IPv4 address outside that the host's default route leads to.
pub const OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 2, 2);
/// The host's IPv6 address at its uplink.
pub const UPLINK_V6: Ipv6Addr = GATEWAY_V6;
/// The IPv6 address outside that the host's default route leads to.
pub const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

/// Settings of every namespace, below `/proc/sys/net`. New namespaces may take over some of the
/// real host's settings, and the testbed must not depend on those.
const SETTINGS: [(&str, &str); 9] = [
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
    // Addresses are usable at once; duplicate address detection would take a second.
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    // A workload's own address has to answer whatever interface it was asked on.
    ("ipv4/conf/all/arp_ignore", "0"),
];

/// Settings of the host, which forwards between its workloads and the world.
const HOST_SETTINGS: [(&str, &str); 2] =
    [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")];

/// Settings of the box, whose kernel neither forwards nor speaks: whatever passes there, a filter
/// has carried.
const BOX_SETTINGS: [(&str, &str); 4] = [
    ("ipv4/ip_forward", "0"),
    ("ipv6/conf/all/forwarding", "0"),
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
];

/// The host's namespace, which forwards.
pub(super) fn new_host() -> Result<Arc<Namespace>, TopologyError> {
    let host = Arc::new(Namespace::isolated_host()?);
    configure(&host, &HOST_SETTINGS)?;
    Ok(host)
}

/// The namespace of the box, with the file systems of a host.
pub(super) fn new_box() -> Result<Arc<Namespace>, TopologyError> {
    let namespace = Arc::new(Namespace::isolated_host()?);
    configure(&namespace, &BOX_SETTINGS)?;
    Ok(namespace)
}

/// The namespace of a workload, or of the world.
pub(super) fn new_namespace() -> Result<Arc<Namespace>, TopologyError> {
    let namespace = Arc::new(Namespace::new()?);
    configure(&namespace, &[])?;
    Ok(namespace)
}

fn configure(namespace: &Namespace, more: &[(&str, &str)]) -> Result<(), TopologyError> {
    namespace.set_all(SETTINGS.iter().chain(more))?;
    Ok(())
}

/// Connects a workload to the host, through the box if there is one.
pub(super) fn attach(
    node: &Place,
    place: &Place,
    interface: &str,
    filter: Option<&mut FilterBox>,
) -> Result<(), TopologyError> {
    match filter {
        None => in_network(place, &node.namespace, |netlink| {
            netlink.add_veth(interface, &place.namespace, INSIDE)
        })?,
        Some(filter) => through_box(node, place, interface, filter)?,
    }
    in_network(place, &node.namespace, |netlink| {
        netlink.add_address(interface, single(GATEWAY_V4.into()))?;
        netlink.add_address(interface, v6_net(GATEWAY_V6, 64))?;
        netlink.set_up(interface)
    })?;
    in_network(place, &place.namespace, |netlink| {
        place.addresses.iter().try_for_each(|own| netlink.add_address(INSIDE, single(*own)))?;
        netlink.set_up(INSIDE)?;
        netlink.add_route(single(GATEWAY_V4.into()), link(INSIDE))?;
        default_routes(netlink, INSIDE, [GATEWAY_V4.into(), GATEWAY_V6.into()], place)
    })?;
    in_network(place, &node.namespace, |netlink| {
        place.addresses.iter().try_for_each(|address| {
            let via = node.to_neighbour(interface, Family::of(*address));
            netlink.add_route(single(*address), via)
        })
    })
}

/// Makes the two cables of a workload's way through the box.
fn through_box(
    node: &Place,
    place: &Place,
    interface: &str,
    filter: &mut FilterBox,
) -> Result<(), TopologyError> {
    let number = filter.links.len();
    let (inside, outside) = (format!("in-{number}"), format!("out-{number}"));
    in_network(place, &filter.namespace, |netlink| {
        netlink.add_veth(&inside, &place.namespace, INSIDE)?;
        netlink.add_veth(&outside, &node.namespace, interface)?;
        netlink.set_up(&inside)?;
        netlink.set_up(&outside)
    })?;
    filter.links.push(Link { workload: place.name.clone(), inside, outside });
    Ok(())
}

/// Makes the namespace outside, and the host's default routes into it.
pub(super) fn outside(node: &Place, outsiders: &[Outsider]) -> Result<Vec<Place>, TopologyError> {
    let namespace = new_namespace()?;
    let places: Vec<Place> = outsiders
        .iter()
        .map(|Outsider { name, addresses }| Place {
            name: name.clone(),
            addresses: addresses.clone(),
            interface: None,
            namespace: Arc::clone(&namespace),
        })
        .collect();
    in_network(node, &node.namespace, |netlink| {
        netlink.add_veth(UPLINK, &namespace, INSIDE)?;
        netlink.add_address(UPLINK, v4_net(UPLINK_V4, 30))?;
        netlink.add_address(UPLINK, v6_net(UPLINK_V6, 64))?;
        netlink.set_up(UPLINK)
    })?;
    in_network(node, &namespace, |netlink| {
        netlink.add_address(INSIDE, v4_net(OUTSIDE_V4, 30))?;
        netlink.add_address(INSIDE, v6_net(OUTSIDE_V6, 64))?;
        netlink.set_up(INSIDE)?;
        for address in places.iter().flat_map(|place| &place.addresses) {
            netlink.add_address("lo", single(*address))?;
        }
        let any = |gateway| Via::Gateway { interface: INSIDE, gateway, source: None };
        netlink.add_route(v4_net(Ipv4Addr::UNSPECIFIED, 0), any(UPLINK_V4.into()))?;
        netlink.add_route(v6_net(Ipv6Addr::UNSPECIFIED, 0), any(UPLINK_V6.into()))
    })?;
    in_network(node, &node.namespace, |netlink| {
        default_routes(netlink, UPLINK, [OUTSIDE_V4.into(), OUTSIDE_V6.into()], node)
    })?;
    Ok(places)
}

/// Default routes of both families; what `own` sends itself carries its addresses.
fn default_routes(
    netlink: &Netlink,
    interface: &str,
    gateways: [IpAddr; 2],
    own: &Place,
) -> Result<(), NetlinkError> {
    let any = [v4_net(Ipv4Addr::UNSPECIFIED, 0), v6_net(Ipv6Addr::UNSPECIFIED, 0)];
    any.into_iter().zip(gateways).try_for_each(|(any, gateway)| {
        let source = own.address(Family::of(gateway));
        netlink.add_route(any, Via::Gateway { interface, gateway, source })
    })
}

/// Runs netlink requests in `namespace`; an error names `place`.
pub(super) fn in_network(
    place: &Place,
    namespace: &Namespace,
    requests: impl FnOnce(&Netlink) -> Result<(), NetlinkError> + Send,
) -> Result<(), TopologyError> {
    namespace
        .run(|| requests(&Netlink::open()?))?
        .map_err(|source| TopologyError::Network { place: place.name.clone(), source })
}

fn link(interface: &str) -> Via<'_> {
    Via::Link { interface, source: None }
}

pub(super) fn single(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

fn v4_net(address: Ipv4Addr, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(address, length))
}

fn v6_net(address: Ipv6Addr, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(address, length))
}
