//! Fragments: later ones follow the verdict of the first (semantics 14).
//!
//! What has passed of a packet is kept as a few byte ranges. A piece that overlaps one of them is
//! refused and everything after it (RFC 5722 §3), so that the ports which were checked are the
//! ports that arrive. When the pieces are one and the last has been seen, the packet is forgotten
//! and its identification may be used again.

use crate::abi::flow::{FragmentEntry, fragment_flags};
use crate::abi::limits::FRAGMENT_PIECES;
use crate::packet::Fragment;
use crate::track::ticks;
use crate::verdict::Reason;

/// Seconds within which the pieces of a packet have to come (Linux: `ipfrag_time`).
const SECONDS: u64 = 30;

/// What a later fragment means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// It fits; more are missing.
    Fits,
    /// It fits, and the packet is complete: forget it.
    Completes,
    /// It is refused.
    Refused(Reason),
}

/// Whether the entry is too old to have to do with a packet of today.
#[must_use]
#[inline(always)]
pub const fn is_expired(entry: &FragmentEntry, now: u32) -> bool {
    let age = now.wrapping_sub(entry.first_seen);
    age > ticks(SECONDS) && age < u32::MAX / 2
}

/// The entry of a packet whose first fragment was allowed.
#[must_use]
#[inline(always)]
pub fn first(fragment: &Fragment, now: u32) -> FragmentEntry {
    let mut entry = FragmentEntry { first_seen: now, pieces_used: 1, ..FragmentEntry::default() };
    entry.pieces[0] = fragment.end as u32;
    entry
}

/// Adds a piece.
#[inline(always)]
pub fn add(entry: &mut FragmentEntry, fragment: &Fragment, now: u32) -> Piece {
    if is_expired(entry, now) {
        return Piece::Refused(Reason::UnknownFragment);
    }
    if entry.flags & fragment_flags::POISONED != 0 {
        return Piece::Refused(Reason::OverlappingFragment);
    }
    let (start, end) = (fragment.start as u32, fragment.end as u32);
    let mut highest = 0;
    let mut before = FRAGMENT_PIECES;
    let mut after = FRAGMENT_PIECES;
    let mut free = FRAGMENT_PIECES;
    for index in 0..FRAGMENT_PIECES {
        let piece = entry.pieces[index];
        let (first, last) = (piece >> 16, piece & 0xffff);
        if last == 0 {
            free = index;
            continue;
        }
        if start < last && first < end {
            entry.flags |= fragment_flags::POISONED;
            return Piece::Refused(Reason::OverlappingFragment);
        }
        if last == start {
            before = index;
        }
        if first == end {
            after = index;
        }
        if last > highest {
            highest = last;
        }
    }
    // Nothing lies behind the end, and the end lies behind everything.
    let end_seen = entry.flags & fragment_flags::END_SEEN != 0;
    if (end_seen && (end > highest || !fragment.more)) || (!fragment.more && end < highest) {
        entry.flags |= fragment_flags::POISONED;
        return Piece::Refused(Reason::BadFragment);
    }
    if !fragment.more {
        entry.flags |= fragment_flags::END_SEEN;
    }
    join(entry, (start, end), before, after, free)
}

/// Puts the piece beside its neighbours, or into a free place.
#[inline(always)]
fn join(
    entry: &mut FragmentEntry,
    (start, end): (u32, u32),
    before: usize,
    after: usize,
    free: usize,
) -> Piece {
    let from = if before < FRAGMENT_PIECES { entry.pieces[before] >> 16 } else { start };
    let to = if after < FRAGMENT_PIECES { entry.pieces[after] & 0xffff } else { end };
    let whole = from << 16 | to;
    if before < FRAGMENT_PIECES {
        entry.pieces[before] = whole;
        if after < FRAGMENT_PIECES {
            entry.pieces[after] = 0;
            entry.pieces_used = entry.pieces_used.wrapping_sub(1);
        }
    } else if after < FRAGMENT_PIECES {
        entry.pieces[after] = whole;
    } else if free < FRAGMENT_PIECES {
        entry.pieces[free] = whole;
        entry.pieces_used = entry.pieces_used.wrapping_add(1);
    } else {
        return Piece::Refused(Reason::TooManyFragments);
    }
    if entry.pieces_used == 1 && entry.flags & fragment_flags::END_SEEN != 0 {
        Piece::Completes
    } else {
        Piece::Fits
    }
}
