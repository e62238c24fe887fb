//! Where documents say that workloads are, whatever the host.

use std::collections::{BTreeMap, BTreeSet};

use super::{InterfaceRef, Place, Placement, Role};
use crate::compile::{EndpointDescription, Tables};

/// Places the endpoints of `tables` as their documents say, without asking any host: each is
/// behind the interface that its document names, and has none where it names none. Interfaces are
/// numbered from 1 in the order of their names.
#[must_use]
pub fn described(tables: &Tables) -> Placement {
    let named = tables.endpoints.values().filter_map(|endpoint| endpoint.interface.as_deref());
    let names: BTreeSet<&str> = named.collect();
    let numbers: BTreeMap<&str, u32> = names.into_iter().zip(1..).collect();
    let place = |endpoint: &EndpointDescription| Place {
        interfaces: endpoint
            .interface
            .iter()
            .map(|name| InterfaceRef { index: numbers[name.as_str()], name: name.clone() })
            .collect(),
        role: if endpoint.host { Role::Host } else { Role::Workload },
    };
    let hosts = tables.endpoints.values().filter(|endpoint| endpoint.host);
    Placement {
        endpoints: tables.endpoints.iter().map(|(number, one)| (*number, place(one))).collect(),
        remote: Vec::new(),
        warnings: Vec::new(),
        host_addresses: hosts.flat_map(|host| host.addresses.iter().copied()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str, interface: Option<&str>, host: bool) -> EndpointDescription {
        EndpointDescription {
            name: name.to_owned(),
            addresses: vec!["10.0.0.1".parse().unwrap()],
            interface: interface.map(str::to_owned),
            host,
            ..EndpointDescription::default()
        }
    }

    #[test]
    fn the_documents_word_is_taken() {
        let endpoints = BTreeMap::from([
            (1, endpoint("shop/node", None, true)),
            (7, endpoint("shop/web", Some("veth-web"), false)),
            (8, endpoint("shop/api", Some("veth-api"), false)),
            (9, endpoint("shop/too", Some("veth-api"), false)),
        ]);
        let placement = described(&Tables { endpoints, ..Tables::default() });
        let behind = |number: u32| {
            let place = &placement.endpoints[&number];
            let interface = place.interfaces.first().map(|one| (one.index, one.name.as_str()));
            (place.role, interface)
        };
        assert_eq!(behind(1), (Role::Host, None));
        assert_eq!(behind(7), (Role::Workload, Some((2, "veth-web"))));
        assert_eq!(behind(8), (Role::Workload, Some((1, "veth-api"))));
        assert_eq!(behind(9), (Role::Workload, Some((1, "veth-api"))));
        assert_eq!(placement.host_addresses, BTreeSet::from(["10.0.0.1".parse().unwrap()]));
        assert!(placement.remote.is_empty());
    }
}
