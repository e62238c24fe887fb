//! IPv6 extension chains are walked to a stated limit (safety P8).

use ringfence_common::abi::policy::protocol::TCP;
use ringfence_common::verdict::{Decision, Reason};
use ringfence_testbed::packet::{Frame, extension_kind};

use super::scene::Who::{Office, Web};
use super::scene::{Family, Ingress, Scene, TO_WEB, between, by_rule, denied};

fn base() -> Frame {
    between(Office, Web, Family::V6)
}

fn chain(length: usize) -> Frame {
    (0..length).fold(base(), |frame, _| frame.destination_options(&[]))
}

fn syn(frame: Frame) -> Frame {
    frame.tcp(40_000, 443).syn()
}

#[test]
fn the_transport_header_is_found_behind_every_chain_that_is_allowed() {
    let allowed = by_rule(1);
    let misplaced = denied(Reason::MisplacedExtension);
    let rows: Vec<(&str, Frame, Decision)> = vec![
        ("none", syn(base()), allowed),
        ("hop-by-hop first", syn(base().hop_by_hop(&[])), allowed),
        ("hop-by-hop second", syn(base().destination_options(&[]).hop_by_hop(&[])), misplaced),
        ("hop-by-hop twice", syn(base().hop_by_hop(&[]).hop_by_hop(&[])), misplaced),
        ("long options", syn(base().destination_options(&[1; 254])), allowed),
        ("eight headers", syn(chain(8)), allowed),
        ("nine headers", syn(chain(9)), denied(Reason::TooManyExtensions)),
        ("thirty headers", syn(chain(30)), denied(Reason::TooManyExtensions)),
        ("routing type 0, none left", syn(base().routing(0, 0)), allowed),
        ("routing type 0", syn(base().routing(0, 1)), denied(Reason::SourceRouted)),
        ("routing type 2", syn(base().routing(2, 1)), allowed),
        ("authentication", syn(base().authentication()), allowed),
        ("atomic fragment", syn(base().fragment_header(1, 0, false)), allowed),
        (
            "two fragment headers",
            syn(base().fragment_header(1, 0, false).fragment_header(1, 0, false)),
            misplaced,
        ),
        (
            "options after a fragment header",
            { syn(base().fragment_header(1, 0, false).destination_options(&[])) },
            allowed,
        ),
        ("ESP", base().esp(&[0; 32]), denied(Reason::NoRule)),
        ("no next header", base(), denied(Reason::NoRule)),
        ("no next header behind options", base().destination_options(&[]), denied(Reason::NoRule)),
        (
            "unknown header",
            syn(base().extension(extension_kind::MOBILITY, &[0; 6])),
            denied(Reason::NoRule),
        ),
    ];
    for (what, frame, expected) in rows {
        let mut scene = Scene::locked().allow(1, Web, Ingress, Office, TCP, Some(443));
        scene.expect(TO_WEB, &frame, expected, what);
    }
}

#[test]
fn a_header_that_ends_past_the_packet_is_denied() {
    for units in [1, 4, 255] {
        let frame =
            syn(base().destination_options(&[])).with_extension(|one| one.length = Some(units));
        let reason = Scene::locked().see(TO_WEB, &frame).reason;
        // One unit more swallows eight bytes of the TCP header, and the rest is no TCP header.
        let expected = if units == 1 { Reason::TruncatedTcp } else { Reason::TruncatedExtension };
        assert_eq!(reason, expected, "{units} units");
    }
}
