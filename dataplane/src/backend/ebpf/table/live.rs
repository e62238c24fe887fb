//! A bucket table of the kernel that changes.
//!
//! Goals: (a) whoever looks a key up finds it as it was before a change or after it; (b) a change
//! costs a few stores.
//!
//! Design. A value changes by one store. A key comes by one store too, after its value, and goes by
//! one. No key moves while packets look ([`Live::put`]). A packet may have read a key's first word
//! and not yet its second when the key goes; so another key gets its slot only when all packets
//! have been waited for ([`Live::settle`]). The key itself may come back to it at once: whoever has
//! seen half of it sees the other half, old or new.

use hashbrown::HashMap;
use ringfence_common::abi::table::Shape;

use super::chunk::{Chunk, Mapped};
use super::cuckoo::{At, Cuckoo, Full, Slots as _, is_free, without_key};
use super::formats::Kind;
use crate::backend::ebpf::EbpfError;
use crate::backend::ebpf::steps::Steps;

/// A table of the kernel, mapped.
#[derive(Debug)]
pub(in super::super) struct Live<K, const WORDS: usize> {
    table: Cuckoo<K, Mapped<WORDS>, WORDS>,
    /// Slots whose keys have gone and that packets may have seen, with what was in them.
    freed: HashMap<At, [u64; WORDS]>,
    steps: Steps,
}

impl<K: Kind<WORDS>, const WORDS: usize> Live<K, WORDS> {
    /// The table whose slots are in `slots`.
    pub(super) fn new(seed: [u64; 2], shape: Shape, slots: Mapped<WORDS>, steps: Steps) -> Self {
        Self { table: Cuckoo::new(seed, shape, slots), freed: HashMap::new(), steps }
    }

    /// The chunks it lies in.
    pub(super) fn into_chunks(self) -> Vec<Chunk<WORDS>> {
        self.table.into_slots().chunks
    }

    /// All rows, in no order.
    pub(in super::super) fn rows(&self) -> impl Iterator<Item = [u64; WORDS]> {
        self.table.rows()
    }

    /// Adds or changes a row while packets look; whether there was room.
    pub(in super::super) fn put(&mut self, row: &[u64; WORDS]) -> Result<bool, EbpfError> {
        if let Some((at, there)) = self.table.find(row) {
            for word in (0..WORDS).filter(|word| there[*word] != row[*word]) {
                self.store(at, word, row[word])?;
            }
            return Ok(true);
        }
        let Some(at) = self.slot_for(row) else { return Ok(false) };
        for word in (0..WORDS).filter(|word| *word != K::COMMIT) {
            self.store(at, word, row[word])?;
        }
        self.store(at, K::COMMIT, row[K::COMMIT])?;
        self.freed.remove(&at);
        Ok(true)
    }

    /// Whether [`Live::put`] may find room after [`Live::settle`] where it finds none now.
    pub(in super::super) fn has_freed(&self) -> bool {
        !self.freed.is_empty()
    }

    /// Takes a key out, if it is there.
    pub(in super::super) fn remove(&mut self, row: &[u64; WORDS]) -> Result<(), EbpfError> {
        if let Some((at, there)) = self.table.find(row) {
            self.store(at, K::COMMIT, without_key(at))?;
            self.freed.insert(at, there);
        }
        Ok(())
    }

    /// All packets have been waited for.
    pub(in super::super) fn settle(&mut self) {
        self.freed.clear();
    }

    /// Adds or changes a row while no packet looks.
    ///
    /// # Errors
    ///
    /// [`Full`] when there is no room.
    pub(in super::super) fn put_unseen(&mut self, row: &[u64; WORDS]) -> Result<(), Full> {
        match self.table.find(row) {
            Some((at, _)) => {
                self.table.slots_mut().set(at, *row);
                Ok(())
            }
            None => self.table.insert(row),
        }
    }

    /// Takes a key out while no packet looks.
    pub(in super::super) fn remove_unseen(&mut self, row: &[u64; WORDS]) {
        self.table.remove(row);
    }

    /// A slot for a key that is not there: its own, or a free one that no packet has seen.
    fn slot_for(&self, row: &[u64; WORDS]) -> Option<At> {
        let is_own = |at: &At| {
            let before = self.freed.get(at);
            before
                .is_some_and(|it| (0..WORDS).all(|word| (it[word] ^ row[word]) & K::KEY[word] == 0))
        };
        let is_free = |at: &At| {
            is_free(self.table.slots().get(*at)[K::COMMIT]) && !self.freed.contains_key(at)
        };
        let own = self.table.candidates(row).find(is_own);
        own.or_else(|| self.table.candidates(row).find(is_free))
    }

    fn store(&self, at: At, word: usize, value: u64) -> Result<(), EbpfError> {
        self.steps.take()?;
        self.table.slots().store(at, word, value);
        Ok(())
    }
}
