//! A host's network is read from the kernel as it is, and workloads are placed by it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use ringfence_common::abi::config::Hook;
use ringfence_dataplane::backend::ebpf::{Kernel, LoadedProgram};
use ringfence_dataplane::compile::{EndpointDescription, Tables};
use ringfence_dataplane::enforce::{
    Hop, Host as _, HostView, InterfaceRef, LinkLayer, Place, PlacementWarning, Role, Route,
    RouteKind, XdpMode, XdpProgram, place,
};
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::require;
use ringfence_testbed::veth::{Netlink, Via};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::route::{RouteMessage, RouteType};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, RouteMessageBuilder, RouteNextHopBuilder};

/// Addresses at once, without duplicate address detection, whatever the real host's settings.
const SETTINGS: [(&str, &str); 4] = [
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
];

/// A host whose interfaces are `uplink`, with default routes; `web`, with routes to single
/// addresses; `net`, with prefixes; `br0`, a bridge with the port `port0`.
struct Host {
    namespace: Namespace,
    /// The other ends of the veths.
    _others: Namespace,
}

impl Host {
    fn new() -> Self {
        let namespace = Namespace::new().unwrap();
        let others = Namespace::new().unwrap();
        namespace.set_all(SETTINGS.iter()).unwrap();
        others.set_all(SETTINGS.iter()).unwrap();
        let host = Self { namespace, _others: others };
        host.namespace.run(|| host.build()).unwrap();
        host
    }

    fn build(&self) {
        let netlink = Netlink::open().unwrap();
        for (place, name) in ["uplink", "web", "net", "port0"].into_iter().enumerate() {
            let peer = format!("peer{place}");
            netlink.add_veth(name, &self._others, &peer).unwrap();
            netlink.set_up(name).unwrap();
            // Without carrier, IPv6 does not use the routes of an interface.
            self._others.run(|| Netlink::open().unwrap().set_up(&peer).unwrap()).unwrap();
        }
        add_link(LinkBridge::new("br0").build());
        let port = LinkUnspec::new_with_index(index("port0")).controller(index("br0")).build();
        requests(async |handle| handle.link().set(port).execute().await);

        for (interface, address) in [
            ("uplink", "192.0.2.1/30"),
            ("uplink", "2001:db8::1/126"),
            ("net", "10.30.0.1/24"),
            ("net", "fd30::1/64"),
            ("br0", "10.40.0.1/24"),
            ("br0", "fd40::1/64"),
        ] {
            netlink.add_address(interface, address.parse::<IpNet>().unwrap()).unwrap();
        }
        let direct = |interface| Via::Link { interface, source: None };
        let by = |gateway| Via::Gateway { interface: "uplink", gateway: ip(gateway), source: None };
        for (prefix, via) in [
            ("0.0.0.0/0", by("192.0.2.2")),
            ("::/0", by("2001:db8::2")),
            ("10.20.0.11/32", direct("web")),
            ("fd20::11/128", direct("web")),
            ("10.50.0.1/32", Via::Blackhole),
            ("fd50::1/128", Via::Blackhole),
        ] {
            netlink.add_route(prefix.parse::<IpNet>().unwrap(), via).unwrap();
        }
        self.add_unusual_routes();
    }

    /// Unreachable and multipath routes, and one to an IPv4 address by an IPv6 gateway.
    fn add_unusual_routes(&self) {
        let v4 = |address: [u8; 4]| {
            RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address.into(), 32)
        };
        let v6 = |address: &str| {
            let address = address.parse::<Ipv6Addr>().unwrap();
            RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(address, 128)
        };
        let hops_v4 = ["web", "net"]
            .map(|name| RouteNextHopBuilder::new_ipv4().interface(index(name)).build());
        // Linux takes multipath routes to IPv6 neighbours by gateways alone.
        let hops_v6 = [("net", "fd30::9"), ("uplink", "2001:db8::2")].map(|(name, gateway)| {
            let hop = RouteNextHopBuilder::new_ipv6().interface(index(name));
            hop.via(ip(gateway)).unwrap().build()
        });
        let gateway = "2001:db8::2".parse().unwrap();
        for route in [
            v4([10, 51, 0, 1]).kind(RouteType::Unreachable).build(),
            v6("fd51::1").kind(RouteType::Unreachable).build(),
            v4([10, 52, 0, 1]).kind(RouteType::Prohibit).build(),
            v6("fd52::1").kind(RouteType::Prohibit).build(),
            v4([10, 60, 0, 1]).multipath(hops_v4.to_vec()).build(),
            v6("fd60::1").multipath(hops_v6.to_vec()).build(),
            v4([10, 61, 0, 1]).output_interface(index("uplink")).via(gateway).build(),
        ] {
            add_route(route);
        }
    }

    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(work).unwrap()
    }
}

fn requests(request: impl AsyncFnOnce(Handle) -> Result<(), rtnetlink::Error>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        request(handle).await.unwrap();
    });
}

