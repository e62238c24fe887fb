//! The steps of a connection, one by one. `L` is the local side, `R` the remote one.

use super::{Step, advance, has_sent, open, state, ticks};
use crate::abi::flow::{FlowEntry, flow_flags};
use crate::abi::policy::protocol;
use crate::packet::{Icmp, Packet, tcp};
use crate::verdict::Reason;

const L: bool = true;
const R: bool = false;
const SYN_ACK: u8 = tcp::SYN | tcp::ACK;
const FIN_ACK: u8 = tcp::FIN | tcp::ACK;
const RST_ACK: u8 = tcp::RST | tcp::ACK;

const INVALID: Step = Step::Invalid(Reason::InvalidTransition);
const OUT_OF_WINDOW: Step = Step::Invalid(Reason::OutOfWindow);

/// A segment with `data` bytes.
fn segment(flags: u8, sequence: u32, acknowledgement: u32, data: u32) -> Packet {
    let taken = u32::from(flags & tcp::SYN != 0) + u32::from(flags & tcp::FIN != 0);
    Packet {
        protocol: protocol::TCP,
        tcp_flags: flags,
        tcp_sequence: sequence,
        tcp_acknowledgement: acknowledgement,
        tcp_length: data + taken,
        ..Packet::default()
    }
}

fn datagram(protocol: u8) -> Packet {
    Packet { protocol, ..Packet::default() }
}

/// A flow and the clock.
struct Flow {
    entry: FlowEntry,
    now: u32,
}

impl Flow {
    fn open(from_local: bool, packet: &Packet) -> Self {
        Self::open_at(1_000, from_local, packet)
    }

    fn open_at(now: u32, from_local: bool, packet: &Packet) -> Self {
        let mut entry = FlowEntry::default();
        open(&mut entry, packet, from_local, now);
        Self { entry, now }
    }

    /// A flow opened by `opener` whose handshake is complete: the opener's numbers start at 100,
    /// the other side's at 500.
    fn established(opener: bool) -> Self {
        let mut flow = Self::open(opener, &segment(tcp::SYN, 100, 0, 0));
        assert_eq!(flow.step(!opener, &segment(SYN_ACK, 500, 101, 0)), Step::Reply);
        assert_eq!(flow.step(opener, &segment(tcp::ACK, 101, 501, 0)), Step::Forward);
        assert_eq!(flow.entry.state, state::ESTABLISHED);
        flow
    }

    fn step(&mut self, from_local: bool, packet: &Packet) -> Step {
        self.now = self.now.wrapping_add(1);
        advance(&mut self.entry, packet, from_local, self.now)
    }

    /// Sends segments `(from, flags, sequence, acknowledgement, data, expected, state after)`.
    #[track_caller]
    fn walk(&mut self, rows: &[(bool, u8, u32, u32, u32, Step, u8)]) {
        for (index, (from, flags, sequence, acknowledgement, data, expected, after)) in
            rows.iter().enumerate()
        {
            let step = self.step(*from, &segment(*flags, *sequence, *acknowledgement, *data));
            assert_eq!((step, self.entry.state), (*expected, *after), "row {index}: {self:?}");
        }
    }
}

impl core::fmt::Debug for Flow {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{:?} at {}", self.entry, self.now)
    }
}

#[test]
fn a_handshake_takes_three_steps_whoever_opens() {
    for opener in [L, R] {
        let mut flow = Flow::open(opener, &segment(tcp::SYN, 100, 0, 0));
        assert_eq!(flow.entry.state, state::SYN_SENT);
        flow.walk(&[
            (!opener, SYN_ACK, 500, 101, 0, Step::Reply, state::SYN_RECEIVED),
            (opener, tcp::ACK, 101, 501, 0, Step::Forward, state::ESTABLISHED),
            (opener, tcp::ACK, 101, 501, 40, Step::Forward, state::ESTABLISHED),
            (!opener, tcp::ACK, 501, 141, 0, Step::Reply, state::ESTABLISHED),
        ]);
    }
}

