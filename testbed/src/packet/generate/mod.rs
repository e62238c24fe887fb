//! Streams of packets from a seed: conversations that connection tracking can follow, and
//! everything that can be wrong with a packet.
//!
//! A [`Generator`] draws addresses, ports and interfaces from a [`World`], so that every path of a
//! policy is walked, and keeps conversations going: handshakes, data, answers, retransmissions,
//! ends. Some packets are then cut, flipped or given a wrong length. The same seed and world give
//! the same packets; state the seed when a test fails. [`Distribution`] counts what was made.

mod chain;
mod conversation;
mod damage;
mod error;
mod fragment;
mod kind;
mod link;
mod oddity;
mod tcp;
mod world;

use std::collections::VecDeque;

pub use self::kind::{Distribution, Kind};
pub use self::world::{Place, World};

use self::conversation::Conversation;
use super::Frame;
use crate::random::Random;

/// A packet, and where it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The frame.
    pub frame: Vec<u8>,
    /// What it was meant to be.
    pub kind: Kind,
    /// The interface it comes in by.
    pub from: u32,
    /// The interface it leaves by.
    pub to: u32,
}

/// A packet that may still be changed field by field.
#[derive(Clone, Debug)]
struct Draft {
    frame: Frame,
    kind: Kind,
    from: u32,
    to: u32,
}

/// An endless stream of packets.
pub struct Generator<'w> {
    world: &'w World,
    random: Random,
    conversations: Vec<Conversation>,
    /// Packets that were sent properly, for ICMP errors to quote.
    history: VecDeque<Draft>,
    /// Packets that belong together and come one after the other, with others between them.
    pending: VecDeque<Generated>,
    distribution: Distribution,
}

/// Conversations kept going at a time.
const CONVERSATIONS: usize = 48;

/// Packets remembered for ICMP errors.
const HISTORY: usize = 64;

impl<'w> Generator<'w> {
    /// Packets in `world` from `seed`.
    #[must_use]
    pub fn new(world: &'w World, seed: u64) -> Self {
        Self {
            world,
            random: Random::new(seed),
            conversations: Vec::new(),
            history: VecDeque::new(),
            pending: VecDeque::new(),
            distribution: Distribution::default(),
        }
    }

    /// What has been made.
    #[must_use]
    pub fn distribution(&self) -> &Distribution {
        &self.distribution
    }

    /// Ends all conversations: what comes next does not refer to what came before.
    pub fn forget(&mut self) {
        self.conversations.clear();
        self.history.clear();
        self.pending.clear();
    }

    /// The next packet.
    pub fn next_packet(&mut self) -> Generated {
        let packet = self.draw();
        self.distribution.add(packet.kind);
        packet
    }

    fn draw(&mut self) -> Generated {
        if self.random.chance(70)
            && let Some(packet) = self.pending.pop_front()
        {
            return packet;
        }
        let draft = match self.random.below(100) {
            0..62 => self.conversation_step(),
            62..68 => {
                return self.fragments();
            }
            68..76 => self.icmp_error(),
            76..84 => self.extension_chain(),
            84..90 => self.link_or_essential(),
            _ => self.oddity(),
        };
        self.finish(draft)
    }

    /// Tags the frame, damages it or leaves it, and makes it bytes.
    fn finish(&mut self, mut draft: Draft) -> Generated {
        if self.random.chance(8) {
            let count = 1 + self.random.below(2);
            self.tag(&mut draft.frame, count);
        }
        match self.random.below(100) {
            0..4 => self.corrupt_length(draft),
            4..9 => self.truncate(draft.build()),
            9..13 => self.flip_bits(draft.build()),
            _ => {
                self.history.push_back(draft.clone());
                if self.history.len() > HISTORY {
                    self.history.pop_front();
                }
                draft.build()
            }
        }
    }
}

impl Iterator for Generator<'_> {
    type Item = Generated;

    fn next(&mut self) -> Option<Generated> {
        Some(self.next_packet())
    }
}

impl Draft {
    fn between(frame: Frame, kind: Kind, from: Place, to: Place) -> Self {
        Self { frame, kind, from: from.interface, to: to.interface }
    }

    fn build(&self) -> Generated {
        Generated { frame: self.frame.build(), kind: self.kind, from: self.from, to: self.to }
    }
}
