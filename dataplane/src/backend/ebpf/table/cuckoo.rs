//! Where each key of a bucket table lies.
//!
//! Goals: (a) every key lies where [`ringfence_common::table`] looks for it, none is ever lost;
//! (b) most lie in the first of their two buckets, so that look-ups read one cache line; (c) nobody
//! can choose keys that do not fit.
//!
//! Design. Cuckoo hashing with two buckets of four slots. A key goes into its first bucket, or its
//! second; where both are full, a breadth-first search over the keys that could make room for one
//! another finds the shortest chain of moves (a). Tables are made so large that three eighths of
//! the slots are used, of large ones five, which is far below the load at which insertion fails
//! (97 %), leaves room for the uneven shares of the chunks, and free slots for keys that come later.
//! Where a key does not fit all the same, the table is built anew with more buckets, and in the end
//! with another seed (c).
//!
//! Look-ups ask a key's second bucket only if the last slot of the first is not free. So slots are
//! taken in their order, and from a last slot no key goes without a trace ([`without_key`]).
//!
//! The slots are in this process's memory ([`Memory`]), or those of the kernel.

use std::marker::PhantomData;

use ringfence_common::abi::table::{CHUNK_BUCKETS, GONE, SLOTS, Shape};
use ringfence_common::table::{Places, places};

use crate::compile::shape_for;

/// How the keys of a table lie in its slots.
pub trait Format<const WORDS: usize> {
    /// The bits of a slot that are key.
    const KEY: [u64; WORDS];
    /// The word of the key that is zero, or [`GONE`], in free slots alone.
    const COMMIT: usize;

    /// The hash of the key in a slot.
    fn hash(seed: [u64; 2], slot: &[u64; WORDS]) -> u64;
}

/// How often a table is made larger before another seed is tried.
const GROWTHS: u32 = 4;

/// Both buckets of a key are full, and so are all that their keys could move to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Where the slots of a table are.
pub trait Slots<const WORDS: usize> {
    /// What is in a slot.
    fn get(&self, at: At) -> [u64; WORDS];
    /// Puts something into a slot that nobody else looks at.
    fn set(&mut self, at: At, row: [u64; WORDS]);
}

/// A table whose slots are in `S`.
#[derive(Clone, Debug)]
pub struct Cuckoo<F, S, const WORDS: usize> {
    seed: [u64; 2],
    shape: Shape,
    slots: S,
    format: PhantomData<fn() -> F>,
}

/// Where a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// The chunk.
    pub chunk: u32,
    /// The bucket in it.
    pub bucket: u32,
    /// The slot in that.
    pub slot: u32,
}

/// Whether a slot with this word for its key has room.
pub const fn is_free(word: u64) -> bool {
    word == 0 || word == GONE
}

/// The word that takes the place of a key's that goes from a slot.
pub const fn without_key(at: At) -> u64 {
    if at.slot == SLOTS as u32 - 1 { GONE } else { 0 }
}

/// A somewhat larger shape.
fn grown(shape: Shape) -> Shape {
    let Shape { chunks, buckets } = shape;
    if buckets < CHUNK_BUCKETS {
        return Shape { chunks, buckets: (buckets * 2).min(CHUNK_BUCKETS) };
    }
    Shape { chunks: chunks + chunks.div_ceil(8), buckets }
}

/// The slots of a table that is only in this process's memory.
#[derive(Clone, Debug)]
pub struct Memory<const WORDS: usize> {
    /// Of each chunk.
    buckets: usize,
    /// Chunk after chunk.
    content: Vec<[[u64; WORDS]; SLOTS]>,
}

impl<const WORDS: usize> Memory<WORDS> {
    /// Free slots of so many buckets.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let buckets = shape.buckets as usize;
        Self { buckets, content: vec![[[0; WORDS]; SLOTS]; shape.chunks as usize * buckets] }
    }

    /// The buckets of a chunk.
    #[must_use]
    pub fn chunk(&self, chunk: u32) -> &[[[u64; WORDS]; SLOTS]] {
        &self.content[chunk as usize * self.buckets..][..self.buckets]
    }

    fn index(&self, at: At) -> usize {
        at.chunk as usize * self.buckets + at.bucket as usize
    }
}

impl<const WORDS: usize> Slots<WORDS> for Memory<WORDS> {
    fn get(&self, at: At) -> [u64; WORDS] {
        self.content[self.index(at)][at.slot as usize]
    }

    fn set(&mut self, at: At, row: [u64; WORDS]) {
        let index = self.index(at);
        self.content[index][at.slot as usize] = row;
    }
}

impl<F: Format<WORDS>, const WORDS: usize> Cuckoo<F, Memory<WORDS>, WORDS> {
    /// A table with these keys, in at most `chunks` chunks.
    ///
    /// # Errors
    ///
    /// [`Full`] when they do not fit under this seed.
    pub fn build(rows: &[[u64; WORDS]], chunks: u32, seed: [u64; 2]) -> Result<Self, Full> {
        let mut shape = shape_for(rows.len());
        for _ in 0..=GROWTHS {
            if shape.chunks > chunks {
                break;
            }
            let mut table = Self::new(seed, shape, Memory::new(shape));
            if rows.iter().all(|row| table.insert(row).is_ok()) {
                return Ok(table);
            }
            shape = grown(shape);
        }
        Err(Full)
    }
}