#[test]
fn a_repeated_syn_is_no_connection() {
    let mut flow = Flow::open(R, &segment(tcp::SYN, 100, 0, 0));
    flow.walk(&[
        (R, tcp::SYN, 100, 0, 0, Step::Forward, state::SYN_SENT),
        (R, tcp::SYN, 100, 0, 0, Step::Forward, state::SYN_SENT),
        (R, tcp::ACK, 101, 1, 9, INVALID, state::SYN_SENT),
    ]);
    assert_eq!(flow.entry.flags & flow_flags::CONFIRMED, 0);
}

#[test]
fn a_syn_ack_has_to_acknowledge_the_syn() {
    let mut flow = Flow::open(L, &segment(tcp::SYN, 100, 0, 0));
    flow.walk(&[
        (R, SYN_ACK, 500, 100, 0, OUT_OF_WINDOW, state::SYN_SENT),
        (R, SYN_ACK, 500, 102, 0, OUT_OF_WINDOW, state::SYN_SENT),
        (L, SYN_ACK, 100, 1, 0, INVALID, state::SYN_SENT),
        (R, SYN_ACK, 500, 101, 0, Step::Reply, state::SYN_RECEIVED),
        (R, SYN_ACK, 500, 101, 0, Step::Reply, state::SYN_RECEIVED),
    ]);
}

#[test]
fn which_syn_the_endpoint_answers_the_endpoint_knows_best() {
    // The second SYN is forged, or damaged on the way.
    let twice = || {
        let mut flow = Flow::open(R, &segment(tcp::SYN, 100, 0, 0));
        flow.walk(&[(R, tcp::SYN, 9_000, 0, 0, Step::Forward, state::SYN_SENT)]);
        flow
    };
    for asked in [100, 9_000] {
        twice().walk(&[
            (L, SYN_ACK, 500, asked + 1, 0, Step::Reply, state::SYN_RECEIVED),
            (R, tcp::ACK, asked + 1, 501, 0, Step::Forward, state::ESTABLISHED),
            (R, tcp::RST, asked + 1, 0, 0, Step::Forward, state::RESET),
        ]);
        twice().walk(&[(L, RST_ACK, 0, asked + 1, 0, Step::Reply, state::RESET)]);
    }
}

#[test]
fn a_forged_syn_or_syn_ack_does_not_move_the_window_in_which_a_reset_fits() {
    let answered = |opener: bool| {
        let mut flow = Flow::open(opener, &segment(tcp::SYN, 100, 0, 0));
        let step = flow.step(!opener, &segment(SYN_ACK, 500, 101, 0));
        assert_eq!(step, Step::Reply);
        flow
    };
    answered(R).walk(&[
        (R, tcp::SYN, 70_000, 0, 0, Step::Forward, state::SYN_RECEIVED),
        (R, tcp::RST, 70_001, 0, 0, OUT_OF_WINDOW, state::SYN_RECEIVED),
        (R, tcp::ACK, 101, 501, 0, Step::Forward, state::ESTABLISHED),
    ]);
    answered(L).walk(&[
        (R, SYN_ACK, 70_000, 90_000, 0, Step::Reply, state::SYN_RECEIVED),
        (R, tcp::RST, 70_001, 0, 0, OUT_OF_WINDOW, state::SYN_RECEIVED),
        (R, tcp::RST, 501, 0, 0, Step::Reply, state::RESET),
    ]);
    // The forged SYN seems to cross; the answer that acknowledges counts.
    Flow::open(L, &segment(tcp::SYN, 100, 0, 0)).walk(&[
        (R, tcp::SYN, 70_000, 0, 0, Step::Reply, state::SYN_RECEIVED),
        (R, SYN_ACK, 500, 101, 0, Step::Reply, state::SYN_RECEIVED),
        (R, tcp::RST, 70_001, 0, 0, OUT_OF_WINDOW, state::SYN_RECEIVED),
        (L, tcp::ACK, 101, 501, 0, Step::Forward, state::ESTABLISHED),
    ]);
}

