//! Two hosts and a wire between them.

use std::fs;
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::veth::{Netlink, NetlinkError, Via};

use crate::kernel::MeasureError;

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
        let text = self.at_far(|| read("/proc/thread-self/net/dev"))?;
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix("measured:"));
        // Bytes, then packets.
        let packets = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        packets.ok_or_else(|| MeasureError::wrong("/proc/net/dev", "the interface is not in it"))
    }

    /// TCP segments that both ends have sent again so far.
    pub fn sent_again(&self) -> Result<u64, MeasureError> {
        let near = self.at_near(|| read("/proc/thread-self/net/snmp"))?;
        let far = self.at_far(|| read("/proc/thread-self/net/snmp"))?;
        let count = |text: &str| {
            retransmitted(text)
                .ok_or_else(|| MeasureError::wrong("/proc/net/snmp", "it has no `RetransSegs`"))
        };
        Ok(count(&near)? + count(&far)?)
    }
}

/// `RetransSegs` of the lines `Tcp:`, the first of which has the names.
fn retransmitted(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|name| name == "RetransSegs")?;
    values.split_whitespace().nth(at)?.parse().ok()
}

fn read(path: &str) -> Result<String, MeasureError> {
    fs::read_to_string(path).map_err(MeasureError::refused(format!("read `{path}`")))
}

fn flat<T>(
    made: Result<Result<T, NetlinkError>, ringfence_testbed::netns::NamespaceError>,
) -> Result<T, MeasureError> {
    let entered = made.map_err(MeasureError::refused("enter a namespace"))?;
    entered.map_err(MeasureError::refused("make a wire"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retransmissions_are_found_by_name() {
        let text = "Ip: A B\nIp: 1 2\nTcp: RtoMin MaxConn RetransSegs InErrs\nTcp: 200 -1 7 0\n";
        assert_eq!(retransmitted(text), Some(7));
        assert_eq!(retransmitted("Tcp: RtoMin\nTcp: 200\n"), None);
    }
}
