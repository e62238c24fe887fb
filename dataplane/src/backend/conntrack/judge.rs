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

    /// Whether a side on this host refuses the connection. `is_guarded` says whether what the host
    /// has with an address passes where it is looked at.
    pub(super) fn refuses(
        &self,
        connection: &Connection,
        is_guarded: &mut dyn FnMut(IpAddr) -> bool,
    ) -> bool {
        let source = self.entry(connection.source);
        let destination = self.entry(connection.destination);
        if self.passes_unasked(connection, source.endpoint, destination.endpoint) {
            return false;
        }
        let (from, to) = (connection.source, connection.destination);
        let sides = [
            (Direction::Egress, source, destination, to),
            (Direction::Ingress, destination, source, from),
        ];
        sides.into_iter().any(|(direction, own, peer, address)| {
            let allows = |direction, port| {
                self.allows(direction, own.endpoint, peer, connection.protocol, port)
            };
            let backward = match direction {
                Direction::Ingress => Direction::Egress,
                Direction::Egress => Direction::Ingress,
            };
            let kept = connection.is_picked_up && allows(backward, connection.source_port);
            let refused = !kept && !allows(direction, connection.port);
            let is_elsewhere = own.endpoint == endpoint::HOST && peer.endpoint == endpoint::NONE;
            refused && (!is_elsewhere || is_guarded(address))
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use ringfence_common::abi::config::essential;
    use ringfence_common::abi::policy::{PolicyEntry, PolicyKey, action, forms};

    use super::*;
    use crate::backend::{Mode, Settings};
    use crate::compile::{EndpointDescription, Subject, Tables};

    const WEB: &str = "10.0.0.1";
    const DATABASE: &str = "10.0.0.2";
    const HOST: &str = "192.0.2.1";
    const STRANGER: &str = "203.0.113.1";

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Everybody is isolated in both directions; the web may ask the database on TCP 5432, and the
    /// database may answer nobody else.
    fn desired(essential: u32) -> Desired {
        let (web, database, host) = (501, 502, 503);
        let places = [(300, web, WEB), (301, database, DATABASE), (endpoint::HOST, host, HOST)];
        let both = |subject: u32| {
            let forms = forms::ENFORCED | forms::ISOLATED | forms::PEER_CLASS;
            (subject, Subject { ingress_forms: forms, egress_forms: forms })
        };
        let entry = |subject, peer, direction| {
            let service = PolicyKey::service(direction, protocol::TCP, 5432);
            let allow = PolicyEntry { action: action::ALLOW, rule: 9, ..PolicyEntry::default() };
            (PolicyKey { subject, peer, service }, allow)
        };
        let endpoint = |(number, subject, own): (u32, u32, &str)| {
            let addresses = vec![address(own)];
            (number, EndpointDescription { subject, addresses, ..EndpointDescription::default() })
        };
        let tables = Tables {
            addresses: places.map(|(_, subject, own)| (address(own), subject)).into(),
            classes: BTreeMap::from([(protocol::TCP, BTreeSet::from([5432, 5433]))]),
            endpoints: places.map(endpoint).into(),
            subjects: [web, database, host].map(both).into(),
            policy: [
                entry(web, database, Direction::Egress),
                entry(database, web, Direction::Ingress),
            ]
            .into(),
            ..Tables::default()
        };
        Desired {
            tables,
            interfaces: Vec::new(),
            host_addresses: BTreeSet::from([address("127.0.0.1")]),
            mode: Mode::Enforce,
            settings: Settings { essential, ..Settings::default() },
        }
    }

    fn connection(source: &str, destination: &str, protocol: u8, ports: [u16; 2]) -> Connection {
        Connection {
            source: address(source),
            source_port: ports[0],
            destination: address(destination),
            protocol,
            port: ports[1],
            is_picked_up: false,
            known_by: Vec::new(),
        }
    }

    fn refuses(essential: u32, connection: &Connection) -> bool {
        Judge::new(&desired(essential)).refuses(connection, &mut |_| true)
    }

    #[test]
    fn both_sides_are_asked_and_strangers_never() {
        let tcp = |from, to, port| connection(from, to, protocol::TCP, [40_000, port]);
        let refused = |connection| refuses(essential::ALL, &connection);
        assert!(!refused(tcp(WEB, DATABASE, 5432)));
        assert!(refused(tcp(WEB, DATABASE, 5433)));
        assert!(refused(tcp(DATABASE, WEB, 5432)));
        assert!(refused(tcp(STRANGER, DATABASE, 5432)));
        assert!(refused(tcp(WEB, STRANGER, 5432)));
        assert!(!refused(tcp(STRANGER, "203.0.113.2", 5432)), "no side of it is here");
    }

    #[test]
    fn a_guessed_opener_may_be_the_other_one() {
        let mut answer = connection(DATABASE, WEB, protocol::TCP, [5432, 40_000]);
        assert!(refuses(essential::ALL, &answer));
        answer.is_picked_up = true;
        assert!(!refuses(essential::ALL, &answer));
        answer.source_port = 5433;
        assert!(refuses(essential::ALL, &answer));
    }

    #[test]
    fn essential_traffic_stays_while_it_is_switched_on() {
        let udp = |from, to, ports| connection(from, to, protocol::UDP, ports);
        let cases = [
            (essential::SELF, udp(WEB, WEB, [9, 9])),
            (essential::DHCP, udp(WEB, STRANGER, [68, 67])),
            (essential::DHCP, udp(STRANGER, WEB, [67, 68])),
            (essential::HOST_TO_WORKLOAD, udp(HOST, WEB, [9, 9])),
            (essential::HOST_TO_WORKLOAD, udp("127.0.0.1", WEB, [9, 9])),
        ];
        for (bit, connection) in cases {
            assert!(!refuses(essential::ALL, &connection), "{connection}");
            assert!(refuses(essential::ALL & !bit, &connection), "{connection}");
        }
        assert!(refuses(essential::ALL, &udp(WEB, HOST, [9, 9])), "the other way follows policy");
        assert!(refuses(essential::ALL, &udp(WEB, STRANGER, [68, 68])));
        assert!(refuses(essential::ALL, &udp(WEB, STRANGER, [546, 547])), "that is IPv6");
        assert!(!refuses(0, &udp(HOST, "127.0.0.1", [9, 9])), "over the loopback interface");
    }

    #[test]
    fn what_the_host_has_with_others_counts_where_it_is_guarded() {
        let desired = desired(essential::ALL);
        let judge = Judge::new(&desired);
        let out = connection(HOST, STRANGER, protocol::TCP, [40_000, 443]);
        let into = connection(STRANGER, HOST, protocol::TCP, [40_000, 22]);
        for connection in [&out, &into] {
            let mut asked = Vec::new();
            let mut unguarded = |peer| {
                asked.push(peer);
                false
            };
            assert!(!judge.refuses(connection, &mut unguarded), "{connection}");
            assert_eq!(asked, [address(STRANGER)]);
            assert!(judge.refuses(connection, &mut |_| true), "{connection}");
        }
        let of_workload = connection(WEB, HOST, protocol::TCP, [40_000, 22]);
        assert!(judge.refuses(&of_workload, &mut |_| panic!("its interface is guarded")));
        let between = connection(STRANGER, WEB, protocol::TCP, [40_000, 22]);
        assert!(judge.refuses(&between, &mut |_| panic!("it is not the host's")));
    }
}
