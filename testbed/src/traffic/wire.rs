//! What traffic is tried on: two namespaces and one wire.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::{End, Ends, Flow, Hop};
use crate::netns::Namespace;
use crate::veth::Netlink;

/// What the interface is called on both sides.
pub const NAME: &str = "wire";

const V4: [&str; 2] = ["10.0.0.1/24", "10.0.0.2/24"];
const V6: [&str; 2] = ["fd00::1/64", "fd00::2/64"];
const PORT: u16 = 9;

/// Two namespaces with a veth between them, each with an address of either family.
pub struct Wire {
    pub near: Namespace,
    pub far: Namespace,
    pub hop: Hop,
}

impl Wire {
    pub fn new() -> Self {
        let (near, far) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        near.run(|| Netlink::open().unwrap().add_veth(NAME, &far, NAME).unwrap()).unwrap();
        for (namespace, side) in [(&near, 0), (&far, 1)] {
            let set_up = || {
                let netlink = Netlink::open().unwrap();
                for address in [V4[side], V6[side]] {
                    netlink.add_address(NAME, address.parse::<IpNet>().unwrap()).unwrap();
                }
                netlink.set_up(NAME).unwrap();
            };
            namespace.run(set_up).unwrap();
        }
        let end = |namespace| End { namespace, interface: NAME };
        let hop = Hop::between(end(&near), end(&far)).unwrap();
        Self { near, far, hop }
    }

    /// The near end.
    pub fn near(&self) -> End<'_> {
        End { namespace: &self.near, interface: NAME }
    }

    /// The ends of the wire in the family of IPv4, or of IPv6.
    pub fn ends(&self, is_v4: bool) -> Ends<'_> {
        let addresses = if is_v4 { V4 } else { V6 };
        let [from, to] = addresses.map(|address| address.parse::<IpNet>().unwrap().addr());
        Ends { client: &self.near, from, server: &self.far, to: SocketAddr::new(to, PORT) }
    }

    /// A flow from one end to the other.
    pub fn flow(ends: &Ends<'_>) -> Flow {
        Flow { source: SocketAddr::new(ends.from, 40_000), destination: ends.to }
    }
}
