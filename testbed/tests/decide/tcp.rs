//! Connections as the hooks see them: both sides, pick-up, port reuse (semantics 10 and 11,
//! safety P10). The single steps are tested beside `track`.

use ringfence_common::abi::limits::PICK_UP_SECONDS;
use ringfence_common::abi::policy::protocol::{SCTP, TCP, UDP};
use ringfence_common::track::ticks;
use ringfence_common::verdict::{Decision, Reason};
use ringfence_testbed::packet::Frame;

use super::scene::Who::{Host, Office, Partner, Web};
use super::scene::{
    Egress, FAMILIES, FROM_UPLINK, FROM_WEB, Family, Ingress, Scene, TO_WEB, between, by_rule,
    denied, established, pass, reply,
};

/// `partner` may open TCP port 443 of `web`.
fn server() -> Scene {
    Scene::locked().allow(1, Web, Ingress, Partner, TCP, Some(443))
}

fn to(family: Family) -> Frame {
    between(Partner, Web, family).tcp(40_000, 443)
}

fn back(family: Family) -> Frame {
    between(Web, Partner, family).tcp(443, 40_000)
}

fn handshake(scene: &mut Scene, family: Family) {
    let rows = [
        (TO_WEB, to(family).sequence(100).syn(), by_rule(1)),
        (FROM_WEB, back(family).sequence(500).syn().ack(101), reply(1)),
        (TO_WEB, to(family).sequence(101).ack(501), established(1)),
    ];
    for (at, frame, expected) in rows {
        scene.expect(at, &frame, expected, "handshake");
    }
}

#[test]
fn a_connection_passes_both_ways_by_the_rule_that_allowed_its_syn() {
    for family in FAMILIES {
        let mut scene = server();
        handshake(&mut scene, family);
        let rows = [
            (TO_WEB, to(family).sequence(101).ack(501).payload(40), established(1)),
            (FROM_WEB, back(family).sequence(501).ack(141).payload(40), reply(1)),
            (FROM_WEB, back(family).sequence(541).ack(141).fin(), reply(1)),
            (TO_WEB, to(family).sequence(141).ack(542).fin(), established(1)),
            (FROM_WEB, back(family).sequence(542).ack(142), reply(1)),
        ];
        for (at, frame, expected) in rows {
            scene.expect(at, &frame, expected, "the connection");
        }
        assert_eq!(scene.flows(), 1);
        // The same ports again: a new connection, a new question to policy.
        let again = scene.outcome(TO_WEB, &to(family).sequence(9_000).syn().build());
        assert_eq!((again.decision, again.new_flow), (by_rule(1), true));
    }
}

#[test]
fn nothing_but_a_syn_opens_a_connection() {
    for family in FAMILIES {
        let rows = [
            ("ACK", to(family).ack(1)),
            ("SYN+ACK", to(family).syn().ack(1)),
            ("FIN", to(family).fin().ack(1)),
            ("RST", to(family).rst()),
        ];
        for (what, frame) in rows {
            let mut scene = server();
            scene.expect(TO_WEB, &frame, denied(Reason::NoConnection), what);
            assert_eq!(scene.flows(), 0, "{what}");
            let mut open = server().isolate(Web, false);
            open.expect(TO_WEB, &frame, pass(Reason::NotIsolated), what);
        }
        let mut scene = server();
        let out = back(family).syn();
        scene.expect(FROM_WEB, &out, denied(Reason::NoRule), "the server may not call back");
    }
}

