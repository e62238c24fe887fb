//! TCP conversations: RFC 9293's steps, and steps beside them.

use super::conversation::Conversation;
use super::{Draft, Kind, Random};
use crate::packet::tcp_flags::{ACK, FIN, PSH, RST, SYN};

/// Where a connection is, and what each side has sent.
#[derive(Clone, Debug)]
pub(super) struct TcpConversation {
    stage: Stage,
    /// The next sequence number of client and server.
    next: [u32; 2],
    last: Option<(bool, Segment)>,
    steps: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Asked,
    Answered,
    Open,
    HalfClosed { by_client: bool },
    Closed,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    flags: u8,
    sequence: u32,
    acknowledgement: u32,
    payload: usize,
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

/// Steps after which a connection has said enough.
const STEPS: usize = 40;

impl TcpConversation {
    pub fn new(random: &mut Random) -> Self {
        // Some numbers wrap within the connection.
        let near_the_end = u32::MAX - random.below(300) as u32;
        let client = if random.chance(20) { near_the_end } else { random.number() as u32 };
        let stage = if random.chance(10) { Stage::Open } else { Stage::New };
        Self { stage, next: [client, random.number() as u32], last: None, steps: 0 }
    }

    pub fn step(&mut self, whose: &Conversation, random: &mut Random) -> Option<Draft> {
        self.steps += 1;
        if self.steps > STEPS {
            return None;
        }
        let stray = self.stage == Stage::Open && self.last.is_none();
        let (mut kind, from_client, segment) = self.beside(random).unwrap_or_else(|| {
            let (kind, from_client, flags, payload) = self.proper(random);
            (kind, from_client, self.send(from_client, flags, payload))
        });
        if stray && kind != Kind::TcpSyn {
            kind = Kind::TcpStray;
        }
        self.last = Some((from_client, segment));
        let (frame, from, to) = whose.frame(from_client);
        let (source, destination) = whose.ports(from_client);
        let frame = frame
            .tcp(source, destination)
            .flags(segment.flags)
            .sequence(segment.sequence)
            .with_tcp(|tcp| tcp.acknowledgement = segment.acknowledgement)
            .payload(segment.payload);
        Some(Draft::between(frame, kind, from, to))
    }

    /// The next step of a connection that goes well.
    fn proper(&mut self, random: &mut Random) -> (Kind, bool, u8, usize) {
        let either = random.chance(50);
        match self.stage {
            Stage::New => {
                self.stage = Stage::Asked;
                (Kind::TcpSyn, true, SYN, 0)
            }
            Stage::Asked => {
                self.stage = Stage::Answered;
                (Kind::TcpSynAck, false, SYN | ACK, 0)
            }
            Stage::Answered => {
                self.stage = Stage::Open;
                (Kind::TcpAck, true, ACK, 0)
            }
            Stage::Open if random.chance(15) => {
                self.stage = Stage::HalfClosed { by_client: either };
                (Kind::TcpFin, either, FIN | ACK, 0)
            }
            Stage::Open if random.chance(20) => (Kind::TcpAck, either, ACK, 0),
            Stage::Open => (Kind::TcpData, either, ACK | PSH, 1 + random.below(80)),
            Stage::HalfClosed { by_client } if random.chance(50) => {
                self.stage = Stage::Closed;
                (Kind::TcpFin, !by_client, FIN | ACK, 0)
            }
            Stage::HalfClosed { by_client } => (Kind::TcpData, !by_client, ACK, 10),
            Stage::Closed if random.chance(40) => (Kind::TcpAck, either, ACK, 0),
            Stage::Closed => {
                // The numbers go on above the old ones, as RFC 6191 has it.
                self.next = self.next.map(|next| next.wrapping_add(100_000));
                self.stage = Stage::Asked;
                (Kind::TcpPortReuse, true, SYN, 0)
            }
        }
    }

    /// The segment with these flags, and the numbers moved on.
    fn send(&mut self, from_client: bool, flags: u8, payload: usize) -> Segment {
        let (own, other) = if from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let sequence = self.next[own];
        let taken = payload + usize::from(flags & (SYN | FIN) != 0);
        self.next[own] = sequence.wrapping_add(taken as u32);
        let acknowledgement = if flags & ACK != 0 { self.next[other] } else { 0 };
        Segment { flags, sequence, acknowledgement, payload }
    }

    /// One time in five, something else: repeated, out of place, an attack.
    fn beside(&mut self, random: &mut Random) -> Option<(Kind, bool, Segment)> {
        if self.stage == Stage::New || random.chance(80) {
            return None;
        }
        let from_client = random.chance(50);
        let (own, other) = if from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let segment = |flags, sequence, acknowledgement| Segment {
            flags,
            sequence,
            acknowledgement,
            payload: 0,
        };
        let (sequence, acknowledgement) = (self.next[own], self.next[other]);
        let far = sequence.wrapping_add(1_000_000 + random.number() as u32 / 4);
        Some(match random.below(12) {
            0..5 => {
                let (from_client, last) = self.last?;
                (Kind::TcpRetransmit, from_client, last)
            }
            5 => (Kind::TcpCrossedSyn, from_client, segment(SYN, sequence.wrapping_sub(1), 0)),
            6 => (Kind::TcpWrongSynAck, false, segment(SYN | ACK, far, far)),
            7 => {
                if self.stage == Stage::Asked || random.chance(30) {
                    self.stage = Stage::Closed;
                }
                (Kind::TcpReset, from_client, segment(RST | ACK, sequence, acknowledgement))
            }
            8 => (Kind::TcpReset, from_client, segment(RST, sequence, 0)),
            9..11 => (Kind::TcpResetOutOfWindow, from_client, segment(RST, far, 0)),
            _ => {
                let flags = random.number() as u8;
                (Kind::TcpOddFlags, from_client, segment(flags, sequence, acknowledgement))
            }
        })
    }
}
