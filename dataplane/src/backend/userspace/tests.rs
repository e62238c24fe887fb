//! The filter over tables written by hand. That it and the kernel agree on hundreds of thousands
//! of packets is the testbed's `agreement` test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ringfence_common::abi::config::{Attachment, AttachmentKey, Hook, checks, report};
use ringfence_common::abi::policy::{Direction, PolicyEntry, PolicyKey, action, forms, protocol};
use ringfence_common::decide::{Desk, Place};
use ringfence_common::verdict::{Decision, Reason};

use super::{Filter, SharedFilter};
use crate::backend::host::{HostTables, Placement};
use crate::backend::{Mode, Settings};
use crate::compile::{EndpointDescription, Subject, Tables};

const WEB: u32 = 300;
const WEB_INTERFACE: u32 = 7;
const WEB_SUBJECT: u32 = 1_000;
const OFFICE: u32 = 2_000;
const RULE: u32 = 42;

/// A workload `10.0.0.1` whose ingress takes TCP port 443 from `192.0.2.0/24` alone.
fn tables() -> HostTables {
    let key = PolicyKey {
        subject: WEB_SUBJECT,
        peer: OFFICE,
        service: PolicyKey::service(Direction::Ingress, protocol::TCP, 443),
    };
    let web = EndpointDescription {
        name: "shop/web".to_owned(),
        subject: WEB_SUBJECT,
        addresses: vec!["10.0.0.1".parse().unwrap()],
        ..EndpointDescription::default()
    };
    let ingress_forms = forms::ENFORCED | forms::ISOLATED | forms::PEER_CLASS;
    let isolated = Subject { ingress_forms, egress_forms: 0 };
    let tables = Tables {
        addresses: BTreeMap::from([("10.0.0.1".parse().unwrap(), WEB_SUBJECT)]),
        prefixes: BTreeMap::from([("192.0.2.0/24".parse().unwrap(), OFFICE)]),
        classes: BTreeMap::from([(protocol::TCP, BTreeSet::from([443, 444]))]),
        endpoints: BTreeMap::from([(WEB, web)]),
        subjects: BTreeMap::from([(WEB_SUBJECT, isolated)]),
        policy: BTreeMap::from([(
            key,
            PolicyEntry { action: action::ALLOW, rule: RULE, ..PolicyEntry::default() },
        )]),
        ..Tables::default()
    };
    let hooks = [
        (Hook::TcIngress, checks::SOURCE_INSIDE | checks::WORKLOAD_EGRESS),
        (Hook::TcEgress, checks::WORKLOAD_INGRESS),
    ];
    let attachments = hooks.map(|(hook, checks)| {
        let key = AttachmentKey { ifindex: WEB_INTERFACE, hook: hook as u32 };
        (key, Attachment { checks, endpoint: WEB })
    });
    let placement = Placement {
        interfaces: BTreeMap::from([(WEB, WEB_INTERFACE)]),
        attachments: attachments.into(),
        host_addresses: BTreeSet::from(["10.0.0.254".parse().unwrap()]),
    };
    let settings = Settings { report: report::ALL, pick_up_seconds: 0, ..Settings::default() };
    HostTables::new(&tables, &placement, settings.config(Mode::Enforce, 1, 0, 0))
}

const SYN: u8 = 2;
const ACK: u8 = 16;

/// An Ethernet frame with a TCP segment; addresses as four bytes.
fn segment(source: [u8; 4], destination: [u8; 4], ports: (u16, u16), flags: u8) -> Vec<u8> {
    let mut frame = vec![0; 14 + 20 + 20];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    frame[17] = 40;
    frame[22] = 64;
    frame[23] = protocol::TCP;
    frame[26..30].copy_from_slice(&source);
    frame[30..34].copy_from_slice(&destination);
    frame[34..36].copy_from_slice(&ports.0.to_be_bytes());
    frame[36..38].copy_from_slice(&ports.1.to_be_bytes());
    frame[46] = 0x50;
    frame[47] = flags;
    if flags & ACK != 0 {
        frame[45] = 1;
    }
    frame
}

