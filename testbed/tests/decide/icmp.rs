//! ICMP: questions and replies are separate, errors belong to a flow in the right direction
//! (safety P9).

use ringfence_common::abi::policy::protocol::{ICMP, ICMPV6, TCP, UDP};
use ringfence_common::track::ticks;
use ringfence_common::verdict::Reason;
use ringfence_testbed::packet::{Frame, quote};

use super::scene::Who::{Host, Office, Partner, Stranger, Web};
use super::scene::{
    Egress, FAMILIES, FROM_UPLINK, FROM_WEB, Family, Ingress, Scene, TO_WEB, between, by_rule,
    denied, pass, reply,
};

/// The number of ICMP in the family and the type of its echo request.
const fn echo(family: Family) -> (u8, u16) {
    match family {
        Family::V4 => (ICMP, 8 << 8),
        Family::V6 => (ICMPV6, 128 << 8),
    }
}

/// `web` may ping `partner`, and nobody else may do anything.
fn web_may_ping(family: Family) -> Scene {
    let (protocol, request) = echo(family);
    Scene::locked().allow(1, Web, Egress, Partner, protocol, Some(request))
}

#[test]
fn whoever_may_ask_gets_the_reply_and_may_not_be_asked() {
    for family in FAMILIES {
        for identifier in [0, 1, 8, 2_048, 0xffff] {
            let mut scene = web_may_ping(family);
            let to = between(Web, Partner, family);
            let back = between(Partner, Web, family);
            let what = format!("{family:?} {identifier}");
            let request = back.clone().echo_request(identifier, 1);
            scene.expect(TO_WEB, &request, denied(Reason::NoRule), &what);
            let answer = back.clone().echo_reply(identifier, 1);
            scene.expect(TO_WEB, &answer, denied(Reason::UnexpectedReply), &what);

            scene.expect(FROM_WEB, &to.clone().echo_request(identifier, 1), by_rule(1), &what);
            scene.expect(TO_WEB, &answer, reply(1), &what);
            scene.expect(TO_WEB, &request, denied(Reason::NoRule), &what);
            let unasked = to.clone().echo_reply(identifier, 1);
            scene.expect(FROM_WEB, &unasked, denied(Reason::UnexpectedReply), &what);
            let other = back.clone().echo_reply(identifier ^ 3, 1);
            scene.expect(TO_WEB, &other, denied(Reason::UnexpectedReply), &what);
            assert_eq!(scene.flows(), 1, "{what}");
        }
    }
}

#[test]
fn a_reply_answers_a_question_of_its_own_kind() {
    let mut scene = web_may_ping(Family::V4);
    let ping = between(Web, Partner, Family::V4).echo_request(7, 1);
    scene.expect(FROM_WEB, &ping, by_rule(1), "the question");
    for kind in [14, 16, 18] {
        let answer = between(Partner, Web, Family::V4).icmp(kind, 0, [0, 7, 0, 1]);
        scene.expect(TO_WEB, &answer, denied(Reason::UnexpectedReply), "another kind");
    }
}

