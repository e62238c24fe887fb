//! A host with workloads behind veths, and the world behind its uplink.
//!
//! Routed, as Calico does it: no bridge. Each workload has a namespace of its own with one
//! interface, `eth0`, its addresses as /32 and /128, and a default route through the link-local
//! gateways [`GATEWAY_V4`] and [`GATEWAY_V6`], which the host answers for on every veth. The host
//! has a route to each address and forwards.
//!
//! ```text
//!   workload            host                              outside
//!   eth0 ───────── rf-<workload>      uplink ──────────── eth0
//!   10.20.0.11/32  169.254.1.1/32     192.0.2.1/30        192.0.2.2/30, and every outside place's
//!   fd20::11/128   fe80::1/64         2001:db8::1/126     address on lo
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ringfence_dataplane::model::{Inventory, Workload, WorkloadName};

use crate::netns::{Namespace, NamespaceError};
use crate::veth::{Netlink, NetlinkError, Via};

/// The gateway of every workload for IPv4.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The gateway of every workload for IPv6.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The host's interface to the world.
pub const UPLINK: &str = "uplink";

/// The interface inside every namespace but the host's.
const INSIDE: &str = "eth0";
/// The longest name that Linux gives an interface, in bytes (`IFNAMSIZ` less the final zero).
const INTERFACE_NAME_MAX: usize = 15;
const UPLINK_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const UPLINK_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

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

/// Why a topology cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// A namespace cannot be made.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A link, an address or a route cannot be made.
    #[error("the network of `{place}` cannot be set up")]
    Network {
        /// Whose.
        place: String,
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// A workload needs exactly one address of each family here.
    #[error("workload `{0}` needs exactly one IPv4 and one IPv6 address to run in the testbed")]
    Addresses(WorkloadName),
    /// The interface's name does not fit.
    #[error("`{0}` is longer than the 15 bytes of an interface's name")]
    InterfaceName(String),
    /// The inventory has no workload that is the host.
    #[error("the testbed needs one workload with `host: true`")]
    NoHost,
}

/// One end of connections: a workload, the host, or an address outside.
#[derive(Clone, Debug)]
pub struct Place {
    /// What it is called in matrices: `shop/database`, `node`.
    pub name: String,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
    /// The host's interface that a workload sits behind; the host and outsiders have none.
    pub interface: Option<String>,
    /// The namespace it lives in. Outside places share one.
    pub namespace: Arc<Namespace>,
}

impl Place {
    /// Its address of one family.
    #[must_use]
    pub fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }

    /// From this host to a neighbour behind `interface`.
    fn to_neighbour<'a>(&self, interface: &'a str, family: Family) -> Via<'a> {
        Via::Link { interface, source: Some(self.address(family)) }
    }
}

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "IPv4")]
    V4,
    /// IPv6.
    #[serde(rename = "IPv6")]
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// An address in the world outside the host that nobody's inventory knows.
#[derive(Clone, Debug)]
pub struct Outsider {
    /// What it is called.
    pub name: String,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

/// The built network. It ends when this and every thread in its namespaces are gone.
#[derive(Debug)]
pub struct Topology {
    host: Arc<Namespace>,
    node: Place,
    places: Vec<Place>,
}

impl Topology {
    /// Builds the network that `inventory` describes: one namespace for each workload, the host
    /// for the one with `host: true`, and `outsiders` behind the uplink.
    ///
    /// # Errors
    ///
    /// [`TopologyError`]; what was built until then is gone again.
    pub fn build(inventory: &Inventory, outsiders: &[Outsider]) -> Result<Self, TopologyError> {
        let host = Arc::new(Namespace::isolated_host()?);
        configure(&host, &HOST_SETTINGS)?;
        let node = inventory.workloads().find(|workload| workload.host);
        let node = place(node.ok_or(TopologyError::NoHost)?, &host)?;
        in_network(&node, &host, |netlink| {
            netlink.add_address("lo", single(node.v4.into()))?;
            netlink.add_address("lo", single(node.v6.into()))
        })?;

        let mut places = Vec::new();
        for workload in inventory.workloads().filter(|workload| !workload.host) {
            let interface = host_interface(workload)?;
            let mut place = place(workload, &new_namespace()?)?;
            attach(&node, &place, &interface)?;
            place.interface = Some(interface);
            places.push(place);
        }
        places.push(node.clone());
        places.extend(outside(&node, outsiders)?);
        Ok(Self { host, node, places })
    }

    /// The host's namespace: where an engine runs.
    #[must_use]
    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// Every workload in the order of the inventory, then the host, then the outsiders.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The place called `name`.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<&Place> {
        self.places.iter().find(|place| place.name == name)
    }

    /// Unplugs a workload, which takes its interface `from` away, and plugs it in again behind a
    /// new interface `to`; the two may have the same name.
    ///
    /// # Errors
    ///
    /// [`TopologyError::Network`] when the kernel refuses; the workload may be unplugged then.
    pub fn replug(&self, workload: &Place, from: &str, to: &str) -> Result<(), TopologyError> {
        in_network(workload, &self.host, |netlink| netlink.remove(from))?;
        attach(&self.node, workload, to)
    }

    /// Makes the host lose every packet for a workload, or deliver them again.
    ///
    /// # Errors
    ///
    /// [`TopologyError::Network`] when the routes cannot be changed.
    pub fn set_reachable(&self, workload: &Place, reachable: bool) -> Result<(), TopologyError> {
        in_network(workload, &self.host, |netlink| {
            for family in Family::ALL {
                let via = match &workload.interface {
                    Some(interface) if reachable => self.node.to_neighbour(interface, family),
                    _ => Via::Blackhole,
                };
                netlink.replace_route(single(workload.address(family)), via)?;
            }
            Ok(())
        })
    }
}

