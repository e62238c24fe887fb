//! What is remembered of a fragmented packet, piece by piece.

use super::{Piece, add, first, is_expired};
use crate::abi::flow::{FragmentEntry, fragment_flags};
use crate::abi::limits::FRAGMENT_PIECES;
use crate::packet::Fragment;
use crate::track::ticks;
use crate::verdict::Reason;

const NOW: u32 = 1_000;
const OVERLAPS: Piece = Piece::Refused(Reason::OverlappingFragment);
const BAD: Piece = Piece::Refused(Reason::BadFragment);

fn fragment(start: u16, end: u16, more: bool) -> Fragment {
    Fragment { start, end, more, present: true, ..Fragment::default() }
}

/// A packet whose first fragment holds the first eight bytes.
fn begun() -> FragmentEntry {
    let mut entry = FragmentEntry::default();
    first(&mut entry, &fragment(0, 8, true), NOW);
    entry
}

/// Adds the pieces `(start, end, more, expected)` one after the other.
#[track_caller]
fn walk(entry: &mut FragmentEntry, rows: &[(u16, u16, bool, Piece)]) {
    for (index, (start, end, more, expected)) in rows.iter().enumerate() {
        let piece = add(entry, &fragment(*start, *end, *more), NOW);
        assert_eq!(piece, *expected, "piece {index}, {start}..{end}: {entry:?}");
    }
}

#[test]
fn pieces_in_order_are_one_piece_at_any_time() {
    let mut entry = begun();
    for start in (8..1_600).step_by(8) {
        walk(&mut entry, &[(start, start + 8, true, Piece::Fits)]);
        assert_eq!((entry.pieces_used, entry.pieces[0]), (1, u32::from(start) + 8));
    }
    walk(&mut entry, &[(1_600, 1_601, false, Piece::Completes)]);
}

#[test]
fn pieces_out_of_order_complete_the_packet_when_the_last_gap_is_filled() {
    walk(
        &mut begun(),
        &[
            (40, 50, false, Piece::Fits),
            (24, 32, true, Piece::Fits),
            (8, 16, true, Piece::Fits),
            (32, 40, true, Piece::Fits),
            (16, 24, true, Piece::Completes),
        ],
    );
    walk(&mut begun(), &[(16, 20, false, Piece::Fits), (8, 16, true, Piece::Completes)]);
}

#[test]
fn the_largest_packet_completes() {
    let rows = [(65_528, 65_535, false, Piece::Fits), (8, 65_528, true, Piece::Completes)];
    walk(&mut begun(), &rows);
}

#[test]
fn every_way_to_overlap_is_refused_and_so_is_everything_after_it() {
    let ways = [
        ("the same", 24, 32),
        ("its head", 16, 32),
        ("its tail", 24, 40),
        ("around it", 16, 40),
        ("from before into it", 16, 25),
        ("within the first", 0, 8),
        ("the first and more", 0, 16),
    ];
    for (way, start, end) in ways {
        let mut entry = begun();
        walk(&mut entry, &[(24, 32, true, Piece::Fits), (start, end, true, OVERLAPS)]);
        assert_eq!(entry.flags, fragment_flags::POISONED, "{way}");
        walk(&mut entry, &[(64, 72, true, OVERLAPS), (8, 16, true, OVERLAPS)]);
    }
    let mut long = begun();
    let contained = [(16, 80, true, Piece::Fits), (32, 40, true, OVERLAPS)];
    walk(&mut long, &contained);
}

#[test]
fn there_is_one_end_and_nothing_behind_it() {
    walk(
        &mut begun(),
        &[(24, 30, false, Piece::Fits), (32, 40, true, BAD), (8, 16, true, OVERLAPS)],
    );
    walk(&mut begun(), &[(24, 30, false, Piece::Fits), (32, 40, false, BAD)]);
    walk(&mut begun(), &[(24, 30, false, Piece::Fits), (8, 16, false, BAD)]);
    walk(&mut begun(), &[(24, 32, true, Piece::Fits), (8, 16, false, BAD)]);
    walk(&mut begun(), &[(24, 30, false, Piece::Fits), (24, 30, false, OVERLAPS)]);
}

#[test]
fn as_many_gaps_as_there_are_places_are_remembered_and_no_more() {
    let mut entry = begun();
    for index in 1..FRAGMENT_PIECES as u16 {
        walk(&mut entry, &[(index * 16, index * 16 + 8, true, Piece::Fits)]);
    }
    assert_eq!(usize::from(entry.pieces_used), FRAGMENT_PIECES);
    let full = entry;
    walk(&mut entry, &[(800, 808, true, Piece::Refused(Reason::TooManyFragments))]);
    assert_eq!(entry, full, "nothing is lost");
    // One that fills a gap needs no place and frees one.
    walk(&mut entry, &[(8, 16, true, Piece::Fits)]);
    assert_eq!(usize::from(entry.pieces_used), FRAGMENT_PIECES - 1);
    walk(&mut entry, &[(800, 808, true, Piece::Fits)]);
}

#[test]
fn every_order_of_arrival_that_needs_few_places_completes() {
    // A fixed sequence of permutations of seven pieces behind the first.
    let mut order: [u16; 7] = [1, 2, 3, 4, 5, 6, 7];
    let mut seed = 1_u32;
    for _ in 0..2_000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        order.swap((seed >> 16) as usize % 7, (seed >> 24) as usize % 7);
        let mut entry = begun();
        for (arrived, index) in order.iter().enumerate() {
            let expected = if arrived == 6 { Piece::Completes } else { Piece::Fits };
            let piece = fragment(index * 8, index * 8 + 8, *index != 7);
            assert_eq!(add(&mut entry, &piece, NOW), expected, "{order:?}");
        }
    }
}

#[test]
fn a_packet_is_waited_for_thirty_seconds_from_its_first_fragment() {
    for begin in [NOW, u32::MAX - 10] {
        let mut entry = FragmentEntry::default();
        first(&mut entry, &fragment(0, 8, true), begin);
        let last_moment = begin.wrapping_add(ticks(30));
        assert!(!is_expired(&entry, last_moment));
        assert!(!is_expired(&entry, begin.wrapping_sub(2)), "another CPU's clock");
        assert_eq!(add(&mut entry, &fragment(8, 16, true), last_moment), Piece::Fits);
        let late = last_moment.wrapping_add(1);
        assert!(is_expired(&entry, late), "a later piece does not lengthen it");
        let refused = add(&mut entry, &fragment(16, 24, true), late);
        assert_eq!(refused, Piece::Refused(Reason::UnknownFragment));
    }
}
