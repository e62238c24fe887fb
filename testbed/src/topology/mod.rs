//! A host with workloads behind veths, and the world behind its uplink.
//!
//! Routed, as Calico does it: no bridge. Each workload has a namespace of its own with one
//! interface, `eth0`, its addresses as /32 and /128, and a default route through the link-local
//! gateways [`GATEWAY_V4`] and [`GATEWAY_V6`], which the host answers for on every veth. The host
//! has a route to each address and forwards. All its own addresses are link-local, but those of
//! the workload that is the host, so that every other address is free for workloads and
//! outsiders.
//!
//! ```text
//!   workload            host                              outside
//!   eth0 ───────── rf-<workload>      uplink ──────────── eth0
//!   10.20.0.11/32  169.254.1.1/32     169.254.2.1/30      169.254.2.2/30, and every outside
//!   fd20::11/128   fe80::1/64         fe80::1/64          fe80::2/64, place's addresses on lo
//! ```
//!
//! [`Wiring::ThroughBox`] cuts each workload's cable and leads it through one more namespace, the
//! box, for a filter that sits between two interfaces:
//!
//! ```text
//!   workload      box                     host
//!   eth0 ──────── in-<n>     out-<n> ──── rf-<workload>
//! ```

mod machines;
mod wiring;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ringfence_dataplane::model::{Inventory, Workload};

pub use self::machines::{BOX_INSIDE, BOX_OUTSIDE, Machines};

pub use self::wiring::{INSIDE, OUTSIDE_V4, OUTSIDE_V6, UPLINK_V4, UPLINK_V6};

use self::wiring::{attach, in_network, new_box, new_host, new_namespace, outside, single};
use crate::netns::{Namespace, NamespaceError};
use crate::veth::{NetlinkError, Via};

/// The gateway of every workload for IPv4.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The gateway of every workload for IPv6.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The host's interface to the world.
pub const UPLINK: &str = "uplink";

/// The longest name that Linux gives an interface, in bytes (`IFNAMSIZ` less the final zero).
const INTERFACE_NAME_MAX: usize = 15;

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
    /// The interface's name does not fit.
    #[error("`{0}` is longer than the 15 bytes of an interface's name")]
    InterfaceName(String),
    /// The inventory has more than one workload that is the host.
    #[error("the testbed has one host, and `{0}` and `{1}` both say `host: true`")]
    TwoHosts(String, String),
}

/// Whether a topology has this address for itself.
#[must_use]
pub fn is_reserved(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4 == GATEWAY_V4 || [wiring::UPLINK_V4, wiring::OUTSIDE_V4].contains(&v4),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// One end of connections: a workload, the host, or an address outside.
#[derive(Clone, Debug)]
pub struct Place {
    /// What it is called in matrices: `shop/database`, `node`.
    pub name: String,
    /// Its addresses, IPv4 before IPv6.
    pub addresses: Vec<IpAddr>,
    /// The host's interface that a workload sits behind; the host and outsiders have none.
    pub interface: Option<String>,
    /// The namespace it lives in. Outside places share one.
    pub namespace: Arc<Namespace>,
}

impl Place {
    /// Its first address of one family.
    #[must_use]
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }

    /// From this host to a neighbour behind `interface`.
    fn to_neighbour<'a>(&self, interface: &'a str, family: Family) -> Via<'a> {
        Via::Link { interface, source: self.address(family) }
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

    /// The family that `address` is of.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
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
    /// Its addresses, one at least.
    pub addresses: Vec<IpAddr>,
}

/// How workloads are connected with the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wiring {
    /// By one cable each.
    #[default]
    Direct,
    /// By two cables each, which end in the box.
    ThroughBox,
}

/// The two ends in the box of one workload's way to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The workload's name.
    pub workload: String,
    /// The interface towards the workload.
    pub inside: String,
    /// The interface towards the host.
    pub outside: String,
}

/// The namespace that the workloads' ways to the host lead through. It forwards nothing itself.
#[derive(Debug)]
pub struct FilterBox {
    /// The namespace.
    pub namespace: Arc<Namespace>,
    /// The ways, in the order of the inventory.
    pub links: Vec<Link>,
}

/// The built network. It ends when this and every thread in its namespaces are gone.
#[derive(Debug)]
pub struct Topology {
    host: Arc<Namespace>,
    node: Place,
    places: Vec<Place>,
    filter: Option<FilterBox>,
}

impl Topology {
    /// Builds the network that `inventory` describes: one namespace for each workload, the host
    /// for the one with `host: true` (a host that nobody describes, where there is none), and
    /// `outsiders` behind the uplink.
    ///
    /// # Errors
    ///
    /// [`TopologyError`]; what was built until then is gone again.
    pub fn build(inventory: &Inventory, outsiders: &[Outsider]) -> Result<Self, TopologyError> {
        Self::build_wired(inventory, outsiders, Wiring::Direct)
    }

    /// [`Topology::build`], with workloads connected as `wiring` says.
    ///
    /// # Errors
    ///
    /// [`TopologyError`]; what was built until then is gone again.
    pub fn build_wired(
        inventory: &Inventory,
        outsiders: &[Outsider],
        wiring: Wiring,
    ) -> Result<Self, TopologyError> {
        let host = new_host()?;
        let described = described_host(inventory)?.map(|workload| place(workload, &host));
        let node = described.clone().unwrap_or_else(|| Place {
            name: "the host".into(),
            addresses: Vec::new(),
            interface: None,
            namespace: Arc::clone(&host),
        });
        in_network(&node, &host, |netlink| {
            node.addresses.iter().try_for_each(|own| netlink.add_address("lo", single(*own)))
        })?;
        let filter = match wiring {
            Wiring::Direct => None,
            Wiring::ThroughBox => Some(FilterBox { namespace: new_box()?, links: Vec::new() }),
        };
        let places = Vec::new();
        let mut topology = Self { host, node, places, filter };
        topology.plug_in(inventory)?;
        topology.places.extend(described);
        topology.places.extend(outside(&topology.node, outsiders)?);
        Ok(topology)
    }

