//! The tables behind the traits of [`ringfence_common::decide`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use ringfence_common::abi::config::{Attachment, AttachmentKey, Config, Hook};
use ringfence_common::abi::flow::family;
use ringfence_common::abi::identity::{AddressBytes, AddressEntry, endpoint, identity};
use ringfence_common::abi::policy::{
    CLASSED_PROTOCOLS, Endpoint, PolicyEntry, PolicyKey, class_table,
};
use ringfence_common::abi::table::Station;
use ringfence_common::decide::Tables;

use crate::backend::host::HostTables;

/// [`HostTables`] arranged for looking up.
pub struct Lookup {
    pub config: Config,
    stations: HashMap<AttachmentKeyBits, Station>,
    endpoints: HashMap<u32, Endpoint>,
    addresses_v4: HashMap<Ipv4Addr, AddressEntry>,
    addresses_v6: HashMap<Ipv6Addr, AddressEntry>,
    prefixes_v4: PrefixMap<Ipv4Net, u32>,
    prefixes_v6: PrefixMap<Ipv6Net, u32>,
    /// By [`class_table`]: port → class. Empty where every port is of class 0.
    classes: [Vec<u16>; CLASSED_PROTOCOLS.len()],
    policy: HashMap<PolicyKey, PolicyEntry>,
}

/// Interface index and hook.
type AttachmentKeyBits = (u32, u32);

impl Lookup {
    pub fn new(tables: &HostTables) -> Self {
        let of = |protocol: u8| {
            let starts = tables.classes.get(&protocol).into_iter().flatten();
            class_of_every_port(starts.copied())
        };
        let mut lookup = Self {
            config: tables.config,
            stations: tables.stations().iter().map(|(key, at)| (bits(key), *at)).collect(),
            endpoints: tables.endpoints.iter().map(|(number, one)| (*number, *one)).collect(),
            addresses_v4: HashMap::new(),
            addresses_v6: HashMap::new(),
            prefixes_v4: PrefixMap::new(),
            prefixes_v6: PrefixMap::new(),
            classes: CLASSED_PROTOCOLS.map(of),
            policy: tables.policy.iter().map(|(key, entry)| (*key, *entry)).collect(),
        };
        for (address, entry) in &tables.addresses {
            match address {
                IpAddr::V4(address) => lookup.addresses_v4.insert(*address, *entry),
                IpAddr::V6(address) => lookup.addresses_v6.insert(*address, *entry),
            };
        }
        for (prefix, identity) in &tables.prefixes {
            match prefix {
                IpNet::V4(prefix) => lookup.prefixes_v4.insert(*prefix, *identity),
                IpNet::V6(prefix) => lookup.prefixes_v6.insert(*prefix, *identity),
            };
        }
        lookup
    }

    fn address_v4(&self, address: Ipv4Addr) -> Option<AddressEntry> {
        let behind_prefix = || self.prefixes_v4.get_lpm(&Ipv4Net::from(address));
        let known = self.addresses_v4.get(&address).copied();
        known.or_else(|| behind_prefix().map(|(_, identity)| outside(*identity)))
    }

    fn address_v6(&self, address: Ipv6Addr) -> Option<AddressEntry> {
        let behind_prefix = || self.prefixes_v6.get_lpm(&Ipv6Net::from(address));
        let known = self.addresses_v6.get(&address).copied();
        known.or_else(|| behind_prefix().map(|(_, identity)| outside(*identity)))
    }
}

impl Tables for Lookup {
    fn epoch(&self) -> u32 {
        0
    }

    fn config(&self) -> Option<&Config> {
        Some(&self.config)
    }

    fn attachment(&self, ifindex: u32, hook: Hook) -> Option<Attachment> {
        self.station(ifindex, hook).map(|station| station.attachment)
    }

    fn station(&self, ifindex: u32, hook: Hook) -> Option<Station> {
        self.stations.get(&(ifindex, hook as u32)).copied()
    }

    fn address(&self, _: &Config, of_family: u8, address: &AddressBytes) -> AddressEntry {
        let known = if of_family == family::V4 {
            let [.., a, b, c, d] = *address;
            self.address_v4(Ipv4Addr::new(a, b, c, d))
        } else {
            self.address_v6(Ipv6Addr::from(*address))
        };
        known.unwrap_or(outside(identity::WORLD))
    }

    fn endpoint(&self, number: u32) -> Option<Endpoint> {
        self.endpoints.get(&number).copied()
    }

    fn class(&self, protocol: u8, port: u16) -> u16 {
        let table = class_table(protocol).map(|table| &self.classes[table as usize]);
        table.and_then(|classes| classes.get(usize::from(port))).copied().unwrap_or(0)
    }

    fn policy(&self, key: &PolicyKey) -> Option<PolicyEntry> {
        self.policy.get(key).copied()
    }
}

fn bits(key: &AttachmentKey) -> AttachmentKeyBits {
    (key.ifindex, key.hook)
}

/// An address that is no endpoint of this host.
const fn outside(identity: u32) -> AddressEntry {
    AddressEntry { identity, endpoint: endpoint::NONE }
}

/// Port → class, a class being named by its first port; nothing where there is no class but 0.
/// `starts` is sorted.
fn class_of_every_port(starts: impl Iterator<Item = u16>) -> Vec<u16> {
    let mut starts = starts.peekable();
    if starts.peek().is_none() {
        return Vec::new();
    }
    let mut classes = Vec::with_capacity(1 << 16);
    let mut class = 0;
    for start in starts {
        classes.resize(usize::from(start), class);
        class = start;
    }
    classes.resize(1 << 16, class);
    classes
}

#[cfg(test)]
mod tests {
    use super::class_of_every_port;

    #[test]
    fn a_class_reaches_from_its_first_port_to_the_next_class() {
        let classes = class_of_every_port([22, 80, 81, 65_535].into_iter());
        assert_eq!(classes.len(), 65_536);
        let ports = [0, 21, 22, 79, 80, 81, 65_534, 65_535];
        assert_eq!(ports.map(|port| classes[port]), [0, 0, 22, 22, 80, 81, 81, 65_535]);
        assert_eq!(class_of_every_port(std::iter::empty()), [0_u16; 0]);
    }
}
