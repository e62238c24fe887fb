use std::time::Duration;

use super::{Conntrack, Direction, Fault, State, Tracked};
use crate::chain_eval::packet::Packet;
use crate::packet::{Frame, quote, tcp_flags};

/// Web opens, api answers.
const WEB: [u8; 4] = [10, 0, 0, 3];
const API: [u8; 4] = [10, 0, 0, 2];

fn between(from: [u8; 4], to: [u8; 4]) -> Frame {
    Frame::ethernet().ipv4(from.into(), to.into())
}

fn read(frame: &Frame) -> Packet {
    Packet::read(&frame.build()).expect("chains see it")
}

/// A segment of the connection between web:40000 and api:80.
fn segment(from_web: bool, flags: u8, sequence: u32, acknowledged: u32) -> Packet {
    let frame = if from_web {
        between(WEB, API).tcp(40_000, 80)
    } else {
        between(API, WEB).tcp(80, 40_000)
    };
    let frame = frame.sequence(sequence);
    let frame = if flags & tcp_flags::ACK != 0 { frame.ack(acknowledged) } else { frame };
    read(&frame.flags(flags))
}

fn pass(conntrack: &mut Conntrack, packet: &Packet) -> Tracked {
    let tracked = conntrack.see(packet, true);
    conntrack.settle(true);
    tracked
}

const SYN: u8 = tcp_flags::SYN;
const ACK: u8 = tcp_flags::ACK;
const FIN: u8 = tcp_flags::FIN;
const RST: u8 = tcp_flags::RST;

/// A connection that is established: web is at 1001, api at 5001.
fn established() -> Conntrack {
    let mut conntrack = Conntrack::default();
    for (from_web, flags, sequence, acknowledged, state) in [
        (true, SYN, 1000, 0, State::New),
        (false, SYN | ACK, 5000, 1001, State::Established),
        (true, ACK, 1001, 5001, State::Established),
    ] {
        let packet = segment(from_web, flags, sequence, acknowledged);
        let tracked = pass(&mut conntrack, &packet);
        let direction = if from_web { Direction::Original } else { Direction::Reply };
        assert_eq!((tracked.state, tracked.direction), (state, Some(direction)), "{flags:x}");
        assert_eq!(tracked.leniency, None);
    }
    conntrack
}

#[test]
fn tcp_begins_with_a_syn_or_in_the_middle_of_a_connection() {
    for (flags, expected) in [
        (SYN, State::New),
        (ACK, State::New),
        (SYN | ACK, State::Invalid),
        (FIN | ACK, State::Invalid),
        (RST, State::Invalid),
    ] {
        let tracked = pass(&mut Conntrack::default(), &segment(true, flags, 7, 9));
        assert_eq!(tracked.state, expected, "{flags:x}");
        let fault = (expected == State::Invalid).then_some(Fault::Stray);
        assert_eq!(tracked.fault, fault, "{flags:x}");
    }
}

#[test]
fn flags_that_no_packet_has_are_invalid() {
    for flags in [0, FIN, SYN | FIN | ACK, SYN | RST, tcp_flags::PSH, 0x3f] {
        let tracked = pass(&mut established(), &segment(true, flags, 1001, 5001));
        assert_eq!(tracked.fault, Some(Fault::Flags), "{flags:x}");
    }
}

#[test]
fn a_dropped_packet_leaves_nothing_behind() {
    let mut conntrack = Conntrack::default();
    let syn = segment(true, SYN, 1000, 0);
    assert_eq!(conntrack.see(&syn, true).state, State::New);
    conntrack.settle(false);
    let answer = pass(&mut conntrack, &segment(false, SYN | ACK, 5000, 1001));
    assert_eq!(answer.fault, Some(Fault::Stray));
}

#[test]
fn a_repeated_syn_is_still_new_and_known() {
    let mut conntrack = Conntrack::default();
    let syn = segment(true, SYN, 1000, 0);
    assert!(!pass(&mut conntrack, &syn).known);
    let again = pass(&mut conntrack, &syn);
    assert_eq!((again.state, again.known, again.leniency), (State::New, true, None));
}

#[test]
fn numbers_outside_the_window_are_invalid() {
    for (flags, sequence, acknowledged) in
        [(RST, 900, 0), (RST | ACK, 200_000, 5001), (ACK, 200_000, 5001), (ACK, 1001, 900_000)]
    {
        let tracked = pass(&mut established(), &segment(true, flags, sequence, acknowledged));
        assert_eq!(tracked.fault, Some(Fault::Step), "{flags:x} {sequence}");
    }
}