    /// Makes a place for each workload that is not the host.
    fn plug_in(&mut self, inventory: &Inventory) -> Result<(), TopologyError> {
        let mut taken: BTreeSet<String> =
            inventory.workloads().filter_map(|workload| workload.interface.clone()).collect();
        taken.insert(UPLINK.to_owned());
        for workload in inventory.workloads().filter(|workload| !workload.host) {
            let interface = host_interface(workload, &mut taken)?;
            let mut place = place(workload, &new_namespace()?);
            attach(&self.node, &place, &interface, self.filter.as_mut())?;
            place.interface = Some(interface);
            self.places.push(place);
        }
        Ok(())
    }

    /// The host's namespace: where an engine runs.
    #[must_use]
    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// The box that the workloads' ways to the host lead through, with [`Wiring::ThroughBox`].
    #[must_use]
    pub fn filter_box(&self) -> Option<&FilterBox> {
        self.filter.as_ref()
    }

    /// Every workload in the order of the inventory, then the host if the inventory describes it,
    /// then the outsiders.
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
    /// new interface `to`; the two may have the same name. The new cable does not lead through
    /// the box.
    ///
    /// # Errors
    ///
    /// [`TopologyError::Network`] when the kernel refuses; the workload may be unplugged then.
    pub fn replug(&self, workload: &Place, from: &str, to: &str) -> Result<(), TopologyError> {
        in_network(workload, &self.host, |netlink| netlink.remove(from))?;
        attach(&self.node, workload, to, None)
    }

    /// Makes the host lose every packet for a workload, or deliver them again.
    ///
    /// # Errors
    ///
    /// [`TopologyError::Network`] when the routes cannot be changed.
    pub fn set_reachable(&self, workload: &Place, reachable: bool) -> Result<(), TopologyError> {
        in_network(workload, &self.host, |netlink| {
            workload.addresses.iter().try_for_each(|address| {
                let via = match &workload.interface {
                    Some(interface) if reachable => {
                        self.node.to_neighbour(interface, Family::of(*address))
                    }
                    _ => Via::Blackhole,
                };
                netlink.replace_route(single(*address), via)
            })
        })
    }
}

fn described_host(inventory: &Inventory) -> Result<Option<&Workload>, TopologyError> {
    let mut hosts = inventory.workloads().filter(|workload| workload.host);
    match (hosts.next(), hosts.next()) {
        (Some(first), Some(second)) => {
            Err(TopologyError::TwoHosts(first.name.to_string(), second.name.to_string()))
        }
        (host, _) => Ok(host),
    }
}

/// The name of the host's interface that a workload sits behind: what its document says, else
/// `rf-<name>`, cut and numbered where that is too long or taken.
fn host_interface(
    workload: &Workload,
    taken: &mut BTreeSet<String>,
) -> Result<String, TopologyError> {
    if let Some(name) = workload.interface.clone() {
        return if name.len() > INTERFACE_NAME_MAX {
            Err(TopologyError::InterfaceName(name))
        } else {
            Ok(name)
        };
    }
    let wanted = format!("rf-{}", workload.name.name);
    let numbered = (2..).map(|number: u32| {
        let ending = format!("-{number}");
        let mut name = wanted.clone();
        // Names of Kubernetes are ASCII; the model does not promise that.
        let mut length = name.len().min(INTERFACE_NAME_MAX - ending.len());
        while !name.is_char_boundary(length) {
            length -= 1;
        }
        name.truncate(length);
        name + &ending
    });
    let mut names = std::iter::once(wanted.clone()).chain(numbered);
    let free = names.find(|name| name.len() <= INTERFACE_NAME_MAX && !taken.contains(name));
    let name = free.ok_or(TopologyError::InterfaceName(wanted))?;
    taken.insert(name.clone());
    Ok(name)
}

fn place(workload: &Workload, namespace: &Arc<Namespace>) -> Place {
    Place {
        name: workload.name.to_string(),
        // Sorted: IPv4 comes first.
        addresses: workload.addresses.clone(),
        interface: None,
        namespace: Arc::clone(namespace),
    }
}

#[cfg(test)]
mod tests {
    use ringfence_dataplane::model::{Labels, WorkloadName};

    use super::*;

    #[test]
    fn every_workload_has_an_interface_of_its_own() {
        let mut taken = BTreeSet::from(["rf-web-2".to_owned()]);
        let mut named = |namespace: &str, name: &str| {
            let workload = Workload {
                name: WorkloadName::new(namespace, name),
                labels: Labels::new(),
                addresses: Vec::new(),
                ports: Vec::new(),
                interface: None,
                host: false,
            };
            host_interface(&workload, &mut taken).unwrap()
        };
        assert_eq!(named("a", "web"), "rf-web");
        assert_eq!(named("b", "web"), "rf-web-3", "one is taken by a document");
        assert_eq!(named("a", "exactly-12-b"), "rf-exactly-12-b");
        assert_eq!(named("a", "thirteen-byte"), "rf-thirteen-b-2");
        assert_eq!(named("b", "thirteen-byte"), "rf-thirteen-b-3");
        assert_eq!(named("a", "äääääääää"), "rf-äääää-2");
    }
}
