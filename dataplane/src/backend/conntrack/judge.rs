//! Which connections a state refuses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use ringfence_common::abi::config::essential;
use ringfence_common::abi::identity::{AddressEntry, endpoint, identity};
use ringfence_common::abi::policy::{Direction, protocol};

use super::connection::Connection;
use crate::backend::{Desired, host};

/// Says which connections a state refuses.
pub(super) struct Judge<'a> {
    desired: &'a Desired,
    addresses: BTreeMap<IpAddr, AddressEntry>,
    prefixes_v4: PrefixMap<Ipv4Net, u32>,
    prefixes_v6: PrefixMap<Ipv6Net, u32>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(desired: &'a Desired) -> Self {
        let (mut prefixes_v4, mut prefixes_v6) = (PrefixMap::new(), PrefixMap::new());
        for (prefix, identity) in &desired.tables.prefixes {
            match prefix {
                IpNet::V4(prefix) => prefixes_v4.insert(*prefix, *identity),
                IpNet::V6(prefix) => prefixes_v6.insert(*prefix, *identity),
            };
        }
        let addresses = host::addresses(&desired.tables, &desired.host_addresses);
        Self { desired, addresses, prefixes_v4, prefixes_v6 }
    }

    /// Whether a side on this host refuses the connection.
    pub(super) fn refuses(&self, connection: &Connection) -> bool {
        let source = self.entry(connection.source);
        let destination = self.entry(connection.destination);
        if self.passes_unasked(connection, source.endpoint, destination.endpoint) {
            return false;
        }
        let sides =
            [(Direction::Egress, source, destination), (Direction::Ingress, destination, source)];
        sides.into_iter().any(|(direction, own, peer)| {
            let allows = |direction, port| {
                self.allows(direction, own.endpoint, peer, connection.protocol, port)
            };
            let backward = match direction {
                Direction::Ingress => Direction::Egress,
                Direction::Egress => Direction::Ingress,
            };
            let kept = connection.is_picked_up && allows(backward, connection.source_port);
            !kept && !allows(direction, connection.port)
        })
    }

    /// Whether the connection is essential traffic, whatever policy says; and what the host has
    /// with itself goes over the loopback interface, where nobody looks.
    fn passes_unasked(&self, connection: &Connection, from: u32, to: u32) -> bool {
        let is_with_itself = from == to && from != endpoint::NONE;
        let ports = match connection.source {
            IpAddr::V4(_) => [67, 68],
            IpAddr::V6(_) => [546, 547],
        };
        let is_dhcp = connection.protocol == protocol::UDP
            && connection.source_port != connection.port
            && ports.contains(&connection.source_port)
            && ports.contains(&connection.port);
        is_with_itself && (from == endpoint::HOST || self.is_essential(essential::SELF))
            || is_dhcp && self.is_essential(essential::DHCP)
    }

    /// Whether endpoint `own` allows a connection with `peer` in that direction. What is no
    /// endpoint of this host, or is open, allows everything.
    fn allows(
        &self,
        direction: Direction,
        own: u32,
        peer: AddressEntry,
        protocol: u8,
        port: u16,
    ) -> bool {
        let tables = &self.desired.tables;
        let Some(described) = tables.endpoints.get(&own) else { return true };
        let (from, to) = match direction {
            Direction::Ingress => (peer.endpoint, own),
            Direction::Egress => (own, peer.endpoint),
        };
        let from_host = from == endpoint::HOST && to >= endpoint::FIRST_DYNAMIC;
        from_host && self.is_essential(essential::HOST_TO_WORKLOAD)
            || tables.decide(described.subject, direction, peer.identity, protocol, port).passes()
    }

    fn is_essential(&self, bit: u32) -> bool {
        self.desired.settings.essential & bit != 0
    }

    fn entry(&self, address: IpAddr) -> AddressEntry {
        let of_prefix = || match address {
            IpAddr::V4(address) => {
                self.prefixes_v4.get_lpm(&Ipv4Net::from(address)).map(|(_, identity)| *identity)
            }
            IpAddr::V6(address) => {
                self.prefixes_v6.get_lpm(&Ipv6Net::from(address)).map(|(_, identity)| *identity)
            }
        };
        self.addresses.get(&address).copied().unwrap_or_else(|| AddressEntry {
            identity: of_prefix().unwrap_or(identity::WORLD),
            endpoint: endpoint::NONE,
        })
    }
}
