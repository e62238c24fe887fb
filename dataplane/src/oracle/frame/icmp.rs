//! ICMP (RFC 792) and ICMPv6 (RFC 4443): questions, replies, errors.

use super::protocol;
use super::quoted::{self, Quoted};

/// An ICMP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: u8,
    pub code: u8,
    pub meaning: Meaning,
}

/// What a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Somebody asks, and says by which number he knows his question.
    Question { identifier: u16 },
    /// The reply to a question of type `question`.
    Reply { question: u8, identifier: u16 },
    /// Something happened to this packet, if the quote can be read. The quote is what the error
    /// carries, not a header of it: it matters to whom the error is for.
    Error(Option<Box<Quoted>>),
    /// Anything else.
    Other,
}

/// What a type is.
pub enum Type {
    Question,
    ReplyTo(u8),
    Error,
    Other,
}

impl Type {
    /// What type `kind` is in the protocol `number`.
    pub fn of(number: u8, kind: u8) -> Self {
        match (number, kind) {
            // Destination unreachable, source quench, time exceeded, parameter problem.
            (protocol::ICMP, 3 | 4 | 11 | 12) => Self::Error,
            // Echo, timestamp, information (RFC 792), address mask (RFC 950).
            (protocol::ICMP, 8 | 13 | 15 | 17) => Self::Question,
            (protocol::ICMP, 0) => Self::ReplyTo(8),
            (protocol::ICMP, 14) => Self::ReplyTo(13),
            (protocol::ICMP, 16) => Self::ReplyTo(15),
            (protocol::ICMP, 18) => Self::ReplyTo(17),
            // Destination unreachable, packet too big, time exceeded, parameter problem.
            (protocol::ICMPV6, 1..=4) => Self::Error,
            (protocol::ICMPV6, 128) => Self::Question,
            (protocol::ICMPV6, 129) => Self::ReplyTo(128),
            _ => Self::Other,
        }
    }
}

/// Reads a message of the protocol `number`; `rest` is what follows the first eight bytes.
pub fn read(number: u8, header: [u8; 8], rest: &[u8]) -> Message {
    let [kind, code, _, _, high, low, ..] = header;
    let identifier = u16::from_be_bytes([high, low]);
    let meaning = match Type::of(number, kind) {
        Type::Question => Meaning::Question { identifier },
        Type::ReplyTo(question) => Meaning::Reply { question, identifier },
        Type::Error => Meaning::Error(quoted::read(number, rest).map(Box::new)),
        Type::Other => Meaning::Other,
    };
    Message { kind, code, meaning }
}
