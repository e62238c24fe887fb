//! What the oracle says of the shop, against edges written by hand.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use ringfence_dataplane::model::PolicySet;
use ringfence_dataplane::oracle::{Flow, Oracle};
use ringfence_testbed::demo::{self, PORTS, outsiders};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// `source -> destination protocol/port`, for every pair of different places outside the host.
/// Both families must agree.
fn edges(set: &PolicySet) -> BTreeSet<String> {
    let oracle = Oracle::new(set);
    let mut places: Vec<(String, [IpAddr; 2])> = set
        .inventory
        .workloads()
        .map(|workload| (workload.name.to_string(), workload.addresses.clone().try_into().unwrap()))
        .collect();
    places.extend(
        outsiders().into_iter().map(|place| (place.name, place.addresses.try_into().unwrap())),
    );
    let mut edges = BTreeSet::new();
    for (source, from) in &places {
        for (destination, to) in &places {
            for (protocol, name) in [(TCP, "tcp"), (UDP, "udp")] {
                for port in PORTS {
                    let allowed = [0, 1].map(|family| {
                        let (source, destination) = (from[family], to[family]);
                        let flow = Flow { source, destination, protocol, port: Some(port) };
                        oracle.decide(&flow).allowed()
                    });
                    let edge = format!("{source} -> {destination} {name}/{port}");
                    assert_eq!(allowed[0], allowed[1], "{edge}: IPv4 and IPv6 differ");
                    if allowed[0] && source != destination {
                        edges.insert(edge);
                    }
                }
            }
        }
    }
    edges
}

/// The edges that the shop's policies must allow, beside what concerns the host and what goes
/// between outsiders.
fn shop_edges() -> BTreeSet<String> {
    let mut edges: BTreeSet<String> = [
        "internet -> shop/web-frontend tcp/8080",
        "shop/web-frontend -> shop/api-server tcp/8080",
        "stores/pos -> shop/api-server tcp/8080",
        "shop/api-server -> shop/database tcp/5432",
        "shop/api-server -> shop/redis tcp/6379",
        "vendor -> building/hvac tcp/8080",
        "platform/dns -> internet tcp/53",
        "platform/dns -> internet udp/53",
        "platform/monitoring -> platform/dns tcp/9100",
    ]
    .map(str::to_owned)
    .into();
    for shop in
        ["shop/web-frontend", "shop/api-server", "shop/database", "shop/redis", "stores/pos"]
    {
        edges.insert(format!("{shop} -> platform/dns tcp/53"));
        edges.insert(format!("{shop} -> platform/dns udp/53"));
        edges.insert(format!("platform/monitoring -> {shop} tcp/9100"));
    }
    for protocol in ["tcp", "udp"] {
        edges.insert(format!("platform/monitoring -> platform/dns {protocol}/53"));
        for port in PORTS {
            edges.insert(format!("building/hvac -> vendor {protocol}/{port}"));
        }
    }
    edges
}

/// Leaves out what goes between outsiders, whom no policy is about, and what concerns the host.
fn among_workloads_and_world(edges: BTreeSet<String>) -> BTreeSet<String> {
    let host = "infrastructure/node";
    let outside = ["vendor -> internet", "internet -> vendor"];
    edges
        .into_iter()
        .filter(|edge| !edge.contains(host) && !outside.iter().any(|pair| edge.starts_with(pair)))
        .collect()
}

fn assert_same(actual: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let missing: Vec<_> = expected.difference(actual).collect();
    let surplus: Vec<_> = actual.difference(expected).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "denied and must not be: {missing:#?}\nallowed and must not be: {surplus:#?}"
    );
}

#[test]
fn the_shop_allows_exactly_these_edges() {
    let shop = demo::shop().unwrap();
    assert_same(&among_workloads_and_world(edges(&shop.policies)), &shop_edges());
}

#[test]
fn the_host_reaches_its_workloads_and_they_reach_it_only_by_policy() {
    let shop = demo::shop().unwrap();
    let host = "infrastructure/node";
    let actual: BTreeSet<String> =
        edges(&shop.policies).into_iter().filter(|edge| edge.contains(host)).collect();
    let mut expected = BTreeSet::new();
    for protocol in ["tcp", "udp"] {
        for port in PORTS {
            for workload in shop.policies.inventory.workloads().filter(|workload| !workload.host) {
                expected.insert(format!("{host} -> {} {protocol}/{port}", workload.name));
            }
            for outside in ["vendor", "internet"] {
                expected.insert(format!("{host} -> {outside} {protocol}/{port}"));
                expected.insert(format!("{outside} -> {host} {protocol}/{port}"));
            }
        }
    }
    for port in [8080, 9100] {
        expected.insert(format!("platform/monitoring -> {host} tcp/{port}"));
    }
    assert_same(&actual, &expected);
}

#[test]
fn the_change_flips_two_edges() {
    let before = edges(&demo::shop().unwrap().policies);
    let after = edges(&demo::change().unwrap().policies);
    let closed: Vec<_> = before.difference(&after).collect();
    let opened: Vec<_> = after.difference(&before).collect();
    assert_eq!(closed, ["stores/pos -> shop/api-server tcp/8080"]);
    assert_eq!(opened, ["platform/monitoring -> shop/api-server tcp/8080"]);
}

#[test]
fn the_shops_documents_have_no_warning() {
    for documents in [demo::shop().unwrap(), demo::change().unwrap()] {
        assert_eq!(documents.report.render(false), "");
    }
}
