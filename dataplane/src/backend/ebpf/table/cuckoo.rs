//! Bucket tables in memory: where each key of a table lies.
//!
//! Goals: (a) every key lies where [`ringfence_common::table`] looks for it, none is ever lost;
//! (b) most lie in the first of their two buckets, so that look-ups read one cache line; (c) the
//! same keys in the same order give the same table.
//!
//! Design. Cuckoo hashing with two buckets of four slots. A key goes into its first bucket, or its
//! second; where both are full, a breadth-first search over the keys that could make room for one
//! another finds the shortest chain of moves (a). Tables are made so large that five eighths of
//! the slots are used, small ones half, which is far below the load at which insertion fails
//! (97 %), leaves room for the uneven shares of the chunks, and free slots for keys that come later.
//! Where a chunk is full all the same, the table is built anew with more buckets.
//!
//! Not done: more than eight keys with one and the same hash never fit; they are refused.

use std::marker::PhantomData;

use ringfence_common::abi::table::{CHUNK_BUCKETS, SLOTS, Shape};
use ringfence_common::table::{Places, places};

/// How the keys of a table lie in its slots.
pub trait Format<const WORDS: usize> {
    /// The bits of a slot that are key.
    const KEY: [u64; WORDS];
    /// The word of the key that is zero in free slots alone.
    const COMMIT: usize;

    /// The hash of the key in a slot.
    fn hash(slot: &[u64; WORDS]) -> u64;
}

/// A chunk has room for so many keys.
const CHUNK_KEYS: usize = CHUNK_BUCKETS as usize * SLOTS;

/// Keys of a chunk that a table of several is made for: five eighths.
const USUAL_KEYS: usize = CHUNK_KEYS * 5 / 8;

/// The smallest table has so many buckets.
const SMALLEST: usize = 64;

/// Both buckets of a key are full, and so are all that their keys could move to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A table in memory.
#[derive(Clone, Debug)]
pub struct Cuckoo<F, const WORDS: usize> {
    shape: Shape,
    /// Chunk after chunk.
    buckets: Vec<[[u64; WORDS]; SLOTS]>,
    format: PhantomData<F>,
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

/// The shape of a table for so many keys.
#[must_use]
pub fn shape_for(keys: usize) -> Shape {
    let one = keys.saturating_mul(2).div_ceil(SLOTS).max(SMALLEST);
    if one <= CHUNK_BUCKETS as usize {
        return Shape { chunks: 1, buckets: number(one) };
    }
    Shape { chunks: number(keys.div_ceil(USUAL_KEYS)), buckets: CHUNK_BUCKETS }
}

/// A somewhat larger shape.
fn grown(shape: Shape) -> Shape {
    let Shape { chunks, buckets } = shape;
    if buckets < CHUNK_BUCKETS {
        return Shape { chunks, buckets: (buckets * 2).min(CHUNK_BUCKETS) };
    }
    Shape { chunks: chunks + chunks.div_ceil(8), buckets }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl<F: Format<WORDS>, const WORDS: usize> Cuckoo<F, WORDS> {
    /// A table with these keys, in at most `chunks` chunks.
    ///
    /// # Errors
    ///
    /// [`Full`] when they do not fit.
    pub fn build(keys: &[[u64; WORDS]], chunks: u32) -> Result<Self, Full> {
        let mut shape = shape_for(keys.len());
        while shape.chunks <= chunks {
            let mut table = Self::empty(shape);
            if keys.iter().all(|key| table.insert(key).is_ok()) {
                return Ok(table);
            }
            shape = grown(shape);
        }
        Err(Full)
    }

    /// A table without keys.
    #[must_use]
    pub fn empty(shape: Shape) -> Self {
        let buckets = shape.chunks as usize * shape.buckets as usize;
        Self { shape, buckets: vec![[[0; WORDS]; SLOTS]; buckets], format: PhantomData }
    }

    /// Its shape.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The buckets of a chunk.
    #[must_use]
    pub fn chunk(&self, chunk: u32) -> &[[[u64; WORDS]; SLOTS]] {
        let buckets = self.shape.buckets as usize;
        &self.buckets[chunk as usize * buckets..][..buckets]
    }

    /// Adds a key that is not there yet, moving others where that is what makes room.
    ///
    /// # Errors
    ///
    /// [`Full`]; nothing has changed then.
    pub fn insert(&mut self, key: &[u64; WORDS]) -> Result<(), Full> {
        let places = places(&self.shape, F::hash(key));
        let at = match self.free_slot(&places) {
            Some(at) => at,
            None => self.make_room(&places).ok_or(Full)?,
        };
        *self.slot_mut(at) = *key;
        Ok(())
    }

    fn free_slot(&self, places: &Places) -> Option<At> {
        let chunk = places.chunk;
        places.buckets.iter().find_map(|bucket| {
            let slot = self.free_in(chunk, *bucket)?;
            Some(At { chunk, bucket: *bucket, slot })
        })
    }

    fn free_in(&self, chunk: u32, bucket: u32) -> Option<u32> {
        let slots = self.bucket(chunk, bucket);
        slots.iter().position(|slot| slot[F::COMMIT] == 0).map(number)
    }

    fn bucket(&self, chunk: u32, bucket: u32) -> &[[u64; WORDS]; SLOTS] {
        &self.buckets[chunk as usize * self.shape.buckets as usize + bucket as usize]
    }

    fn slot_mut(&mut self, at: At) -> &mut [u64; WORDS] {
        let index = at.chunk as usize * self.shape.buckets as usize + at.bucket as usize;
        &mut self.buckets[index][at.slot as usize]
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
            let moved = *self.slot_mut(source);
            *self.slot_mut(At { chunk, bucket, slot: free.slot }) = moved;
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
            for (slot, key) in (0..).zip(self.bucket(chunk, bucket)) {
                let [first, second] =
                    ringfence_common::table::places(&self.shape, F::hash(key)).buckets;
                let other = if first == bucket { second } else { first };
                if std::mem::replace(&mut seen[other as usize], true) {
                    continue;
                }
                steps.push(Step { bucket: other, from: Some((next, slot)) });
                if let Some(slot) = self.free_in(chunk, other) {
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