#[test]
fn an_endpoint_that_nobody_isolates_takes_what_its_rules_do_not_deny() {
    use ringfence_common::abi::policy::{PolicyEntry, action, entry_flags, forms};
    for family in FAMILIES {
        let stray = to(family).ack(1);
        let other = between(Office, Web, family).tcp(40_000, 443).ack(1);
        let reply = between(Partner, Web, family).echo_reply(1, 1);
        let mut scene = server();
        for entry in scene.tables.policy.values_mut() {
            *entry = PolicyEntry { action: action::DENY, rule: 9, ..PolicyEntry::default() };
        }
        // The subject's default, with a rule that logs.
        let service = ringfence_common::abi::policy::PolicyKey::any_service(Ingress);
        let key = ringfence_common::abi::policy::PolicyKey {
            subject: Web.identity(),
            peer: ringfence_common::abi::identity::identity::ANY,
            service,
        };
        let flags = entry_flags::LOG;
        let open = PolicyEntry { action: action::ALLOW, flags, ..PolicyEntry::default() };
        scene.tables.policy.insert(key, open);
        let web = scene.tables.endpoints.get_mut(&Web.endpoint()).unwrap();
        (web.ingress_forms, web.egress_forms) = (!forms::ISOLATED, 0);
        scene.next_generation();
        scene.expect(TO_WEB, &stray, Decision::deny(Reason::DenyRule, 9), "denied by the rule");
        let logged = pass(Reason::NotIsolated).logged(true);
        scene.expect(TO_WEB, &other, logged, "a rule that logs isolates nobody");
        scene.expect(TO_WEB, &reply, logged, "nor for replies");
    }
}

#[test]
fn a_connection_is_picked_up_in_the_window_if_policy_allows_it_either_way() {
    for family in FAMILIES {
        let picked = Decision::allow(Reason::PickedUp, 1);
        for (at, frame, next_at, next, expected) in [
            (TO_WEB, to(family).ack(1), FROM_WEB, back(family).ack(1), reply(1)),
            (FROM_WEB, back(family).ack(1), TO_WEB, to(family).ack(1), established(1)),
        ] {
            let mut scene = server().configured(|config| config.pick_up_until = 200);
            scene.expect(at, &frame, picked, "in the window");
            scene.now = 300;
            scene.expect(next_at, &next, expected, "afterwards");
        }
        let mut late = server().configured(|config| config.pick_up_until = 200);
        late.now = 199;
        late.expect(TO_WEB, &to(family).ack(1), denied(Reason::NoConnection), "too late");
        let mut other = server().configured(|config| config.pick_up_until = 200);
        let wrong = between(Office, Web, family).tcp(1, 443).ack(1);
        other.expect(TO_WEB, &wrong, denied(Reason::NoConnection), "policy allows neither");
    }
}

#[test]
fn the_pick_up_window_does_not_open_again_when_the_clock_has_gone_far() {
    let hour = ticks(PICK_UP_SECONDS);
    for ago in [1, 1 << 30, 1 << 31, (1 << 31) + 1, 3 << 30, u32::MAX - hour - 1] {
        let mut scene = server().configured(|config| config.pick_up_until = 5);
        scene.now = 5_u32.wrapping_add(ago);
        let frame = to(Family::V4).ack(1);
        scene.expect(TO_WEB, &frame, denied(Reason::NoConnection), &format!("{ago} ticks ago"));
    }
    let mut scene = server().configured(|config| config.pick_up_until = 50);
    scene.now = u32::MAX - 50;
    let decision = scene.see(TO_WEB, &to(Family::V4).ack(1));
    assert_eq!(decision.reason, Reason::PickedUp, "across the wrap");
}

#[test]
fn a_reset_out_of_the_window_leaves_the_connection_alone() {
    for family in FAMILIES {
        let mut scene = server();
        handshake(&mut scene, family);
        let forged = to(family).sequence(70_000).rst();
        let refused = Decision::deny(Reason::OutOfWindow, 1);
        scene.expect(TO_WEB, &forged, refused, "forged");
        let data = to(family).sequence(101).ack(501).payload(1);
        scene.expect(TO_WEB, &data, established(1), "the connection lives");
        scene.expect(TO_WEB, &to(family).sequence(102).rst(), established(1), "the real one");
        let invalid = Decision::deny(Reason::InvalidTransition, 1);
        scene.expect(TO_WEB, &data, invalid, "data after the reset");
        scene.expect(FROM_WEB, &back(family).sequence(501).ack(102), invalid, "both ways");
    }
}

