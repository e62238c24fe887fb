//! Connection tracking: what a packet does to the flow it belongs to.
//!
//! Goals: (a) replies pass without a rule; (b) nothing that no step of a connection has passes as
//! one; (c) an attacker who does not see the connection can neither end it nor ride on it; (d) a
//! lost or repeated packet does no harm.
//!
//! Design. An endpoint keeps its own view of each flow, under a key that is the same for both
//! directions ([`crate::abi::flow::FlowKey`]), so one look-up serves both (a). TCP follows RFC 9293's steps as far
//! as a third party sees them (b). A reset has to carry a sequence number between what its
//! receiver has acknowledged and what its sender has sent, a SYN+ACK has to acknowledge the SYN
//! (c). Repeated SYN, SYN+ACK, FIN and RST pass and change nothing (d). Everything else (UDP,
//! SCTP, ICMP queries, protocols without ports) is open until it falls silent.
//!
//! The endpoint is believed more than the other end (c): its interface vouches for its address,
//! and every packet it sends is seen, in order. So its numbers count as they are and its SYN
//! starts anew at any time, while the other end's numbers count only where they follow what is
//! known, or once the endpoint has acknowledged them.
//!
//! Not done: data outside the window passes; both stacks drop it.

use crate::abi::flow::{FlowEntry, Numbers, TICK_SHIFT, flow_flags};
use crate::abi::policy::protocol;
use crate::packet::{Icmp, Packet, tcp};
use crate::verdict::Reason;

/// States of a flow.
pub mod state {
    /// TCP: SYN seen.
    pub const SYN_SENT: u8 = 1;
    /// TCP: SYN answered by SYN+ACK, or crossed by the other side's SYN.
    pub const SYN_RECEIVED: u8 = 2;
    /// TCP: the handshake is complete.
    pub const ESTABLISHED: u8 = 3;
    /// TCP: one side has sent its FIN.
    pub const CLOSING: u8 = 4;
    /// TCP: both sides have.
    pub const CLOSED: u8 = 5;
    /// TCP: ended by a reset.
    pub const RESET: u8 = 6;
    /// Not TCP.
    pub const OPEN: u8 = 7;
}

/// Seconds a flow may be silent before it is forgotten: the defaults of Linux' own connection
/// tracking (`nf_conntrack_*_timeout*`, Documentation/networking/nf_conntrack-sysctl.rst).
mod seconds {
    pub const SYN_SENT: u64 = 120;
    pub const SYN_RECEIVED: u64 = 60;
    pub const ESTABLISHED: u64 = 432_000;
    pub const CLOSING: u64 = 120;
    pub const CLOSED: u64 = 120;
    pub const RESET: u64 = 10;
    pub const DATAGRAM: u64 = 30;
    pub const DATAGRAM_TWO_WAY: u64 = 120;
}

/// Ticks of silence that no flow outlives.
pub const LONGEST: u32 = ticks(seconds::ESTABLISHED);

/// Ticks in `seconds`.
#[must_use]
pub const fn ticks(seconds: u64) -> u32 {
    ((seconds * 1_000_000_000) >> TICK_SHIFT) as u32
}

/// What a packet means for the flow that its key found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It belongs to the flow; it goes the opener's way.
    Forward,
    /// It belongs to the flow; it answers.
    Reply,
    /// The flow is over; the packet may open a new one.
    Reopen,
    /// It does not belong to any flow.
    Invalid(Reason),
}

/// Whether the packet opens a TCP connection: SYN alone.
#[must_use]
#[inline(always)]
pub const fn is_syn(packet: &Packet) -> bool {
    packet.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN
}

/// Makes the entry of a new flow opened by `packet`; generation, rule and reasons are the caller's.
#[inline(never)]
pub fn open(entry: &mut FlowEntry, packet: &Packet, from_local: bool, now: u32) {
    *entry = FlowEntry::default();
    entry.last_seen = now;
    entry.state = state::OPEN;
    // Whoever gets a reply has asked, though nobody saw it.
    let answers = packet.icmp == Icmp::Reply;
    if from_local == answers {
        entry.flags = flow_flags::OPENED_BY_REMOTE;
    }
    if answers {
        entry.flags |= flow_flags::BEGUN_BY_ANSWER;
    }
    if packet.protocol == protocol::TCP {
        open_tcp(entry, packet, from_local);
    }
}

