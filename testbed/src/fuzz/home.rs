//! A host on which every workload of some tables lives, each behind an interface of its own, and
//! the host itself behind the uplink.

use std::collections::BTreeMap;

use ringfence_common::abi::config::{Hook, report};
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::{Arrival, Desired};
use ringfence_dataplane::compile::Tables;

/// Interface indices: the uplink, the first workload's.
pub const UPLINK: u32 = 1;
const FIRST: u32 = 2;

/// Everything of some tables on one host.
pub struct Home {
    /// What its filter looks up.
    pub tables: HostTables,
    /// Endpoint number → interface index, [`endpoint::HOST`] with the uplink.
    pub interfaces: BTreeMap<u32, u32>,
    /// Where arriving frames are seen.
    pub arrival: Hook,
}

impl Home {
    /// The home of everything in `tables`, where arriving frames are seen at XDP or tcx.
    pub fn new(tables: &Tables, arrival: Arrival) -> Self {
        let mut indices = FIRST..;
        let next = |_: &str| indices.next().expect("workloads are fewer than numbers");
        let mut desired = Desired::all_local(tables.clone(), arrival, UPLINK, next);
        let behind = desired.interfaces.iter().flat_map(|interface| {
            interface.endpoints.iter().map(|number| (*number, interface.index))
        });
        let interfaces = behind.collect();
        desired.settings.report = report::ALL;
        desired.settings.pick_up_seconds = 0;
        let arrival = match arrival {
            Arrival::Tcx => Hook::TcIngress,
            Arrival::Xdp => Hook::Xdp,
        };
        Self { tables: desired.host_tables(desired.config(1, 0, 0)), interfaces, arrival }
    }
}
