//! Interfaces go, come back, and change hands.

use std::collections::BTreeSet;

use ringfence_dataplane::enforce::Summary;
use ringfence_testbed::require;

use crate::host::{Documents, Host, usual_policies};

fn pins(host: &Host) -> BTreeSet<String> {
    let files = host.files();
    let links = files.iter().filter_map(|file| file.strip_prefix("/sys/fs/bpf/ringfence/links/"));
    links.map(str::to_owned).collect()
}

fn index(host: &Host, interface: &str) -> u32 {
    host.run(|| ringfence_testbed::veth::Netlink::open().unwrap().index(interface).unwrap())
}

/// Unplugs `shop/db` and plugs it in behind `to`; what status says between, and what the apply
/// after it does.
fn replug(host: &Host, documents: &Documents, to: &str) -> Summary {
    let old = index(host, "rf-db");
    let db = host.topology.place("shop/db").unwrap();
    host.topology.replug(db, "rf-db", to).unwrap();
    let new = index(host, to);
    assert_ne!(old, new);

    let attached = host.status().unwrap().installed.attached;
    let gone: Vec<_> = attached.iter().filter(|attached| !attached.alive).collect();
    assert_eq!(gone.len(), 2, "{attached:?}");
    for attached in gone {
        let said = (attached.ifindex, attached.interface.as_str(), attached.how);
        assert_eq!(said, (old, "", "gone"));
    }

    let summary = host.apply(documents);
    let lines = [
        format!("{to} tc-ingress attached (tcx)"),
        format!("{to} tc-egress attached (tcx)"),
        format!("interface {old} (gone) tc-ingress detached"),
        format!("interface {old} (gone) tc-egress detached"),
    ];
    assert_eq!(summary.hooks, lines);
    let pins = pins(host);
    assert!(pins.iter().all(|pin| !pin.starts_with(&format!("if{old}-"))), "{pins:?}");
    assert!(pins.contains(&format!("if{new}-tc-egress")), "{pins:?}");
    assert_eq!(pins.len(), 8);
    assert!(host.status().unwrap().installed.attached.iter().all(|attached| attached.alive));
    summary
}

#[test]
fn an_interface_that_was_made_anew_is_guarded_again() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    host.apply(&documents);
    replug(&host, &documents, "rf-db");
    host.assert_verdicts(Some(&documents));
}

#[test]
fn a_workload_that_moved_is_guarded_where_it_is() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    host.apply(&documents);
    replug(&host, &documents, "rf-db-again");
    host.assert_verdicts(Some(&documents));
}

#[test]
fn what_is_no_longer_described_is_no_longer_guarded() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    host.apply(&Documents::shop(&usual_policies()));
    let web = Documents::new(
        "{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {namespace: shop, name: \
         web}, spec: {addresses: [10.20.0.11, \"fd20::11\"]}}",
    );
    let summary = host.apply(&web);
    assert_eq!(summary.local, 1);
    assert_eq!(pins(&host).len(), 2, "{summary:?}");
    host.assert_verdicts(None);
}
