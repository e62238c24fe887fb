//! Later fragments follow the verdict of their first, never their addresses alone (semantics 14,
//! safety P7).

use ringfence_common::abi::config::flags;
use ringfence_common::abi::policy::protocol::{TCP, UDP};
use ringfence_common::track::ticks;
use ringfence_common::verdict::{Decision, Reason, Verdict};
use ringfence_testbed::packet::Frame;

use super::scene::Who::{Office, Stranger, Web};
use super::scene::{FAMILIES, FROM_WEB, Family, Ingress, Scene, TO_WEB, between, by_rule, denied};

const FOLLOWS: Decision = Decision::allow(Reason::Fragment, 1);

/// `office` may send to UDP port 53 of `web`.
fn scene() -> Scene {
    Scene::locked().allow(1, Web, Ingress, Office, UDP, Some(53))
}

fn datagram(family: Family, port: u16) -> Frame {
    between(Office, Web, family).udp(40_000, port).payload(72)
}

/// Five pieces of 16 bytes: 8 of the header and 72 of data.
fn pieces(family: Family, port: u16, identification: u32) -> Vec<Vec<u8>> {
    datagram(family, port).fragments(identification, 16)
}

#[test]
fn fragments_of_an_allowed_packet_pass_in_any_order_behind_the_first() {
    for family in FAMILIES {
        for order in [[1, 2, 3, 4], [4, 3, 2, 1], [2, 4, 1, 3], [4, 1, 3, 2]] {
            let mut scene = scene();
            let pieces = pieces(family, 53, 7);
            assert_eq!(scene.see_bytes(TO_WEB, &pieces[0]), by_rule(1));
            assert_eq!(scene.fragmented_packets(), 1);
            for index in order {
                assert_eq!(scene.see_bytes(TO_WEB, &pieces[index]), FOLLOWS, "{order:?}");
            }
            assert_eq!(scene.fragmented_packets(), 0, "complete, so forgotten");
            let again = scene.see_bytes(TO_WEB, &pieces[2]);
            assert_eq!(again, denied(Reason::UnknownFragment), "{order:?}");
        }
    }
}

#[test]
fn a_fragment_without_its_first_is_denied_whatever_policy_says_about_its_addresses() {
    for family in FAMILIES {
        let unknown = denied(Reason::UnknownFragment);
        let mut open = scene().isolate(Web, false);
        let mut scene = scene();
        let pieces_53 = pieces(family, 53, 7);
        let pieces_54 = pieces(family, 54, 8);
        assert_eq!(scene.see_bytes(TO_WEB, &pieces_53[4]), unknown, "last first");
        assert_eq!(open.see_bytes(TO_WEB, &pieces_53[1]), unknown, "even without policy");
        assert_eq!(scene.see_bytes(TO_WEB, &pieces_54[0]), denied(Reason::NoRule));
        assert_eq!(scene.see_bytes(TO_WEB, &pieces_54[1]), unknown, "of a denied packet");

        assert_eq!(scene.see_bytes(TO_WEB, &pieces_53[0]), by_rule(1));
        assert_eq!(scene.see_bytes(TO_WEB, &pieces(family, 53, 9)[1]), unknown, "other number");
        let foreign = between(Stranger, Web, family).udp(1, 53).payload(72).fragments(7, 16);
        assert_eq!(scene.see_bytes(TO_WEB, &foreign[1]), unknown, "other source");
        let back = between(Web, Office, family).udp(53, 40_000).payload(72).fragments(7, 16);
        assert_eq!(scene.see_bytes(FROM_WEB, &back[1]), unknown, "other direction");
        let tcp = between(Office, Web, family).tcp(1, 53).syn().payload(60).fragments(7, 24);
        if family == Family::V4 {
            // In IPv6 the number alone tells packets apart (RFC 8200 §4.5).
            assert_eq!(scene.see_bytes(TO_WEB, &tcp[2]), unknown, "other protocol");
        }
        assert_eq!(scene.see_bytes(TO_WEB, &pieces_53[1]), FOLLOWS);
    }
}

#[test]
fn a_denied_first_fragment_takes_back_what_its_number_stood_for() {
    for family in FAMILIES {
        let mut scene = scene();
        assert_eq!(scene.see_bytes(TO_WEB, &pieces(family, 53, 7)[0]), by_rule(1));
        assert_eq!(scene.see_bytes(TO_WEB, &pieces(family, 54, 7)[0]), denied(Reason::NoRule));
        let later = scene.see_bytes(TO_WEB, &pieces(family, 53, 7)[1]);
        assert_eq!(later, denied(Reason::UnknownFragment));
    }
}