const WEB_ADDRESS: [u8; 4] = [10, 0, 0, 1];
const OFFICE_ADDRESS: [u8; 4] = [192, 0, 2, 9];
const STRANGER: [u8; 4] = [198, 51, 100, 1];

#[test]
fn policy_flows_and_prefixes_are_looked_up() {
    let mut filter = Filter::new(&tables());
    let syn = segment(OFFICE_ADDRESS, WEB_ADDRESS, (40_000, 443), SYN);
    let answer = segment(WEB_ADDRESS, OFFICE_ADDRESS, (443, 40_000), SYN | ACK);
    let wrong_port = segment(OFFICE_ADDRESS, WEB_ADDRESS, (40_000, 444), SYN);
    let stranger = segment(STRANGER, WEB_ADDRESS, (40_000, 443), SYN);
    let spoofed = segment(STRANGER, OFFICE_ADDRESS, (40_000, 443), SYN);
    let from_host = segment([10, 0, 0, 254], WEB_ADDRESS, (40_000, 22), SYN);
    let cases = [
        (&syn, Hook::TcEgress, Decision::allow(Reason::Rule, RULE)),
        (&wrong_port, Hook::TcEgress, Decision::deny(Reason::NoRule, 0)),
        (&stranger, Hook::TcEgress, Decision::deny(Reason::NoRule, 0)),
        (&spoofed, Hook::TcIngress, Decision::deny(Reason::Spoofed, 0)),
        (&from_host, Hook::TcEgress, Decision::allow(Reason::HostToWorkload, 0)),
        (&answer, Hook::Xdp, Decision::deny(Reason::UnknownInterface, 0)),
    ];
    for (index, (frame, hook, expected)) in cases.into_iter().enumerate() {
        let outcome = filter.decide(frame, hook, WEB_INTERFACE, 5);
        assert_eq!(outcome.decision, expected, "case {index}");
    }
    let reply = filter.decide(&answer, Hook::TcIngress, WEB_INTERFACE, 6);
    assert_eq!(reply.decision, Decision::allow(Reason::Reply, RULE));
    assert_eq!((filter.flows(), filter.fragmented_packets()), (2, 0));
    assert_eq!(filter.packet().tcp_flags, SYN | ACK);
}

#[test]
fn a_new_generation_revokes_what_it_does_not_allow_and_keeps_the_rest() {
    let mut filter = Filter::new(&tables());
    let syn = segment(OFFICE_ADDRESS, WEB_ADDRESS, (40_000, 443), SYN);
    let first = filter.decide(&syn, Hook::TcEgress, WEB_INTERFACE, 5);
    assert_eq!((first.decision.reason, first.new_flow), (Reason::Rule, true));

    let mut second = tables();
    second.config.generation = 2;
    filter.install(&second);
    assert_eq!(filter.config().generation, 2);
    let kept = filter.decide(&syn, Hook::TcEgress, WEB_INTERFACE, 6);
    assert_eq!(kept.decision, Decision::allow(Reason::Established, RULE));

    let mut third = tables();
    third.config.generation = 3;
    third.policy.clear();
    filter.install(&third);
    let cut = filter.decide(&syn, Hook::TcEgress, WEB_INTERFACE, 7);
    assert_eq!(cut.decision, Decision::deny(Reason::Revoked, 0));
    let again = filter.decide(&syn, Hook::TcEgress, WEB_INTERFACE, 8);
    assert_eq!(again.decision, Decision::deny(Reason::NoRule, 0), "it may ask anew");
}

