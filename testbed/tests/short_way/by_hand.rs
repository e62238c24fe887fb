//! What differed once, each as the fewest steps that show it.

use std::net::IpAddr;

use ringfence_common::abi::config::Hook;
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::Arrival;
use ringfence_testbed::packet::Frame;
use ringfence_testbed::packet::tcp_flags::{ACK, SYN};

use super::copies::{Copies, Start, Step};
use super::memory::Sizes;
use super::setting::{Change, Setting};

/// Ticks in so many seconds, a few more.
const fn seconds(seconds: u32) -> u32 {
    seconds * 120
}

/// `ops/open`, which nobody isolates, is behind interface 8; `shop/web` behind 3.
const OPEN: (u32, &str) = (8, "10.2.0.2");
const WEB: (u32, &str) = (3, "10.1.0.1");
/// Who may ask web for port 443, and somebody who may not.
const CLIENT: &str = "192.0.2.7";

fn start(now: u32, change: Change) -> Start {
    Start { now, arrival: Arrival::Tcx, change, sizes: Sizes::REAL }
}

fn packet(from: &str, to: &str) -> Frame {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    Frame::ethernet().ip(address(from), address(to))
}

fn sent_by(who: (u32, &str), frame: &Frame) -> Step {
    Step::Frame { frame: frame.build(), hook: Hook::TcIngress, ifindex: who.0 }
}

fn got_by(who: (u32, &str), frame: &Frame) -> Step {
    Step::Frame { frame: frame.build(), hook: Hook::TcEgress, ifindex: who.0 }
}

/// Plays steps whose last one is a frame; its reason.
fn last_reason(start: &Start, steps: &[Step]) -> Reason {
    let setting = Setting::new();
    let mut copies = Copies::new(&setting, start);
    copies.play(steps).unwrap_or_else(|(number, told)| panic!("step {number}: {told}"));
    copies.last().decision.reason
}

#[test]
fn a_flow_that_is_over_does_not_hide_the_next_one() {
    // Clocks ask each other like this, minutes apart and always from the same port.
    let ask = packet(OPEN.1, CLIENT).udp(123, 123).payload(48);
    let answer = packet(CLIENT, OPEN.1).udp(123, 123).payload(48);
    let mut steps = Vec::new();
    for _ in 0..3 {
        steps.extend([sent_by(OPEN, &ask), got_by(OPEN, &answer), Step::Time(seconds(300))]);
    }
    steps.extend([sent_by(OPEN, &ask), got_by(OPEN, &answer)]);
    assert_eq!(last_reason(&start(100, Change::PLAIN), &steps), Reason::Reply);
}

#[test]
fn a_port_may_be_used_again_after_a_while() {
    let syn = packet(CLIENT, WEB.1).tcp(40_000, 443).syn().sequence(10);
    let answer = packet(WEB.1, CLIENT).tcp(443, 40_000).syn().sequence(20).ack(11);
    let ack = packet(CLIENT, WEB.1).tcp(40_000, 443).sequence(11).ack(21);
    let [fin, last] = [(11, 21), (12, 22)].map(|(sequence, ack)| {
        packet(CLIENT, WEB.1).tcp(40_000, 443).fin().sequence(sequence).ack(ack)
    });
    let other_fin = packet(WEB.1, CLIENT).tcp(443, 40_000).fin().sequence(21).ack(12);
    let connection =
        [got_by(WEB, &syn), sent_by(WEB, &answer), got_by(WEB, &ack), got_by(WEB, &fin)];
    let end = [sent_by(WEB, &other_fin), got_by(WEB, &last), Step::Time(seconds(200))];
    let steps = [&connection[..], &end, &connection[..3]].concat();
    assert_eq!(last_reason(&start(100, Change::PLAIN), &steps), Reason::Established);
}

#[test]
fn a_flow_that_is_revoked_in_its_handshake_stays_so() {
    let syn = packet(CLIENT, WEB.1).tcp(40_000, 443).syn().sequence(10);
    let answer = packet(WEB.1, CLIENT).tcp(443, 40_000).syn().sequence(20).ack(11);
    let ack = packet(CLIENT, WEB.1).tcp(40_000, 443).sequence(11).ack(21);
    let steps = [
        got_by(WEB, &syn),
        sent_by(WEB, &answer),
        Step::Apply(Change { policies: 2, ..Change::PLAIN }),
        sent_by(WEB, &answer),
        Step::Time(seconds(90)),
        got_by(WEB, &ack),
    ];
    assert_eq!(last_reason(&start(100, Change::PLAIN), &steps), Reason::Revoked);
}

#[test]
fn an_old_connection_is_picked_up_by_a_clock_that_starts_anywhere() {
    let data = packet(CLIENT, WEB.1).tcp(40_000, 443).sequence(11).ack(21).payload(9);
    let change = Change { pick_up_seconds: 60, ..Change::PLAIN };
    for now in [100, 0x7fff_ffff, 0x8000_0000, 3_000_000_000, u32::MAX] {
        let reason = last_reason(&start(now, change), &[got_by(WEB, &data)]);
        assert_eq!(reason, Reason::PickedUp, "{now}");
    }
}

