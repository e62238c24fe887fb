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

/// Makes the entry of a packet whose first fragment was allowed.
#[inline(always)]
pub fn first(entry: &mut FragmentEntry, fragment: &Fragment, now: u32) {
    *entry = FragmentEntry::default();
    entry.first_seen = now;
    entry.pieces_used = 1;
    entry.pieces[0] = fragment.end as u32;
}

/// Adds a piece.
#[inline(never)]
pub fn add(entry: &mut FragmentEntry, fragment: &Fragment, now: u32) -> Piece {
    if is_expired(entry, now) {
        return Piece::Refused(Reason::UnknownFragment);
    }
    if entry.flags & fragment_flags::POISONED != 0 {
        return Piece::Refused(Reason::OverlappingFragment);
    }
    let (start, end) = (fragment.start as u32, fragment.end as u32);
    let Some(highest) = highest_beside(entry, start, end) else {
        entry.flags |= fragment_flags::POISONED;
        return Piece::Refused(Reason::OverlappingFragment);
    };
    // Nothing lies behind the end, and the end lies behind everything.
    let end_seen = entry.flags & fragment_flags::END_SEEN != 0;
    if (end_seen && (end > highest || !fragment.more)) || (!fragment.more && end < highest) {
        entry.flags |= fragment_flags::POISONED;
        return Piece::Refused(Reason::BadFragment);
    }
    if !join(entry, start, end) {
        return Piece::Refused(Reason::TooManyFragments);
    }
    if !fragment.more {
        entry.flags |= fragment_flags::END_SEEN;
    }
    if entry.pieces_used == 1 && entry.flags & fragment_flags::END_SEEN != 0 {
        Piece::Completes
    } else {
        Piece::Fits
    }
}

/// One past the last byte of all pieces; `None` if one of them overlaps `start..end`. A function of
/// its own, so that the pieces need no room on the kernel's small stack afterwards.
#[inline(never)]
fn highest_beside(entry: &FragmentEntry, start: u32, end: u32) -> Option<u32> {
    let mut highest = 0;
    for piece in entry.pieces {
        let (first, last) = bounds(piece);
        if start < last && first < end {
            return None;
        }
        if last > highest {
            highest = last;
        }
    }
    Some(highest)
}

/// Takes the neighbours out, and puts them back as one with the piece between them; whether there
/// was room.
#[inline(always)]
fn join(entry: &mut FragmentEntry, start: u32, end: u32) -> bool {
    let (mut from, mut to) = (start, end);
    for index in 0..FRAGMENT_PIECES {
        let (first, last) = bounds(entry.pieces[index]);
        if last != 0 && (last == start || first == end) {
            if last == start {
                from = first;
            } else {
                to = last;
            }
            entry.pieces[index] = 0;
            entry.pieces_used = entry.pieces_used.wrapping_sub(1);
        }
    }
    for index in 0..FRAGMENT_PIECES {
        if entry.pieces[index] == 0 {
            entry.pieces[index] = from << 16 | to;
            entry.pieces_used = entry.pieces_used.wrapping_add(1);
            return true;
        }
    }
    false
}

/// First byte of a piece and one past its last; both 0 for a free place.
#[inline(always)]
const fn bounds(piece: u32) -> (u32, u32) {
    (piece >> 16, piece & 0xffff)
}

#[cfg(test)]
mod tests;
