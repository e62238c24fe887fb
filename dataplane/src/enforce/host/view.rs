//! [`Host`] from the kernel, by netlink.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType, RouteVia,
};
use rtnetlink::{Handle, RouteMessageBuilder};
use tokio::runtime::{Builder, Runtime};

use super::{
    Hop, Host, HostAddress, HostError, Interface, LinkLayer, Route, RouteKind, XdpMode, XdpProgram,
};

/// The network of the namespace that the calling thread is in.
///
/// Interfaces, addresses and default routes are as they were at [`HostView::read`]; routes are
/// asked from the kernel each time. Must be used on the thread that made it, and not inside an
/// asynchronous runtime, since it waits for its answers with one of its own.
#[derive(Debug)]
pub struct HostView {
    netlink: Netlink,
    interfaces: Vec<Interface>,
    addresses: Vec<HostAddress>,
    default_interfaces: Vec<u32>,
}

impl HostView {
    /// Reads the host's network now.
    ///
    /// # Errors
    ///
    /// [`HostError`] when the kernel gives no socket or refuses a request.
    pub fn read() -> Result<Self, HostError> {
        let netlink = Netlink::open()?;
        Ok(Self {
            interfaces: netlink.interfaces()?,
            addresses: netlink.addresses()?,
            default_interfaces: netlink.default_interfaces()?,
            netlink,
        })
    }
}

impl Host for HostView {
    fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    fn addresses(&self) -> &[HostAddress] {
        &self.addresses
    }

    fn default_interfaces(&self) -> &[u32] {
        &self.default_interfaces
    }

    fn route(&self, address: IpAddr) -> Result<Option<Route>, HostError> {
        self.netlink.route(address)
    }
}

#[derive(Debug)]
struct Netlink {
    runtime: Runtime,
    handle: Handle,
}

impl Netlink {
    fn open() -> Result<Self, HostError> {
        let runtime = Builder::new_current_thread().enable_io().build().map_err(HostError::Open)?;
        let (connection, handle, _) = {
            let _inside = runtime.enter();
            rtnetlink::new_connection().map_err(HostError::Open)?
        };
        runtime.spawn(connection);
        Ok(Self { runtime, handle })
    }

    fn interfaces(&self) -> Result<Vec<Interface>, HostError> {
        let links = self.handle.link().get().execute().try_collect::<Vec<_>>();
        let links = self.wait("list its interfaces", links)?;
        let mut interfaces: Vec<Interface> = links.iter().map(interface).collect();
        interfaces.sort_by_key(|interface| interface.index);
        Ok(interfaces)
    }

    fn addresses(&self) -> Result<Vec<HostAddress>, HostError> {
        let messages = self.handle.address().get().execute().try_collect::<Vec<_>>();
        let messages = self.wait("list its addresses", messages)?;
        let mut addresses: Vec<HostAddress> = messages.iter().filter_map(own_address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }

    fn default_interfaces(&self) -> Result<Vec<u32>, HostError> {
        let all_v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let all_v6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
        let mut interfaces = Vec::new();
        for all in [all_v4, all_v6] {
            let routes = self.handle.route().get(all).execute().try_collect::<Vec<_>>();
            let routes = match self.runtime.block_on(routes) {
                // A kernel without IPv6 has no IPv6 routes.
                Err(error) if errno(&error) == Some(libc::EAFNOSUPPORT) => Vec::new(),
                routes => routes.map_err(|source| refused("list its routes", source))?,
            };
            // In whatever table: packets that a rule sends to another one leave there too.
            for route in routes.iter().filter(|route| is_default(route)) {
                interfaces.extend(next_hops(route).into_iter().map(|(interface, _)| interface));
            }
        }
        interfaces.sort_unstable();
        interfaces.dedup();
        Ok(interfaces)
    }

    fn route(&self, address: IpAddr) -> Result<Option<Route>, HostError> {
        let mut question = match address {
            IpAddr::V4(address) => {
                RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, 32).build()
            }
            IpAddr::V6(address) => {
                RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(address, 128).build()
            }
        };
        // The route itself instead of what becomes of it for this address alone: it has the
        // prefix, and all ways of a multipath route.
        question.header.flags |= RouteFlags::FibMatch;
        let mut answers = Box::pin(self.handle.route().get(question).execute());
        match self.runtime.block_on(answers.try_next()) {
            Ok(Some(answer)) => route(&answer, address).map(Some),
            Ok(None) => Ok(None),
            Err(error) => match errno(&error) {
                Some(libc::ENETUNREACH | libc::EAFNOSUPPORT) => Ok(None),
                // For IPv4 the kernel answers with what a packet would be answered with
                // (`fib_props` in Linux net/ipv4/fib_semantics.c).
                Some(libc::EINVAL) => Ok(Some(nowhere(RouteKind::Blackhole))),
                Some(libc::EHOSTUNREACH | libc::EACCES) => {
                    Ok(Some(nowhere(RouteKind::Unreachable)))
                }
                _ => Err(refused(&format!("look up the route to {address}"), error)),
            },
        }
    }

