//! Two hosts and a wire between them.

use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::veth::{Netlink, NetlinkError, Via};

use crate::kernel::MeasureError;
use crate::measure::counters;

/// Two network namespaces with a veth pair between them, both ends up.
pub struct Wire {
    /// Where packets come from.
    pub near: Namespace,
    /// Where they are filtered.
    pub far: Namespace,
    /// The number of the near end in its namespace.
    pub near_index: u32,
    /// The number of the far end in its namespace.
    pub far_index: u32,
}

/// What both ends are called.
pub const NAME: &str = "measured";

impl Wire {
    /// Makes it.
    pub fn new() -> Result<Self, MeasureError> {
        let namespace = || Namespace::new().map_err(MeasureError::refused("make a namespace"));
        let (near, far) = (namespace()?, namespace()?);
        let made = near.run(|| {
            let netlink = Netlink::open()?;
            netlink.add_veth(NAME, &far, NAME)?;
            netlink.set_up(NAME)?;
            netlink.index(NAME)
        });
        let near_index = flat(made)?;
        let far_index = flat(far.run(|| {
            let netlink = Netlink::open()?;
            netlink.set_up(NAME)?;
            netlink.index(NAME)
        }))?;
        Ok(Self { near, far, near_index, far_index })
    }

    /// Gives the ends these addresses, each with a route to the other.
    pub fn address(&self, near: IpAddr, far: IpAddr) -> Result<(), MeasureError> {
        for (namespace, own, other) in [(&self.near, near, far), (&self.far, far, near)] {
            flat(namespace.run(|| {
                let netlink = Netlink::open()?;
                netlink.add_address(NAME, IpNet::from(own))?;
                let via = Via::Link { interface: NAME, source: Some(own) };
                netlink.add_route(IpNet::from(other), via)
            }))?;
        }
        Ok(())
    }

    /// Runs `work` at the near end.
    pub fn at_near<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, MeasureError> + Send,
    ) -> Result<T, MeasureError> {
        self.near.run(work).map_err(MeasureError::refused("enter a namespace"))?
    }

    /// Runs `work` at the far end.
    pub fn at_far<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, MeasureError> + Send,
    ) -> Result<T, MeasureError> {
        self.far.run(work).map_err(MeasureError::refused("enter a namespace"))?
    }

    /// How many packets have arrived at the far end so far, those dropped by a program among them.
    pub fn arrived(&self) -> Result<u64, MeasureError> {
        counters::received(&self.far, NAME)
    }

    /// TCP segments that both ends have sent again so far.
    pub fn sent_again(&self) -> Result<u64, MeasureError> {
        Ok(counters::sent_again(&self.near)? + counters::sent_again(&self.far)?)
    }
}

fn flat<T>(
    made: Result<Result<T, NetlinkError>, ringfence_testbed::netns::NamespaceError>,
) -> Result<T, MeasureError> {
    let entered = made.map_err(MeasureError::refused("enter a namespace"))?;
    entered.map_err(MeasureError::refused("make a wire"))
}
