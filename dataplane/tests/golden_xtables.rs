//! The rules of a small policy for iptables and ipset, in full: they are documentation too. Bless
//! changes by running the test with `INSTA_UPDATE=always`, and review them like code.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod shop;

use ringfence_dataplane::backend::chains::Plan;
use ringfence_dataplane::backend::ipset;
use ringfence_dataplane::backend::iptables::{Family, Layout, ruleset};
use ringfence_dataplane::backend::{Arrival, Desired};
use ringfence_dataplane::compile::compile;

/// The shop on one host, each workload behind an interface of its own.
fn plan() -> Plan {
    let tables = compile(&shop::shop()).unwrap();
    let mut desired = Desired::all_local(tables, Arrival::Tcx, 1, |_| 2);
    for interface in &mut desired.interfaces {
        interface.name = interface.name.replace("shop/", "veth-");
    }
    Plan::of(&desired)
}

fn text(family: Family, layout: Layout) -> String {
    ruleset(&plan(), family, layout).unwrap().script().to_string()
}

#[test]
fn iptables_of_the_shop() {
    insta::assert_snapshot!(text(Family::V4, Layout::Structured));
}

#[test]
fn ip6tables_of_the_shop() {
    insta::assert_snapshot!(text(Family::V6, Layout::Structured));
}

#[test]
fn flat_iptables_of_the_shop() {
    insta::assert_snapshot!(text(Family::V4, Layout::Flat));
}

#[test]
fn ipset_of_the_shop() {
    let (sets, [v4, _]) = ipset::rules(&plan()).unwrap();
    insta::assert_snapshot!(format!("{}\n{}", ipset::script(&sets), v4.script()));
}
