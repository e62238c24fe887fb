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