#[test]
fn two_syns_that_cross_make_one_connection() {
    let mut flow = Flow::open(L, &segment(tcp::SYN, 100, 0, 0));
    flow.walk(&[
        (R, tcp::SYN, 500, 0, 0, Step::Reply, state::SYN_RECEIVED),
        (L, SYN_ACK, 100, 501, 0, Step::Forward, state::SYN_RECEIVED),
        (R, SYN_ACK, 500, 101, 0, Step::Reply, state::SYN_RECEIVED),
        (L, tcp::ACK, 101, 501, 0, Step::Forward, state::ESTABLISHED),
        (R, tcp::RST, 501, 0, 0, Step::Reply, state::RESET),
    ]);
}

#[test]
fn a_connection_closes_when_both_sides_have_sent_their_fin() {
    for first in [L, R] {
        let (mut ours, mut theirs) = ((101, 501), (501, 101));
        let mut flow = Flow::established(L);
        if first == R {
            (ours, theirs) = (theirs, ours);
        }
        let step = |from| if from == L { Step::Forward } else { Step::Reply };
        flow.walk(&[
            (first, FIN_ACK, ours.0, ours.1, 0, step(first), state::CLOSING),
            (first, FIN_ACK, ours.0, ours.1, 0, step(first), state::CLOSING),
            (!first, tcp::ACK, theirs.0, theirs.1 + 1, 300, step(!first), state::CLOSING),
            (!first, FIN_ACK, theirs.0 + 300, theirs.1 + 1, 0, step(!first), state::CLOSED),
            (first, tcp::ACK, ours.0 + 1, ours.1 + 301, 0, step(first), state::CLOSED),
            (!first, FIN_ACK, theirs.0 + 300, theirs.1 + 1, 0, step(!first), state::CLOSED),
        ]);
    }
}

#[test]
fn a_fin_that_does_not_follow_what_was_sent_closes_nothing() {
    let mut flow = Flow::established(L);
    flow.walk(&[
        (R, FIN_ACK, 90_000, 101, 0, Step::Reply, state::ESTABLISHED),
        (R, FIN_ACK, 4, 101, 0, Step::Reply, state::ESTABLISHED),
        (R, FIN_ACK, 501, 101, 0, Step::Reply, state::CLOSING),
    ]);
}

#[test]
fn a_reset_in_the_window_ends_the_connection() {
    let sent = [
        ("what comes next", 541),
        ("what is not acknowledged yet", 501),
        ("a keep-alive's number", 500),
    ];
    for (what, sequence) in sent {
        let mut flow = Flow::established(L);
        flow.walk(&[(R, tcp::ACK, 501, 101, 40, Step::Reply, state::ESTABLISHED)]);
        let step = flow.step(R, &segment(tcp::RST, sequence, 0, 0));
        assert_eq!((step, flow.entry.state), (Step::Reply, state::RESET), "{what}");
    }
}

#[test]
fn a_reset_out_of_the_window_ends_nothing() {
    let mut flow = Flow::established(L);
    flow.walk(&[
        (R, tcp::RST, 499, 0, 0, OUT_OF_WINDOW, state::ESTABLISHED),
        (R, tcp::RST, 503, 0, 0, OUT_OF_WINDOW, state::ESTABLISHED),
        (R, RST_ACK, 0, 101, 0, OUT_OF_WINDOW, state::ESTABLISHED),
        (L, tcp::RST, 103, 0, 0, OUT_OF_WINDOW, state::ESTABLISHED),
        (R, tcp::ACK, 501, 101, 7, Step::Reply, state::ESTABLISHED),
        (L, tcp::ACK, 101, 508, 7, Step::Forward, state::ESTABLISHED),
    ]);
}

#[test]
fn forged_data_does_not_move_the_window_in_which_a_reset_fits() {
    let mut flow = Flow::established(L);
    flow.walk(&[
        (R, tcp::ACK, 70_000, 101, 1, Step::Reply, state::ESTABLISHED),
        (R, tcp::RST, 70_001, 0, 0, OUT_OF_WINDOW, state::ESTABLISHED),
        (R, tcp::ACK, 501, 90_000, 0, Step::Reply, state::ESTABLISHED),
        (L, RST_ACK, 101, 501, 0, Step::Forward, state::RESET),
    ]);
}