#[inline(always)]
fn open_tcp(entry: &mut FlowEntry, packet: &Packet, from_local: bool) {
    let flags = packet.tcp_flags;
    let acknowledged = if flags & tcp::ACK != 0 { packet.tcp_acknowledgement } else { 0 };
    entry.state = state::SYN_SENT;
    if !is_syn(packet) {
        entry.state = if flags & tcp::RST != 0 { state::RESET } else { state::ESTABLISHED };
        entry.flags |= flow_flags::PICKED_UP;
        let (_, other) = ends(entry, from_local);
        *other.end = acknowledged;
        *other.acknowledged = packet.tcp_sequence;
    }
    let (own, _) = ends(entry, from_local);
    *own.end = packet.tcp_sequence.wrapping_add(packet.tcp_length);
    *own.acknowledged = acknowledged;
    if flags & tcp::FIN != 0 {
        finish(entry, from_local);
    }
}

/// Ends a flow that policy has revoked: it is forgotten as soon as one that both sides have closed.
#[inline(always)]
pub fn close(entry: &mut FlowEntry) {
    if entry.state != state::OPEN {
        entry.state = state::CLOSED;
        entry.flags |= flow_flags::LOCAL_FIN | flow_flags::REMOTE_FIN;
    }
}

/// Moves the flow by one packet.
#[inline(never)]
pub fn advance(entry: &mut FlowEntry, packet: &Packet, from_local: bool, now: u32) -> Step {
    if is_expired(entry, now) {
        return Step::Reopen;
    }
    let opened_by_local = entry.flags & flow_flags::OPENED_BY_REMOTE == 0;
    let forward = opened_by_local == from_local;
    if entry.state != state::OPEN {
        let step = tcp_step(entry, packet, from_local, forward);
        if !matches!(step, Step::Forward | Step::Reply) {
            return step;
        }
        note_sequence(entry, packet, from_local);
    }
    entry.last_seen = now;
    // The other side's first packet.
    let begun_by_opener = entry.flags & flow_flags::BEGUN_BY_ANSWER == 0;
    if forward != begun_by_opener && entry.flags & flow_flags::CONFIRMED == 0 {
        entry.flags |= flow_flags::CONFIRMED;
    }
    if forward { Step::Forward } else { Step::Reply }
}

/// Whether nobody has answered the flow's opener yet. Whoever sends first packets alone, to anyone
/// who is open or in anyone's name, makes such flows; packets from the middle of a connection that
/// nobody knows are no better.
#[must_use]
#[inline(always)]
pub const fn is_half_open(entry: &FlowEntry) -> bool {
    match entry.state {
        state::SYN_SENT | state::SYN_RECEIVED => true,
        state::OPEN => entry.flags & flow_flags::CONFIRMED == 0,
        _ => {
            let seen = flow_flags::PICKED_UP | flow_flags::CONFIRMED;
            entry.flags & seen == flow_flags::PICKED_UP
        }
    }
}

/// Whether the flow has been silent for too long to count.
#[inline(always)]
const fn is_expired(entry: &FlowEntry, now: u32) -> bool {
    now.wrapping_sub(entry.last_seen) > timeout(entry) && !is_older(now, entry.last_seen)
}

/// Whether the local side (else the remote one) has sent a packet of this flow that somebody may
/// still complain about. Of what was under way before anybody looked, both have.
#[must_use]
#[inline(always)]
pub const fn has_sent(entry: &FlowEntry, local: bool, now: u32) -> bool {
    let opened_by_local = entry.flags & flow_flags::OPENED_BY_REMOTE == 0;
    let both = flow_flags::CONFIRMED | flow_flags::PICKED_UP | flow_flags::BEGUN_BY_ANSWER;
    !is_expired(entry, now) && (opened_by_local == local || entry.flags & both != 0)
}

/// Whether `then` lies after `now`: another CPU has seen a packet a moment later.
#[inline(always)]
const fn is_older(now: u32, then: u32) -> bool {
    then.wrapping_sub(now) < 1 << 16
}

/// Ticks of silence after which the flow is over.
#[must_use]
#[inline(always)]
pub const fn timeout(entry: &FlowEntry) -> u32 {
    match entry.state {
        state::SYN_SENT => ticks(seconds::SYN_SENT),
        state::SYN_RECEIVED => ticks(seconds::SYN_RECEIVED),
        state::ESTABLISHED => ticks(seconds::ESTABLISHED),
        state::CLOSING => ticks(seconds::CLOSING),
        state::CLOSED => ticks(seconds::CLOSED),
        state::RESET => ticks(seconds::RESET),
        _ if entry.flags & flow_flags::CONFIRMED != 0 => ticks(seconds::DATAGRAM_TWO_WAY),
        _ => ticks(seconds::DATAGRAM),
    }
}