#[test]
fn a_reset_with_the_next_number_ends_the_connection() {
    let mut conntrack = established();
    let reset = pass(&mut conntrack, &segment(false, RST, 5001, 0));
    assert_eq!((reset.state, reset.leniency), (State::Established, None));
    let late = pass(&mut conntrack, &segment(true, ACK, 1001, 5001));
    assert!(late.leniency.is_some(), "the kernel still knows it");
    let anew = pass(&mut established_and_reset(), &segment(true, SYN, 9000, 0));
    assert_eq!(anew.state, State::New, "the port is used again");
}

fn established_and_reset() -> Conntrack {
    let mut conntrack = established();
    pass(&mut conntrack, &segment(true, RST, 1001, 0));
    conntrack
}

#[test]
fn a_reset_that_is_not_the_next_passes_and_ends_nothing() {
    let mut conntrack = established();
    let reset = pass(&mut conntrack, &segment(false, RST, 5100, 0));
    assert_eq!(reset.state, State::Established);
    assert!(reset.leniency.is_some());
    let more = pass(&mut conntrack, &segment(true, ACK, 1001, 5001));
    assert_eq!(more.state, State::Established);
    let syn = pass(&mut conntrack, &segment(false, SYN, 1, 0));
    assert_eq!(syn.fault, Some(Fault::Step), "the connection lives");
}

#[test]
fn what_both_sides_have_closed_can_begin_anew() {
    let mut conntrack = established();
    for (from_web, flags, sequence, acknowledged) in
        [(true, FIN | ACK, 1001, 5001), (false, FIN | ACK, 5001, 1002), (true, ACK, 1002, 5002)]
    {
        let tracked = pass(&mut conntrack, &segment(from_web, flags, sequence, acknowledged));
        assert_eq!((tracked.state, tracked.leniency), (State::Established, None), "{sequence}");
    }
    let anew = pass(&mut conntrack, &segment(true, SYN, 90_000, 0));
    assert_eq!((anew.state, anew.known), (State::New, false));
}

#[test]
fn a_refused_connection_is_forgotten() {
    let mut conntrack = Conntrack::default();
    pass(&mut conntrack, &segment(true, SYN, 1000, 0));
    let refused = pass(&mut conntrack, &segment(false, RST | ACK, 0, 1001));
    assert_eq!((refused.state, refused.leniency), (State::Established, None));
    let late = pass(&mut conntrack, &segment(false, SYN | ACK, 5000, 1001));
    assert_eq!(late.fault, Some(Fault::Stray));
}

#[test]
fn both_sides_may_open_at_once() {
    let mut conntrack = Conntrack::default();
    for (from_web, flags, sequence, acknowledged) in [
        (true, SYN, 1000, 0),
        (false, SYN, 5000, 0),
        (true, SYN | ACK, 1000, 5001),
        (false, SYN | ACK, 5000, 1001),
        (true, ACK, 1001, 5001),
    ] {
        let tracked = pass(&mut conntrack, &segment(from_web, flags, sequence, acknowledged));
        assert_ne!(tracked.state, State::Invalid, "{from_web} {flags:x}");
    }
}

#[test]
fn datagrams_are_new_until_somebody_answers() {
    let mut conntrack = Conntrack::default();
    let question = read(&between(WEB, API).udp(5000, 53).payload(8));
    let answer = read(&between(API, WEB).udp(53, 5000).payload(8));
    assert_eq!(pass(&mut conntrack, &question).state, State::New);
    assert_eq!(pass(&mut conntrack, &question).state, State::New);
    assert_eq!(pass(&mut conntrack, &answer).state, State::Established);
    assert_eq!(pass(&mut conntrack, &question).state, State::Established);
    conntrack.wait(Duration::from_secs(31));
    let late = pass(&mut conntrack, &answer);
    assert_eq!((late.state, late.direction), (State::New, Some(Direction::Original)));
    assert!(late.leniency.is_some(), "when it is forgotten is not ours to say");
}

#[test]
fn questions_of_icmp_may_be_answered() {
    let mut conntrack = Conntrack::default();
    let reply = read(&between(API, WEB).echo_reply(7, 1).payload(8));
    assert_eq!(pass(&mut conntrack, &reply).fault, Some(Fault::Unasked));
    let request = read(&between(WEB, API).echo_request(7, 1).payload(8));
    assert_eq!(pass(&mut conntrack, &request).state, State::New);
    assert_eq!(pass(&mut conntrack, &reply).state, State::Established);
    let other = read(&between(API, WEB).echo_reply(8, 1).payload(8));
    assert_eq!(pass(&mut conntrack, &other).fault, Some(Fault::Unasked));
    let odd = read(&between(WEB, API).icmp(10, 0, [0; 4]).payload(8));
    assert_eq!(pass(&mut conntrack, &odd).fault, Some(Fault::Untold));
}

