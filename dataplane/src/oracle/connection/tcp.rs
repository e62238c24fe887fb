//! The steps of a TCP connection (RFC 9293 §3.3.2) as one of its ends sees them.
//!
//! The end is believed: its interface vouches for it and it sees all it sends. What the other end
//! says counts where it follows what is known or once the end has acknowledged it, so that somebody
//! who does not see the connection can neither end it nor make it end.

use std::time::Duration;

use ringfence_common::verdict::Reason;

use super::{Side, Step};
use crate::oracle::frame::Segment;

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The opener has asked.
    SynSent,
    /// He has been answered, or the other has asked at the same time.
    SynReceived,
    /// The answer has been acknowledged.
    Established,
    /// One side will send no more.
    Closing,
    /// Neither will.
    Closed,
    /// It was ended by a reset.
    Reset,
}

/// What one side has said.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    /// The sequence number behind everything it has sent.
    end: Option<u32>,
    /// What it has acknowledged of the other's.
    acknowledged: Option<u32>,
    /// That it will send no more.
    fin: bool,
}

/// A TCP connection.
#[derive(Clone, Copy, Debug)]
pub struct Tcp {
    state: State,
    local: Said,
    remote: Said,
    /// Both sides have sent a SYN without having seen the other's.
    crossed: bool,
}

impl Tcp {
    /// A connection that begins with `segment`; what is no SYN is from the middle or the end of it.
    pub fn begin(segment: &Segment, sender: Side, _opener: Side) -> Self {
        let state = match segment {
            Segment { syn: true, ack: false, .. } => State::SynSent,
            Segment { rst: true, .. } => State::Reset,
            Segment { fin: true, .. } => State::Closing,
            _ => State::Established,
        };
        let said = Said::default();
        let mut tcp = Self { state, local: said, remote: said, crossed: false };
        *tcp.said(sender) = Said {
            end: Some(end_of(segment)),
            acknowledged: segment.ack.then_some(segment.acknowledgement),
            fin: segment.fin,
        };
        if segment.ack {
            tcp.said(sender.other()).end = Some(segment.acknowledgement);
        }
        tcp
    }