impl<F: Format<WORDS>, S: Slots<WORDS>, const WORDS: usize> Cuckoo<F, S, WORDS> {
    /// The table whose keys lie in `slots`.
    #[must_use]
    pub const fn new(seed: [u64; 2], shape: Shape, slots: S) -> Self {
        Self { seed, shape, slots, format: PhantomData }
    }

    /// Its shape.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Its slots.
    #[must_use]
    pub const fn slots(&self) -> &S {
        &self.slots
    }

    /// Its slots alone.
    #[must_use]
    pub fn into_slots(self) -> S {
        self.slots
    }

    /// Its slots.
    pub const fn slots_mut(&mut self) -> &mut S {
        &mut self.slots
    }

    /// The slots where the key in `row` may lie, those of its first bucket first.
    pub fn candidates(&self, row: &[u64; WORDS]) -> impl Iterator<Item = At> + use<F, S, WORDS> {
        let Places { chunk, buckets } = self.places(row);
        buckets
            .into_iter()
            .flat_map(move |bucket| (0..SLOTS as u32).map(move |slot| At { chunk, bucket, slot }))
    }

    /// Where the key in `row` lies, and what is there.
    #[must_use]
    pub fn find(&self, row: &[u64; WORDS]) -> Option<(At, [u64; WORDS])> {
        self.candidates(row).find_map(|at| {
            let there = self.slots.get(at);
            let is_it = (0..WORDS).all(|word| (there[word] ^ row[word]) & F::KEY[word] == 0);
            is_it.then_some((at, there))
        })
    }

    /// Everything that is in the table, in no order.
    pub fn rows(&self) -> impl Iterator<Item = [u64; WORDS]> {
        let Shape { chunks, buckets } = self.shape;
        let at = (0..chunks).flat_map(move |chunk| {
            (0..buckets).flat_map(move |bucket| {
                (0..SLOTS as u32).map(move |slot| At { chunk, bucket, slot })
            })
        });
        at.map(|at| self.slots.get(at)).filter(|row| !is_free(row[F::COMMIT]))
    }

    fn places(&self, row: &[u64; WORDS]) -> Places {
        places(&self.shape, F::hash(self.seed, row))
    }

    /// Adds a key that is not there yet, moving others where that is what makes room. Nobody may
    /// be looking.
    ///
    /// # Errors
    ///
    /// [`Full`]; nothing has changed then.
    pub fn insert(&mut self, row: &[u64; WORDS]) -> Result<(), Full> {
        let free = self.candidates(row).find(|at| self.is_free(*at));
        let at = match free {
            Some(at) => at,
            None => self.make_room(&self.places(row)).ok_or(Full)?,
        };
        self.slots.set(at, *row);
        Ok(())
    }

    /// Takes a key out, if it is there. Nobody may be looking.
    pub fn remove(&mut self, row: &[u64; WORDS]) {
        if let Some((at, _)) = self.find(row) {
            let mut row = [0; WORDS];
            row[F::COMMIT] = without_key(at);
            self.slots.set(at, row);
        }
    }

    fn is_free(&self, at: At) -> bool {
        is_free(self.slots.get(at)[F::COMMIT])
    }

    /// Moves keys along the shortest chain that ends in a free slot; the slot that is free then.
    fn make_room(&mut self, places: &Places) -> Option<At> {
        let chunk = places.chunk;
        let (steps, last) = self.search(places)?;
        let mut free = last;
        let mut step = free.step;
        while let Some(index) = step {
            let Step { bucket, from } = steps[index];
            let Some((before, slot)) = from else { break };
            // The key in `slot` of the bucket before goes into the slot that is free.
            let source = At { chunk, bucket: steps[before].bucket, slot };
            let moved = self.slots.get(source);
            self.slots.set(At { chunk, bucket, slot: free.slot }, moved);
            free = Free { step: Some(before), slot };
            step = free.step;
        }
        let bucket = steps[free.step?].bucket;
        Some(At { chunk, bucket, slot: free.slot })
    }

    /// Looks, nearest first, for a bucket with a free slot that keys can move towards.
    fn search(&self, places: &Places) -> Option<(Vec<Step>, Free)> {
        let chunk = places.chunk;
        let mut seen = vec![false; self.shape.buckets as usize];
        let mut steps = Vec::new();
        for bucket in places.buckets {
            if !std::mem::replace(&mut seen[bucket as usize], true) {
                steps.push(Step { bucket, from: None });
            }
        }
        let mut next = 0;
        while next < steps.len() {
            let bucket = steps[next].bucket;
            for slot in 0..SLOTS as u32 {
                let key = self.slots.get(At { chunk, bucket, slot });
                let [first, second] = self.places(&key).buckets;
                let other = if first == bucket { second } else { first };
                if std::mem::replace(&mut seen[other as usize], true) {
                    continue;
                }
                steps.push(Step { bucket: other, from: Some((next, slot)) });
                let mut slots = (0..SLOTS as u32).map(|slot| At { chunk, bucket: other, slot });
                if let Some(At { slot, .. }) = slots.find(|at| self.is_free(*at)) {
                    let last = Some(steps.len() - 1);
                    return Some((steps, Free { step: last, slot }));
                }
            }
            next += 1;
        }
        None
    }
}

/// A bucket that the search has come to, and the step and slot whose key could move there.
#[derive(Clone, Copy, Debug)]
struct Step {
    bucket: u32,
    from: Option<(usize, u32)>,
}

/// A free slot in the bucket of a step.
#[derive(Clone, Copy, Debug)]
struct Free {
    step: Option<usize>,
    slot: u32,
}

#[cfg(test)]
mod tests;
