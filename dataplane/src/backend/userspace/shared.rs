//! A filter that several threads use at once.

use std::sync::{Arc, PoisonError, RwLock};

use ringfence_common::abi::config::Config;
use ringfence_common::decide::{Desk, Outcome, Place, decide};
use ringfence_common::packet::PacketRead;

use super::lookup::Lookup;
use super::state::Shards;
use crate::backend::host::HostTables;

/// Tables and memory that several threads use at once: any thread may handle any packet, whoever
/// handled the packets before it. There can be several sets of tables, for packets seen at
/// several places; they are replaced together and share one memory.
pub struct SharedFilter {
    sets: RwLock<Generation>,
    memory: Shards,
}

/// The tables of one generation, as they are at one moment. Whoever decides a packet with one of
/// these sees no other generation.
#[derive(Clone)]
pub struct Generation(Arc<[Lookup]>);

impl SharedFilter {
    /// A filter that remembers nothing yet, whose memory has `shards` locks.
    #[must_use]
    pub fn new(sets: &[HostTables], shards: usize) -> Self {
        Self { sets: RwLock::new(Generation::new(sets)), memory: Shards::new(shards) }
    }

    /// Replaces all tables at once; flows and fragments stay. Packets that are decided with a
    /// [`Generation`] taken after this has returned are decided by the new tables.
    pub fn install(&self, sets: &[HostTables]) {
        let generation = Generation::new(sets);
        *self.sets.write().unwrap_or_else(PoisonError::into_inner) = generation;
    }

    /// The tables that count now.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.sets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Decides a frame by the tables number `set` of `generation` and remembers what it means for
    /// later ones. Afterwards `desk` holds what the frame was.
    ///
    /// # Panics
    ///
    /// When the generation has no such set.
    #[must_use = "an outcome that is dropped is a packet that passes"]
    pub fn decide<R: PacketRead + ?Sized>(
        &self,
        generation: &Generation,
        set: usize,
        frame: &R,
        place: &Place,
        desk: &mut Desk,
    ) -> Outcome {
        decide(frame, place, &generation.0[set], &mut &self.memory, desk);
        desk.work.outcome
    }

    /// Flows remembered.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.memory.counts().0
    }

    /// Fragmented packets remembered.
    #[must_use]
    pub fn fragmented_packets(&self) -> usize {
        self.memory.counts().1
    }
}

impl Generation {
    fn new(sets: &[HostTables]) -> Self {
        Self(sets.iter().map(Lookup::new).collect())
    }

    /// The configuration of the tables number `set`; nothing where there is none.
    #[must_use]
    pub fn config(&self, set: usize) -> Option<&Config> {
        self.0.get(set).map(|tables| &tables.config)
    }
}
