//! Which of the host's connections pass an interface that is guarded.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use netlink_packet_core::NetlinkPayload;
use netlink_sys::protocols::NETLINK_ROUTE;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::Channel;
use crate::backend::{Desired, Role};

/// Knows the ways from the host to others.
pub(super) struct Ways {
    /// The interfaces where the host's packets are looked at; nothing where they all are.
    guarded: Option<BTreeSet<u32>>,
    /// Nothing until somebody asks.
    routes: Option<Channel>,
    /// What has been found out.
    known: BTreeMap<IpAddr, bool>,
}

impl Ways {
    pub(super) fn new(desired: &Desired) -> Self {
        let is_uplink = |role| role == Role::Uplink;
        let listed = desired.interfaces.iter().any(|interface| is_uplink(interface.role));
        let all = || desired.interfaces.iter().map(|interface| interface.index).collect();
        Self { guarded: listed.then(all), routes: None, known: BTreeMap::new() }
    }

    /// Whether the way to `peer` leads through a guarded interface. A way that cannot be found out
    /// does.
    pub(super) fn is_guarded(&mut self, peer: IpAddr) -> bool {
        if self.guarded.is_none() {
            return true;
        }
        if let Some(known) = self.known.get(&peer) {
            return *known;
        }
        let interface = self.interface_towards(peer).ok().flatten();
        let guarded = self.guarded.as_ref();
        let is_guarded =
            interface.is_none_or(|index| guarded.is_none_or(|guarded| guarded.contains(&index)));
        self.known.insert(peer, is_guarded);
        is_guarded
    }

    /// The interface of the route that the host's own packets take; nothing where there is none.
    fn interface_towards(&mut self, peer: IpAddr) -> io::Result<Option<u32>> {
        let routes = match &mut self.routes {
            Some(routes) => routes,
            closed => closed.insert(Channel::open(NETLINK_ROUTE)?),
        };
        let mut question = RouteMessage::default();
        let (family, length, address) = match peer {
            IpAddr::V4(peer) => (AddressFamily::Inet, 32, RouteAddress::Inet(peer)),
            IpAddr::V6(peer) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(peer)),
        };
        question.header.address_family = family;
        question.header.destination_prefix_length = length;
        question.attributes.push(RouteAttribute::Destination(address));
        routes.send(RouteNetlinkMessage::GetRoute(question), 0)?;
        loop {
            for payload in routes.receive::<RouteNetlinkMessage>()? {
                match payload {
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
                        return Ok(route.attributes.iter().find_map(|attribute| match attribute {
                            RouteAttribute::Oif(index) => Some(*index),
                            _ => None,
                        }));
                    }
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }
}
