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
}

impl Tcp {
    /// A connection that begins with `segment`. What is no SYN is from the middle or the end of it:
    /// the other side has acknowledged everything before it.
    pub fn begin(segment: &Segment, sender: Side) -> Self {
        let state = match segment {
            Segment { syn: true, ack: false, .. } => State::SynSent,
            Segment { rst: true, .. } => State::Reset,
            Segment { fin: true, .. } => State::Closing,
            _ => State::Established,
        };
        let acknowledged = segment.ack.then_some(segment.acknowledgement);
        let mut tcp = Self { state, local: Said::default(), remote: Said::default() };
        *tcp.said(sender) = Said { end: Some(end_of(segment)), acknowledged, fin: segment.fin };
        if state != State::SynSent {
            tcp.said(sender.other()).end = acknowledged;
            tcp.said(sender.other()).acknowledged = Some(segment.sequence);
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

    /// Ends it as if both sides had.
    pub fn close(&mut self) {
        self.state = State::Closed;
        self.local.fin = true;
        self.remote.fin = true;
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

    /// A SYN begins a connection, is repeated, or crosses the other's. The end may begin anew at any
    /// time. What the other end sends once more changes nothing: it may be forged.
    fn syn(&mut self, segment: &Segment, sender: Side, opener: Side) -> Step {
        match self.state {
            State::Reset | State::Closed => Step::Anew,
            State::SynSent | State::SynReceived => {
                if self.state == State::SynSent && sender != opener {
                    self.state = State::SynReceived;
                }
                if sender == Side::Local || self.said(sender).end.is_none() {
                    self.said(sender).end = Some(end_of(segment));
                    self.said(sender).acknowledged = None;
                }
                Step::Goes
            }
            State::Established | State::Closing if sender == Side::Local => Step::Anew,
            // The opener may have restarted; the end answers with a challenge (RFC 5961 §4).
            State::Established | State::Closing if sender == opener => Step::Goes,
            State::Established | State::Closing => Step::Refused(Reason::InvalidTransition),
        }
    }

    /// A SYN+ACK answers a SYN; where two SYNs have crossed, it comes from either side. The other
    /// end's has to acknowledge what the end has sent. Which SYN the end answers, it knows best; it
    /// may also accept a connection after one that it has forgotten.
    fn syn_ack(&mut self, segment: &Segment, sender: Side, opener: Side) -> Step {
        let acknowledges = self.said(sender.other()).end == Some(segment.acknowledgement);
        match self.state {
            State::Reset | State::Closed => return Step::Refused(Reason::InvalidTransition),
            State::SynReceived => {}
            _ if sender == opener => return Step::Refused(Reason::InvalidTransition),
            State::SynSent if sender == Side::Remote && !acknowledges => {
                return Step::Refused(Reason::OutOfWindow);
            }
            State::SynSent => {}
            State::Established | State::Closing if sender == Side::Remote => return Step::Goes,
            State::Established | State::Closing => {
                self.local.fin = false;
                self.remote = Said::default();
            }
        }
        self.state = State::SynReceived;
        if sender == Side::Local || acknowledges {
            self.said(sender).end = Some(end_of(segment));
            self.said(sender).acknowledged = Some(segment.acknowledgement);
            self.said(sender.other()).end = Some(segment.acknowledgement);
        }
        Step::Goes
    }

    /// A reset has to fit, and one that answers a SYN has to acknowledge it; nothing but itself
    /// follows it.
    fn reset(&mut self, segment: &Segment, sender: Side, opener: Side) -> Step {
        let fits = match self.state {
            State::Reset => return Step::Goes,
            // What the opener resets is not this connection (RFC 9293 §3.5.3).
            State::SynSent if sender == opener => return Step::Goes,
            State::SynSent => {
                let asked = self.said(sender.other()).end;
                let acknowledges = asked == Some(segment.acknowledgement);
                segment.ack && (sender == Side::Local || acknowledges)
            }
            _ => self.fits(segment, sender),
        };
        if !fits {
            return Step::Refused(Reason::OutOfWindow);
        }
        self.state = State::Reset;
        Step::Goes
    }

    /// Whether a segment starts between what its receiver has acknowledged, less the one byte of a
    /// keep-alive, and what its sender has sent, and the FIN that was not seen; right behind what
    /// was sent where nothing has been acknowledged (RFC 5961 §3).
    fn fits(&mut self, segment: &Segment, sender: Side) -> bool {
        let Some(sent) = self.said(sender).end else { return false };
        let Some(acknowledged) = self.said(sender.other()).acknowledged else {
            return segment.sequence == sent;
        };
        let first = acknowledged.wrapping_sub(1);
        let last = sent.wrapping_add(1);
        segment.sequence.wrapping_sub(first) <= last.wrapping_sub(first)
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
            State::SynReceived if sender == opener => self.complete(segment, sender),
            _ => {}
        }
        self.note(segment, sender);
        Step::Goes
    }

    /// The opener's answer to a SYN+ACK. The other end has to acknowledge that one (RFC 9293
    /// §3.10.7.4).
    fn complete(&mut self, segment: &Segment, sender: Side) {
        let sent = self.said(sender.other()).end;
        if sender == Side::Local || sent == Some(segment.acknowledgement) {
            self.state = State::Established;
        }
    }

    /// A FIN; it closes its side where it fits.
    fn fin(&mut self, segment: &Segment, sender: Side, opener: Side) -> Step {
        let fits = sender == Side::Local || self.fits(segment, sender);
        match self.state {
            State::SynSent | State::Reset => {
                return Step::Refused(Reason::InvalidTransition);
            }
            State::SynReceived if sender == opener => self.complete(segment, sender),
            _ => {}
        }
        if fits {
            self.said(sender).fin = true;
            let both = self.local.fin && self.remote.fin;
            self.state = if both { State::Closed } else { State::Closing };
        }
        self.note(segment, sender);
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
