//! Which workloads are on this host, and behind which of its interfaces.
//!
//! # Goals
//!
//! 1. No workload is enforced behind an interface that carries somebody else's packets: they
//!    would all be denied as spoofed.
//! 2. No workload that is on this host goes unenforced without a word.
//! 3. The same tables and the same host give the same placement.
//!
//! # Rules
//!
//! 1. A document that says `interface:` is taken at its word, if that interface exists and has an
//!    Ethernet header. It may not be one that carries the host's own traffic (goal 1).
//! 2. A workload with `host: true` is this host if it has no address, or one that is this host's
//!    and not a loopback address, which every host has. It sits at its `interface:`, else at
//!    every interface of a default route. Other hosts are remote.
//! 3. Any other workload is where the routes to its addresses lead:
//!    1. No route, a route that drops, a gateway: another machine, remote.
//!    2. An address of the host: remote, with a warning; there is no interface between the two.
//!    3. Directly through an interface of a default route, of whatever kind: another machine of
//!       the network that the host itself is in, remote. The uplink of a host that is itself a
//!       container is a veth, and must not pass for a workload's (goal 1).
//!    4. Directly through a veth, a tap or a netkit: here. These connect the host with one
//!       machine on it, however long the route's prefix. Without an Ethernet header: remote, with
//!       a warning.
//!    5. Directly through a bridge, an Open vSwitch or a VRF: one of its ports, but which is not
//!       known from the route. Remote, with a warning (goal 2).
//!    6. Directly through an Ethernet interface without a kind (a physical one, or the
//!       representor of a virtual function) by a route to the address alone: here, since nobody
//!       routes single addresses to a network that has a prefix. It is a guess, so a warning asks
//!       to confirm it.
//!    7. Directly through anything else (a subnet on a physical interface, VLAN, bond, macvlan,
//!       tunnel): another machine, remote. Such interfaces carry the traffic of many, or only a
//!       part of the workload's.
//! 4. A workload whose addresses lead to different interfaces is an error. If only some lead to
//!    an interface, it is there, and a warning names the others.
//! 5. Several workloads may share an interface; none may share one with the host (goal 1).
//!
//! Remote workloads are peers only. What this does not do: follow policy routing by source or
//! mark (the route is the one of a packet that the host itself sends), and look into bridges.

mod described;
mod finding;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use self::described::described;
pub(super) use self::finding::did_you_mean;
pub use self::finding::{PlacementError, PlacementErrors, PlacementWarning};

use super::host::{Hop, Host, Interface, LinkLayer, Route, RouteKind};
use crate::compile::{EndpointDescription, Tables};

/// Where the workloads of some tables are, seen from this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Endpoint number → place, for the workloads that are on this host.
    pub endpoints: BTreeMap<u32, Place>,
    /// Endpoint numbers of the workloads that are not, sorted. They are peers only.
    pub remote: Vec<u32>,
    /// What the user should know, in the order of the workloads' names.
    pub warnings: Vec<PlacementWarning>,
    /// All addresses of this host, loopback and link-local ones among them.
    pub host_addresses: BTreeSet<IpAddr>,
}

/// Where a workload of this host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The interfaces it sits behind, sorted by number; one, or several for the host itself.
    pub interfaces: Vec<InterfaceRef>,
    /// What it is.
    pub role: Role,
}

/// An interface of this host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceRef {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
}

/// What is behind an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A workload: what comes out of the interface is what it sent.
    Workload,
    /// The world: what comes out of the interface is sent to the host.
    Host,
}

/// Places the endpoints of `tables`, following the rules of this module's description.
///
/// # Errors
///
/// All [`PlacementErrors`] at once.
pub fn place(tables: &Tables, host: &impl Host) -> Result<Placement, PlacementErrors> {
    let mut endpoints: Vec<(&u32, &EndpointDescription)> = tables.endpoints.iter().collect();
    endpoints.sort_by(|a, b| a.1.name.cmp(&b.1.name));

    let mut placing = Placing { host, warnings: Vec::new() };
    let host_addresses = host.addresses().iter().map(|own| own.address).collect();
    let mut placement = Placement { host_addresses, ..Default::default() };
    let mut errors = Vec::new();
    for (number, endpoint) in &endpoints {
        match placing.place(endpoint) {
            Ok(Some(place)) => drop(placement.endpoints.insert(**number, place)),
            Ok(None) => placement.remote.push(**number),
            Err(error) => errors.push(error),
        }
    }
    errors.extend(shared_with_the_host(&endpoints, &placement));
    placement.remote.sort_unstable();
    placement.warnings = placing.warnings;
    if errors.is_empty() { Ok(placement) } else { Err(PlacementErrors(errors)) }
}

