//! The next of the prepared keys.
//!
//! `BPF_PROG_TEST_RUN` hands the same frame to every run. To measure what it costs to decide
//! packets of many senders, the key is written into the frame just before the program under test
//! gets it. Drawing costs the same whoever decides afterwards.

use ringfence_controls::{DRAWN, Draws, draws, routed};

use crate::frame::Frame;
use crate::maps;

/// Writes the next key into the frame; whether there was one and the frame has room for it.
#[inline(always)]
pub fn draw(frame: Frame) -> bool {
    let Some(turn) = take_turns(1) else { return false };
    let Some(drawn) = maps::DRAWS.get(0) else { return false };
    frame.write(drawn[draws::OFFSET] & draws::LAST_OFFSET, key(drawn, turn))
}

/// Undoes what a router has done to the frame; whether all of it goes that far.
#[inline(always)]
pub fn unroute(frame: Frame) -> bool {
    let Some(routed) = maps::ROUTED.get(0) else { return false };
    let [first, second, third] = [0, 1, 2].map(|word| routed[routed::ADDRESSES + word]);
    frame.write(0, first)
        && frame.write(4, second)
        && frame.write(8, third)
        && frame.write(routed[routed::OFFSET] & draws::LAST_OFFSET, routed[routed::HOPS_LEFT])
}

/// The interface to be flooded.
#[inline(always)]
pub fn interface() -> Option<u32> {
    maps::DRAWS.get(0).map(|drawn| drawn[draws::INTERFACE])
}

/// The key of a turn.
#[inline(always)]
pub fn key(drawn: &Draws, turn: u64) -> u32 {
    drawn[draws::KEYS + turn as usize % DRAWN]
}

/// Takes `count` turns; the first of them.
#[inline(always)]
pub fn take_turns(count: u64) -> Option<u64> {
    let turn = maps::TURN.get_ptr_mut(0)?;
    // SAFETY: the value is this CPU's own and stays valid for the program's run.
    let turn = unsafe { &mut *turn };
    let first = *turn;
    *turn = first + count;
    Some(first)
}
