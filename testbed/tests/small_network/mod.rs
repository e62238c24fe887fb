//! A host, three workloads and somebody outside, without any policy.

use std::net::{Ipv4Addr, Ipv6Addr};

use ringfence_dataplane::model::{Inventory, Labels, Workload, WorkloadName};
use ringfence_testbed::topology::{Outsider, Topology};
use ringfence_testbed::workload::{Process, start_all};

/// The ports everybody listens on.
#[allow(dead_code, reason = "not every test asks servers")]
pub const PORTS: [u16; 3] = [53, 5432, 8080];

/// Builds it. The places are `test/database`, `test/pos`, `test/web`, `test/node`, `vendor`.
pub fn build() -> Topology {
    Topology::build(&inventory(), &[vendor()]).unwrap()
}

/// Builds it, with servers in every place.
#[allow(dead_code, reason = "not every test asks servers")]
pub fn start() -> (Topology, Vec<Process>) {
    let topology = build();
    let processes = start_all(&topology, &PORTS).unwrap();
    (topology, processes)
}

fn workload(name: &str, number: u8, host: bool) -> Workload {
    Workload {
        name: WorkloadName::new("test", name),
        labels: Labels::new(),
        addresses: vec![
            Ipv4Addr::new(10, 20, 0, number).into(),
            Ipv6Addr::new(0xfd20, 0, 0, 0, 0, 0, 0, number.into()).into(),
        ],
        ports: Vec::new(),
        interface: None,
        host,
    }
}

fn inventory() -> Inventory {
    let mut inventory = Inventory::default();
    for (name, number, host) in
        [("node", 1, true), ("web", 11, false), ("database", 12, false), ("pos", 13, false)]
    {
        inventory.add_workload(workload(name, number, host)).unwrap();
    }
    inventory
}

fn vendor() -> Outsider {
    Outsider {
        name: "vendor".into(),
        addresses: vec![
            Ipv4Addr::new(203, 0, 113, 10).into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x10).into(),
        ],
    }
}