/// As [`timeout`], and no less than what the flow has if policy revokes it now ([`close`]).
#[must_use]
#[inline(always)]
pub const fn timeout_revoked(entry: &FlowEntry) -> u32 {
    let (timeout, closed) = (timeout(entry), ticks(seconds::CLOSED));
    if entry.state != state::OPEN && timeout < closed { closed } else { timeout }
}

#[inline(always)]
fn tcp_step(entry: &mut FlowEntry, packet: &Packet, from_local: bool, forward: bool) -> Step {
    let belongs = if forward { Step::Forward } else { Step::Reply };
    let flags = packet.tcp_flags;
    if flags & tcp::RST != 0 {
        return reset(entry, packet, from_local, belongs);
    }
    if flags & tcp::SYN != 0 {
        return if flags & tcp::ACK == 0 {
            syn(entry, from_local, forward, belongs)
        } else {
            syn_ack(entry, packet, from_local, forward, belongs)
        };
    }
    match entry.state {
        // Before the answer the opener has nothing to acknowledge. The other side may have an
        // older connection in mind; its acknowledgement makes the opener reset it (RFC 9293
        // §3.5.3), so it has to arrive.
        state::SYN_SENT if forward => return Step::Invalid(Reason::InvalidTransition),
        state::SYN_SENT if flags & tcp::FIN != 0 => {
            return Step::Invalid(Reason::InvalidTransition);
        }
        state::SYN_SENT => return belongs,
        state::RESET => return Step::Invalid(Reason::InvalidTransition),
        state::SYN_RECEIVED if forward => {
            // The other end has to show that it has seen the endpoint's SYN+ACK: else one forged
            // packet would make a half-open connection last for days.
            let (_, other) = ends(entry, from_local);
            if from_local || packet.tcp_acknowledgement == *other.end {
                entry.state = state::ESTABLISHED;
            }
        }
        _ => {}
    }
    if flags & tcp::FIN != 0 {
        // One that does not follow what is known may be forged; its receiver judges it.
        let (own, other) = ends(entry, from_local);
        if from_local || fits(&own, &other, packet.tcp_sequence) {
            finish(entry, from_local);
        }
    }
    belongs
}

/// A SYN without ACK.
#[inline(always)]
fn syn(entry: &mut FlowEntry, from_local: bool, forward: bool, belongs: Step) -> Step {
    match entry.state {
        state::CLOSED | state::RESET => Step::Reopen,
        state::SYN_SENT if !forward => {
            entry.state = state::SYN_RECEIVED;
            belongs
        }
        state::SYN_SENT | state::SYN_RECEIVED => belongs,
        _ if from_local => Step::Reopen,
        // The opener may have restarted; the endpoint answers with a challenge (RFC 5961 §4).
        _ if forward => belongs,
        _ => Step::Invalid(Reason::InvalidTransition),
    }
}

/// A SYN with ACK: the answer, or in a simultaneous open either side's.
#[inline(always)]
fn syn_ack(
    entry: &mut FlowEntry,
    packet: &Packet,
    from_local: bool,
    forward: bool,
    belongs: Step,
) -> Step {
    match entry.state {
        state::SYN_SENT if !forward => {
            // Which SYN the endpoint answers, the endpoint knows best: one may be forged.
            let (_, opener) = ends(entry, from_local);
            if from_local {
                *opener.end = packet.tcp_acknowledgement;
            } else if *opener.end != packet.tcp_acknowledgement {
                return Step::Invalid(Reason::OutOfWindow);
            }
            entry.state = state::SYN_RECEIVED;
            belongs
        }
        state::SYN_RECEIVED => {
            if from_local {
                entry.numbers.remote_end = packet.tcp_acknowledgement;
            }
            belongs
        }
        // Repeated, or the endpoint accepts a connection after one that it has forgotten.
        state::ESTABLISHED | state::CLOSING if !forward => {
            if from_local {
                entry.state = state::SYN_RECEIVED;
                entry.flags &= !(flow_flags::LOCAL_FIN | flow_flags::REMOTE_FIN);
                entry.numbers.remote_end = packet.tcp_acknowledgement;
                entry.numbers.remote_ack = 0;
            }
            belongs
        }
        _ => Step::Invalid(Reason::InvalidTransition),
    }
}

#[inline(always)]
fn finish(entry: &mut FlowEntry, from_local: bool) {
    entry.flags |= if from_local { flow_flags::LOCAL_FIN } else { flow_flags::REMOTE_FIN };
    let both = flow_flags::LOCAL_FIN | flow_flags::REMOTE_FIN;
    entry.state = if entry.flags & both == both { state::CLOSED } else { state::CLOSING };
}

