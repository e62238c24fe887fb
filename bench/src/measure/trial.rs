//! Two hosts on a wire, on which measurements are tried.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use ringfence_testbed::traffic::Ends;
use ringfence_testbed::veth::{Netlink, Via};

use super::Fate;
use super::send::Sender;
use crate::goals::wire::{NAME, Wire};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 1);
const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 2);
/// An address of the client to which the server has no route, so that its kernel lets nothing in
/// from there.
const DENIED: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 1);
/// What nobody has.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 3);

const PORT: u16 = 7_007;

/// A client, a server, and a wire.
pub(super) struct Trial {
    wire: Wire,
}

impl Trial {
    pub(super) fn new() -> Self {
        let wire = Wire::new().unwrap();
        let accept_at_once = [
            ("ipv6/conf/measured/accept_dad", "0"),
            ("ipv4/conf/all/rp_filter", "1"),
            ("ipv4/conf/measured/rp_filter", "1"),
        ];
        wire.near.set_all(accept_at_once[..1].iter()).unwrap();
        wire.far.set_all(accept_at_once.iter()).unwrap();
        wire.address(CLIENT.into(), SERVER.into()).unwrap();
        wire.address(CLIENT_V6.into(), SERVER_V6.into()).unwrap();
        let more = wire.near.run(|| {
            let netlink = Netlink::open()?;
            netlink.add_address(NAME, IpNet::from(IpAddr::from(DENIED)))?;
            let via = Via::Link { interface: NAME, source: None };
            netlink.add_route(IpNet::from(IpAddr::from(NOBODY)), via)
        });
        more.unwrap().unwrap();
        Self { wire }
    }

    pub(super) fn ends(&self) -> Ends<'_> {
        self.between(CLIENT.into(), SERVER.into())
    }

    pub(super) fn ends_v6(&self) -> Ends<'_> {
        self.between(CLIENT_V6.into(), SERVER_V6.into())
    }

    /// Ends between which nothing gets through, after the client has found its neighbour.
    pub(super) fn denied(&self) -> Ends<'_> {
        let core = *ringfence_testbed::traffic::Cores::allowed().unwrap().last().unwrap();
        let tracking = ringfence_testbed::lab::Tracking::New;
        Sender::new(&self.ends(), core, Fate::Arrives, tracking).unwrap();
        self.between(DENIED.into(), SERVER.into())
    }

    pub(super) fn nobody(&self) -> IpAddr {
        NOBODY.into()
    }

    fn between(&self, client: IpAddr, server: IpAddr) -> Ends<'_> {
        Ends {
            client: &self.wire.near,
            from: client,
            server: &self.wire.far,
            to: SocketAddr::new(server, PORT),
        }
    }
}
