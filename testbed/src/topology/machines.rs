//! Two machines on one wire, with a box on it.
//!
//! ```text
//!   inside                  box                   outside
//!   eth0 ─────────── in-0        out-0 ────────── eth0
//!   10.0.0.1/24                                   10.0.0.2/24
//!   fd00::1/64                                    fd00::2/64
//! ```
//!
//! Unlike in a [`super::Topology`] there is no router: the two see each other's frames as the box
//! lets them through.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::TopologyError;
use super::wiring::{INSIDE, new_box, new_namespace};
use crate::netns::Namespace;
use crate::veth::{Netlink, NetlinkError};

/// The box's interface towards the machine inside.
pub const BOX_INSIDE: &str = "in-0";
/// The box's interface towards the machine outside.
pub const BOX_OUTSIDE: &str = "out-0";

/// The three namespaces.
#[derive(Debug)]
pub struct Machines {
    /// The machine inside: host number 1 of both networks.
    pub inside: Arc<Namespace>,
    /// The box.
    pub filter_box: Arc<Namespace>,
    /// The machine outside: host number 2 of both networks.
    pub outside: Arc<Namespace>,
}

impl Machines {
    /// Builds them, with cables whose ends have an MTU of `mtu` bytes.
    ///
    /// # Errors
    ///
    /// [`TopologyError`]; what was built until then is gone again.
    pub fn build(mtu: u32) -> Result<Self, TopologyError> {
        let machines =
            Self { inside: new_namespace()?, filter_box: new_box()?, outside: new_namespace()? };
        in_namespace(&machines.filter_box, |netlink| {
            netlink.add_veth(BOX_INSIDE, &machines.inside, INSIDE)?;
            netlink.add_veth(BOX_OUTSIDE, &machines.outside, INSIDE)?;
            [BOX_INSIDE, BOX_OUTSIDE].into_iter().try_for_each(|end| {
                netlink.set_mtu(end, mtu)?;
                netlink.set_up(end)
            })
        })?;
        for (machine, number) in machines.numbered() {
            in_namespace(machine, |netlink| {
                netlink.set_mtu(INSIDE, mtu)?;
                netlink.add_address(INSIDE, network_v4(number))?;
                netlink.add_address(INSIDE, network_v6(number))?;
                netlink.set_up(INSIDE)
            })?;
        }
        Ok(machines)
    }

    fn numbered(&self) -> [(&Namespace, u8); 2] {
        [(&self.inside, 1), (&self.outside, 2)]
    }
}

fn in_namespace(
    namespace: &Namespace,
    requests: impl FnOnce(&Netlink) -> Result<(), NetlinkError> + Send,
) -> Result<(), TopologyError> {
    namespace.run(|| requests(&Netlink::open()?))?.map_err(|source| TopologyError::Network {
        place: "two machines on a wire".to_owned(),
        source,
    })
}

fn network_v4(number: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, number), 24))
}

fn network_v6(number: u8) -> IpNet {
    let address = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into());
    IpNet::V6(Ipv6Net::new_assert(address, 64))
}
