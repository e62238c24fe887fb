//! A host that has every workload: what replaying, case files and generated packets are decided on.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_common::abi::identity::endpoint;

use super::{Arrival, Desired, Interface, Mode, Role, Settings};
use crate::compile::Tables;

impl Desired {
    /// The state of a host on which every workload of `tables` is, each behind a virtual interface
    /// of its own, the host itself behind `uplink`. `index_of` gives the interface of a workload,
    /// asked in the order of the names (`namespace/name`); frames are seen at `arrival` where they
    /// come in, and at tc egress where they go out. Denials are denied and settings are the
    /// defaults; both are fields that can be changed.
    #[must_use]
    pub fn all_local(
        tables: Tables,
        arrival: Arrival,
        uplink: u32,
        mut index_of: impl FnMut(&str) -> u32,
    ) -> Self {
        let described = tables.endpoints.iter().filter(|(number, _)| **number != endpoint::HOST);
        let by_name: BTreeMap<&str, u32> =
            described.map(|(number, description)| (description.name.as_str(), *number)).collect();
        let mut interfaces = vec![Interface {
            index: uplink,
            name: "uplink".to_owned(),
            role: Role::Uplink,
            endpoints: BTreeSet::from([endpoint::HOST]),
            arrival,
        }];
        interfaces.extend(by_name.iter().map(|(name, number)| Interface {
            index: index_of(name),
            name: (*name).to_owned(),
            role: Role::Workload,
            endpoints: BTreeSet::from([*number]),
            arrival,
        }));
        Self {
            tables,
            interfaces,
            host_addresses: BTreeSet::new(),
            mode: Mode::default(),
            settings: Settings::default(),
        }
    }

    /// The interface behind which the workload of that name (`namespace/name`) is; for the host,
    /// its first uplink.
    #[must_use]
    pub fn interface_of(&self, workload: &str) -> Option<&Interface> {
        let mut endpoints = self.tables.endpoints.iter();
        let (number, _) = endpoints.find(|(_, description)| description.name == workload)?;
        self.interfaces.iter().find(|interface| interface.endpoints.contains(number))
    }
}

#[cfg(test)]
mod tests {
    use ringfence_common::abi::config::Hook;

    use super::*;
    use crate::compile::compile;
    use crate::model::{Labels, PolicySet, Workload, WorkloadName};

    fn workload(name: &str, address: [u8; 4], host: bool) -> Workload {
        Workload {
            name: WorkloadName::new("shop", name),
            labels: Labels::new(),
            addresses: vec![address.into()],
            ports: Vec::new(),
            interface: None,
            host,
        }
    }

    #[test]
    fn every_workload_is_alone_behind_its_interface_and_the_host_behind_the_uplink() {
        let mut set = PolicySet::default();
        for (name, last, host) in [("web", 3, false), ("node", 1, true), ("api", 2, false)] {
            set.inventory.add_workload(workload(name, [10, 0, 0, last], host)).unwrap();
        }
        let mut next = 10;
        let index_of = |_: &str| {
            next += 1;
            next
        };
        let tables = compile(&set).unwrap();
        let desired = Desired::all_local(tables, Arrival::Xdp, 7, index_of);

        let places = ["shop/api", "shop/web", "shop/node", "shop/nobody"]
            .map(|name| desired.interface_of(name).map(|found| (found.index, found.role)));
        let expected =
            [Some((11, Role::Workload)), Some((12, Role::Workload)), Some((7, Role::Uplink)), None];
        assert_eq!(places, expected);
        let mut sizes = desired.interfaces.iter().map(|one| (one.endpoints.len(), one.hooks()));
        assert!(sizes.all(|found| found == (1, [Hook::Xdp, Hook::TcEgress])));
        assert_eq!(desired.interfaces.len(), 3);
    }
}
