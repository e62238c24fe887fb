//! What goes over the wire: a numbered question, and the answer that says who gave it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Transport;
use crate::topology::Family;

/// A question: no two of this process have the same nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Of one conversation.
    pub nonce: u64,
    /// Position in the conversation, from 0.
    pub sequence: u64,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// The place's number.
    pub number: u32,
    /// The protocol it was asked over.
    pub transport: Transport,
    /// The family it was asked over.
    pub family: Family,
    /// The port it was asked at.
    pub port: u16,
}

/// An answer's bytes: the question again, and who gives it.
#[derive(Debug)]
pub enum Answer {}

impl Record {
    /// Bytes of a question.
    pub const LENGTH: usize = 16;

    /// The first question of a new conversation.
    #[must_use]
    pub fn first() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { nonce: NEXT.fetch_add(1, Ordering::Relaxed), sequence: 0 }
    }

    /// The record that `bytes`, a question or an answer, begin with.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (nonce, rest) = bytes.split_first_chunk()?;
        let (sequence, _) = rest.split_first_chunk()?;
        Some(Self { nonce: u64::from_be_bytes(*nonce), sequence: u64::from_be_bytes(*sequence) })
    }

    /// The bytes: both numbers in network order.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&self.nonce.to_be_bytes());
        bytes[8..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }
}

impl Answer {
    /// Bytes of an answer.
    pub const LENGTH: usize = Record::LENGTH + 8;

    /// The bytes of `server`'s answer to a question.
    #[must_use]
    pub fn bytes(question: &[u8; Record::LENGTH], server: Server) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let (echo, name) = bytes.split_at_mut(Record::LENGTH);
        echo.copy_from_slice(question);
        name.copy_from_slice(&server.to_bytes());
        bytes
    }

    /// Whether these are the bytes of `server`'s answer to `record`.
    #[must_use]
    pub fn is(bytes: &[u8], record: Record, server: Server) -> bool {
        bytes == Self::bytes(&record.to_bytes(), server)
    }
}

impl Server {
    fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.number.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.port.to_be_bytes());
        bytes[6] = self.transport.number();
        bytes[7] = match self.family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_who_gave_it_and_to_what() {
        let server =
            Server { number: 3, transport: Transport::Tcp, family: Family::V4, port: 5432 };
        let record = Record { nonce: 7, sequence: 9 };
        let bytes = Answer::bytes(&record.to_bytes(), server);
        assert!(Answer::is(&bytes, record, server));

        for other in [Record { nonce: 8, ..record }, Record { sequence: 8, ..record }] {
            assert!(!Answer::is(&bytes, other, server), "{other:?}");
        }
        for other in [
            Server { number: 4, ..server },
            Server { transport: Transport::Udp, ..server },
            Server { family: Family::V6, ..server },
            Server { port: 5433, ..server },
        ] {
            assert!(!Answer::is(&bytes, record, other), "{other:?}");
        }
        assert!(!Answer::is(&bytes[..bytes.len() - 1], record, server), "a cut answer");
    }
}