#[test]
fn a_segment_lost_on_the_way_does_not_lose_the_window() {
    let mut flow = Flow::established(L);
    flow.walk(&[
        // 501..601 is lost, then repeated; the rest is not.
        (R, tcp::ACK, 601, 101, 100, Step::Reply, state::ESTABLISHED),
        (L, tcp::ACK, 101, 501, 0, Step::Forward, state::ESTABLISHED),
        (R, tcp::ACK, 501, 101, 100, Step::Reply, state::ESTABLISHED),
        (L, tcp::ACK, 101, 701, 0, Step::Forward, state::ESTABLISHED),
        (R, tcp::ACK, 701, 101, 100, Step::Reply, state::ESTABLISHED),
        (R, tcp::RST, 801, 0, 0, Step::Reply, state::RESET),
    ]);
}

#[test]
fn sequence_numbers_wrap_around() {
    let last = u32::MAX;
    let mut flow = Flow::open(R, &segment(tcp::SYN, last - 1, 0, 0));
    flow.walk(&[
        (L, SYN_ACK, last, last, 0, Step::Reply, state::SYN_RECEIVED),
        (R, tcp::ACK, last, 0, 0, Step::Forward, state::ESTABLISHED),
        (R, tcp::ACK, last, 0, 10, Step::Forward, state::ESTABLISHED),
        (L, tcp::ACK, 0, 9, 10, Step::Reply, state::ESTABLISHED),
        (R, tcp::RST, 0x8000_0000, 0, 0, OUT_OF_WINDOW, state::ESTABLISHED),
        (R, tcp::RST, 9, 0, 0, Step::Forward, state::RESET),
    ]);
}

#[test]
fn a_reset_that_answers_a_syn_has_to_acknowledge_it() {
    let mut flow = Flow::open(L, &segment(tcp::SYN, 100, 0, 0));
    flow.walk(&[
        (R, tcp::RST, 0, 0, 0, OUT_OF_WINDOW, state::SYN_SENT),
        (R, RST_ACK, 0, 100, 0, OUT_OF_WINDOW, state::SYN_SENT),
        (R, RST_ACK, 0, 101, 0, Step::Reply, state::RESET),
        (R, RST_ACK, 0, 101, 0, Step::Reply, state::RESET),
    ]);
}

#[test]
fn an_acknowledgement_number_without_the_flag_means_nothing() {
    let mut flow = Flow::open(L, &segment(tcp::SYN, 100, 77_777, 0));
    assert_eq!(flow.entry.numbers.local_ack, 0);
    flow.walk(&[
        (R, SYN_ACK, 500, 101, 0, Step::Reply, state::SYN_RECEIVED),
        (R, tcp::RST, 501, 0, 0, Step::Reply, state::RESET),
    ]);
}

#[test]
fn what_the_other_side_has_in_mind_of_an_older_connection_is_reset_and_the_attempt_goes_on() {
    let mut flow = Flow::open(L, &segment(tcp::SYN, 100, 0, 0));
    flow.walk(&[
        (R, tcp::ACK, 7_000, 9_000, 0, Step::Reply, state::SYN_SENT),
        (R, FIN_ACK, 7_000, 9_000, 0, INVALID, state::SYN_SENT),
        (L, tcp::RST, 9_000, 0, 0, Step::Forward, state::SYN_SENT),
        (L, tcp::SYN, 100, 0, 0, Step::Forward, state::SYN_SENT),
        (R, SYN_ACK, 500, 101, 0, Step::Reply, state::SYN_RECEIVED),
        (L, tcp::ACK, 101, 501, 0, Step::Forward, state::ESTABLISHED),
        (R, tcp::RST, 501, 0, 0, Step::Reply, state::RESET),
    ]);
}