fn add_link(link: LinkMessage) {
    requests(async |handle| handle.link().add(link).execute().await);
}

fn add_route(route: RouteMessage) {
    requests(async |handle| handle.route().add(route).execute().await);
}

fn index(interface: &str) -> u32 {
    Netlink::open().unwrap().index(interface).unwrap()
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

#[test]
fn interfaces_and_addresses_are_read() {
    let Some(_granted) = require::privileged() else { return };
    let host = Host::new();
    let view = host.run(|| {
        let view = HostView::read().unwrap();
        (view.interfaces().to_vec(), view.addresses().to_vec(), view.default_interfaces().to_vec())
    });
    let (interfaces, addresses, defaults) = view;

    // Some kernels put tunnels of their own into every namespace.
    let made = ["lo", "uplink", "web", "net", "port0", "br0"];
    let ours = interfaces.iter().filter(|interface| made.contains(&interface.name.as_str()));
    let numbers: BTreeMap<&str, u32> =
        ours.clone().map(|interface| (interface.name.as_str(), interface.index)).collect();
    let described: Vec<_> = ours
        .map(|interface| {
            assert!(interface.up && interface.xdp.is_empty(), "{interface:?}");
            let kind = interface.kind.as_deref().unwrap_or("none");
            (interface.name.as_str(), kind, interface.link_layer, interface.master)
        })
        .collect();
    let expected = [
        ("lo", "none", LinkLayer::Loopback, None),
        ("uplink", "veth", LinkLayer::Ethernet, None),
        ("web", "veth", LinkLayer::Ethernet, None),
        ("net", "veth", LinkLayer::Ethernet, None),
        ("port0", "veth", LinkLayer::Ethernet, Some(numbers["br0"])),
        ("br0", "bridge", LinkLayer::Ethernet, None),
    ];
    assert_eq!(described, expected);
    assert_eq!(defaults, [numbers["uplink"]], "IPv4 and IPv6 leave by the same interface");

    let global: BTreeSet<(IpAddr, u32)> = addresses
        .iter()
        .filter(|own| !own.address.to_string().starts_with("fe80:"))
        .map(|own| (own.address, own.interface))
        .collect();
    let expected = [
        ("127.0.0.1", "lo"),
        ("::1", "lo"),
        ("192.0.2.1", "uplink"),
        ("2001:db8::1", "uplink"),
        ("10.30.0.1", "net"),
        ("fd30::1", "net"),
        ("10.40.0.1", "br0"),
        ("fd40::1", "br0"),
    ];
    assert_eq!(global, expected.map(|(address, name)| (ip(address), numbers[name])).into());
    assert!(addresses.is_sorted(), "{addresses:?}");
}

#[test]
fn routes_are_asked_from_the_kernel() {
    let Some(_granted) = require::privileged() else { return };
    let host = Host::new();
    host.run(|| {
        let view = HostView::read().unwrap();
        let hop = |interface, gateway: Option<&str>| Hop {
            interface: index(interface),
            gateway: gateway.map(ip),
        };
        let unicast = |length, hops: &[Hop]| {
            Some(Route {
                kind: RouteKind::Unicast,
                hops: hops.to_vec(),
                prefix_length: Some(length),
            })
        };
        let assert_route = |address, expected: Option<Route>| {
            assert_eq!(view.route(ip(address)).unwrap(), expected, "{address}");
        };
        assert_route("10.20.0.11", unicast(32, &[hop("web", None)]));
        assert_route("fd20::11", unicast(128, &[hop("web", None)]));
        assert_route("10.30.0.2", unicast(24, &[hop("net", None)]));
        assert_route("fd30::2", unicast(64, &[hop("net", None)]));
        assert_route("198.51.100.1", unicast(0, &[hop("uplink", Some("192.0.2.2"))]));
        assert_route("2001:db8:1::1", unicast(0, &[hop("uplink", Some("2001:db8::2"))]));
        assert_route("10.61.0.1", unicast(32, &[hop("uplink", Some("2001:db8::2"))]));
        assert_route("10.60.0.1", unicast(32, &[hop("web", None), hop("net", None)]));
        let hops = [hop("uplink", Some("2001:db8::2")), hop("net", Some("fd30::9"))];
        assert_route("fd60::1", unicast(128, &hops));

        let kind = |address| view.route(ip(address)).unwrap().unwrap().kind;
        for local in ["192.0.2.1", "2001:db8::1", "127.0.0.5", "10.30.0.1", "fd30::1"] {
            assert_eq!(kind(local), RouteKind::Local, "{local}");
        }
        for (address, expected) in [
            ("10.50.0.1", RouteKind::Blackhole),
            ("fd50::1", RouteKind::Blackhole),
            ("10.51.0.1", RouteKind::Unreachable),
            ("fd51::1", RouteKind::Unreachable),
            ("10.52.0.1", RouteKind::Unreachable),
            ("fd52::1", RouteKind::Unreachable),
        ] {
            assert_eq!(kind(address), expected, "{address}");
            assert_eq!(view.route(ip(address)).unwrap().unwrap().hops, [], "{address}");
        }
    });
    let empty = Namespace::new().unwrap();
    let routes = ["10.0.0.1", "fd00::1"];
    let nowhere = empty.run(|| {
        let view = HostView::read().unwrap();
        assert_eq!(view.default_interfaces(), [] as [u32; 0]);
        routes.map(|address| view.route(ip(address)).unwrap())
    });
    assert_eq!(nowhere.unwrap(), [None, None]);
}

#[test]
fn nothing_is_remembered_between_two_look_ups() {
    let Some(_granted) = require::privileged() else { return };
    let host = Host::new();
    host.run(|| {
        let view = HostView::read().unwrap();
        let kind = || view.route(ip("10.20.0.11")).unwrap().unwrap().kind;
        assert_eq!(kind(), RouteKind::Unicast);
        let netlink = Netlink::open().unwrap();
        netlink.replace_route("10.20.0.11/32".parse().unwrap(), Via::Blackhole).unwrap();
        assert_eq!(kind(), RouteKind::Blackhole);
    });
}

#[test]
fn attached_xdp_programs_are_seen_with_their_mode() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::new();
    host.run(|| {
        let LoadedProgram::Xdp(mut program) =
            Kernel::unpinned().unwrap().program(Hook::Xdp).unwrap()
        else {
            panic!("the program for XDP is another one");
        };
        // The kernel takes the best mode that it has: a veth runs XDP itself, a bridge does not.
        let attached = ["web", "br0"].map(|interface| {
            program.attach_to_if_index(index(interface), Default::default()).unwrap()
        });
        let id = program.info().unwrap().id();
        let seen = || {
            let view = HostView::read().unwrap();
            let with_program = view.interfaces().iter().filter(|found| !found.xdp.is_empty());
            with_program.map(|found| (found.name.clone(), found.xdp.clone())).collect::<Vec<_>>()
        };
        let expected = [("web", XdpMode::Native), ("br0", XdpMode::Generic)]
            .map(|(name, mode)| (name.to_owned(), vec![XdpProgram { mode, id }]));
        assert_eq!(seen(), expected);
        for link in attached {
            program.detach(link).unwrap();
        }
        assert_eq!(seen(), []);
    });
}

