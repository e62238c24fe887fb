//! Where every workload of the documents is on this host.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use ringfence_common::abi::config::Hook;
use ringfence_dataplane::backend::{Arrival, Desired, Role};
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::model::{Labels, PolicySet, Workload, WorkloadName};

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