#[test]
fn the_same_ports_may_be_used_again_after_the_end() {
    let syn = segment(tcp::SYN, 70_000, 0, 0);
    for opener in [L, R] {
        let mut closed = Flow::established(L);
        closed.walk(&[
            (L, FIN_ACK, 101, 501, 0, Step::Forward, state::CLOSING),
            (R, FIN_ACK, 501, 102, 0, Step::Reply, state::CLOSED),
        ]);
        assert_eq!(closed.step(opener, &syn), Step::Reopen);

        let mut reset = Flow::established(L);
        reset.walk(&[(L, tcp::RST, 101, 0, 0, Step::Forward, state::RESET)]);
        assert_eq!(reset.step(opener, &syn), Step::Reopen);
    }
}

#[test]
fn the_endpoint_may_start_anew_at_any_time_because_its_interface_vouches_for_it() {
    let syn = segment(tcp::SYN, 70_000, 0, 0);
    for opener in [L, R] {
        assert_eq!(Flow::established(opener).step(L, &syn), Step::Reopen, "established");
        let mut closing = Flow::established(opener);
        let fin = if opener == L { (101, 501) } else { (501, 101) };
        let _ = closing.step(L, &segment(FIN_ACK, fin.0, fin.1, 0));
        assert_eq!(closing.entry.state, state::CLOSING);
        assert_eq!(closing.step(L, &syn), Step::Reopen, "closing");
    }
}

#[test]
fn a_syn_from_outside_cannot_end_a_connection_that_lives_or_is_half_closed() {
    let mut flow = Flow::established(R);
    flow.walk(&[
        (R, tcp::SYN, 70_000, 0, 0, Step::Forward, state::ESTABLISHED),
        (L, tcp::ACK, 501, 101, 0, Step::Reply, state::ESTABLISHED),
        (R, tcp::ACK, 101, 501, 5, Step::Forward, state::ESTABLISHED),
        (R, FIN_ACK, 106, 501, 0, Step::Forward, state::CLOSING),
        (R, tcp::SYN, 70_000, 0, 0, Step::Forward, state::CLOSING),
        (L, tcp::ACK, 501, 107, 900, Step::Reply, state::CLOSING),
        (R, tcp::ACK, 107, 1_401, 0, Step::Forward, state::CLOSING),
    ]);
    let mut outgoing = Flow::established(L);
    outgoing.walk(&[(R, tcp::SYN, 70_000, 0, 0, INVALID, state::ESTABLISHED)]);
}

#[test]
fn a_challenge_lets_an_opener_that_has_restarted_reset_the_old_connection() {
    let mut flow = Flow::established(R);
    flow.walk(&[
        (R, tcp::SYN, 70_000, 0, 0, Step::Forward, state::ESTABLISHED),
        (L, tcp::ACK, 501, 101, 0, Step::Reply, state::ESTABLISHED),
        (R, tcp::RST, 101, 0, 0, Step::Forward, state::RESET),
        (R, tcp::SYN, 70_000, 0, 0, Step::Reopen, state::RESET),
    ]);
}

#[test]
fn an_endpoint_that_has_forgotten_a_connection_may_accept_it_again() {
    let mut flow = Flow::established(R);
    flow.walk(&[
        (L, FIN_ACK, 501, 101, 0, Step::Reply, state::CLOSING),
        (R, tcp::SYN, 70_000, 0, 0, Step::Forward, state::CLOSING),
        (L, SYN_ACK, 9, 70_001, 0, Step::Reply, state::SYN_RECEIVED),
        (R, tcp::ACK, 70_001, 10, 0, Step::Forward, state::ESTABLISHED),
        (R, tcp::RST, 101, 0, 0, OUT_OF_WINDOW, state::ESTABLISHED),
        (R, tcp::RST, 70_001, 0, 0, Step::Forward, state::RESET),
    ]);
}

#[test]
fn a_syn_ack_from_outside_changes_nothing_of_an_established_connection() {
    let mut flow = Flow::established(L);
    let before = flow.entry;
    flow.walk(&[(R, SYN_ACK, 500, 101, 0, Step::Reply, state::ESTABLISHED)]);
    flow.walk(&[(R, SYN_ACK, 90_000, 90_000, 0, Step::Reply, state::ESTABLISHED)]);
    flow.entry.last_seen = before.last_seen;
    assert_eq!(flow.entry, before);
    flow.walk(&[(L, SYN_ACK, 100, 501, 0, INVALID, state::ESTABLISHED)]);
}