    /// How long it may be silent: the defaults of Linux' connection tracking.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(match self.state {
            State::SynSent | State::Closing | State::Closed => 120,
            State::SynReceived => 60,
            State::Established => 432_000,
            State::Reset => 10,
        })
    }

    /// Takes the next segment.
    pub fn step(&mut self, segment: &Segment, sender: Side, opener: Side) -> Step {
        match segment {
            Segment { rst: true, .. } => self.reset(segment, sender, opener),
            Segment { syn: true, ack: true, .. } => self.syn_ack(segment, sender, opener),
            Segment { syn: true, .. } => self.syn(segment, sender, opener),
            Segment { fin: true, .. } => self.fin(segment, sender, opener),
            _ => self.ack(segment, sender, opener),
        }
    }

    /// A SYN begins a connection, is repeated, or crosses the other's.
    fn syn(&mut self, segment: &Segment, sender: Side, opener: Side) -> Step {
        let repeated = self.said(sender).end == Some(end_of(segment));
        match self.state {
            State::Reset | State::Closed => Step::Anew,
            State::SynSent if sender != opener => {
                self.crossed = true;
                self.state = State::SynReceived;
                self.said(sender).end = Some(end_of(segment));
                Step::Goes
            }
            State::SynSent | State::SynReceived if repeated => Step::Goes,
            _ if sender == Side::Local => Step::Anew,
            _ if sender == opener => Step::Goes,
            _ => Step::Refused(Reason::InvalidTransition),
        }
    }

    /// A SYN+ACK answers a SYN, and has to acknowledge it.
    fn syn_ack(&mut self, segment: &Segment, sender: Side, opener: Side) -> Step {
        let answers = sender != opener || self.crossed;
        if !answers || self.state == State::Reset {
            return Step::Refused(Reason::InvalidTransition);
        }
        match self.state {
            State::SynSent => {
                if self.said(sender.other()).end != Some(segment.acknowledgement) {
                    return Step::Refused(Reason::OutOfWindow);
                }
                self.answer(segment, sender);
                Step::Goes
            }
            // The end has forgotten the connection and accepts it once more.
            State::Established | State::Closing | State::Closed if sender == Side::Local => {
                self.answer(segment, sender);
                Step::Goes
            }
            _ => Step::Goes,
        }
    }

    fn answer(&mut self, segment: &Segment, sender: Side) {
        self.state = State::SynReceived;
        *self.said(sender) = Said {
            end: Some(end_of(segment)),
            acknowledged: Some(segment.acknowledgement),
            fin: false,
        };
        *self.said(sender.other()) =
            Said { end: Some(segment.acknowledgement), acknowledged: None, fin: false };
    }

    /// A reset has to carry a number between what its receiver has acknowledged and what its sender
    /// has sent, or one beside these (RFC 5961 §3); nothing but itself follows it.
    fn reset(&mut self, segment: &Segment, sender: Side, opener: Side) -> Step {
        let acknowledged = self.said(sender.other()).acknowledged;
        match self.state {
            State::Reset => return Step::Goes,
            // What the opener resets is not this connection (RFC 9293 §3.5.1).
            State::SynSent if sender == opener => return Step::Goes,
            State::SynSent => {
                let asked = self.said(sender.other()).end;
                if !segment.ack || asked != Some(segment.acknowledgement) {
                    return Step::Refused(Reason::OutOfWindow);
                }
            }
            _ => {
                let sent = self.said(sender).end;
                let Some(last) = sent.or(acknowledged) else {
                    return Step::Refused(Reason::OutOfWindow);
                };
                let first = acknowledged.unwrap_or(last).wrapping_sub(1);
                let window = last.wrapping_add(1).wrapping_sub(first);
                if segment.sequence.wrapping_sub(first) > window {
                    return Step::Refused(Reason::OutOfWindow);
                }
            }
        }
        self.state = State::Reset;
        Step::Goes
    }

    /// An acknowledgement, with data or without.
    fn ack(&mut self, segment: &Segment, sender: Side, opener: Side) -> Step {
        match self.state {
            State::Reset => return Step::Refused(Reason::InvalidTransition),
            State::SynSent if sender == opener => {
                return Step::Refused(Reason::InvalidTransition);
            }
            // He remembers an older connection; the opener will reset that one (RFC 9293 §3.5.1).
            State::SynSent => return Step::Goes,
            State::SynReceived if sender == opener => self.state = State::Established,
            _ => {}
        }
        self.note(segment, sender);
        Step::Goes
    }

    /// A FIN; it closes its side where it follows what was sent.
    fn fin(&mut self, segment: &Segment, sender: Side, opener: Side) -> Step {
        if matches!(self.state, State::SynSent | State::Reset) {
            return Step::Refused(Reason::InvalidTransition);
        }
        let _ = opener;
        self.note(segment, sender);
        if self.said(sender).end == Some(end_of(segment)) {
            self.said(sender).fin = true;
        }
        match (self.local.fin, self.remote.fin) {
            (true, true) => self.state = State::Closed,
            (false, false) => {}
            _ => self.state = State::Closing,
        }
        Step::Goes
    }

    /// Notes what a segment says, as far as its sender is believed.
    fn note(&mut self, segment: &Segment, sender: Side) {
        let end = end_of(segment);
        let own = *self.said(sender);
        let follows = own.end.is_none_or(|known| !is_after(segment.sequence, known));
        if (sender == Side::Local || follows) && own.end.is_none_or(|known| is_after(end, known)) {
            self.said(sender).end = Some(end);
        }
        if !segment.ack {
            return;
        }
        let ack = segment.acknowledgement;
        let other = *self.said(sender.other());
        let beyond = other.end.is_none_or(|sent| is_after(ack, sent));
        if sender == Side::Remote && other.end.is_some() && beyond {
            return;
        }
        if beyond {
            self.said(sender.other()).end = Some(ack);
        }
        if own.acknowledged.is_none_or(|known| is_after(ack, known)) {
            self.said(sender).acknowledged = Some(ack);
        }
    }

    fn said(&mut self, side: Side) -> &mut Said {
        match side {
            Side::Local => &mut self.local,
            Side::Remote => &mut self.remote,
        }
    }
}

/// The sequence number behind a segment; SYN and FIN count as one byte each.
fn end_of(segment: &Segment) -> u32 {
    let taken = segment.data as u32 + u32::from(segment.syn) + u32::from(segment.fin);
    segment.sequence.wrapping_add(taken)
}

/// Whether one sequence number comes after another (RFC 9293 §3.4: modulo 2³²).
fn is_after(one: u32, other: u32) -> bool {
    one != other && one.wrapping_sub(other) < 1 << 31
}