/// A reset ends the connection only if its sequence number fits; one that answers a SYN has to
/// acknowledge it, if it is not the endpoint's (RFC 9293 §3.5.2, RFC 5961 §3).
#[inline(always)]
fn reset(entry: &mut FlowEntry, packet: &Packet, from_local: bool, belongs: Step) -> Step {
    let sent_syn = entry.state == state::SYN_SENT;
    // The opener itself resets what the other side has in mind of an older connection: its own
    // attempt goes on (RFC 9293 §3.5.3).
    if entry.state == state::RESET || sent_syn && belongs == Step::Forward {
        return belongs;
    }
    let (own, other) = ends(entry, from_local);
    let fits = if sent_syn {
        packet.tcp_flags & tcp::ACK != 0 && (from_local || packet.tcp_acknowledgement == *other.end)
    } else {
        fits(&own, &other, packet.tcp_sequence)
    };
    if !fits {
        return Step::Invalid(Reason::OutOfWindow);
    }
    entry.state = state::RESET;
    belongs
}

/// Whether `sequence` lies between what its receiver has acknowledged and what its sender has
/// sent.
#[inline(always)]
fn fits(own: &End<'_>, other: &End<'_>, sequence: u32) -> bool {
    if *other.acknowledged == 0 {
        // The receiver has acknowledged nothing: it follows what was sent.
        return sequence == *own.end;
    }
    // One before what was acknowledged is a keep-alive's number.
    let from = other.acknowledged.wrapping_sub(1);
    sequence.wrapping_sub(from) <= own.end.wrapping_sub(from).wrapping_add(1)
}

/// Remembers how far the sender has come. A SYN starts its numbers anew; before it is answered,
/// other packets belong to an older connection. The remote side's numbers count only where they
/// follow what is known, so that whoever does not know them moves the window in which a reset fits
/// by a rare guess alone.
#[inline(always)]
fn note_sequence(entry: &mut FlowEntry, packet: &Packet, from_local: bool) {
    let (flags, state) = (packet.tcp_flags, entry.state);
    let (own, other) = ends(entry, from_local);
    let end = packet.tcp_sequence.wrapping_add(packet.tcp_length);
    let acknowledgement = packet.tcp_acknowledgement;
    if flags & tcp::SYN != 0 {
        // The remote side's first SYN counts, and a SYN+ACK that acknowledges what was sent; any
        // other may be forged.
        let counts = match flags & tcp::ACK {
            _ if from_local => true,
            0 => *own.end == 0,
            _ => acknowledgement == *other.end,
        };
        if counts && matches!(state, state::SYN_SENT | state::SYN_RECEIVED) {
            *own.end = end;
            *own.acknowledged = if flags & tcp::ACK != 0 { acknowledgement } else { 0 };
        }
        return;
    }
    if flags & tcp::RST == 0 && state != state::SYN_SENT {
        note_data(&mut entry.numbers, packet, from_local);
    }
}

/// Remembers how far the sender of a segment without SYN and RST has come.
#[inline(always)]
pub fn note_data(numbers: &mut Numbers, packet: &Packet, from_local: bool) {
    let (own, other) = ends_of(numbers, from_local);
    let end = packet.tcp_sequence.wrapping_add(packet.tcp_length);
    let acknowledgement = packet.tcp_acknowledgement;
    let follows = from_local || !is_after(packet.tcp_sequence, *own.end);
    if follows && is_after(end, *own.end) {
        *own.end = end;
    }
    let is_news = *own.acknowledged == 0 || is_after(acknowledgement, *own.acknowledged);
    let was_sent = !is_after(acknowledgement, *other.end);
    if is_news && (from_local || was_sent) {
        *own.acknowledged = acknowledgement;
        if !was_sent {
            // The endpoint has got what was not seen here in order.
            *other.end = acknowledgement;
        }
    }
}

/// Whether sequence number `a` comes after `b` (RFC 9293 §3.4).
#[inline(always)]
const fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).wrapping_sub(1) < 0x7fff_ffff
}

/// One side's sequence numbers.
struct End<'a> {
    end: &'a mut u32,
    acknowledged: &'a mut u32,
}

/// The sender's and the receiver's numbers.
#[inline(always)]
fn ends(entry: &mut FlowEntry, from_local: bool) -> (End<'_>, End<'_>) {
    ends_of(&mut entry.numbers, from_local)
}

#[inline(always)]
fn ends_of(numbers: &mut Numbers, from_local: bool) -> (End<'_>, End<'_>) {
    let Numbers { local_end, remote_end, local_ack, remote_ack } = numbers;
    let local = End { end: local_end, acknowledged: local_ack };
    let remote = End { end: remote_end, acknowledged: remote_ack };
    if from_local { (local, remote) } else { (remote, local) }
}

#[cfg(test)]
mod tests;