#[test]
fn workloads_are_placed_by_the_kernels_routes() {
    let Some(_granted) = require::privileged() else { return };
    let host = Host::new();
    let endpoint = |name: &str, addresses: &[&str]| EndpointDescription {
        name: format!("shop/{name}"),
        addresses: addresses.iter().map(|address| ip(address)).collect(),
        ..Default::default()
    };
    let endpoints = BTreeMap::from([
        (1, EndpointDescription { host: true, ..endpoint("node", &["192.0.2.1"]) }),
        (300, endpoint("web", &["10.20.0.11", "fd20::11"])),
        (301, endpoint("net", &["10.30.0.2", "fd30::2"])),
        (302, endpoint("net-too", &["fd30::3"])),
        (303, endpoint("bridged", &["10.40.0.2", "fd40::2"])),
        (304, EndpointDescription { interface: Some("port0".into()), ..endpoint("port", &[]) }),
        (305, endpoint("far", &["198.51.100.1", "2001:db8:1::1"])),
        (306, endpoint("gone", &["10.50.0.1", "fd50::1", "10.51.0.1"])),
        (307, endpoint("by-gateway", &["10.61.0.1"])),
        (308, endpoint("neighbour", &["192.0.2.2", "2001:db8::2"])),
        (309, endpoint("own", &["fd30::1"])),
    ]);
    let tables = Tables { endpoints, ..Default::default() };
    let (placement, numbers) = host.run(|| {
        let view = HostView::read().unwrap();
        let numbers = ["uplink", "web", "net", "port0"].map(index);
        (place(&tables, &view).unwrap(), numbers)
    });
    let [uplink, web, net, port] = numbers;
    let at = |name: &str, index, role| Place {
        interfaces: vec![InterfaceRef { index, name: name.to_owned() }],
        role,
    };
    let expected = BTreeMap::from([
        (1, at("uplink", uplink, Role::Host)),
        (300, at("web", web, Role::Workload)),
        (301, at("net", net, Role::Workload)),
        (302, at("net", net, Role::Workload)),
        (304, at("port0", port, Role::Workload)),
    ]);
    assert_eq!(placement.endpoints, expected);
    assert_eq!(placement.remote, [303, 305, 306, 307, 308, 309]);
    let warnings = [
        PlacementWarning::BehindPorts {
            workload: "shop/bridged".into(),
            interface: "br0".into(),
            kind: "bridge".into(),
        },
        PlacementWarning::HostsAddress { workload: "shop/own".into(), address: ip("fd30::1") },
    ];
    assert_eq!(placement.warnings, warnings);
    for own in ["127.0.0.1", "::1", "192.0.2.1", "fd40::1"] {
        assert!(placement.host_addresses.contains(&ip(own)), "{own} in {placement:?}");
    }
}