#[test]
fn nothing_follows_a_reset_but_its_repetition_and_a_new_syn() {
    let mut flow = Flow::established(L);
    flow.walk(&[
        (R, tcp::RST, 501, 0, 0, Step::Reply, state::RESET),
        (R, tcp::ACK, 501, 101, 10, INVALID, state::RESET),
        (L, tcp::ACK, 101, 501, 10, INVALID, state::RESET),
        (L, FIN_ACK, 101, 501, 0, INVALID, state::RESET),
        (R, SYN_ACK, 501, 101, 0, INVALID, state::RESET),
        (R, tcp::RST, 501, 0, 0, Step::Reply, state::RESET),
        (L, tcp::SYN, 900, 0, 0, Step::Reopen, state::RESET),
    ]);
}

#[test]
fn a_picked_up_connection_is_established_and_takes_a_reset_by_the_numbers_it_has_seen() {
    let mut flow = Flow::open(L, &segment(tcp::ACK, 100, 500, 30));
    assert_eq!(flow.entry.state, state::ESTABLISHED);
    assert_eq!(flow.entry.flags, flow_flags::PICKED_UP);
    flow.walk(&[
        (R, tcp::RST, 90_000, 0, 0, OUT_OF_WINDOW, state::ESTABLISHED),
        (R, tcp::RST, 500, 0, 0, Step::Reply, state::RESET),
    ]);
}

#[test]
fn the_end_of_a_connection_is_picked_up_as_its_end() {
    for (flags, expected) in [
        (tcp::RST, state::RESET),
        (RST_ACK, state::RESET),
        (FIN_ACK, state::CLOSING),
        (tcp::ACK, state::ESTABLISHED),
    ] {
        let flow = Flow::open(R, &segment(flags, 100, 500, 0));
        assert_eq!(flow.entry.state, expected, "flags {flags:#x}");
    }
    let mut flow = Flow::open(R, &segment(tcp::RST, 100, 0, 0));
    assert_eq!(flow.step(L, &segment(tcp::SYN, 1, 0, 0)), Step::Reopen);
}

#[test]
fn each_state_is_forgotten_after_its_own_silence() {
    let ended = |flags| Flow::open(L, &segment(flags, 100, 500, 0)).entry;
    let mut received = Flow::open(L, &segment(tcp::SYN, 100, 0, 0));
    let _ = received.step(R, &segment(SYN_ACK, 500, 101, 0));
    let mut closed = Flow::established(L);
    let _ = closed.step(L, &segment(FIN_ACK, 101, 501, 0));
    let _ = closed.step(R, &segment(FIN_ACK, 501, 102, 0));
    let mut answered = Flow::open(L, &datagram(protocol::UDP));
    assert_eq!(answered.step(R, &datagram(protocol::UDP)), Step::Reply);
    let rows = [
        ("SYN sent", ended(tcp::SYN), state::SYN_SENT, 120),
        ("SYN received", received.entry, state::SYN_RECEIVED, 60),
        ("established", Flow::established(L).entry, state::ESTABLISHED, 432_000),
        ("closing", ended(FIN_ACK), state::CLOSING, 120),
        ("closed", closed.entry, state::CLOSED, 120),
        ("reset", ended(RST_ACK), state::RESET, 10),
        ("one-way datagrams", Flow::open(L, &datagram(protocol::UDP)).entry, state::OPEN, 30),
        ("two-way datagrams", answered.entry, state::OPEN, 120),
    ];
    for (what, entry, expected, seconds) in rows {
        assert_eq!(entry.state, expected, "{what}");
        let last_moment = entry.last_seen.wrapping_add(ticks(seconds));
        let packet = match expected {
            state::OPEN => datagram(protocol::UDP),
            state::RESET => segment(tcp::RST, 100, 0, 0),
            state::SYN_SENT => segment(tcp::SYN, 100, 0, 0),
            _ => segment(tcp::ACK, 101, 501, 0),
        };
        let at = |now| advance(&mut entry.clone(), &packet, L, now);
        assert_eq!(at(last_moment), Step::Forward, "{what} at the last moment");
        assert_eq!(at(last_moment.wrapping_add(1)), Step::Reopen, "{what} a tick later");
        assert!(has_sent(&entry, L, last_moment), "{what}");
        assert!(!has_sent(&entry, L, last_moment.wrapping_add(1)), "{what}");
    }
}