    fn wait<T>(
        &self,
        what: &str,
        request: impl Future<Output = Result<T, rtnetlink::Error>>,
    ) -> Result<T, HostError> {
        self.runtime.block_on(request).map_err(|source| refused(what, source))
    }
}

fn refused(what: &str, source: rtnetlink::Error) -> HostError {
    HostError::Refused { what: what.to_owned(), source }
}

/// The positive error number of the kernel's answer.
fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => Some(message.raw_code().abs()),
        _ => None,
    }
}

fn nowhere(kind: RouteKind) -> Route {
    Route { kind, hops: Vec::new(), prefix_length: None }
}

fn interface(link: &LinkMessage) -> Interface {
    let mut interface = Interface {
        index: link.header.index,
        name: String::new(),
        kind: None,
        link_layer: match link.header.link_layer_type {
            LinkLayerType::Ether => LinkLayer::Ethernet,
            LinkLayerType::Loopback => LinkLayer::Loopback,
            other => LinkLayer::Other(other.into()),
        },
        master: None,
        link: None,
        up: link.header.flags.contains(LinkFlags::Up),
        xdp: Vec::new(),
    };
    let mut is_elsewhere = false;
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Controller(master) => interface.master = Some(*master),
            LinkAttribute::Link(link) => interface.link = Some(*link),
            LinkAttribute::LinkInfo(infos) => {
                interface.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            LinkAttribute::Xdp(xdp) => interface.xdp = programs(xdp),
            LinkAttribute::LinkNetNsId(_) => is_elsewhere = true,
            _ => {}
        }
    }
    // The number is then one of another network namespace.
    interface.link = interface.link.filter(|_| !is_elsewhere);
    interface
}

fn programs(xdp: &[LinkXdp]) -> Vec<XdpProgram> {
    let mut programs: Vec<XdpProgram> = xdp
        .iter()
        .filter_map(|attribute| match attribute {
            LinkXdp::DrvProgId(id) => Some(XdpProgram { mode: XdpMode::Native, id: *id }),
            LinkXdp::SkbProgId(id) => Some(XdpProgram { mode: XdpMode::Generic, id: *id }),
            LinkXdp::HwProgId(id) => Some(XdpProgram { mode: XdpMode::Hardware, id: *id }),
            _ => None,
        })
        .collect();
    programs.sort_by_key(|program| program.mode);
    programs
}

/// `IFA_ADDRESS` is the other end's address on a point-to-point link, and `IFA_LOCAL` then the
/// own one.
fn own_address(message: &AddressMessage) -> Option<HostAddress> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = || {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    };
    let address = local.or_else(address)?;
    Some(HostAddress { address, interface: message.header.index })
}

fn is_default(route: &RouteMessage) -> bool {
    route.header.destination_prefix_length == 0 && route.header.kind == RouteType::Unicast
}

fn route(answer: &RouteMessage, address: IpAddr) -> Result<Route, HostError> {
    let kind = match answer.header.kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Local => RouteKind::Local,
        RouteType::BlackHole => RouteKind::Blackhole,
        RouteType::Unreachable | RouteType::Prohibit => RouteKind::Unreachable,
        _ => RouteKind::Other,
    };
    let hop = |(interface, gateway)| match gateway {
        Gateway::None => Ok(Hop { interface, gateway: None }),
        Gateway::Address(gateway) => Ok(Hop { interface, gateway: Some(gateway) }),
        Gateway::Other => Err(HostError::Gateway { address }),
    };
    let mut hops = match kind {
        RouteKind::Blackhole | RouteKind::Unreachable => Vec::new(),
        _ => next_hops(answer).into_iter().map(hop).collect::<Result<Vec<_>, _>>()?,
    };
    hops.sort_unstable();
    // Set when the answer is about the address alone after all.
    let whole = !answer.header.flags.contains(RouteFlags::Cloned);
    let prefix_length = whole.then_some(answer.header.destination_prefix_length);
    Ok(Route { kind, hops, prefix_length })
}

/// What a route says about a gateway.
enum Gateway {
    None,
    Address(IpAddr),
    /// One that is no IP address; it must not pass for none.
    Other,
}

fn next_hops(route: &RouteMessage) -> Vec<(u32, Gateway)> {
    let single = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(interface) => Some((*interface, gateway(&route.attributes))),
        _ => None,
    });
    let several = route.attributes.iter().filter_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    let several = several.flatten().map(|hop| (hop.interface_index, gateway(&hop.attributes)));
    single.into_iter().chain(several).collect()
}

fn gateway(attributes: &[RouteAttribute]) -> Gateway {
    let gateway = attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address))
        | RouteAttribute::Via(RouteVia::Inet(address)) => Some(Gateway::Address((*address).into())),
        RouteAttribute::Gateway(RouteAddress::Inet6(address))
        | RouteAttribute::Via(RouteVia::Inet6(address)) => {
            Some(Gateway::Address((*address).into()))
        }
        RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => Some(Gateway::Other),
        _ => None,
    });
    gateway.unwrap_or(Gateway::None)
}
