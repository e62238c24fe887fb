//! What placement refuses, and what it does but thinks the user should know.

use std::error::Error;
use std::fmt;
use std::iter;
use std::net::IpAddr;

use crate::enforce::host::HostError;

/// Everything that keeps the workloads from being placed; at least one, in the order of the
/// workloads' names. Nothing has been changed then.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct PlacementErrors(pub Vec<PlacementError>);

/// One line for each error, with what caused it: a list has no single source to tell it.
fn lines(errors: &[PlacementError]) -> String {
    let line = |error: &PlacementError| {
        let causes = iter::successors(error.source(), |cause| (*cause).source());
        causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
    };
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Why a workload cannot be placed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// The interface that the workload's document names does not exist.
    #[error(
        "workload `{workload}` names the interface `{interface}`, which this host does not \
         have{}; correct `interface:`, or leave it out and it is found by the route to the \
         workload's addresses",
        did_you_mean(.similar)
    )]
    NoInterface {
        /// `namespace/name`.
        workload: String,
        /// The name that does not exist.
        interface: String,
        /// Names of this host's interfaces that are like it, the likest first.
        similar: Vec<String>,
    },
    /// The interface's packets have no Ethernet header.
    #[error(
        "workload `{workload}` sits behind `{interface}`, whose packets have no Ethernet header, \
         so they cannot be parsed; name an interface that has one, such as a veth or a tap"
    )]
    NoEthernetHeader {
        /// `namespace/name`.
        workload: String,
        /// The interface.
        interface: String,
    },
    /// The host's own workload names no interface, and no default route has a usable one.
    #[error(
        "workload `{workload}` is this host, but no default route leaves it through an interface \
         with an Ethernet header; name the one to guard with `interface:`"
    )]
    NoHostInterface {
        /// `namespace/name`.
        workload: String,
    },
    /// A workload's interface carries the host's own traffic, which would be denied as spoofed.
    #[error(
        "workload `{workload}` sits behind `{interface}`, which carries this host's own traffic, \
         and all of that would be denied as spoofed; name the workload's own interface, or \
         describe the host with `host: true`"
    )]
    HostsInterface {
        /// `namespace/name`.
        workload: String,
        /// The interface.
        interface: String,
    },
    /// The workload's addresses are behind different interfaces.
    #[error(
        "workload `{workload}` sits behind two interfaces: {} by `{}`, {} by `{}`; correct its \
         addresses or this host's routes, or name one with `interface:`",
        first.0, first.1, second.0, second.1
    )]
    SeveralInterfaces {
        /// `namespace/name`.
        workload: String,
        /// An address and the interface that leads to it.
        first: (IpAddr, String),
        /// An address, perhaps the same, and another interface that leads to it.
        second: (IpAddr, String),
    },
    /// A route uses an interface that was not there a moment ago.
    #[error("this host's interfaces change while they are read; try again when they are settled")]
    Changing,
    /// The kernel cannot be asked.
    #[error("workload `{workload}` cannot be placed by the route to its address {address}")]
    Host {
        /// `namespace/name`.
        workload: String,
        /// The address.
        address: IpAddr,
        /// Why.
        source: Box<HostError>,
    },
}

/// Something about a workload's place that its owner should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PlacementWarning {
    /// The workload has an address of this host, without being the host.
    HostsAddress {
        /// `namespace/name`.
        workload: String,
        /// The address.
        address: IpAddr,
    },
    /// Part of the host's addresses are not on this host.
    NotOnThisHost {
        /// `namespace/name`.
        workload: String,
        /// The address.
        address: IpAddr,
    },
    /// The workload is behind something with several ports, so its own is not known.
    BehindPorts {
        /// `namespace/name`.
        workload: String,
        /// The bridge or VRF.
        interface: String,
        /// `bridge`, `openvswitch` or `vrf`.
        kind: String,
    },
    /// The document names the bridge itself, which sees only what enters or leaves the host.
    BridgeItself {
        /// `namespace/name`.
        workload: String,
        /// The bridge.
        interface: String,
    },
    /// The workload is behind an interface whose packets cannot be parsed.
    NoEthernetHeader {
        /// `namespace/name`.
        workload: String,
        /// The interface.
        interface: String,
    },
    /// A default route's interface cannot be guarded, while others are.
    UplinkNotGuarded {
        /// `namespace/name` of the host.
        workload: String,
        /// The interface.
        interface: String,
    },
    /// The workload was found behind a port without a kind by a route to its address alone.
    TakenAsLocal {
        /// `namespace/name`.
        workload: String,
        /// The interface.
        interface: String,
    },
    /// An address of a workload of this host is reached another way than through its interface.
    AddressElsewhere {
        /// `namespace/name`.
        workload: String,
        /// The address.
        address: IpAddr,
        /// The workload's interface.
        interface: String,
    },
}

impl fmt::Display for PlacementWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostsAddress { workload, address } => write!(
                f,
                "workload `{workload}` has {address}, an address of this host, so it has no \
                 interface of its own; describe the host with `host: true`"
            ),
            Self::NotOnThisHost { workload, address } => write!(
                f,
                "workload `{workload}` is this host, but {address} is not among its addresses; \
                 add it to an interface, or take it out of the document"
            ),
            Self::BehindPorts { workload, interface, kind } => write!(
                f,
                "workload `{workload}` is behind `{interface}`, a {kind} with several ports, and \
                 is not enforced; name its port with `interface:`"
            ),
            Self::BridgeItself { workload, interface } => write!(
                f,
                "workload `{workload}` names the bridge `{interface}`, where packets between the \
                 bridge's ports are not seen; name its port with `interface:`"
            ),
            Self::NoEthernetHeader { workload, interface } => write!(
                f,
                "workload `{workload}` is behind `{interface}`, whose packets have no Ethernet \
                 header, and is not enforced; connect it by an interface that has one, such as a \
                 veth or a tap"
            ),
            Self::UplinkNotGuarded { workload, interface } => write!(
                f,
                "workload `{workload}` is this host, and its default route through `{interface}` \
                 is not guarded, since packets there have no Ethernet header; if that is not \
                 meant, name the one interface to guard with `interface:`"
            ),
            Self::TakenAsLocal { workload, interface } => write!(
                f,
                "workload `{workload}` is taken to sit behind `{interface}`, which has a route to \
                 its address alone; confirm it with `interface: {interface}`"
            ),
            Self::AddressElsewhere { workload, address, interface } => write!(
                f,
                "workload `{workload}` sits behind `{interface}`, but the route to its address \
                 {address} does not lead there; add a route through `{interface}`, or correct the \
                 address"
            ),
        }
    }
}

pub(crate) fn did_you_mean(similar: &[String]) -> String {
    let quoted: Vec<String> = similar.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { String::new() } else { format!(" (similar: {})", quoted.join(", ")) }
}
