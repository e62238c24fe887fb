//! This host's network, as far as placing and attaching need to know it.
//!
//! [`Host`] is what placement asks; [`HostView`] answers from the kernel, a test from plain data.

mod view;

use std::io;
use std::net::IpAddr;

pub use self::view::HostView;

/// What can be asked about a host's network.
pub trait Host {
    /// All interfaces, in the order of their numbers.
    fn interfaces(&self) -> &[Interface];

    /// The host's own addresses, loopback and link-local ones among them, sorted by address and
    /// then by interface.
    fn addresses(&self) -> &[HostAddress];

    /// The numbers of the interfaces that some IPv4 or IPv6 default route uses, sorted, each once.
    fn default_interfaces(&self) -> &[u32];

    /// The route that a packet of this host to `address` takes; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`HostError`] when the kernel cannot be asked.
    fn route(&self, address: IpAddr) -> Result<Option<Route>, HostError>;
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What made it, in the kernel's words (`IFLA_INFO_KIND`): `veth`, `bridge`, `tun`. Physical
    /// interfaces have none, and neither has the loopback.
    pub kind: Option<String>,
    /// What its packets start with.
    pub link_layer: LinkLayer,
    /// The number of the bridge, bond or VRF that it is a port of.
    pub master: Option<u32>,
    /// The number of the interface of this network namespace that it is linked to (`IFLA_LINK`):
    /// the other end of a veth pair, or what a VLAN or macvlan interface is made on.
    pub link: Option<u32>,
    /// Whether it is administratively up (`IFF_UP`).
    pub up: bool,
    /// The XDP programs attached to it, whoever attached them; at most one for each mode.
    pub xdp: Vec<XdpProgram>,
}

impl Interface {
    /// Whether its packets start with an Ethernet header, which Ringfence's programs parse.
    #[must_use]
    pub fn has_ethernet_header(&self) -> bool {
        matches!(self.link_layer, LinkLayer::Ethernet | LinkLayer::Loopback)
    }
}

/// The type of an interface's link layer (Linux `include/uapi/linux/if_arp.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLayer {
    /// `ARPHRD_ETHER`.
    Ethernet,
    /// `ARPHRD_LOOPBACK`; its packets have an Ethernet header.
    Loopback,
    /// Another one, by number; its packets have no Ethernet header.
    Other(u16),
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpProgram {
    /// Where it runs.
    pub mode: XdpMode,
    /// The program's number in the kernel.
    pub id: u32,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the network stack, after the driver has made a socket buffer.
    Generic,
    /// On the network card.
    Hardware,
}

/// An address of the host itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostAddress {
    /// The address.
    pub address: IpAddr,
    /// The number of the interface that has it.
    pub interface: u32,
}

/// Where packets to an address go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What happens to them.
    pub kind: RouteKind,
    /// The ways they may take, sorted; more than one for a multipath route, none for a route that
    /// leads nowhere.
    pub hops: Vec<Hop>,
    /// The length in bits of the prefix whose route it is, if the kernel says it.
    pub prefix_length: Option<u8>,
}

/// What a route does with packets (Linux `include/uapi/linux/rtnetlink.h`, `RTN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// Sends them on.
    Unicast,
    /// Takes them in: the address is the host's own.
    Local,
    /// Drops them without a word.
    Blackhole,
    /// Drops them and says so, as unreachable or as prohibited.
    Unreachable,
    /// Broadcast, multicast and what else is no single workload's address.
    Other,
}

/// A way that packets may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop {
    /// The number of the output interface.
    pub interface: u32,
    /// The gateway; without one the destination is a neighbour on the interface. A gateway may
    /// be of the other family (RFC 9229).
    pub gateway: Option<IpAddr>,
}

/// Why the host's network cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// No netlink socket.
    #[error(
        "a netlink socket cannot be opened; where the process is confined, allow the address \
         family `AF_NETLINK`"
    )]
    Open(#[source] io::Error),
    /// The kernel refused a request.
    #[error("the kernel refused to {what}")]
    Refused {
        /// What was asked for.
        what: String,
        /// What the kernel said.
        #[source]
        source: rtnetlink::Error,
    },
    /// The kernel answered with something that is not known here.
    #[error("the route to {address} has a gateway that is no IP address; name the interface")]
    Gateway {
        /// The destination.
        address: IpAddr,
    },
}