#[test]
fn an_evicted_connection_leaves_no_numbers_to_the_next_one() {
    let conversation = |from: u32| {
        let syn = packet(CLIENT, WEB.1).tcp(40_000, 443).syn().sequence(from);
        let answer = packet(WEB.1, CLIENT).tcp(443, 40_000).syn().sequence(20).ack(from + 1);
        let data = packet(CLIENT, WEB.1).tcp(40_000, 443).sequence(from + 1).ack(21).payload(90);
        let said = packet(WEB.1, CLIENT).tcp(443, 40_000).sequence(21).ack(from + 91);
        let steps = [got_by(WEB, &syn), sent_by(WEB, &answer)];
        let more = [got_by(WEB, &data), sent_by(WEB, &said), sent_by(WEB, &said)];
        [&steps[..], &more].concat()
    };
    let reset = packet(CLIENT, WEB.1).tcp(40_000, 443).rst().sequence(5_091);
    let steps = [&conversation(1_000)[..], &[Step::Evict(0)], &conversation(5_000)].concat();
    let steps = [steps, vec![got_by(WEB, &reset)]].concat();
    assert_eq!(last_reason(&start(100, Change::PLAIN), &steps), Reason::Established);
}

#[test]
fn a_connection_that_is_turned_round_was_not_answered() {
    // Open is picked up as who has asked, then only the other way is allowed, and then its own
    // packets are no answers to themselves.
    let data = packet(OPEN.1, CLIENT).tcp(40_000, 443).sequence(11).ack(21).payload(9);
    let mut steps = vec![sent_by(OPEN, &data)];
    for policies in [3, 0, 1, 2, 0] {
        steps.push(Step::Apply(Change { policies, ..Change::PLAIN }));
        steps.extend([sent_by(OPEN, &data), sent_by(OPEN, &data), sent_by(OPEN, &data)]);
    }
    assert_eq!(last_reason(&start(100, Change::PLAIN), &steps), Reason::Established);
}

#[test]
fn numbers_that_the_short_way_has_seen_judge_resets() {
    let syn = packet(CLIENT, WEB.1).tcp(40_000, 443).flags(SYN).sequence(1_000);
    let answer = packet(WEB.1, CLIENT).tcp(443, 40_000).syn().sequence(20).ack(1_001);
    let data = |at: u32| {
        let frame = packet(CLIENT, WEB.1).tcp(40_000, 443).flags(ACK).sequence(1_001 + at * 100);
        frame.with_tcp(|tcp| tcp.acknowledgement = 21).payload(100)
    };
    let said = |at: u32| packet(WEB.1, CLIENT).tcp(443, 40_000).sequence(21).ack(1_001 + at * 100);
    let mut steps = vec![got_by(WEB, &syn), sent_by(WEB, &answer)];
    for at in 0..40 {
        steps.extend([got_by(WEB, &data(at)), sent_by(WEB, &said(at + 1))]);
    }
    let reset = |sequence| packet(CLIENT, WEB.1).tcp(40_000, 443).rst().sequence(sequence);
    let (setting, start) = (Setting::new(), start(100, Change::PLAIN));
    for (sequence, expected) in [
        (1_001, Reason::OutOfWindow),
        (4_900, Reason::OutOfWindow),
        (5_001, Reason::Established),
        (5_003, Reason::OutOfWindow),
    ] {
        let mut copies = Copies::new(&setting, &start);
        let steps = [&steps[..], &[got_by(WEB, &reset(sequence))]].concat();
        copies.play(&steps).unwrap_or_else(|(number, told)| panic!("step {number}: {told}"));
        assert_eq!(copies.last().decision.reason, expected, "{sequence}");
        assert!(copies.shares.known.short >= 70, "{}", copies.shares);
    }
}

#[test]
fn addresses_that_share_a_half_are_different() {
    let web = "fd01::1";
    let ask = |from: &str, to: &str| packet(from, to).udp(40_000, 443).payload(9);
    let sizes = Sizes { cache: 1, ..Sizes::REAL };
    let start = Start { sizes, ..start(100, Change::PLAIN) };
    let known = got_by(WEB, &ask("2001:db8:1::7", web));
    for other in ["2001:db8:1::8", "2001:db8:1:0:8000::7"] {
        let steps = [&[(); 3].map(|()| known.clone())[..], &[got_by(WEB, &ask(other, web))]];
        assert_eq!(last_reason(&start, &steps.concat()), Reason::Rule, "{other}");
    }
}

#[test]
fn a_short_flow_at_a_shared_place_does_not_end_a_long_one() {
    let syn = packet(CLIENT, WEB.1).tcp(40_000, 443).syn().sequence(10);
    let answer = packet(WEB.1, CLIENT).tcp(443, 40_000).syn().sequence(20).ack(11);
    let data = packet(CLIENT, WEB.1).tcp(40_000, 443).sequence(11).ack(21).payload(9);
    let datagram = |port| got_by(WEB, &packet(CLIENT, WEB.1).udp(port, 443).payload(9));
    let connection = [got_by(WEB, &syn), sent_by(WEB, &answer), got_by(WEB, &data)];
    let later = [datagram(2), Step::Time(seconds(200)), got_by(WEB, &data)];
    let steps = [&[datagram(1)][..], &connection, &later].concat();
    let sizes = Sizes { presences: 2, ..Sizes::REAL };
    let start = Start { sizes, ..start(100, Change::PLAIN) };
    assert_eq!(last_reason(&start, &steps), Reason::Established);
}

#[test]
fn what_was_first_seen_in_its_middle_is_half_open_until_it_is_answered() {
    let data = packet(CLIENT, OPEN.1).tcp(40_000, 443).sequence(11).ack(21).payload(9);
    let answer = packet(OPEN.1, CLIENT).tcp(443, 40_000).sequence(21).ack(20);
    let (setting, start) = (Setting::new(), start(100, Change::PLAIN));
    let mut copies = Copies::new(&setting, &start);
    for (step, half_open) in [
        (got_by(OPEN, &data), 1),
        (got_by(OPEN, &data), 1),
        (sent_by(OPEN, &answer), 0),
        (got_by(OPEN, &data), 0),
    ] {
        copies.play(&[step]).unwrap_or_else(|(_, told)| panic!("{told}"));
        assert_eq!(copies.half_open(), half_open);
    }
}