/// The name of the host's interface that a workload sits behind: what its document says, else
/// `rf-<name>`.
fn host_interface(workload: &Workload) -> Result<String, TopologyError> {
    let name = workload.interface.clone();
    let name = name.unwrap_or_else(|| format!("rf-{}", workload.name.name));
    if name.len() > INTERFACE_NAME_MAX {
        return Err(TopologyError::InterfaceName(name));
    }
    Ok(name)
}

fn place(workload: &Workload, namespace: &Arc<Namespace>) -> Result<Place, TopologyError> {
    match workload.addresses.as_slice() {
        // Sorted: IPv4 comes first.
        &[IpAddr::V4(v4), IpAddr::V6(v6)] => Ok(Place {
            name: workload.name.to_string(),
            v4,
            v6,
            interface: None,
            namespace: Arc::clone(namespace),
        }),
        _ => Err(TopologyError::Addresses(workload.name.clone())),
    }
}

fn new_namespace() -> Result<Arc<Namespace>, TopologyError> {
    let namespace = Arc::new(Namespace::new()?);
    configure(&namespace, &[])?;
    Ok(namespace)
}

fn configure(namespace: &Namespace, more: &[(&str, &str)]) -> Result<(), TopologyError> {
    namespace.set_all(SETTINGS.iter().chain(more))?;
    Ok(())
}

/// Connects a workload to the host.
fn attach(node: &Place, place: &Place, interface: &str) -> Result<(), TopologyError> {
    in_network(place, &node.namespace, |netlink| {
        netlink.add_veth(interface, &place.namespace, INSIDE)?;
        netlink.add_address(interface, single(GATEWAY_V4.into()))?;
        netlink.add_address(interface, v6_net(GATEWAY_V6, 64))?;
        netlink.set_up(interface)
    })?;
    in_network(place, &place.namespace, |netlink| {
        netlink.add_address(INSIDE, single(place.v4.into()))?;
        netlink.add_address(INSIDE, single(place.v6.into()))?;
        netlink.set_up(INSIDE)?;
        netlink.add_route(single(GATEWAY_V4.into()), link(INSIDE))?;
        default_routes(netlink, INSIDE, GATEWAY_V4, GATEWAY_V6, place)
    })?;
    in_network(place, &node.namespace, |netlink| {
        for family in Family::ALL {
            let via = node.to_neighbour(interface, family);
            netlink.add_route(single(place.address(family)), via)?;
        }
        Ok(())
    })
}

/// Makes the namespace outside, and the host's default routes into it.
fn outside(node: &Place, outsiders: &[Outsider]) -> Result<Vec<Place>, TopologyError> {
    let namespace = new_namespace()?;
    let places: Vec<Place> = outsiders
        .iter()
        .map(|Outsider { name, v4, v6 }| Place {
            name: name.clone(),
            v4: *v4,
            v6: *v6,
            interface: None,
            namespace: Arc::clone(&namespace),
        })
        .collect();
    in_network(node, &node.namespace, |netlink| {
        netlink.add_veth(UPLINK, &namespace, INSIDE)?;
        netlink.add_address(UPLINK, v4_net(UPLINK_V4, 30))?;
        netlink.add_address(UPLINK, v6_net(UPLINK_V6, 126))?;
        netlink.set_up(UPLINK)
    })?;
    in_network(node, &namespace, |netlink| {
        netlink.add_address(INSIDE, v4_net(OUTSIDE_V4, 30))?;
        netlink.add_address(INSIDE, v6_net(OUTSIDE_V6, 126))?;
        netlink.set_up(INSIDE)?;
        for place in &places {
            netlink.add_address("lo", single(place.v4.into()))?;
            netlink.add_address("lo", single(place.v6.into()))?;
        }
        let any = |gateway| Via::Gateway { interface: INSIDE, gateway, source: None };
        netlink.add_route(v4_net(Ipv4Addr::UNSPECIFIED, 0), any(UPLINK_V4.into()))?;
        netlink.add_route(v6_net(Ipv6Addr::UNSPECIFIED, 0), any(UPLINK_V6.into()))
    })?;
    in_network(node, &node.namespace, |netlink| {
        default_routes(netlink, UPLINK, OUTSIDE_V4, OUTSIDE_V6, node)
    })?;
    Ok(places)
}

fn default_routes(
    netlink: &Netlink,
    interface: &str,
    gateway_v4: Ipv4Addr,
    gateway_v6: Ipv6Addr,
    source: &Place,
) -> Result<(), NetlinkError> {
    let via = |gateway, source| Via::Gateway { interface, gateway, source: Some(source) };
    let v4 = via(gateway_v4.into(), source.v4.into());
    netlink.add_route(v4_net(Ipv4Addr::UNSPECIFIED, 0), v4)?;
    let v6 = via(gateway_v6.into(), source.v6.into());
    netlink.add_route(v6_net(Ipv6Addr::UNSPECIFIED, 0), v6)
}

/// Runs netlink requests in `namespace`; an error names `place`.
fn in_network(
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

fn single(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

fn v4_net(address: Ipv4Addr, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(address, length))
}

fn v6_net(address: Ipv6Addr, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(address, length))
}
