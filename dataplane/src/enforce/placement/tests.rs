//! Every rule on hosts made up for it.

use super::*;
use crate::enforce::host::{HostAddress, HostError};

/// A host with a loopback, an uplink and what a test adds to them.
struct MadeUp {
    interfaces: Vec<Interface>,
    addresses: Vec<HostAddress>,
    default_interfaces: Vec<u32>,
    routes: BTreeMap<IpAddr, Route>,
    refused: Option<IpAddr>,
}

const LO: u32 = 1;
const ETH0: u32 = 2;

impl MadeUp {
    /// `lo` and `eth0` with a default route, and the addresses 127.0.0.1, 192.0.2.1, 2001:db8::1.
    fn new() -> Self {
        let own = |address: &str, interface| HostAddress { address: ip(address), interface };
        let mut host = Self {
            interfaces: Vec::new(),
            addresses: vec![
                own("127.0.0.1", LO),
                own("192.0.2.1", ETH0),
                own("192.0.2.1", LO),
                own("2001:db8::1", ETH0),
            ],
            default_interfaces: vec![ETH0],
            routes: BTreeMap::new(),
            refused: None,
        };
        host.add("lo", None, LinkLayer::Loopback);
        host.add("eth0", None, LinkLayer::Ethernet);
        host
    }

    fn with(mut self, name: &str, kind: &str) -> Self {
        self.add(name, Some(kind), LinkLayer::Ethernet);
        self
    }

    fn with_physical(mut self, name: &str) -> Self {
        self.add(name, None, LinkLayer::Ethernet);
        self
    }

    fn without_ethernet(mut self, name: &str, kind: &str) -> Self {
        self.add(name, Some(kind), LinkLayer::Other(0xfffe));
        self
    }

    fn add(&mut self, name: &str, kind: Option<&str>, link_layer: LinkLayer) {
        self.interfaces.push(Interface {
            index: u32::try_from(self.interfaces.len()).unwrap() + 1,
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
            link_layer,
            master: None,
            up: true,
            link: None,
            xdp: Vec::new(),
        });
    }

    fn index(&self, name: &str) -> u32 {
        self.interfaces.iter().find(|interface| interface.name == name).unwrap().index
    }

    /// A route without gateway to the address, of a prefix of `length` bits.
    fn direct(self, address: &str, length: u8, interface: &str) -> Self {
        self.route(address, RouteKind::Unicast, Some(length), &[(interface, None)])
    }

    fn gateway(self, address: &str, gateway: &str, interface: &str) -> Self {
        let hops = [(interface, Some(ip(gateway)))];
        self.route(address, RouteKind::Unicast, Some(0), &hops)
    }

    fn route(
        mut self,
        address: &str,
        kind: RouteKind,
        prefix_length: Option<u8>,
        hops: &[(&str, Option<IpAddr>)],
    ) -> Self {
        let hop = |(interface, gateway): &(&str, _)| Hop {
            interface: self.index(interface),
            gateway: *gateway,
        };
        let hops = hops.iter().map(hop).collect();
        self.routes.insert(ip(address), Route { kind, hops, prefix_length });
        self
    }
}

impl Host for MadeUp {
    fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    fn addresses(&self) -> &[HostAddress] {
        &self.addresses
    }

    fn default_interfaces(&self) -> &[u32] {
        &self.default_interfaces
    }

