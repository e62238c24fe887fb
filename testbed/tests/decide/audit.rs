//! Audit mode: what would be denied passes, is counted with the reason that enforcement would
//! have given, and is decided anew when enforcement begins (semantics 4).

use ringfence_common::abi::config::flags;
use ringfence_common::abi::policy::protocol::{TCP, UDP};
use ringfence_common::verdict::{Decision, Reason, Verdict};

use super::scene::Who::{Host, Partner, Stranger, Web};
use super::scene::{
    Egress, FAMILIES, FROM_UPLINK, FROM_WEB, Family, Ingress, Scene, TO_WEB, between, denied,
    established, pass,
};

fn audited() -> Scene {
    Scene::locked().configured(|config| config.flags |= flags::AUDIT)
}

/// What audit mode makes of a denial.
fn would_be(reason: Reason) -> Decision {
    let mut decision = denied(reason);
    decision.verdict = Verdict::Audit;
    decision
}

fn enforce(scene: &mut Scene) {
    scene.tables.config.flags &= !flags::AUDIT;
    scene.next_generation();
}

#[test]
fn every_kind_of_denial_passes_and_keeps_its_reason() {
    for family in FAMILIES {
        let rows = [
            (TO_WEB, between(Partner, Web, family).udp(1, 9), Reason::NoRule),
            (TO_WEB, between(Partner, Web, family).tcp(1, 9).ack(1), Reason::NoConnection),
            (TO_WEB, between(Partner, Web, family).echo_reply(1, 1), Reason::UnexpectedReply),
            (FROM_WEB, between(Partner, Web, family).udp(1, 9), Reason::Spoofed),
            (FROM_WEB, between(Web, Partner, family).tcp(1, 9).flags(0), Reason::BadTcpFlags),
            ((99, TO_WEB.1), between(Partner, Web, family).udp(1, 9), Reason::UnknownInterface),
        ];
        for (at, frame, reason) in rows {
            let outcome = audited().outcome(at, &frame.build());
            assert_eq!(outcome.decision, would_be(reason));
            assert!(outcome.decision.passes());
        }
    }
}

#[test]
fn the_packets_of_a_flow_and_its_replies_say_what_its_first_would_have_been_denied_for() {
    for family in FAMILIES {
        let mut scene = audited();
        let rows = [
            (TO_WEB, between(Partner, Web, family).tcp(1, 443).sequence(5).syn()),
            (FROM_WEB, between(Web, Partner, family).tcp(443, 1).sequence(9).syn().ack(6)),
            (TO_WEB, between(Partner, Web, family).tcp(1, 443).sequence(6).ack(10)),
            (FROM_WEB, between(Web, Partner, family).tcp(443, 1).sequence(10).ack(6).payload(9)),
        ];
        for (at, frame) in rows {
            scene.expect(at, &frame, would_be(Reason::NoRule), "audited");
        }
        assert_eq!(scene.flows(), 1);
    }
}

#[test]
fn what_audit_mode_let_in_is_decided_anew_when_enforcement_begins() {
    for family in FAMILIES {
        for keep in [0, flags::KEEP_ESTABLISHED] {
            let frame = between(Partner, Web, family).udp(1, 9);
            let back = between(Web, Partner, family).udp(9, 1);
            let opened = || {
                let mut scene = audited().configured(|config| config.flags |= keep);
                scene.expect(TO_WEB, &frame, would_be(Reason::NoRule), "audited");
                scene
            };
            let mut refused = opened();
            enforce(&mut refused);
            refused.expect(FROM_WEB, &back, denied(Reason::Revoked), "the reply");
            refused.expect(TO_WEB, &frame, denied(Reason::Revoked), "the next one");

            let mut allowed = opened().allow(6, Web, Ingress, Partner, UDP, Some(9));
            enforce(&mut allowed);
            allowed.expect(TO_WEB, &frame, established(6), "allowed meanwhile");
        }
    }
}

#[test]
fn a_flow_that_was_never_allowed_is_not_revoked() {
    let frame = between(Partner, Web, Family::V4).udp(1, 9);
    let mut never = audited();
    never.expect(TO_WEB, &frame, would_be(Reason::NoRule), "audited");
    never.next_generation();
    never.expect(TO_WEB, &frame, would_be(Reason::NoRule), "still not allowed");

    let mut once = audited().allow(6, Web, Ingress, Partner, UDP, Some(9));
    assert_eq!(once.see(TO_WEB, &frame).verdict, Verdict::Allow);
    once.tables.policy.clear();
    once.next_generation();
    once.expect(TO_WEB, &frame, would_be(Reason::Revoked), "no longer allowed");
    once.next_generation();
    once.expect(TO_WEB, &frame, would_be(Reason::Revoked), "the first would-be verdict wins");
}

#[test]
fn the_first_side_that_would_deny_is_told_and_the_other_remembers_the_flow() {
    for family in FAMILIES {
        let syn = between(Web, Host, family).tcp(1, 22).sequence(5).syn();
        let answer = between(Host, Web, family).tcp(22, 1).sequence(9).syn().ack(6);
        let mut scene = audited().isolate(Host, true).allow(6, Host, Ingress, Web, TCP, Some(22));
        let outcome = scene.outcome(FROM_WEB, &syn.build());
        assert_eq!(outcome.decision, would_be(Reason::NoRule));
        assert_eq!((outcome.endpoint, outcome.direction), (Web.endpoint(), Egress));
        assert_eq!(scene.flows(), 2);
        let outcome = scene.outcome(TO_WEB, &answer.build());
        assert_eq!(outcome.decision, would_be(Reason::NoRule), "the workload's view of the answer");
        assert_eq!(outcome.endpoint, Web.endpoint());
    }
}

#[test]
fn where_both_sides_would_deny_the_first_is_told_as_enforcement_would_tell_it() {
    for family in FAMILIES {
        let closed = || audited().isolate(Host, true);
        let stray = between(Web, Host, family).tcp(1, 22).ack(1);
        let mut scene = closed();
        let outcome = scene.outcome(FROM_WEB, &stray.build());
        assert_eq!(outcome.decision, would_be(Reason::NoConnection));
        assert_eq!((outcome.endpoint, outcome.direction), (Web.endpoint(), Egress));
        // After a SYN, as a step that no connection has.
        let syn = between(Web, Host, family).tcp(2, 22).sequence(5).syn();
        let odd = between(Web, Host, family).tcp(2, 22).sequence(6).ack(1);
        let mut scene = closed();
        scene.expect(FROM_WEB, &syn, would_be(Reason::NoRule), "SYN");
        let outcome = scene.outcome(FROM_WEB, &odd.build());
        assert_eq!(outcome.decision, would_be(Reason::InvalidTransition));
        assert_eq!((outcome.endpoint, outcome.direction), (Web.endpoint(), Egress));
        let mut enforcing = Scene::locked().isolate(Host, true);
        let outcome = enforcing.outcome(FROM_WEB, &stray.build());
        assert_eq!(outcome.decision, denied(Reason::NoConnection));
        assert_eq!((outcome.endpoint, outcome.direction), (Web.endpoint(), Egress));
    }
}

#[test]
fn what_is_allowed_is_allowed() {
    for family in FAMILIES {
        let mut scene = audited();
        let ping = between(Stranger, Host, family).echo_request(1, 1);
        scene.expect(FROM_UPLINK, &ping, pass(Reason::NotIsolated), "an open host");
    }
}