#[test]
fn time_wraps_around_and_may_seem_to_go_back() {
    let mut flow = Flow::open_at(u32::MAX - 5, L, &datagram(protocol::UDP));
    let seconds = ticks(29);
    assert_eq!(advance(&mut flow.entry, &datagram(protocol::UDP), L, seconds), Step::Forward);
    assert_eq!(flow.entry.last_seen, seconds);
    let back = seconds - 3;
    assert_eq!(advance(&mut flow.entry, &datagram(protocol::UDP), L, back), Step::Forward);
    let late = back + ticks(30) + 1;
    assert_eq!(advance(&mut flow.entry, &datagram(protocol::UDP), L, late), Step::Reopen);
}

#[test]
fn datagrams_sctp_and_protocols_without_ports_are_open_both_ways() {
    for number in [protocol::UDP, protocol::SCTP, 47, 50] {
        for opener in [L, R] {
            let packet = datagram(number);
            let mut flow = Flow::open(opener, &packet);
            assert_eq!(flow.step(opener, &packet), Step::Forward);
            assert_eq!(flow.entry.flags & flow_flags::CONFIRMED, 0);
            assert!(has_sent(&flow.entry, opener, flow.now));
            assert!(!has_sent(&flow.entry, !opener, flow.now), "nothing was answered yet");
            assert_eq!(flow.step(!opener, &packet), Step::Reply);
            assert_eq!(flow.entry.flags & flow_flags::CONFIRMED, flow_flags::CONFIRMED);
            assert!(has_sent(&flow.entry, !opener, flow.now));
            assert_eq!(flow.step(opener, &packet), Step::Forward);
        }
    }
}

#[test]
fn of_what_was_under_way_before_anybody_looked_both_sides_have_sent() {
    let reply = Packet { protocol: protocol::ICMP, icmp: Icmp::Reply, ..Packet::default() };
    for packet in [segment(tcp::ACK, 100, 500, 30), reply] {
        for from in [L, R] {
            let flow = Flow::open(from, &packet);
            assert!(has_sent(&flow.entry, L, flow.now) && has_sent(&flow.entry, R, flow.now));
        }
    }
    // Two replies are no conversation; a query and a reply are one, whichever was seen first.
    let query = Packet { icmp: Icmp::Query, ..reply };
    let mut flow = Flow::open(R, &reply);
    assert_eq!(flow.step(R, &reply), Step::Reply);
    assert_eq!(flow.entry.flags & flow_flags::CONFIRMED, 0);
    assert_eq!(flow.step(L, &query), Step::Forward);
    assert_eq!(flow.entry.flags & flow_flags::CONFIRMED, flow_flags::CONFIRMED);
}

#[test]
fn whoever_gets_a_reply_has_asked() {
    let reply = Packet { protocol: protocol::ICMP, icmp: Icmp::Reply, ..Packet::default() };
    let query = Packet { icmp: Icmp::Query, ..reply };
    let asked_by_remote =
        |from, packet| Flow::open(from, packet).entry.flags & flow_flags::OPENED_BY_REMOTE != 0;
    assert!(asked_by_remote(L, &reply) && asked_by_remote(R, &query));
    assert!(!asked_by_remote(R, &reply) && !asked_by_remote(L, &query));
    let mut flow = Flow::open(R, &reply);
    assert_eq!((flow.step(R, &reply), flow.step(L, &query)), (Step::Reply, Step::Forward));
}
