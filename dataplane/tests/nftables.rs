//! The shop as a table of nftables, in full. Bless changes with `cargo insta review`, or by running
//! the test with `INSTA_UPDATE=always`, and review them like code.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod shop;

use std::collections::BTreeSet;

use ringfence_dataplane::backend::chains::Plan;
use ringfence_dataplane::backend::{Arrival, Desired, Interface, Mode, Role, Settings, nftables};
use ringfence_dataplane::compile::compile;

/// The host that the shop's database runs on.
fn host_of_the_database() -> Desired {
    let tables = compile(&shop::shop()).unwrap();
    let database = tables.endpoints.iter().find(|(_, endpoint)| endpoint.name == "shop/db");
    let local: BTreeSet<u32> = [*database.unwrap().0].into();
    Desired {
        tables: tables.for_host(&local),
        interfaces: vec![Interface {
            index: 3,
            name: "veth-db".to_owned(),
            role: Role::Workload,
            endpoints: local,
            arrival: Arrival::Tcx,
        }],
        host_addresses: BTreeSet::new(),
        mode: Mode::Enforce,
        settings: Settings::default(),
    }
}

#[test]
fn table_of_the_shop() {
    let plan = Plan::of(&host_of_the_database());
    insta::assert_snapshot!(nftables::ruleset(&plan).unwrap().script());
}