#[test]
fn a_cleared_filter_remembers_nothing() {
    let mut filter = Filter::new(&tables());
    let syn = segment(OFFICE_ADDRESS, WEB_ADDRESS, (40_000, 443), SYN);
    let ack = segment(OFFICE_ADDRESS, WEB_ADDRESS, (40_000, 443), ACK);
    let opened = filter.decide(&syn, Hook::TcEgress, WEB_INTERFACE, 5);
    assert!(opened.new_flow);
    filter.clear();
    let lost = filter.decide(&ack, Hook::TcEgress, WEB_INTERFACE, 6);
    assert_eq!(lost.decision, Decision::deny(Reason::NoConnection, 0));
    assert_eq!(filter.flows(), 0);
}

/// Threads of the tests below.
const THREADS: u16 = 4;

fn at(hook: Hook, now: u32) -> Place {
    Place::new(WEB_INTERFACE, hook, now)
}

#[test]
fn any_thread_may_see_the_answer() {
    const FLOWS: u16 = 500;
    let filter = SharedFilter::new(&[tables()], 8);
    let decide = |frame: &[u8], hook, work: &mut Desk| {
        let generation = filter.generation();
        filter.decide(&generation, 0, frame, &at(hook, 5), work).decision.reason
    };
    let opened = Barrier::new(THREADS.into());
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (decide, opened) = (&decide, &opened);
            scope.spawn(move || {
                let mut work = Desk::new();
                let ports = |number: u16| (0..FLOWS).map(move |flow| 1 + number * FLOWS + flow);
                for port in ports(number) {
                    let syn = segment(OFFICE_ADDRESS, WEB_ADDRESS, (port, 443), SYN);
                    assert_eq!(decide(&syn, Hook::TcEgress, &mut work), Reason::Rule);
                }
                opened.wait();
                for port in ports((number + 1) % THREADS) {
                    let answer = segment(WEB_ADDRESS, OFFICE_ADDRESS, (443, port), SYN | ACK);
                    assert_eq!(decide(&answer, Hook::TcIngress, &mut work), Reason::Reply);
                }
            });
        }
    });
    assert_eq!((filter.flows(), filter.fragmented_packets()), ((THREADS * FLOWS).into(), 0));
}

#[test]
fn a_packet_sees_one_generation_while_tables_are_replaced() {
    let open = tables();
    let mut closed = tables();
    closed.config.generation = 2;
    closed.policy.clear();
    let filter = SharedFilter::new(std::slice::from_ref(&open), 8);
    let done = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let packets = (1..=THREADS).map(|number| {
            let (filter, done) = (&filter, &done);
            scope.spawn(move || {
                let mut work = Desk::new();
                let mut seen = [0_u32; 3];
                for port in (1..=u16::MAX).cycle() {
                    let source = [192, 0, 2, number as u8];
                    let syn = segment(source, WEB_ADDRESS, (port, 443), SYN);
                    let generation = filter.generation();
                    let place = at(Hook::TcEgress, 5);
                    let outcome = filter.decide(&generation, 0, syn.as_slice(), &place, &mut work);
                    let expected: &[Reason] = match outcome.generation {
                        1 => &[Reason::Rule, Reason::Established],
                        _ => &[Reason::NoRule, Reason::Revoked],
                    };
                    assert!(expected.contains(&outcome.decision.reason), "{outcome:?}");
                    seen[outcome.generation as usize] += 1;
                    if done.load(Ordering::Relaxed) {
                        return seen;
                    }
                }
                seen
            })
        });
        let packets: Vec<_> = packets.collect();
        for turn in 0..400 {
            filter.install(std::slice::from_ref(if turn % 2 == 0 { &closed } else { &open }));
        }
        done.store(true, Ordering::Relaxed);
        packets.into_iter().map(|packets| packets.join().unwrap()).collect::<Vec<_>>()
    });
    let sums = seen.iter().fold([0, 0], |sum, seen| [sum[0] + seen[1], sum[1] + seen[2]]);
    assert!(sums.iter().all(|sum| *sum > 0), "both generations decided packets: {sums:?}");
}
