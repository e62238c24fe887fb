//! The lookup order within policy, step by step (`decide`, semantics 7).

use ringfence_common::abi::identity::identity;
use ringfence_common::abi::policy::protocol::{SCTP, TCP, UDP};
use ringfence_common::abi::policy::{PolicyEntry, PolicyKey, action, entry_flags, forms};
use ringfence_common::verdict::{Decision, Reason};

use super::scene::Who::{Office, Partner, Stranger, Web};
use super::scene::{FAMILIES, Ingress, Scene, TO_WEB, between, by_rule, denied, pass};

/// The six keys under which an entry for TCP port 443 from `partner` may lie, in the order in which
/// they are asked, each with its form.
fn keys() -> [(u8, PolicyKey); 6] {
    let subject = Web.identity();
    let services = [
        PolicyKey::service(Ingress, TCP, 443),
        PolicyKey::any_port(Ingress, TCP),
        PolicyKey::any_service(Ingress),
    ];
    let key = |peer, index: usize| PolicyKey { subject, peer, service: services[index] };
    [
        (forms::PEER_CLASS, key(Partner.identity(), 0)),
        (forms::PEER_PROTOCOL, key(Partner.identity(), 1)),
        (forms::PEER, key(Partner.identity(), 2)),
        (forms::ANY_CLASS, key(identity::ANY, 0)),
        (forms::ANY_PROTOCOL, key(identity::ANY, 1)),
        (forms::ANY, key(identity::ANY, 2)),
    ]
}

fn with(entries: &[(PolicyKey, PolicyEntry)], bits: u8) -> Scene {
    let mut scene = Scene::locked();
    scene.tables.classes.insert(TCP, [443, 444].into());
    scene.tables.policy.extend(entries.iter().copied());
    let web = scene.tables.endpoints.get_mut(&Web.endpoint()).unwrap();
    web.ingress_forms = bits;
    scene.next_generation();
    scene
}

const fn entry(action: u8, rule: u32) -> PolicyEntry {
    PolicyEntry { action, flags: 0, reserved: [0; 2], rule }
}

#[test]
fn the_first_form_that_has_an_entry_decides() {
    for family in FAMILIES {
        let syn = between(Partner, Web, family).tcp(1, 443).syn();
        for first in 0..6 {
            let keys = keys();
            let mut entries = vec![(keys[first].1, entry(action::ALLOW, 7))];
            entries.extend(keys[first + 1..].iter().map(|(_, key)| (*key, entry(action::DENY, 9))));
            with(&entries, !0).expect(TO_WEB, &syn, by_rule(7), &format!("form {first} allows"));
            entries[0].1.action = action::DENY;
            for (_, other) in &mut entries[1..] {
                other.action = action::ALLOW;
            }
            let refused = Decision::deny(Reason::DenyRule, 7);
            with(&entries, !0).expect(TO_WEB, &syn, refused, &format!("form {first} denies"));
        }
    }
}

#[test]
fn a_form_that_the_subject_does_not_have_is_not_asked() {
    for (bit, key) in keys() {
        let syn = between(Partner, Web, super::scene::Family::V4).tcp(1, 443).syn();
        let allowed = [(key, entry(action::ALLOW, 7))];
        let only = forms::ENFORCED | bit;
        with(&allowed, only).expect(TO_WEB, &syn, by_rule(7), "the form alone");
        with(&allowed, !bit).expect(TO_WEB, &syn, denied(Reason::NoRule), "all but the form");
        let open = pass(Reason::NotIsolated);
        with(&allowed, !forms::ENFORCED).expect(TO_WEB, &syn, open, "not enforced");
    }
}

#[test]
fn entries_without_a_rule_are_defaults_and_an_empty_entry_denies() {
    let syn = between(Partner, Web, super::scene::Family::V6).tcp(1, 443).syn();
    let key = keys()[5].1;
    let rows = [
        (entry(action::ALLOW, 0), pass(Reason::NotIsolated)),
        (entry(action::DENY, 0), denied(Reason::NoRule)),
        (entry(0, 0), denied(Reason::NoRule)),
        (entry(0, 4), Decision::deny(Reason::DenyRule, 4)),
        (
            PolicyEntry { flags: entry_flags::LOG, ..entry(action::ALLOW, 4) },
            by_rule(4).logged(true),
        ),
    ];
    for (entry, expected) in rows {
        with(&[(key, entry)], !0).expect(TO_WEB, &syn, expected, &format!("{entry:?}"));
    }
}

#[test]
fn a_class_is_the_ports_from_its_first_to_the_next_class() {
    for family in FAMILIES {
        for (port, allowed) in
            [(0, false), (442, false), (443, true), (444, false), (65_535, false)]
        {
            let mut scene = with(&[(keys()[0].1, entry(action::ALLOW, 7))], !0);
            let decision = scene.see(TO_WEB, &between(Partner, Web, family).tcp(1, port).syn());
            assert_eq!(decision.passes(), allowed, "port {port}");
            let udp = scene.see(TO_WEB, &between(Partner, Web, family).udp(1, port));
            assert_eq!(udp, denied(Reason::NoRule), "UDP port {port}");
        }
    }
}

#[test]
fn protocols_without_ports_are_matched_by_number_or_by_rules_without_ports() {
    const GRE: u8 = 47;
    const ESP: u8 = 50;
    let any = PolicyKey { service: PolicyKey::any_service(Ingress), ..keys()[2].1 };
    let gre = PolicyKey { service: PolicyKey::any_port(Ingress, GRE), ..any };
    for family in FAMILIES {
        for (key, protocol, expected) in [
            (any, GRE, by_rule(7)),
            (any, ESP, by_rule(7)),
            (gre, GRE, by_rule(7)),
            (gre, ESP, denied(Reason::NoRule)),
            (keys()[0].1, GRE, denied(Reason::NoRule)),
            (keys()[1].1, GRE, denied(Reason::NoRule)),
        ] {
            let frame = between(Partner, Web, family).protocol_bytes(protocol, &[0; 40]);
            let mut scene = with(&[(key, entry(action::ALLOW, 7))], !0);
            scene.expect(TO_WEB, &frame, expected, &format!("{key:?}"));
            let stranger = between(Stranger, Web, family).protocol_bytes(protocol, &[0; 40]);
            scene.expect(TO_WEB, &stranger, denied(Reason::NoRule), "another peer");
        }
    }
}

#[test]
fn known_addresses_come_before_prefixes_and_everyone_else_is_the_world() {
    for family in FAMILIES {
        for (peer, who) in [(Office, "a prefix"), (Partner, "a workload"), (Stranger, "the world")]
        {
            for protocol in [TCP, UDP, SCTP] {
                let mut scene = Scene::locked().allow(7, Web, Ingress, peer, protocol, None);
                for source in [Office, Partner, Stranger] {
                    let frame = between(source, Web, family);
                    let frame = match protocol {
                        TCP => frame.tcp(1, 443).syn(),
                        UDP => frame.udp(1, 443),
                        _ => frame.sctp(1, 443).chunk(1, 0, &[0; 16]),
                    };
                    let outcome = scene.outcome(TO_WEB, &frame.build());
                    assert_eq!(outcome.source_identity, source.identity(), "{who}");
                    assert_eq!(outcome.decision.passes(), source == peer, "{who} {protocol}");
                }
            }
        }
    }
}
