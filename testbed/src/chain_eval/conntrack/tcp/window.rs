//! The window of a TCP connection (`tcp_in_window`): which numbers may be under way, after Guido
//! van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2001). Selective acknowledgements
//! are not read.

use super::super::Direction;
use crate::chain_eval::packet::{Tcp, flags};

/// Acknowledgements may be older than the window by this much.
const LATEST: u32 = 66_000;

/// What is known of one sender.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    /// The number after the last byte it has sent.
    end: u32,
    /// The number after the last byte that the other side has room for.
    limit: u32,
    /// The largest window it has offered; 0 until it has sent anything.
    window: u32,
    /// The highest number that it has acknowledged.
    pub acknowledged: Option<u32>,
    /// By how much its windows are scaled.
    scale: u8,
    /// Whether it has offered a scale.
    offers_scale: bool,
    /// Whether it has sent what nobody has acknowledged yet.
    pub has_unacknowledged: bool,
    /// Whether no number is refused, since the beginning was not seen.
    pub is_liberal: bool,
}

/// How a packet fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It does.
    Good,
    /// It need not.
    Liberal,
    /// It repeats what is long acknowledged: passed on, and nothing learnt.
    Old,
    /// It does not.
    Bad,
}

/// How far the handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A SYN has been sent.
    Asked,
    /// And answered.
    Answered,
    /// It is over, or was not seen.
    Open,
}

impl End {
    /// Of who has not sent anything.
    pub fn unheard(is_liberal: bool) -> Self {
        Self { is_liberal, ..Self::default() }
    }

    /// Of who has sent this SYN.
    pub fn beginning(tcp: &Tcp) -> Self {
        let end = end_of(tcp);
        let window = u32::from(tcp.window).max(1);
        let (scale, offers_scale) = (tcp.scale.unwrap_or(0), tcp.scale.is_some());
        Self { end, limit: end, window, scale, offers_scale, ..Self::default() }
    }

    /// Of who has sent this in the middle of a connection.
    pub fn midway(tcp: &Tcp) -> Self {
        let end = end_of(tcp);
        let window = u32::from(tcp.window).max(1);
        Self { end, limit: end.wrapping_add(window), window, is_liberal: true, ..Self::default() }
    }
}

/// The number after the last of a packet's bytes; SYN and FIN count as one each.
pub const fn end_of(tcp: &Tcp) -> u32 {
    let syn = (tcp.flags & flags::SYN != 0) as u32;
    let fin = (tcp.flags & flags::FIN != 0) as u32;
    tcp.sequence.wrapping_add(tcp.data).wrapping_add(syn).wrapping_add(fin)
}

/// Whether `a` comes before `b` (RFC 9293 §3.4).
pub const fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Whether a packet fits, and what it tells of both ends.
pub fn fit(ends: &mut [End; 2], direction: Direction, tcp: &Tcp, phase: Phase) -> Fit {
    let [original, reply] = ends;
    let (sender, receiver) = match direction {
        Direction::Original => (original, reply),
        Direction::Reply => (reply, original),
    };
    let is_syn = tcp.flags & flags::SYN != 0;
    let has_ack = tcp.flags & flags::ACK != 0;
    let end = end_of(tcp);
    if sender.window == 0 || is_syn && phase != Phase::Open && is_before(sender.end, end) {
        if is_syn {
            let End { acknowledged, is_liberal, .. } = *sender;
            *sender = End { acknowledged, is_liberal, ..End::beginning(tcp) };
            if direction == Direction::Reply {
                if !(sender.offers_scale && receiver.offers_scale) {
                    (sender.scale, receiver.scale) = (0, 0);
                }
                // Both sides open at once.
                if !has_ack {
                    return Fit::Good;
                }
            }
        } else {
            join(sender, receiver, tcp, end);
        }
    }
    let is_reset = tcp.flags & flags::RST != 0;
    let acknowledged = match tcp.acknowledgement {
        _ if !has_ack => receiver.end,
        0 if is_reset => receiver.end,
        acknowledged => acknowledged,
    };
    let (sequence, end) = if is_reset && tcp.sequence == 0 && phase == Phase::Asked {
        (sender.end, sender.end)
    } else {
        (tcp.sequence, end)
    };
    let earliest = |sender: &End, receiver: &End| {
        receiver.end.wrapping_sub(sender.window.max(LATEST)).wrapping_sub(1)
    };
    let is_beyond = !is_before(sequence, sender.limit.wrapping_add(1));
    let is_unsent = !is_before(acknowledged, receiver.end.wrapping_add(1));
    let is_over = receiver.window != 0
        && !is_before(sender.end.wrapping_sub(receiver.window).wrapping_sub(1), end);
    let is_late = !is_before(earliest(sender, receiver), acknowledged);
    if is_beyond || is_unsent || is_over || is_late {
        return match sender.is_liberal {
            true => Fit::Liberal,
            false if is_beyond || is_unsent => Fit::Bad,
            false => Fit::Old,
        };
    }
    learn(sender, receiver, tcp, end, acknowledged);
    Fit::Good
}

/// The sender's first packet, in the middle of a connection.
fn join(sender: &mut End, receiver: &mut End, tcp: &Tcp, end: u32) {
    sender.end = end;
    sender.window = (u32::from(tcp.window) << sender.scale).max(1);
    sender.limit = end.wrapping_add(sender.window);
    if receiver.window == 0 {
        (receiver.end, receiver.limit) = (tcp.acknowledgement, tcp.acknowledgement);
    } else if tcp.acknowledgement == receiver.end.wrapping_add(1) {
        receiver.end = tcp.acknowledgement;
    }
}

fn learn(sender: &mut End, receiver: &mut End, tcp: &Tcp, end: u32, acknowledged: u32) {
    let scale = if tcp.flags & flags::SYN != 0 { 0 } else { sender.scale };
    let window = u32::from(tcp.window) << scale;
    sender.window = sender.window.max(window);
    if is_before(sender.end, end) {
        sender.end = end;
        sender.has_unacknowledged = true;
    }
    if tcp.flags & flags::ACK != 0
        && sender.acknowledged.is_none_or(|known| is_before(known, acknowledged))
    {
        sender.acknowledged = Some(acknowledged);
    }
    if receiver.window != 0 && is_before(sender.limit, end) {
        receiver.window = receiver.window.wrapping_add(end.wrapping_sub(sender.limit));
    }
    if is_before(receiver.limit.wrapping_sub(1), acknowledged.wrapping_add(window)) {
        receiver.limit = acknowledged.wrapping_add(window) + u32::from(window == 0);
    }
    if acknowledged == receiver.end {
        receiver.has_unacknowledged = false;
    }
}