    fn route(&self, address: IpAddr) -> Result<Option<Route>, HostError> {
        if self.refused == Some(address) {
            return Err(HostError::Gateway { address });
        }
        Ok(self.routes.get(&address).cloned())
    }
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn workload(name: &str, addresses: &[&str]) -> EndpointDescription {
    EndpointDescription {
        name: format!("shop/{name}"),
        addresses: addresses.iter().map(|address| ip(address)).collect(),
        ..Default::default()
    }
}

fn at(interface: &str, endpoint: EndpointDescription) -> EndpointDescription {
    EndpointDescription { interface: Some(interface.to_owned()), ..endpoint }
}

fn node(addresses: &[&str]) -> EndpointDescription {
    EndpointDescription { host: true, ..workload("node", addresses) }
}

/// Endpoints are numbered 300, 299, 298 … in the order given, so that numbers and names are
/// ordered differently.
fn tables(endpoints: &[EndpointDescription]) -> Tables {
    let endpoints = (0..).zip(endpoints).map(|(place, endpoint)| (300 - place, endpoint.clone()));
    Tables { endpoints: endpoints.collect(), ..Default::default() }
}

/// The whole placement as text: `300 workload rf-web(3)`, `299 remote`, warnings, or errors.
fn placed(host: &MadeUp, endpoints: &[EndpointDescription]) -> Vec<String> {
    let placement = match place(&tables(endpoints), host) {
        Ok(placement) => placement,
        Err(errors) => return errors.to_string().lines().map(str::to_owned).collect(),
    };
    let own = ["127.0.0.1", "192.0.2.1", "2001:db8::1"].map(ip);
    assert_eq!(placement.host_addresses, BTreeSet::from(own), "all addresses of the host");
    let here = placement.endpoints.iter().map(|(number, place)| {
        let name = |interface: &InterfaceRef| format!("{}({})", interface.name, interface.index);
        let names: Vec<String> = place.interfaces.iter().map(name).collect();
        format!("{number} {:?} {}", place.role, names.join(" "))
    });
    let remote = placement.remote.iter().map(|number| format!("{number} remote"));
    let warnings = placement.warnings.iter().map(|warning| format!("warning: {warning}"));
    here.chain(remote).chain(warnings).collect()
}

#[test]
fn a_named_interface_is_taken_at_its_word() {
    let host = MadeUp::new().with("rf-web", "veth").direct("10.0.0.2", 32, "rf-web");
    let endpoints = [
        at("rf-web", workload("web", &["10.9.9.9"])),
        at("rf-web", workload("sidecar", &[])),
        at("lo", workload("local", &[])),
    ];
    let expected = ["298 Workload lo(1)", "299 Workload rf-web(3)", "300 Workload rf-web(3)"];
    assert_eq!(placed(&host, &endpoints), expected);
}

#[test]
fn a_bridge_by_name_is_accepted_with_a_warning() {
    let host = MadeUp::new().with("br0", "bridge");
    let expected = [
        "300 Workload br0(3)",
        "warning: workload `shop/web` names the bridge `br0`, where packets between the bridge's \
         ports are not seen; name its port with `interface:`",
    ];
    assert_eq!(placed(&host, &[at("br0", workload("web", &[]))]), expected);
}

#[test]
fn wrong_names_are_reported_all_at_once() {
    let host = MadeUp::new().with("rf-web", "veth").with("rf-wen", "veth").with("rf-db", "veth");
    let host = host.without_ethernet("tun0", "tun");
    let endpoints = [
        at("rf-wed", workload("web", &[])),
        at("wlan7", workload("cache", &[])),
        at("tun0", workload("vpn", &[])),
        at("eth0", workload("proxy", &["10.0.0.9"])),
    ];
    let expected = [
        "workload `shop/cache` names the interface `wlan7`, which this host does not have; \
         correct `interface:`, or leave it out and it is found by the route to the workload's \
         addresses",
        "workload `shop/proxy` sits behind `eth0`, which carries this host's own traffic, and all \
         of that would be denied as spoofed; name the workload's own interface, or describe the \
         host with `host: true`",
        "workload `shop/vpn` sits behind `tun0`, whose packets have no Ethernet header, so they \
         cannot be parsed; name an interface that has one, such as a veth or a tap",
        "workload `shop/web` names the interface `rf-wed`, which this host does not have \
         (similar: `rf-web`, `rf-wen`); correct `interface:`, or leave it out and it is \
         found by the route to the workload's addresses",
    ];
    assert_eq!(placed(&host, &endpoints), expected);
}

#[test]
fn the_host_sits_at_its_default_routes() {
    let mut host = MadeUp::new().with("bond0", "bond").without_ethernet("wg0", "wireguard");
    host.default_interfaces = vec![ETH0, 3];
    let both = ["300 Host eth0(2) bond0(3)"];
    assert_eq!(placed(&host, &[node(&[])]), both, "without addresses it is this host");
    assert_eq!(placed(&host, &[node(&["192.0.2.1", "2001:db8::1"])]), both);
    let named = at("bond0", node(&["2001:db8::1"]));
    assert_eq!(placed(&host, &[named]), ["300 Host bond0(3)"]);

    host.default_interfaces = vec![ETH0, 4];
    let expected = [
        "300 Host eth0(2)",
        "warning: workload `shop/node` is this host, and its default route through `wg0` is not \
         guarded, since packets there have no Ethernet header; if that is not meant, name the one \
         interface to guard with `interface:`",
    ];
    assert_eq!(placed(&host, &[node(&[])]), expected);

    let nowhere = "workload `shop/node` is this host, but no default route leaves it through an \
                   interface with an Ethernet header; name the one to guard with `interface:`";
    host.default_interfaces = vec![4];
    assert_eq!(placed(&host, &[node(&[])]), [nowhere]);
    host.default_interfaces = Vec::new();
    assert_eq!(placed(&host, &[node(&[])]), [nowhere]);
}

#[test]
fn another_host_is_remote() {
    let host = MadeUp::new();
    let remote = ["300 remote"];
    assert_eq!(placed(&host, &[node(&["192.0.2.7"])]), remote);
    assert_eq!(placed(&host, &[at("ens7", node(&["192.0.2.7"]))]), remote, "its own interface");
    assert_eq!(placed(&host, &[node(&["127.0.0.1"])]), remote, "every host has this address");
    let expected = [
        "300 Host eth0(2)",
        "warning: workload `shop/node` is this host, but 192.0.2.7 is not among its addresses; \
         add it to an interface, or take it out of the document",
    ];
    assert_eq!(placed(&host, &[node(&["192.0.2.1", "192.0.2.7"])]), expected);
}

#[test]
fn nobody_shares_an_interface_with_the_host() {
    let host = MadeUp::new().with("lan", "veth").direct("10.0.0.2", 24, "lan");
    let endpoints = [at("lan", node(&[])), workload("web", &["10.0.0.2"])];
    let expected = [
        "workload `shop/web` sits behind `lan`, which carries this host's own traffic, and all of \
         that would be denied as spoofed; name the workload's own interface, or describe the host \
         with `host: true`",
    ];
    assert_eq!(placed(&host, &endpoints), expected);
}

#[test]
fn direct_routes_through_links_to_one_machine_are_local() {
    for kind in ["veth", "tun", "netkit"] {
        let host = MadeUp::new().with("rf-web", kind).direct("10.0.0.2", 32, "rf-web");
        let host = host.direct("10.0.0.3", 24, "rf-web").direct("fd00::2", 128, "rf-web");
        let endpoints = [workload("web", &["10.0.0.2", "fd00::2"]), workload("db", &["10.0.0.3"])];
        let expected = ["299 Workload rf-web(3)", "300 Workload rf-web(3)"];
        assert_eq!(placed(&host, &endpoints), expected, "{kind}");

        let host = MadeUp::new().without_ethernet("l3", kind);
        let host = host.direct("10.0.0.2", 32, "l3").direct("fd00::2", 128, "l3");
        let expected = [
            "300 remote",
            "warning: workload `shop/web` is behind `l3`, whose packets have no Ethernet header, \
             and is not enforced; connect it by an interface that has one, such as a veth or a tap",
        ];
        assert_eq!(placed(&host, &[workload("web", &["10.0.0.2", "fd00::2"])]), expected, "{kind}");
    }
}

#[test]
fn other_machines_are_remote() {
    let host = MadeUp::new().with("rf-web", "veth").with_physical("eth1");
    let host = ["vlan", "bond", "macvlan", "vxlan", "dummy"]
        .iter()
        .fold(host, |host, kind| host.with(&format!("{kind}0"), kind))
        .without_ethernet("wg0", "wireguard")
        .gateway("10.1.0.1", "192.0.2.254", "eth0")
        .gateway("10.1.0.2", "169.254.1.1", "rf-web")
        .gateway("10.1.0.3", "fe80::1", "rf-web")
        .direct("10.1.0.4", 24, "eth1")
        .direct("10.1.0.5", 32, "vlan0")
        .direct("10.1.0.6", 32, "bond0")
        .direct("10.1.0.7", 32, "macvlan0")
        .direct("10.1.0.8", 32, "vxlan0")
        .direct("10.1.0.9", 32, "wg0")
        .direct("10.1.0.10", 32, "dummy0")
        .direct("10.1.0.11", 32, "lo")
        .direct("10.1.0.12", 32, "eth0")
        .route("10.1.0.13", RouteKind::Blackhole, None, &[])
        .route("10.1.0.14", RouteKind::Unreachable, None, &[])
        .route("10.1.0.15", RouteKind::Other, Some(32), &[("rf-web", None)])
        .route("10.1.0.16", RouteKind::Unicast, Some(32), &[])
        .route("10.1.0.17", RouteKind::Unicast, None, &[("eth1", None)]);
    assert_eq!(placed(&host, &[workload("nobody", &[])]), ["300 remote"]);
    for last in 1..=18 {
        let address = format!("10.1.0.{last}");
        assert_eq!(placed(&host, &[workload("peer", &[&address])]), ["300 remote"], "{address}");
    }
}

/// A host that is itself a container has a veth as its uplink, and its neighbours are there.
#[test]
fn an_uplink_is_no_workloads_whatever_its_kind() {
    let mut host = MadeUp::new().with("ens3", "veth").direct("10.0.0.2", 24, "ens3");
    host.default_interfaces = vec![3];
    assert_eq!(placed(&host, &[workload("neighbour", &["10.0.0.2"])]), ["300 remote"]);
}

#[test]
fn a_port_with_a_route_to_one_address_is_local_with_a_warning() {
    let host = MadeUp::new().with_physical("ens5f0");
    let host = host.direct("10.0.0.2", 32, "ens5f0").direct("fd00::2", 128, "ens5f0");
    let expected = [
        "300 Workload ens5f0(3)",
        "warning: workload `shop/web` is taken to sit behind `ens5f0`, which has a route to its \
         address alone; confirm it with `interface: ens5f0`",
    ];
    assert_eq!(placed(&host, &[workload("web", &["10.0.0.2", "fd00::2"])]), expected);
    let host = MadeUp::new().with_physical("ens5f0").direct("fd00::2", 32, "ens5f0");
    let remote = ["300 remote"];
    assert_eq!(placed(&host, &[workload("web", &["fd00::2"])]), remote, "32 bits of 128");
}

#[test]
fn what_is_behind_a_bridge_has_to_be_named() {
    for kind in ["bridge", "openvswitch", "vrf"] {
        let host = MadeUp::new().with("br0", kind);
        let host = host.direct("10.0.0.2", 24, "br0").direct("fd00::2", 64, "br0");
        let expected = [
            "300 remote".to_owned(),
            format!(
                "warning: workload `shop/web` is behind `br0`, a {kind} with several ports, and \
                 is not enforced; name its port with `interface:`"
            ),
        ];
        assert_eq!(placed(&host, &[workload("web", &["10.0.0.2", "fd00::2"])]), expected);
    }
}

#[test]
fn an_address_of_the_host_is_no_workloads() {
    let host = MadeUp::new().route("192.0.2.1", RouteKind::Local, Some(32), &[("lo", None)]);
    let expected = [
        "300 remote",
        "warning: workload `shop/web` has 192.0.2.1, an address of this host, so it has no \
         interface of its own; describe the host with `host: true`",
    ];
    assert_eq!(placed(&host, &[workload("web", &["192.0.2.1"])]), expected);
}

#[test]
fn addresses_behind_different_interfaces_are_an_error() {
    let host = MadeUp::new().with("rf-a", "veth").with("rf-b", "veth");
    let ways = [("rf-b", None), ("rf-a", None)];
    let host = host.direct("10.0.0.2", 32, "rf-a").direct("fd00::2", 128, "rf-b").route(
        "10.0.0.3",
        RouteKind::Unicast,
        Some(32),
        &ways,
    );
    let way_out = "correct its addresses or this host's routes, or name one with `interface:`";
    let endpoints = [workload("web", &["10.0.0.2", "fd00::2"]), workload("db", &["10.0.0.3"])];
    let expected = [
        format!(
            "workload `shop/db` sits behind two interfaces: 10.0.0.3 by `rf-b`, 10.0.0.3 by \
             `rf-a`; {way_out}"
        ),
        format!(
            "workload `shop/web` sits behind two interfaces: 10.0.0.2 by `rf-a`, fd00::2 by \
             `rf-b`; {way_out}"
        ),
    ];
    assert_eq!(placed(&host, &endpoints), expected);
}

#[test]
fn an_address_that_is_elsewhere_is_named() {
    let host = MadeUp::new().with("rf-a", "veth").direct("10.0.0.2", 32, "rf-a");
    let host = host.gateway("fd00::2", "fe80::1", "eth0");
    let expected = [
        "300 Workload rf-a(3)",
        "warning: workload `shop/web` sits behind `rf-a`, but the route to its address fd00::2 \
         does not lead there; add a route through `rf-a`, or correct the address",
    ];
    assert_eq!(placed(&host, &[workload("web", &["10.0.0.2", "fd00::2"])]), expected);
}

#[test]
fn a_host_that_cannot_be_asked_is_an_error_with_its_cause() {
    let mut host = MadeUp::new();
    host.refused = Some(ip("10.0.0.2"));
    let expected = [
        "workload `shop/web` cannot be placed by the route to its address 10.0.0.2: the route to \
         10.0.0.2 has a gateway that is no IP address; name the interface",
    ];
    assert_eq!(placed(&host, &[workload("web", &["10.0.0.2"])]), expected);

    let mut host = MadeUp::new().with("rf-a", "veth").direct("10.0.0.2", 32, "rf-a");
    host.interfaces.pop();
    let expected =
        ["this host's interfaces change while they are read; try again when they are settled"];
    assert_eq!(placed(&host, &[workload("web", &["10.0.0.2"])]), expected);
}

#[test]
fn warnings_are_in_the_order_of_names() {
    let host = MadeUp::new().with("br0", "bridge");
    let host = host.direct("10.0.0.2", 24, "br0").direct("10.0.0.3", 24, "br0");
    let endpoints = [workload("web", &["10.0.0.2"]), workload("db", &["10.0.0.3"])];
    let placement = place(&tables(&endpoints), &host).unwrap();
    let warning = |workload: &str| PlacementWarning::BehindPorts {
        workload: workload.to_owned(),
        interface: "br0".to_owned(),
        kind: "bridge".to_owned(),
    };
    assert_eq!(placement.warnings, [warning("shop/db"), warning("shop/web")]);
    assert_eq!(placement.remote, [299, 300]);
}