#[test]
fn icmp_of_the_other_family_is_no_icmp() {
    for (family, protocol, message) in [(Family::V4, ICMPV6, 135), (Family::V6, ICMP, 8)] {
        let bytes = [message, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let frame = between(Web, Partner, family).hops(255).protocol_bytes(protocol, &bytes);
        let mut scene = web_may_ping(family);
        scene.expect(FROM_WEB, &frame, denied(Reason::NoRule), "neither essential nor an echo");
    }
}

/// `web` may send to UDP port 53 of `partner`, and has.
fn asked(family: Family) -> (Scene, Frame) {
    let mut scene = Scene::locked().allow(2, Web, Egress, Partner, UDP, Some(53));
    let question = between(Web, Partner, family).udp(40_000, 53).payload(64);
    scene.expect(FROM_WEB, &question, by_rule(2), "the question");
    (scene, question)
}

#[test]
fn errors_about_what_the_endpoint_has_sent_reach_it_from_anywhere() {
    for family in FAMILIES {
        let (mut scene, question) = asked(family);
        // RFC 792 quotes the header and eight bytes.
        let header = if family == Family::V4 { 20 } else { 40 };
        for limit in [header + 8, 1_000] {
            let quoted = quote(&question.build(), limit);
            let related = ringfence_common::verdict::Decision::allow(Reason::Related, 2);
            let refused = between(Partner, Web, family).port_unreachable(&quoted);
            scene.expect(TO_WEB, &refused, related, "from the other end");
            let router = between(Stranger, Web, family).too_big(1_280, &quoted);
            scene.expect(TO_WEB, &router, related, "from a router on the way");
        }
        assert_eq!(scene.flows(), 1);
    }
}

#[test]
fn errors_that_are_forged_foreign_or_turned_round_are_denied() {
    for family in FAMILIES {
        let (mut scene, question) = asked(family);
        let quoted = quote(&question.build(), 64);
        let error = |from, to, about: &Frame| {
            between(from, to, family).port_unreachable(&quote(&about.build(), 64))
        };
        let unrelated = denied(Reason::Unrelated);
        let rows = [
            ("another port", TO_WEB, error(Partner, Web, &udp(Web, Partner, family, 40_001, 53))),
            ("another peer", TO_WEB, error(Partner, Web, &udp(Web, Office, family, 40_000, 53))),
            ("another protocol", TO_WEB, {
                let tcp = between(Web, Partner, family).tcp(40_000, 53).syn();
                error(Partner, Web, &tcp)
            }),
            ("turned round", TO_WEB, error(Partner, Web, &udp(Partner, Web, family, 53, 40_000))),
            ("about an error", TO_WEB, error(Partner, Web, &error(Web, Partner, &question))),
            ("its own packet", FROM_WEB, error(Web, Partner, &question)),
            ("an answer that never came", FROM_WEB, {
                error(Web, Partner, &udp(Partner, Web, family, 53, 40_000))
            }),
            ("to somebody else", FROM_WEB, error(Web, Stranger, &question)),
        ];
        for (what, at, frame) in rows {
            scene.expect(at, &frame, unrelated, what);
        }
        let spoofed = between(Partner, Web, family).port_unreachable(&quoted);
        scene.expect(FROM_WEB, &spoofed, denied(Reason::Spoofed), "from inside");
        // RFC 792: the header and eight bytes.
        for length in 0..(quote(&question.build(), 1_000).len() - 64) {
            let cut = between(Partner, Web, family).port_unreachable(&quoted[..length]);
            scene.expect(TO_WEB, &cut, denied(Reason::MalformedEmbedded), "cut");
        }
    }
}

fn udp(from: super::scene::Who, to: super::scene::Who, family: Family, a: u16, b: u16) -> Frame {
    between(from, to, family).udp(a, b).payload(8)
}

#[test]
fn an_endpoint_may_send_errors_only_to_whoever_sent_it_something() {
    for family in FAMILIES {
        let mut scene = Scene::locked().allow(3, Web, Ingress, Partner, UDP, Some(9));
        let packet = udp(Partner, Web, family, 40_000, 9);
        let error = |to| between(Web, to, family).port_unreachable(&quote(&packet.build(), 100));
        scene.expect(FROM_WEB, &error(Partner), denied(Reason::Unrelated), "before");
        scene.expect(TO_WEB, &packet, by_rule(3), "the packet");
        let related = ringfence_common::verdict::Decision::allow(Reason::Related, 3);
        scene.expect(FROM_WEB, &error(Partner), related, "to the sender");
        scene.expect(FROM_WEB, &error(Stranger), denied(Reason::Unrelated), "to a stranger");
        scene.expect(FROM_WEB, &error(Host), denied(Reason::Unrelated), "to the host");
    }
}

#[test]
fn an_error_about_a_flow_that_new_policy_still_allows_is_related() {
    for family in FAMILIES {
        let (mut scene, question) = asked(family);
        let quoted = quote(&question.build(), 64);
        let error = between(Stranger, Web, family).too_big(1_280, &quoted);
        for entry in scene.tables.policy.values_mut() {
            entry.rule = 12;
        }
        scene.next_generation();
        let related = ringfence_common::verdict::Decision::allow(Reason::Related, 12);
        scene.expect(TO_WEB, &error, related, "before the next packet of the flow");
        let established = ringfence_common::verdict::Decision::allow(Reason::Established, 12);
        scene.expect(FROM_WEB, &question, established, "the next packet");
        scene.tables.policy.clear();
        scene.next_generation();
        scene.expect(TO_WEB, &error, denied(Reason::Unrelated), "no longer allowed");
        scene.expect(FROM_WEB, &question, denied(Reason::Revoked), "nor is the flow");
    }
}

#[test]
fn an_error_about_a_packet_of_a_picked_up_connection_reaches_its_sender() {
    for family in FAMILIES {
        // `web` serves; what it sends was under way when the engine came.
        let mut scene = Scene::locked()
            .allow(1, Web, Ingress, Partner, TCP, Some(443))
            .configured(|config| config.pick_up_until = 200);
        let data = between(Web, Partner, family).tcp(443, 40_000).ack(1).payload(64);
        let picked = ringfence_common::verdict::Decision::allow(Reason::PickedUp, 1);
        scene.expect(FROM_WEB, &data, picked, "the packet");
        let related = ringfence_common::verdict::Decision::allow(Reason::Related, 1);
        let error = between(Stranger, Web, family).too_big(1_280, &quote(&data.build(), 100));
        scene.expect(TO_WEB, &error, related, "too big");
    }
}

#[test]
fn an_error_about_a_flow_that_is_over_or_was_revoked_is_unrelated() {
    for family in FAMILIES {
        let (mut scene, question) = asked(family);
        let error = between(Partner, Web, family).port_unreachable(&quote(&question.build(), 64));
        scene.tables.policy.clear();
        scene.next_generation();
        scene.expect(TO_WEB, &error, denied(Reason::Unrelated), "revoked");

        let (mut scene, _) = asked(family);
        scene.now += ticks(31);
        scene.expect(TO_WEB, &error, denied(Reason::Unrelated), "over");
    }
}

#[test]
fn redirects_are_no_errors_and_follow_policy() {
    let (mut scene, question) = asked(Family::V4);
    let quoted = quote(&question.build(), 64);
    let redirect = between(Partner, Web, Family::V4).icmp(5, 1, [10, 0, 0, 66]).bytes(&quoted);
    scene.expect(TO_WEB, &redirect, denied(Reason::NoRule), "redirect");
}

#[test]
fn pings_of_the_host_by_a_stranger_pass_while_the_host_is_open() {
    for family in FAMILIES {
        let ping = between(Stranger, Host, family).echo_request(5, 1);
        Scene::locked().expect(FROM_UPLINK, &ping, pass(Reason::NotIsolated), "open");
        let mut isolated = Scene::locked().isolate(Host, true);
        isolated.expect(FROM_UPLINK, &ping, denied(Reason::NoRule), "isolated");
    }
}
