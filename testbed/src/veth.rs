//! Interfaces, addresses and routes through rtnetlink, in the namespace of the calling thread.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteScope, RouteType};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::os::fd::AsRawFd;
use tokio::runtime::{Builder, Runtime};

use crate::netns::Namespace;

/// Why a netlink request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetlinkError {
    /// No netlink socket.
    #[error("a netlink socket cannot be opened")]
    Open(#[source] io::Error),
    /// The kernel refused the request.
    #[error("netlink refused to {what}")]
    Refused {
        /// What was asked for.
        what: String,
        /// What the kernel said.
        #[source]
        source: rtnetlink::Error,
    },
    /// There is no such interface in this namespace.
    #[error("there is no interface `{0}` in this namespace")]
    NoInterface(String),
}

/// A route socket. It belongs to the namespace of the thread that opened it, and must be used on
/// that thread.
#[derive(Debug)]
pub struct Netlink {
    runtime: Runtime,
    handle: Handle,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug)]
pub enum Via<'a> {
    /// To a neighbour on the interface; packets that this host sends itself carry the source
    /// address.
    Link {
        /// The interface.
        interface: &'a str,
        /// The preferred source address, if there is one.
        source: Option<IpAddr>,
    },
    /// Through a gateway on the interface.
    Gateway {
        /// The interface.
        interface: &'a str,
        /// The gateway.
        gateway: IpAddr,
        /// The preferred source address, if there is one.
        source: Option<IpAddr>,
    },
    /// Nowhere: packets are dropped without a word.
    Blackhole,
}