#[test]
fn an_overlap_denies_the_rest_of_the_packet() {
    let overlapping = Decision::deny(Reason::OverlappingFragment, 1);
    for family in FAMILIES {
        let pieces = pieces(family, 53, 7);
        let shifted = datagram(family, 53).fragments(7, 24);
        let rows = [
            ("the same again", &pieces[2]),
            ("a part of it", &shifted[1]),
            ("another first one", &pieces[0]),
        ];
        for (what, overlap) in rows {
            let mut scene = scene();
            assert_eq!(scene.see_bytes(TO_WEB, &pieces[0]), by_rule(1));
            assert_eq!(scene.see_bytes(TO_WEB, &pieces[2]), FOLLOWS);
            assert_eq!(scene.see_bytes(TO_WEB, overlap), overlapping, "{what}");
            for rest in [&pieces[1], &pieces[3], &pieces[4]] {
                assert_eq!(scene.see_bytes(TO_WEB, rest), overlapping, "after {what}");
            }
        }
    }
}

#[test]
fn a_first_fragment_without_the_whole_transport_header_is_denied() {
    for family in FAMILIES {
        let frame = between(Office, Web, family).tcp(40_000, 53).syn().payload(80);
        let options = frame.clone().with_tcp(|tcp| tcp.options = vec![1; 12]);
        for (frame, size) in [(&frame, 8), (&frame, 16), (&options, 24)] {
            let mut scene = scene().allow(1, Web, Ingress, Office, TCP, Some(53));
            let pieces = frame.fragments(7, size);
            assert_eq!(scene.see_bytes(TO_WEB, &pieces[0]), denied(Reason::TinyFragment));
            assert_eq!(scene.see_bytes(TO_WEB, &pieces[1]), denied(Reason::UnknownFragment));
        }
        let mut scene = scene().allow(1, Web, Ingress, Office, TCP, Some(53));
        let whole = frame.fragments(7, 24);
        assert_eq!(scene.see_bytes(TO_WEB, &whole[0]), by_rule(1));
        assert_eq!(scene.see_bytes(TO_WEB, &whole[1]), FOLLOWS);
    }
}

#[test]
fn an_extension_chain_that_goes_on_in_the_next_fragment_is_tiny() {
    let frame = between(Office, Web, Family::V6).destination_options(&[1; 30]).udp(1, 53);
    let first = &frame.payload(60).fragments(7, 16)[0];
    assert_eq!(scene().see_bytes(TO_WEB, first), denied(Reason::TinyFragment));
}

#[test]
fn fragments_that_no_packet_has_are_denied() {
    let bad = denied(Reason::BadFragment);
    let later = |offset, more, length| {
        between(Office, Web, Family::V4)
            .protocol_bytes(UDP, &vec![0; length])
            .fragment(7, offset, more)
    };
    let later_v6 = |offset, more, length| {
        between(Office, Web, Family::V6)
            .fragment_header(7, offset, more)
            .protocol_bytes(UDP, &vec![0; length])
    };
    for (what, offset, more, length) in
        [("odd middle", 2, true, 13), ("empty", 2, true, 0), ("past the end", 8_191, false, 16)]
    {
        scene().expect(TO_WEB, &later(offset, more, length), bad, what);
        scene().expect(TO_WEB, &later_v6(offset, more, length), bad, what);
    }
}

#[test]
fn pieces_are_followed_for_thirty_seconds_and_their_number_is_then_free() {
    for family in FAMILIES {
        let mut scene = scene();
        let pieces = pieces(family, 53, 7);
        assert_eq!(scene.see_bytes(TO_WEB, &pieces[0]), by_rule(1));
        scene.now += ticks(30);
        let late = scene.see_bytes(TO_WEB, &pieces[1]);
        assert_eq!(late, Decision::deny(Reason::UnknownFragment, 1));
        // The flow is older than its silence by then, so policy is asked again.
        assert_eq!(scene.see_bytes(TO_WEB, &pieces[0]).verdict, Verdict::Allow);
        assert_eq!(scene.see_bytes(TO_WEB, &pieces[1]), FOLLOWS);
    }
}

#[test]
fn in_audit_mode_fragments_pass_and_say_what_their_first_would_have_been_denied_for() {
    for family in FAMILIES {
        let mut scene = scene().configured(|config| config.flags |= flags::AUDIT);
        for piece in pieces(family, 54, 7) {
            let decision = scene.see_bytes(TO_WEB, &piece);
            assert_eq!((decision.verdict, decision.reason), (Verdict::Audit, Reason::NoRule));
        }
        let first = scene.see_bytes(TO_WEB, &pieces(family, 54, 8)[0]);
        assert_eq!(first.verdict, Verdict::Audit);
        scene.tables.config.flags &= !flags::AUDIT;
        scene.next_generation();
        let later = scene.see_bytes(TO_WEB, &pieces(family, 54, 8)[1]);
        assert_eq!(later, denied(Reason::NoRule), "enforced meanwhile");
    }
}
