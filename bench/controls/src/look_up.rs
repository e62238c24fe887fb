//! Loops of look-ups from address to identity, for costs below a nanosecond's resolution.

use aya_ebpf::btf_maps::lpm_trie::Key;
use ringfence_common::abi::table::{NarrowBucket, chunks};
use ringfence_common::table::{Chunk, address_v4};
use ringfence_controls::LOOKUPS;

use crate::draw::{key, take_turns};
use crate::maps;

/// Looks [`LOOKUPS`] keys up and adds up what is found; whether it could.
#[inline(always)]
pub fn repeat(look_up: impl Fn(u32) -> u32) -> bool {
    let Some(first) = take_turns(LOOKUPS as u64) else { return false };
    let (Some(drawn), Some(sum)) = (maps::DRAWS.get(0), maps::SUM.get_ptr_mut(0)) else {
        return false;
    };
    let mut found = 0u64;
    for turn in 0..LOOKUPS as u64 {
        found += u64::from(look_up(key(drawn, first + turn)));
    }
    // SAFETY: the value is this CPU's own and stays valid for the program's run.
    unsafe { *sum += found };
    true
}

/// By [`maps::IDENTITY_HASH`].
#[inline(always)]
pub fn in_hash(address: u32) -> u32 {
    // SAFETY: the value is copied at once; nobody changes entries while a measurement runs.
    unsafe { maps::IDENTITY_HASH.get([address, 0]) }.copied().unwrap_or(0)
}

/// By [`maps::IDENTITY_TRIE`].
#[inline(always)]
pub fn in_trie(address: u32) -> u32 {
    maps::IDENTITY_TRIE.get(&Key::new(32, address.to_ne_bytes())).copied().unwrap_or(0)
}

/// Looks [`LOOKUPS`] keys up as [`repeat`] does, in the engine's table, by the engine's own code.
#[inline(always)]
pub fn repeat_in_buckets() -> bool {
    let Some(selector) = maps::SELECTOR.get(0) else { return false };
    let slot = selector.slot & 1;
    let Some(generation) = maps::GENERATIONS.get(slot) else { return false };
    let (layout, first) = (&generation.layout, slot * chunks::ADDRESSES_V4);
    repeat(|address| {
        let chunk = |chunk: u32| maps::ADDRESSES_V4.get(first + chunk).map(InnerArray);
        let found = address_v4(layout, u32::from_be(address), chunk);
        found.map_or(0, |entry| entry.identity)
    })
}

/// A chunk of the engine's table.
struct InnerArray<'a>(&'a maps::ChunkMap);

impl<'a> Chunk<'a, NarrowBucket> for InnerArray<'a> {
    #[inline(always)]
    fn bucket(&self, number: u32) -> Option<&'a NarrowBucket> {
        self.0.get(number)
    }

    /// As the engine's programs have it.
    #[inline(always)]
    fn spread(word: u64) -> u64 {
        #[cfg(target_arch = "bpf")]
        {
            let spread;
            // SAFETY: it changes a register.
            unsafe {
                core::arch::asm!(
                    "{word} s>>= 63",
                    word = inlateout(reg) word => spread,
                    options(pure, nomem, nostack),
                );
            }
            spread
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            ((word as i64) >> 63) as u64
        }
    }
}
