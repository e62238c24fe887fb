//! SCTP (RFC 9260), after `nf_conntrack_proto_sctp.c`.

use super::{Direction, Step};

/// Bytes of the common header.
const HEADER: usize = 12;

/// Chunk types (RFC 9260 §3.2).
mod chunk {
    pub const INIT: u8 = 1;
    pub const INIT_ACK: u8 = 2;
    pub const HEARTBEAT: u8 = 4;
    pub const HEARTBEAT_ACK: u8 = 5;
    pub const ABORT: u8 = 6;
    pub const SHUTDOWN: u8 = 7;
    pub const SHUTDOWN_ACK: u8 = 8;
    pub const ERROR: u8 = 9;
    pub const COOKIE_ECHO: u8 = 10;
    pub const COOKIE_ACK: u8 = 11;
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    CookieWait,
    CookieEchoed,
    Established,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
    HeartbeatSent,
}

/// What is known of an association.
#[derive(Clone, Copy, Debug)]
pub struct Association {
    state: State,
    /// The verification tag that packets of each direction carry; 0 where it is not known.
    tags: [u32; 2],
}

impl Association {
    /// An association that begins with this packet; nothing where none can.
    pub fn new(packet: &[u8]) -> Option<Self> {
        let chunks = chunks(packet)?;
        let tag = tag(packet)?;
        let mut association = Self { state: State::Closed, tags: [0; 2] };
        for (kind, value) in chunks {
            association.state = match kind {
                chunk::INIT if tag == 0 => {
                    association.tags[Direction::Reply as usize] = first_word(value)?;
                    State::CookieWait
                }
                chunk::HEARTBEAT => {
                    association.tags[Direction::Original as usize] = tag;
                    State::HeartbeatSent
                }
                // Out of the blue: the answer carries the same tag.
                chunk::SHUTDOWN_ACK => {
                    association.tags[Direction::Reply as usize] = tag;
                    State::ShutdownAckSent
                }
                chunk::INIT_ACK | chunk::ABORT | chunk::SHUTDOWN | chunk::ERROR => State::Closed,
                chunk::COOKIE_ECHO | chunk::COOKIE_ACK | chunk::SHUTDOWN_COMPLETE => State::Closed,
                _ => return None,
            };
        }
        Some(association)
    }

    /// Seconds of silence after which it is over, by default.
    pub const fn timeout(&self) -> u64 {
        match self.state {
            State::Closed => 10,
            State::CookieWait | State::CookieEchoed => 3,
            State::Established => 210,
            State::ShutdownSent | State::ShutdownReceived | State::ShutdownAckSent => 3,
            State::HeartbeatSent => 30,
        }
    }

    /// Moves it by one packet.
    pub fn step(&mut self, packet: &[u8], direction: Direction) -> Step {
        let (Some(chunks), Some(tag)) = (chunks(packet), tag(packet)) else {
            return Step::Invalid;
        };
        let (own, other) = (direction as usize, direction.other() as usize);
        let mut next = *self;
        for (kind, value) in chunks {
            let known = next.tags[own];
            let fits = match kind {
                chunk::INIT => tag == 0,
                // The sender may reflect the tag that it got (RFC 9260 §8.5.1).
                chunk::ABORT | chunk::SHUTDOWN_COMPLETE => tag == known || tag == next.tags[other],
                chunk::HEARTBEAT | chunk::HEARTBEAT_ACK if known == 0 => {
                    next.tags[own] = tag;
                    true
                }
                chunk::SHUTDOWN_ACK => true,
                _ => tag == known,
            };
            if !fits {
                return Step::Invalid;
            }
            if matches!(kind, chunk::INIT | chunk::INIT_ACK) {
                next.tags[other] = first_word(value).unwrap_or_default();
            }
            let Some(state) = leads(direction, kind, next.state) else { return Step::Invalid };
            next.state = state;
        }
        *self = next;
        Step::Belongs
    }
}

/// The step that a chunk makes an association take, as the kernel's table of states has it.
fn leads(direction: Direction, kind: u8, state: State) -> Option<State> {
    use Direction::{Original, Reply};
    use State::{
        Closed, CookieEchoed, CookieWait, Established, HeartbeatSent, ShutdownAckSent,
        ShutdownReceived, ShutdownSent,
    };

    Some(match (kind, direction, state) {
        (chunk::HEARTBEAT_ACK, Reply, HeartbeatSent) => Established,
        (chunk::HEARTBEAT | chunk::HEARTBEAT_ACK, _, HeartbeatSent) => HeartbeatSent,
        (chunk::INIT, Original, HeartbeatSent) => CookieWait,
        (_, Reply, HeartbeatSent) if kind <= chunk::SHUTDOWN_COMPLETE && kind != 0 && kind != 3 => {
            return None;
        }
        (chunk::INIT, Original, ShutdownSent | ShutdownReceived) => Closed,
        (chunk::INIT_ACK, Reply, Closed) => CookieWait,
        (chunk::ABORT, _, _) => Closed,
        (chunk::SHUTDOWN, Original, Established) => ShutdownSent,
        (chunk::SHUTDOWN, Reply, Established) => ShutdownReceived,
        (chunk::SHUTDOWN_ACK, _, ShutdownSent | ShutdownReceived | ShutdownAckSent) => {
            ShutdownAckSent
        }
        (chunk::SHUTDOWN_ACK, Original, HeartbeatSent) => ShutdownAckSent,
        (chunk::ERROR, Reply, CookieEchoed) => Closed,
        (chunk::COOKIE_ECHO, _, CookieWait) => CookieEchoed,
        (chunk::COOKIE_ACK, _, CookieEchoed) => Established,
        (chunk::SHUTDOWN_COMPLETE, _, ShutdownAckSent) => Closed,
        (_, _, state) => state,
    })
}

/// Type and value of each chunk; nothing where they do not fit the packet, or where one that has to
/// stand alone does not (RFC 9260 §6.10).
fn chunks(packet: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut rest = packet.get(HEADER..)?;
    let mut chunks = Vec::new();
    while let [kind, _, high, low, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value = rest.get(4..length)?;
        chunks.push((kind, value));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    let is_alone =
        |kind: u8| matches!(kind, chunk::INIT | chunk::INIT_ACK | chunk::SHUTDOWN_COMPLETE);
    let is_first = |kind: u8| matches!(kind, chunk::COOKIE_ACK | chunk::COOKIE_ECHO);
    let is_wrong = chunks.len() > 1 && chunks.iter().any(|(kind, _)| is_alone(*kind))
        || chunks.iter().skip(1).any(|(kind, _)| is_first(*kind));
    (!chunks.is_empty() && !is_wrong).then_some(chunks)
}

fn tag(packet: &[u8]) -> Option<u32> {
    first_word(packet.get(4..)?)
}

fn first_word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|word| u32::from_be_bytes(*word))
}