impl Netlink {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Open`] when the kernel gives none.
    pub fn open() -> Result<Self, NetlinkError> {
        let runtime =
            Builder::new_current_thread().enable_io().build().map_err(NetlinkError::Open)?;
        let _inside = runtime.enter();
        let (connection, handle, _) = rtnetlink::new_connection().map_err(NetlinkError::Open)?;
        runtime.spawn(connection);
        drop(_inside);
        Ok(Self { runtime, handle })
    }

    /// Makes a veth pair: `name` in this namespace, `peer` in the namespace `other`.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Refused`], for instance when the name is taken.
    pub fn add_veth(&self, name: &str, other: &Namespace, peer: &str) -> Result<(), NetlinkError> {
        let far_end =
            LinkUnspec::new_with_name(peer).setns_by_fd(other.as_fd().as_raw_fd()).build();
        let link = LinkVeth::new(name, peer)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(far_end)))
            .build();
        let request = self.handle.link().add(link).execute();
        self.request(format!("add the interface `{name}`"), request)
    }

    /// Sets the longest packet that an interface sends, in bytes.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`] when it does not exist or the kernel refuses.
    pub fn set_mtu(&self, name: &str, bytes: u32) -> Result<(), NetlinkError> {
        let link = LinkUnspec::new_with_index(self.index(name)?).mtu(bytes).build();
        self.request(format!("set the MTU of `{name}`"), self.handle.link().set(link).execute())
    }

    /// Brings an interface up.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`] when it does not exist or the kernel refuses.
    pub fn set_up(&self, name: &str) -> Result<(), NetlinkError> {
        let link = LinkUnspec::new_with_index(self.index(name)?).up().build();
        self.request(format!("bring `{name}` up"), self.handle.link().set(link).execute())
    }

    /// Brings an interface down.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`] when it does not exist or the kernel refuses.
    pub fn set_down(&self, name: &str) -> Result<(), NetlinkError> {
        let link = LinkUnspec::new_with_index(self.index(name)?).down().build();
        self.request(format!("bring `{name}` down"), self.handle.link().set(link).execute())
    }

    /// Takes an interface away, and with a veth its other end.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`] when it does not exist or the kernel refuses.
    pub fn remove(&self, name: &str) -> Result<(), NetlinkError> {
        let request = self.handle.link().del(self.index(name)?).execute();
        self.request(format!("remove the interface `{name}`"), request)
    }

    /// The number of an interface.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::NoInterface`] when there is none of that name.
    pub fn index(&self, name: &str) -> Result<u32, NetlinkError> {
        let mut links = self.handle.link().get().match_name(name.to_owned()).execute();
        match self.runtime.block_on(links.try_next()) {
            Ok(Some(link)) => Ok(link.header.index),
            Ok(None) | Err(_) => Err(NetlinkError::NoInterface(name.to_owned())),
        }
    }

    /// The names of all interfaces, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Refused`] when the kernel does not list them.
    pub fn interfaces(&self) -> Result<Vec<String>, NetlinkError> {
        let links = self.handle.link().get().execute().try_collect::<Vec<_>>();
        let mut links = self.request("list interfaces".to_owned(), links)?;
        links.sort_by_key(|link| link.header.index);
        Ok(links
            .into_iter()
            .flat_map(|link| link.attributes)
            .filter_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name),
                _ => None,
            })
            .collect())
    }

    /// Gives an interface an address; an IPv6 address is usable at once, without duplicate
    /// address detection.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`] when the interface does not exist or the kernel refuses.
    pub fn add_address(&self, interface: &str, address: IpNet) -> Result<(), NetlinkError> {
        let index = self.index(interface)?;
        let mut request = self.handle.address().add(index, address.addr(), address.prefix_len());
        if address.addr().is_ipv6() {
            let message = request.message_mut();
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        self.request(format!("give `{interface}` the address {address}"), request.execute())
    }

    /// The address of an interface's link layer: 6 bytes of Ethernet.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`] when there is no such interface or it has no such address.
    pub fn link_address(&self, name: &str) -> Result<Vec<u8>, NetlinkError> {
        let mut links = self.handle.link().get().match_name(name.to_owned()).execute();
        let found = self.runtime.block_on(links.try_next()).ok().flatten();
        let address = found.into_iter().flat_map(|link| link.attributes).find_map(|attribute| {
            if let LinkAttribute::Address(address) = attribute { Some(address) } else { None }
        });
        address.ok_or_else(|| NetlinkError::NoInterface(name.to_owned()))
    }

    /// Whether an interface carries packets: the kernel gets an interface ready only some time after
    /// it was brought up, and drops what is sent or has no route until then.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::NoInterface`] when there is none of that name.
    pub fn is_ready(&self, name: &str) -> Result<bool, NetlinkError> {
        use rtnetlink::packet_route::link::{LinkAttribute, State};
        let mut links = self.handle.link().get().match_name(name.to_owned()).execute();
        let found = self.runtime.block_on(links.try_next()).ok().flatten();
        let link = found.ok_or_else(|| NetlinkError::NoInterface(name.to_owned()))?;
        Ok(link.attributes.contains(&LinkAttribute::OperState(State::Up)))
    }

    /// Tells an interface for good behind which link-layer address a neighbour is, so that nobody
    /// has to ask.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`] when the interface does not exist or the kernel refuses.
    pub fn add_neighbour(
        &self,
        interface: &str,
        neighbour: IpAddr,
        link_address: &[u8],
    ) -> Result<(), NetlinkError> {
        let neighbours = self.handle.neighbours();
        let request = neighbours.add(self.index(interface)?, neighbour);
        let request = request.link_layer_address(link_address).replace().execute();
        self.request(format!("tell `{interface}` where its neighbour {neighbour} is"), request)
    }

    /// Adds a route.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`] when the interface does not exist or the kernel refuses.
    pub fn add_route(&self, prefix: IpNet, via: Via<'_>) -> Result<(), NetlinkError> {
        let message = self.route(prefix, via)?;
        self.request(format!("add a route to {prefix}"), self.handle.route().add(message).execute())
    }

    /// Puts a route in the place of the one to the same prefix, without a moment between them.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`] when the interface does not exist or the kernel refuses.
    pub fn replace_route(&self, prefix: IpNet, via: Via<'_>) -> Result<(), NetlinkError> {
        let message = self.route(prefix, via)?;
        let request = self.handle.route().add(message).replace().execute();
        self.request(format!("replace the route to {prefix}"), request)
    }

    fn route(
        &self,
        prefix: IpNet,
        via: Via<'_>,
    ) -> Result<rtnetlink::packet_route::route::RouteMessage, NetlinkError> {
        let mut message = match prefix {
            IpNet::V4(prefix) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .destination_prefix(prefix.network(), prefix.prefix_len())
                .build(),
            IpNet::V6(prefix) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(prefix.network(), prefix.prefix_len())
                .build(),
        };
        let (interface, gateway, source) = match via {
            Via::Link { interface, source } => (Some(interface), None, source),
            Via::Gateway { interface, gateway, source } => (Some(interface), Some(gateway), source),
            Via::Blackhole => (None, None, None),
        };
        match interface {
            Some(interface) => {
                message.attributes.push(RouteAttribute::Oif(self.index(interface)?));
            }
            None => message.header.kind = RouteType::BlackHole,
        }
        match gateway {
            Some(gateway) => {
                message.attributes.push(RouteAttribute::Gateway(route_address(gateway)))
            }
            None if prefix.addr().is_ipv4() && interface.is_some() => {
                message.header.scope = RouteScope::Link;
            }
            None => {}
        }
        if let Some(source) = source {
            message.attributes.push(RouteAttribute::PrefSource(route_address(source)));
        }
        Ok(message)
    }

    fn request<T>(
        &self,
        what: String,
        request: impl Future<Output = Result<T, rtnetlink::Error>>,
    ) -> Result<T, NetlinkError> {
        self.runtime.block_on(request).map_err(|source| NetlinkError::Refused { what, source })
    }
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}
