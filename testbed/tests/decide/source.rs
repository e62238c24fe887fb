//! Sources are checked per interface, the interface first (semantics 13, safety P12); addresses
//! that may not be on a wire are refused.

use ringfence_common::verdict::Reason;
use ringfence_testbed::packet::Frame;

use super::scene::Who::{Cache, Db, Host, Office, Partner, Stranger, Web};
use super::scene::{
    At, FAMILIES, FROM_SHARED, FROM_UPLINK, FROM_WEB, Family, Scene, TO_SHARED, TO_UPLINK, TO_WEB,
    Who, between, denied, pass,
};

#[test]
fn a_packet_has_to_come_from_an_address_of_its_own_interface() {
    let rows: [(At, Who, bool); 14] = [
        (FROM_WEB, Web, true),
        (FROM_WEB, Db, false),
        (FROM_WEB, Host, false),
        (FROM_WEB, Partner, false),
        (FROM_WEB, Office, false),
        (FROM_WEB, Stranger, false),
        (FROM_SHARED, Db, true),
        (FROM_SHARED, Cache, true),
        (FROM_SHARED, Web, false),
        (FROM_UPLINK, Partner, true),
        (FROM_UPLINK, Stranger, true),
        (FROM_UPLINK, Web, false),
        (FROM_UPLINK, Db, false),
        (FROM_UPLINK, Host, false),
    ];
    for family in FAMILIES {
        for (at, who, right) in rows {
            let mut scene = Scene::locked();
            for workload in [Web, Db, Cache] {
                scene = scene.isolate(workload, false);
            }
            let frame = between(who, if who == Cache { Web } else { Cache }, family).udp(1, 9);
            let reason = scene.see(at, &frame).reason;
            assert_eq!(reason != Reason::Spoofed, right, "{who:?} at {at:?}: {reason:?}");
        }
    }
}

#[test]
fn a_spoofed_packet_neither_rides_on_a_flow_nor_touches_it() {
    for family in FAMILIES {
        let mut scene = Scene::locked().isolate(Web, false).isolate(Db, false);
        let question = between(Web, Partner, family).udp(40_000, 53);
        scene.expect(FROM_WEB, &question, pass(Reason::NotIsolated), "the question");
        scene.expect(FROM_SHARED, &question, denied(Reason::Spoofed), "another's flow");
        let answer = between(Partner, Web, family).udp(53, 40_000);
        scene.expect(FROM_SHARED, &answer, denied(Reason::Spoofed), "its answer");
        scene.expect(TO_WEB, &answer, pass(Reason::Reply), "the answer");
    }
}

#[test]
fn several_endpoints_of_one_interface_each_have_their_own_policy() {
    for family in FAMILIES {
        let mut scene = Scene::locked().isolate(Db, false);
        let to = |who| between(Partner, who, family).udp(1, 9);
        scene.expect(TO_SHARED, &to(Db), pass(Reason::NotIsolated), "open");
        scene.expect(TO_SHARED, &to(Cache), denied(Reason::NoRule), "isolated");
        scene.expect(TO_SHARED, &to(Web), denied(Reason::UnknownEndpoint), "not behind it");
    }
}

#[test]
fn addresses_that_may_not_be_on_a_wire_are_denied() {
    let v4 = |source: &str, destination: &str| {
        Frame::ethernet().ipv4(source.parse().unwrap(), destination.parse().unwrap()).udp(1, 9)
    };
    let v6 = |source: &str, destination: &str| {
        Frame::ethernet().ipv6(source.parse().unwrap(), destination.parse().unwrap()).udp(1, 9)
    };
    let frames = [
        v4("127.0.0.1", "10.0.0.1"),
        v4("10.0.9.9", "127.0.0.1"),
        v4("224.0.0.1", "10.0.0.1"),
        v4("239.255.255.255", "10.0.0.1"),
        v4("255.255.255.255", "10.0.0.1"),
        v4("0.0.0.0", "10.0.0.1"),
        v4("10.0.9.9", "0.0.0.0"),
        v6("::1", "fd00::1"),
        v6("fd00:9::9", "::1"),
        v6("::", "fd00::1"),
        v6("fd00:9::9", "::"),
        v6("ff02::1", "fd00::1"),
        v6("::ffff:10.0.0.1", "fd00::1"),
        v6("fd00:9::9", "::ffff:10.0.0.1"),
    ];
    for frame in frames {
        for at in [FROM_WEB, TO_WEB, FROM_UPLINK, TO_UPLINK] {
            let mut scene = Scene::locked().isolate(Web, false);
            scene.expect(at, &frame, denied(Reason::Martian), "martian");
        }
    }
}

#[test]
fn what_is_for_everyone_is_for_the_workload_and_for_the_host() {
    for family in FAMILIES {
        let group = match family {
            Family::V4 => ["224.0.0.251", "255.255.255.255"],
            Family::V6 => ["ff02::fb", "ff05::2"],
        };
        for address in group {
            let to_group = |who: Who| {
                Frame::ethernet()
                    .ip(who.address(family), address.parse().unwrap())
                    .udp(5_353, 5_353)
            };
            let no_rule = denied(Reason::NoRule);
            Scene::locked().expect(TO_WEB, &to_group(Partner), no_rule, "to a workload");
            Scene::locked().expect(FROM_WEB, &to_group(Web), no_rule, "from a workload");
            let shared = denied(Reason::UnknownEndpoint);
            Scene::locked().expect(TO_SHARED, &to_group(Partner), shared, "nobody's policy");
            let mut host = Scene::locked().isolate(Host, true).isolate(Web, false);
            host.expect(FROM_UPLINK, &to_group(Partner), no_rule, "to the host");
            host.expect(FROM_WEB, &to_group(Web), no_rule, "from a workload to the host");
            let mut open = Scene::locked();
            open.expect(FROM_UPLINK, &to_group(Partner), pass(Reason::NotIsolated), "open host");
        }
    }
}

#[test]
fn forwarded_packets_are_not_the_hosts_and_unknown_interfaces_are_closed() {
    for family in FAMILIES {
        let mut scene = Scene::locked().isolate(Host, true);
        let through = between(Stranger, Office, family).tcp(1, 2).syn();
        scene.expect(FROM_UPLINK, &through, pass(Reason::NotSubject), "forwarded");
        scene.expect(TO_UPLINK, &through, pass(Reason::NotSubject), "forwarded");
        let unknown = (99, TO_WEB.1);
        scene.expect(unknown, &through, denied(Reason::UnknownInterface), "no such interface");
    }
}