#[test]
fn errors_are_related_to_what_their_receiver_has_sent() {
    let sent = between(WEB, API).udp(5000, 53).payload(8);
    let mut conntrack = Conntrack::default();
    pass(&mut conntrack, &read(&sent));
    let quoted = quote(&sent.build(), 28);
    let error = read(&between([10, 9, 9, 9], WEB).port_unreachable(&quoted));
    let tracked = pass(&mut conntrack, &error);
    assert_eq!((tracked.state, tracked.leniency), (State::Related, None));
    let misled = read(&between([10, 9, 9, 9], API).port_unreachable(&quoted));
    assert_eq!(pass(&mut conntrack, &misled).fault, Some(Fault::Unrelated));
    let foreign = quote(&between(WEB, API).udp(5001, 53).payload(8).build(), 28);
    let foreign = read(&between(API, WEB).port_unreachable(&foreign));
    assert_eq!(pass(&mut conntrack, &foreign).fault, Some(Fault::Unrelated));
    let unsent = quote(&between(API, WEB).udp(53, 5000).payload(8).build(), 28);
    let unsent = read(&between(WEB, API).port_unreachable(&unsent));
    let tracked = pass(&mut conntrack, &unsent);
    assert_eq!(tracked.state, State::Related);
    assert!(tracked.leniency.is_some(), "nobody has sent what it quotes");
}

#[test]
fn discovery_is_not_tracked() {
    let frame = Frame::ethernet().ip("fe80::1".parse().unwrap(), "ff02::1".parse().unwrap());
    for frame in [frame.clone().router_solicitation(), frame.clone().router_advertisement()] {
        assert_eq!(pass(&mut Conntrack::default(), &read(&frame)).state, State::Untracked);
    }
    let redirect = frame.redirect("fe80::2".parse().unwrap(), "fd00::2".parse().unwrap());
    assert_eq!(pass(&mut Conntrack::default(), &read(&redirect)).fault, Some(Fault::Untold));
}

#[test]
fn an_association_carries_its_tags() {
    const INIT: [u8; 16] = [0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];
    let from = |web: bool, tag: u32| {
        let frame = if web { between(WEB, API).sctp(5, 6) } else { between(API, WEB).sctp(6, 5) };
        frame.with_sctp(|sctp| sctp.verification_tag = tag)
    };
    let mut conntrack = Conntrack::default();
    let data = read(&from(true, 9).chunk(0, 3, &[0; 16]));
    assert_eq!(pass(&mut conntrack, &data).fault, Some(Fault::Stray));
    for (packet, state) in [
        (from(true, 0).chunk(1, 0, &INIT), State::New),
        (from(false, 7).chunk(2, 0, &INIT), State::Established),
        (from(true, 7).chunk(10, 0, &[0; 4]), State::Established),
        (from(false, 7).chunk(11, 0, &[]), State::Established),
        (from(false, 8).chunk(0, 3, &[0; 16]), State::Invalid),
    ] {
        assert_eq!(pass(&mut conntrack, &read(&packet)).state, state, "{packet:?}");
    }
}

#[test]
fn damage_is_invalid_where_it_arrives() {
    let mut packet = segment(true, SYN, 1000, 0);
    packet.transport[4] ^= 1;
    let arrived = Conntrack::default().see(&packet, true);
    assert_eq!(arrived.fault, Some(Fault::Checksum));
    assert!(arrived.leniency.is_some());
    assert_eq!(Conntrack::default().see(&packet, false).state, State::New);
    packet.transport.truncate(19);
    assert_eq!(Conntrack::default().see(&packet, false).fault, Some(Fault::Damaged));
}

#[test]
fn what_was_deleted_is_known_to_have_been() {
    let mut conntrack = established();
    let other = read(&between(WEB, API).udp(5000, 53).payload(8));
    pass(&mut conntrack, &other);
    conntrack.delete(|opening, _| opening.protocol == Some(6));
    let late = pass(&mut conntrack, &segment(false, ACK, 5001, 1001));
    assert_eq!((late.state, late.was_deleted), (State::New, true));
    assert!(!pass(&mut conntrack, &other).was_deleted);
}
