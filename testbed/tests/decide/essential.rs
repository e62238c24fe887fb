//! Essential traffic lives through deny-all, and each kind can be switched off (semantics 7 and 8,
//! safety P14).

use std::net::Ipv6Addr;

use ringfence_common::abi::config::essential as bit;
use ringfence_common::verdict::{Decision, Reason};
use ringfence_testbed::packet::{Frame, quote};

use super::scene::Who::{Cache, Host, Partner, Web};
use super::scene::{
    At, FAMILIES, FROM_SHARED, FROM_UPLINK, FROM_WEB, Family, Scene, TO_UPLINK, TO_WEB, between,
    denied, pass,
};

const ALL_NODES: &str = "ff02::1";
const ALL_ROUTERS: &str = "ff02::2";
const LINK_LOCAL: &str = "fe80::1";

fn v6(source: &str, destination: &str) -> Frame {
    Frame::ethernet().ipv6(source.parse().unwrap(), destination.parse().unwrap())
}

fn v4(source: &str, destination: &str) -> Frame {
    Frame::ethernet().ipv4(source.parse().unwrap(), destination.parse().unwrap())
}

fn target() -> Ipv6Addr {
    "fd00::1".parse().unwrap()
}

/// Each row: what, where, the frame, the reason it passes for, the bit that allows it, and what
/// happens without the bit.
type Row = (&'static str, At, Frame, Reason, u32, Reason);

fn ip_rows() -> Vec<Row> {
    use Reason::{Dhcp, MulticastListener, NeighbourDiscovery, NoRule, Spoofed};
    let nd =
        |what, at, frame, off| (what, at, frame, NeighbourDiscovery, bit::NEIGHBOUR_DISCOVERY, off);
    let mld =
        |what, at, frame, off| (what, at, frame, MulticastListener, bit::MULTICAST_LISTENER, off);
    let dhcp = |what, at, frame, off| (what, at, frame, Dhcp, bit::DHCP, off);
    vec![
        nd(
            "solicitation",
            FROM_WEB,
            v6("fd00::1", "ff02::1:ff00:fe").neighbour_solicitation(target()),
            NoRule,
        ),
        nd(
            "from link-local",
            FROM_WEB,
            v6(LINK_LOCAL, ALL_NODES).neighbour_solicitation(target()),
            Spoofed,
        ),
        nd(
            "address detection",
            FROM_WEB,
            v6("::", "ff02::1:ff00:1").neighbour_solicitation(target()),
            Spoofed,
        ),
        nd(
            "advertisement",
            FROM_WEB,
            v6("fd00::1", "fd00::fe").neighbour_advertisement(target()),
            NoRule,
        ),
        nd(
            "solicited",
            TO_WEB,
            v6("fd00::fe", "fd00::1").neighbour_solicitation(target()),
            Reason::HostToWorkload,
        ),
        nd("router solicitation", FROM_WEB, v6("::", ALL_ROUTERS).router_solicitation(), Spoofed),
        nd(
            "router advertisement to a workload",
            TO_WEB,
            v6(LINK_LOCAL, ALL_NODES).router_advertisement(),
            NoRule,
        ),
        nd(
            "router advertisement to the host",
            FROM_UPLINK,
            v6(LINK_LOCAL, ALL_NODES).router_advertisement(),
            NoRule,
        ),
        mld("report", FROM_WEB, v6("fd00::1", "ff02::16").listener_report(target()), NoRule),
        mld(
            "report during address detection",
            FROM_WEB,
            v6("::", "ff02::16").listener_report(target()),
            Spoofed,
        ),
        mld("query", TO_WEB, v6(LINK_LOCAL, ALL_NODES).listener_query(), NoRule),
        dhcp("discover", FROM_WEB, v4("0.0.0.0", "255.255.255.255").dhcp_request(1), Spoofed),
        dhcp("renewal", FROM_WEB, v4("10.0.0.1", "10.0.9.9").dhcp_request(3), NoRule),
        dhcp("offer", TO_WEB, v4("10.0.9.9", "255.255.255.255").dhcp_answer(2), NoRule),
        dhcp("acknowledgement", TO_WEB, v4("10.0.9.9", "10.0.0.1").dhcp_answer(5), NoRule),
        dhcp("solicit", FROM_WEB, v6(LINK_LOCAL, "ff02::1:2").dhcpv6_request(1), Spoofed),
        dhcp("reply", TO_WEB, v6(LINK_LOCAL, "fd00::1").dhcpv6_answer(7), NoRule),
        dhcp("the host's own", TO_UPLINK, v4("10.0.0.254", "10.0.9.9").dhcp_request(3), NoRule),
        dhcp("the host's answer", FROM_UPLINK, v4("10.0.9.9", "10.0.0.254").dhcp_answer(5), NoRule),
    ]
}

fn rows() -> Vec<Row> {
    use Reason::{EssentialOff, NonIp};
    let mut rows = ip_rows();
    let (a, b) = ("10.0.0.1".parse().unwrap(), "10.0.0.254".parse().unwrap());
    let others = [
        ("ARP", Frame::ethernet().arp(a, b)),
        ("LLC", Frame::ethernet().spanning_tree()),
        ("LLDP", Frame::ethernet().lldp()),
        ("tagged ARP", Frame::ethernet().vlan(5).arp(a, b)),
    ];
    for (what, frame) in others {
        for at in [FROM_WEB, TO_WEB, FROM_UPLINK, TO_UPLINK] {
            rows.push((what, at, frame.clone(), NonIp, bit::NON_IP, EssentialOff));
        }
    }
    rows
}

#[test]
fn it_passes_under_deny_all_unless_its_own_switch_is_off() {
    for (what, at, frame, reason, bit, off) in rows() {
        let mut locked = Scene::locked().isolate(Host, true);
        locked.expect(at, &frame, pass(reason), what);
        assert_eq!(locked.flows(), 0, "{what}");
        let mut others = Scene::locked().isolate(Host, true).configured(|c| c.essential &= !bit);
        let decision = others.see(at, &frame);
        assert_eq!(decision.reason, off, "{what} switched off");
        let mut alone = Scene::locked().isolate(Host, true).configured(|c| c.essential = bit);
        alone.expect(at, &frame, pass(reason), what);
    }
}

#[test]
fn what_only_looks_essential_is_not() {
    let solicitation = || v6("fd00::1", "fd00::fe").neighbour_solicitation(target());
    let spoofed = v6("fd00::66", "fd00::fe");
    let rows = [
        ("discovery that has crossed a router", FROM_WEB, solicitation().hops(254), Reason::NoRule),
        (
            "a listener report from afar",
            FROM_WEB,
            { v6("fd00::1", "ff02::16").listener_report(target()).hops(2) },
            Reason::NoRule,
        ),
        (
            "a redirect",
            FROM_WEB,
            v6("fd00::1", "fd00::fe").redirect(target(), target()),
            Reason::NoRule,
        ),
        (
            "a workload as DHCP server",
            FROM_WEB,
            v4("10.0.0.1", "10.0.9.9").dhcp_answer(2),
            Reason::NoRule,
        ),
        (
            "a request to a workload",
            TO_WEB,
            v4("10.0.9.9", "10.0.0.1").dhcp_request(1),
            Reason::NoRule,
        ),
        ("DHCP over TCP", FROM_WEB, v4("10.0.0.1", "10.0.9.9").tcp(68, 67).syn(), Reason::NoRule),
        (
            "an answer in another's name",
            FROM_WEB,
            { spoofed.clone().neighbour_advertisement(target()) },
            Reason::Spoofed,
        ),
        (
            "the host's address taken over",
            FROM_WEB,
            { v6("fd00::fe", ALL_NODES).neighbour_advertisement("fd00::fe".parse().unwrap()) },
            Reason::Spoofed,
        ),
        (
            "a report in another's name",
            FROM_WEB,
            spoofed.listener_report(target()),
            Reason::Spoofed,
        ),
        (
            "DHCP in another's name",
            FROM_WEB,
            v4("10.0.0.2", "10.0.9.9").dhcp_request(3),
            Reason::Spoofed,
        ),
    ];
    for (what, at, frame, reason) in rows {
        Scene::locked().expect(at, &frame, denied(reason), what);
    }
}

#[test]
fn router_advertisements_from_a_workload_are_refused_however_they_are_wrapped() {
    let plain = v6(LINK_LOCAL, ALL_NODES);
    let wrapped = [
        plain.clone().router_advertisement(),
        plain.clone().destination_options(&[]).router_advertisement(),
        plain.clone().hop_by_hop(&[]).router_advertisement(),
        plain.clone().fragment_header(1, 0, false).router_advertisement(),
        v6("fd00::1", "fd00::fe").router_advertisement(),
    ];
    for frame in wrapped {
        for essential in [bit::ALL, 0] {
            let mut scene =
                Scene::locked().isolate(Web, false).configured(|c| c.essential = essential);
            scene.expect(FROM_WEB, &frame, denied(Reason::RogueRouter), "from a workload");
        }
    }
    for piece in plain.router_advertisement().fragments(9, 16) {
        let decision = Scene::locked().isolate(Web, false).see_bytes(FROM_WEB, &piece);
        assert!(!decision.passes(), "{decision:?}");
    }
}

#[test]
fn a_workload_reaches_itself_and_the_host_reaches_its_workloads() {
    for family in FAMILIES {
        let to_itself = between(Web, Web, family).tcp(1, 443).syn();
        let from_host = between(Host, Web, family).tcp(40_000, 443).syn();
        let back = between(Web, Host, family).tcp(443, 40_000).syn().ack(1);
        let to_host = between(Web, Host, family).tcp(40_000, 22).syn();
        let neighbour = between(Cache, Web, family).tcp(1, 443).syn();
        let mut scene = Scene::locked();
        scene.expect(FROM_WEB, &to_itself, pass(Reason::SelfTraffic), "itself");
        scene.expect(TO_WEB, &to_itself, pass(Reason::SelfTraffic), "itself");
        scene.expect(TO_WEB, &from_host, pass(Reason::HostToWorkload), "from the host");
        scene.expect(FROM_WEB, &back, pass(Reason::Reply), "the reply");
        scene.expect(FROM_WEB, &to_host, denied(Reason::NoRule), "to the host");
        scene.expect(TO_WEB, &neighbour, denied(Reason::NoRule), "a neighbour");

        let off = bit::ALL & !(bit::SELF | bit::HOST_TO_WORKLOAD);
        let mut scene = Scene::locked().configured(|config| config.essential = off);
        scene.expect(FROM_WEB, &to_itself, denied(Reason::NoRule), "itself");
        scene.expect(TO_WEB, &from_host, denied(Reason::NoRule), "from the host");
        let mut isolated = Scene::locked().isolate(Host, true);
        isolated.expect(TO_WEB, &from_host, pass(Reason::HostToWorkload), "an isolated host");
        isolated.expect(FROM_WEB, &back, pass(Reason::Reply), "the reply to it");
    }
}

#[test]
fn path_mtu_messages_pass_under_deny_all_but_one_unless_switched_off() {
    use ringfence_common::abi::policy::protocol::TCP;
    for family in FAMILIES {
        for (on, expected) in [
            (bit::ALL, Decision::allow(Reason::Related, 5)),
            (bit::ALL & !bit::RELATED_ERRORS, denied(Reason::EssentialOff)),
        ] {
            let mut scene = Scene::locked().configured(|config| config.essential = on).allow(
                5,
                Web,
                super::scene::Egress,
                Partner,
                TCP,
                Some(443),
            );
            let syn = between(Web, Partner, family).tcp(40_000, 443).syn();
            assert!(scene.see(FROM_WEB, &syn).passes());
            let error = between(Cache, Web, family).too_big(1_300, &quote(&syn.build(), 100));
            scene.expect(TO_WEB, &error, expected, "too big");
        }
    }
}

#[test]
fn nothing_essential_opens_a_shared_interface_to_its_neighbours() {
    let advertisement =
        v6("fd00::3", "fd00::2").neighbour_advertisement("fd00::3".parse().unwrap());
    Scene::locked().expect(FROM_SHARED, &advertisement, pass(Reason::NeighbourDiscovery), "own");
    for family in [Family::V4, Family::V6] {
        let syn = between(Cache, super::scene::Who::Db, family).tcp(1, 2).syn();
        Scene::locked().expect(FROM_SHARED, &syn, denied(Reason::NoRule), "policy");
    }
}