#[test]
fn a_flow_of_one_protocol_family_or_port_is_not_found_by_another() {
    for family in FAMILIES {
        let mut scene = Scene::locked().allow(1, Web, Egress, Partner, UDP, Some(53));
        let question = between(Web, Partner, family).udp(40_000, 53);
        scene.expect(FROM_WEB, &question, by_rule(1), "the question");
        let rows = [
            ("SCTP", between(Partner, Web, family).sctp(53, 40_000), Reason::NoRule),
            ("TCP", between(Partner, Web, family).tcp(53, 40_000).ack(1), Reason::NoConnection),
            ("other ports", between(Partner, Web, family).udp(53, 40_001), Reason::NoRule),
            ("swapped ports", between(Partner, Web, family).udp(40_000, 53), Reason::NoRule),
            ("another peer", between(Office, Web, family).udp(53, 40_000), Reason::NoRule),
        ];
        for (what, frame, reason) in rows {
            scene.expect(TO_WEB, &frame, denied(reason), what);
        }
        let answer = between(Partner, Web, family).udp(53, 40_000);
        scene.expect(TO_WEB, &answer, reply(1), "the answer");
    }
}

#[test]
fn datagrams_and_sctp_are_answered_until_they_fall_silent() {
    for family in FAMILIES {
        for protocol in [UDP, SCTP] {
            let frame = |from, to, a, b| match protocol {
                UDP => between(from, to, family).udp(a, b).payload(4),
                _ => between(from, to, family).sctp(a, b).chunk(0, 0, &[1, 2, 3, 4]),
            };
            let mut scene = Scene::locked().allow(1, Web, Egress, Partner, protocol, Some(53));
            let (out, back) = (frame(Web, Partner, 9, 53), frame(Partner, Web, 53, 9));
            scene.expect(FROM_WEB, &out, by_rule(1), "out");
            scene.now += ticks(29);
            scene.expect(TO_WEB, &back, reply(1), "in time");
            scene.now += ticks(119);
            scene.expect(TO_WEB, &back, reply(1), "two ways last longer");
            scene.now += ticks(121);
            scene.expect(TO_WEB, &back, denied(Reason::NoRule), "too late");
            scene.expect(FROM_WEB, &out, by_rule(1), "anew");
            scene.now += ticks(31);
            scene.expect(TO_WEB, &back, denied(Reason::NoRule), "one way is shorter");
        }
    }
}

#[test]
fn a_hook_with_two_sides_asks_both_and_the_first_denial_decides() {
    for family in FAMILIES {
        let syn = between(Web, Host, family).tcp(40_000, 22).sequence(5).syn();
        let answer = between(Host, Web, family).tcp(22, 40_000).syn().ack(6);
        let egress = |scene: Scene| scene.allow(1, Web, Egress, Host, TCP, Some(22));
        let ingress = |scene: Scene| scene.allow(2, Host, Ingress, Web, TCP, Some(22));
        let host = || Scene::locked().isolate(Host, true);
        let no_rule = denied(Reason::NoRule);

        let outcome = ingress(host()).outcome(FROM_WEB, &syn.build());
        assert_eq!((outcome.decision, outcome.endpoint), (no_rule, Web.endpoint()));
        let outcome = egress(host()).outcome(FROM_WEB, &syn.build());
        assert_eq!((outcome.decision, outcome.endpoint), (no_rule, Host.endpoint()));

        let mut both = ingress(egress(host()));
        both.expect(FROM_WEB, &syn, by_rule(2), "both allow");
        assert_eq!(both.flows(), 2);
        // The host's egress and the workload's ingress, each by its own view of the flow.
        both.expect(TO_WEB, &answer, reply(1), "the answer");
        both.expect(FROM_UPLINK, &syn, denied(Reason::Spoofed), "the same from outside");
    }
}