/// Rule 5, for a host that names its interface. Those of default routes are refused earlier.
fn shared_with_the_host(
    endpoints: &[(&u32, &EndpointDescription)],
    placement: &Placement,
) -> Vec<PlacementError> {
    let with_role = |role| placement.endpoints.values().filter(move |place| place.role == role);
    let hosts: BTreeSet<&InterfaceRef> =
        with_role(Role::Host).flat_map(|place| &place.interfaces).collect();
    let shared = endpoints.iter().filter_map(|(number, endpoint)| {
        let place = placement.endpoints.get(number)?;
        let interface = place.interfaces.iter().find(|interface| hosts.contains(interface))?;
        (place.role == Role::Workload).then(|| PlacementError::HostsInterface {
            workload: endpoint.name.clone(),
            interface: interface.name.clone(),
        })
    });
    shared.collect()
}

/// Where a way to an address leads.
enum Destination<'h> {
    /// To the workload, behind this interface of the host.
    Here(&'h Interface),
    /// To another machine, or nowhere.
    Elsewhere,
}

struct Placing<'h, H> {
    host: &'h H,
    warnings: Vec<PlacementWarning>,
}

impl<'h, H: Host> Placing<'h, H> {
    /// `None` for a remote workload.
    fn place(&mut self, endpoint: &EndpointDescription) -> Result<Option<Place>, PlacementError> {
        if endpoint.host {
            return self.place_host(endpoint);
        }
        match &endpoint.interface {
            Some(name) => self.place_at(endpoint, name).map(Some),
            None => self.place_by_routes(endpoint),
        }
    }

    /// Rule 1.
    fn place_at(
        &mut self,
        endpoint: &EndpointDescription,
        name: &str,
    ) -> Result<Place, PlacementError> {
        let interface = self.named(endpoint, name)?;
        if self.is_uplink(interface) {
            return Err(PlacementError::HostsInterface {
                workload: endpoint.name.clone(),
                interface: interface.name.clone(),
            });
        }
        if interface.kind.as_deref() == Some("bridge") {
            self.warnings.push(PlacementWarning::BridgeItself {
                workload: endpoint.name.clone(),
                interface: interface.name.clone(),
            });
        }
        Ok(workload_at(interface))
    }

    /// Rule 2.
    fn place_host(
        &mut self,
        endpoint: &EndpointDescription,
    ) -> Result<Option<Place>, PlacementError> {
        let host = self.host;
        let is_own = |address: &IpAddr| host.addresses().iter().any(|own| own.address == *address);
        let (own, others): (Vec<IpAddr>, Vec<IpAddr>) =
            endpoint.addresses.iter().partition(|address| is_own(address));
        let identified = own.iter().any(|address| !address.is_loopback());
        if !endpoint.addresses.is_empty() && !identified {
            return Ok(None);
        }
        let interfaces = match &endpoint.interface {
            Some(name) => vec![reference(self.named(endpoint, name)?)],
            None => self.guarded_uplinks(endpoint)?,
        };
        let workload = &endpoint.name;
        let not_here =
            |address| PlacementWarning::NotOnThisHost { workload: workload.clone(), address };
        self.warnings.extend(others.into_iter().map(not_here));
        Ok(Some(Place { interfaces, role: Role::Host }))
    }

    fn guarded_uplinks(
        &mut self,
        endpoint: &EndpointDescription,
    ) -> Result<Vec<InterfaceRef>, PlacementError> {
        let host = self.host;
        let uplinks = host.default_interfaces().iter().map(|index| self.numbered(*index));
        let uplinks = uplinks.collect::<Result<Vec<_>, _>>()?;
        let (guarded, others): (Vec<&Interface>, Vec<&Interface>) =
            uplinks.into_iter().partition(|interface| interface.has_ethernet_header());
        if guarded.is_empty() {
            return Err(PlacementError::NoHostInterface { workload: endpoint.name.clone() });
        }
        let not_guarded = |interface: &Interface| PlacementWarning::UplinkNotGuarded {
            workload: endpoint.name.clone(),
            interface: interface.name.clone(),
        };
        self.warnings.extend(others.into_iter().map(not_guarded));
        Ok(guarded.into_iter().map(reference).collect())
    }

    /// Rules 3 and 4.
    fn place_by_routes(
        &mut self,
        endpoint: &EndpointDescription,
    ) -> Result<Option<Place>, PlacementError> {
        let mut here: Option<(IpAddr, &Interface)> = None;
        let mut elsewhere = BTreeSet::new();
        for address in &endpoint.addresses {
            for destination in self.destinations(endpoint, *address)? {
                match (destination, here) {
                    (Destination::Elsewhere, _) => drop(elsewhere.insert(*address)),
                    (Destination::Here(interface), None) => here = Some((*address, interface)),
                    (Destination::Here(interface), Some((first, other))) => {
                        if interface.index != other.index {
                            return Err(PlacementError::SeveralInterfaces {
                                workload: endpoint.name.clone(),
                                first: (first, other.name.clone()),
                                second: (*address, interface.name.clone()),
                            });
                        }
                    }
                }
            }
        }
        let Some((_, interface)) = here else { return Ok(None) };
        let elsewhere = elsewhere.into_iter().map(|address| PlacementWarning::AddressElsewhere {
            workload: endpoint.name.clone(),
            address,
            interface: interface.name.clone(),
        });
        self.warnings.extend(elsewhere);
        Ok(Some(workload_at(interface)))
    }

