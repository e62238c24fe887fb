//! A change of policy reaches the next packet of a flow, both ways, and leaves the others alone
//! (semantics 3, safety P11).

use ringfence_common::abi::config::flags;
use ringfence_common::abi::policy::protocol::{ICMP, ICMPV6, TCP, UDP};
use ringfence_common::verdict::{Decision, Reason};
use ringfence_testbed::packet::Frame;

use super::scene::Who::{Office, Partner, Web};
use super::scene::{
    At, Egress, FAMILIES, FROM_WEB, Family, Ingress, Scene, TO_WEB, between, by_rule, denied,
    established, reply,
};

/// `web` serves TCP 443 to `partner` (rule 1), and asks `office` by UDP 53 (rule 2) and by ping
/// (rule 3). All three have begun.
fn running(family: Family) -> Scene {
    let mut scene = Scene::locked()
        .allow(1, Web, Ingress, Partner, TCP, Some(443))
        .allow(2, Web, Egress, Office, UDP, Some(53))
        .allow(3, Web, Egress, Office, ICMP, Some(8 << 8))
        .allow(3, Web, Egress, Office, ICMPV6, Some(128 << 8));
    let syn = between(Partner, Web, family).tcp(40_000, 443).sequence(100).syn();
    scene.expect(TO_WEB, &syn, by_rule(1), "SYN");
    let answer = between(Web, Partner, family).tcp(443, 40_000).sequence(500).syn().ack(101);
    scene.expect(FROM_WEB, &answer, reply(1), "SYN+ACK");
    for ((at, frame), rule) in
        [&packets(family)[0], &packets(family)[2], &packets(family)[4]].into_iter().zip([1, 2, 3])
    {
        let decision = scene.see(*at, frame);
        assert_eq!((decision.passes(), decision.rule), (true, rule));
    }
    scene
}

/// A packet of each flow in the direction of its opener, and one back.
fn packets(family: Family) -> [(At, Frame); 6] {
    let data = |frame: Frame, sequence, ack| frame.sequence(sequence).ack(ack).payload(1);
    [
        (TO_WEB, data(between(Partner, Web, family).tcp(40_000, 443), 101, 501)),
        (FROM_WEB, data(between(Web, Partner, family).tcp(443, 40_000), 501, 101)),
        (FROM_WEB, between(Web, Office, family).udp(9, 53)),
        (TO_WEB, between(Office, Web, family).udp(53, 9)),
        (FROM_WEB, between(Web, Office, family).echo_request(4, 1)),
        (TO_WEB, between(Office, Web, family).echo_reply(4, 1)),
    ]
}

/// What a packet of `packets` gets while its flow is allowed.
fn allowed(index: usize) -> Decision {
    let rule = index as u32 / 2 + 1;
    if index.is_multiple_of(2) { established(rule) } else { reply(rule) }
}

#[test]
fn what_is_no_longer_allowed_is_cut_at_its_next_packet_in_either_direction() {
    for family in FAMILIES {
        for (index, (at, frame)) in packets(family).iter().enumerate() {
            let rule = index as u32 / 2 + 1;
            let mut scene = running(family);
            scene.tables.policy.retain(|_, entry| entry.rule != rule);
            scene.next_generation();
            let flows = scene.flows();
            scene.expect(*at, frame, denied(Reason::Revoked), "the next packet");
            assert_eq!(scene.flows(), flows, "remembered as cut");
            for (other, (at, frame)) in packets(family).iter().enumerate() {
                if other / 2 != index / 2 {
                    scene.expect(*at, frame, allowed(other), "unaffected");
                } else {
                    scene.expect(*at, frame, denied(Reason::Revoked), "it stays cut");
                }
            }
        }
    }
}

#[test]
fn flows_that_stay_allowed_go_on_under_the_rule_that_now_allows_them() {
    for family in FAMILIES {
        for (index, (at, frame)) in packets(family).iter().enumerate() {
            let mut scene = running(family);
            for entry in scene.tables.policy.values_mut() {
                entry.rule += 10;
            }
            scene.next_generation();
            let mut expected = allowed(index);
            expected.rule += 10;
            scene.expect(*at, frame, expected, "asked again");
            scene.tables.policy.clear();
            let mut scene = scene.configured(|_| {});
            scene.expect(*at, frame, expected, "not asked within a generation");
        }
    }
}

#[test]
fn a_change_of_identity_revokes_like_a_change_of_rules() {
    for family in FAMILIES {
        let mut scene = running(family);
        let partner = scene.tables.addresses.get_mut(&Partner.address(family)).unwrap();
        partner.identity = Office.identity();
        scene.next_generation();
        let (at, frame) = &packets(family)[1];
        scene.expect(*at, frame, denied(Reason::Revoked), "its labels have changed");
    }
}

#[test]
fn kept_flows_live_on_and_new_ones_do_not_begin() {
    for family in FAMILIES {
        let mut scene = running(family).configured(|c| c.flags |= flags::KEEP_ESTABLISHED);
        scene.tables.policy.clear();
        scene.next_generation();
        for (index, (at, frame)) in packets(family).iter().enumerate() {
            scene.expect(*at, frame, allowed(index), "kept");
        }
        let syn = between(Partner, Web, family).tcp(40_001, 443).syn();
        scene.expect(TO_WEB, &syn, denied(Reason::NoRule), "a new one");
    }
}

#[test]
fn generations_are_told_apart_across_their_wrap() {
    for generation in [0, 1, u32::MAX - 1, u32::MAX] {
        let mut scene = Scene::locked()
            .allow(2, Web, Egress, Office, UDP, Some(53))
            .configured(|config| config.generation = generation);
        let frame = between(Web, Office, Family::V4).udp(9, 53);
        scene.expect(FROM_WEB, &frame, by_rule(2), "opened");
        scene.next_generation();
        scene.expect(FROM_WEB, &frame, established(2), "asked again");
        scene.tables.policy.clear();
        scene.next_generation();
        scene.expect(FROM_WEB, &frame, denied(Reason::Revoked), "revoked");
    }
}