    /// Where the route to an address leads: one destination for each of its ways, at least one.
    fn destinations(
        &mut self,
        endpoint: &EndpointDescription,
        address: IpAddr,
    ) -> Result<Vec<Destination<'h>>, PlacementError> {
        let route = self.host.route(address).map_err(|source| PlacementError::Host {
            workload: endpoint.name.clone(),
            address,
            source: Box::new(source),
        })?;
        let Some(route) = route else { return Ok(vec![Destination::Elsewhere]) };
        match route.kind {
            RouteKind::Unicast if !route.hops.is_empty() => {}
            RouteKind::Local => {
                let workload = endpoint.name.clone();
                self.warnings.push(PlacementWarning::HostsAddress { workload, address });
                return Ok(vec![Destination::Elsewhere]);
            }
            _ => return Ok(vec![Destination::Elsewhere]),
        }
        let to_it_alone = route.prefix_length == Some(if address.is_ipv4() { 32 } else { 128 });
        let Route { hops, .. } = route;
        hops.into_iter().map(|hop| self.destination(endpoint, hop, to_it_alone)).collect()
    }

    /// Rules 3.1 and 3.3 to 3.7, for one way of a unicast route.
    fn destination(
        &mut self,
        endpoint: &EndpointDescription,
        hop: Hop,
        to_it_alone: bool,
    ) -> Result<Destination<'h>, PlacementError> {
        if hop.gateway.is_some() {
            return Ok(Destination::Elsewhere);
        }
        let found = self.numbered(hop.interface)?;
        if self.is_uplink(found) {
            return Ok(Destination::Elsewhere);
        }
        let workload = endpoint.name.clone();
        let interface = found.name.clone();
        match found.kind.as_deref() {
            Some("veth" | "tun" | "netkit") if found.has_ethernet_header() => {
                return Ok(Destination::Here(found));
            }
            Some("veth" | "tun" | "netkit") => {
                self.warn_once(PlacementWarning::NoEthernetHeader { workload, interface });
            }
            Some(kind @ ("bridge" | "openvswitch" | "vrf")) => {
                let kind = kind.to_owned();
                self.warn_once(PlacementWarning::BehindPorts { workload, interface, kind });
            }
            None if to_it_alone && found.link_layer == LinkLayer::Ethernet => {
                self.warn_once(PlacementWarning::TakenAsLocal { workload, interface });
                return Ok(Destination::Here(found));
            }
            _ => {}
        }
        Ok(Destination::Elsewhere)
    }

    /// The two addresses of a workload often lead the same way.
    fn warn_once(&mut self, warning: PlacementWarning) {
        if self.warnings.last() != Some(&warning) {
            self.warnings.push(warning);
        }
    }

    fn is_uplink(&self, interface: &Interface) -> bool {
        self.host.default_interfaces().contains(&interface.index)
    }

    fn numbered(&self, index: u32) -> Result<&'h Interface, PlacementError> {
        let mut interfaces = self.host.interfaces().iter();
        interfaces.find(|interface| interface.index == index).ok_or(PlacementError::Changing)
    }

    /// The interface that a document names; it has an Ethernet header.
    fn named(
        &self,
        endpoint: &EndpointDescription,
        name: &str,
    ) -> Result<&'h Interface, PlacementError> {
        let interfaces = self.host.interfaces();
        let found = interfaces.iter().find(|interface| interface.name == name);
        let found = found.ok_or_else(|| PlacementError::NoInterface {
            workload: endpoint.name.clone(),
            interface: name.to_owned(),
            similar: similar(name, interfaces),
        })?;
        if found.has_ethernet_header() {
            Ok(found)
        } else {
            Err(PlacementError::NoEthernetHeader {
                workload: endpoint.name.clone(),
                interface: name.to_owned(),
            })
        }
    }
}

fn workload_at(interface: &Interface) -> Place {
    Place { interfaces: vec![reference(interface)], role: Role::Workload }
}

fn reference(interface: &Interface) -> InterfaceRef {
    InterfaceRef { index: interface.index, name: interface.name.clone() }
}

/// Names that `name` may be a slip of, at most three, the likest first.
pub(super) fn similar(name: &str, interfaces: &[Interface]) -> Vec<String> {
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    let mut similar: Vec<(usize, &str)> = interfaces
        .iter()
        .map(|known| (strsim::osa_distance(name, &known.name), known.name.as_str()))
        .filter(|(distance, _)| *distance <= allowed)
        .collect();
    similar.sort_unstable();
    similar.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}
