//! Fragments before the filter and behind it: what the kernel makes of those that pass is a packet
//! whose first fragment was judged, and never one for a port that policy denies (safety P7).
//!
//! The same sequences go to the kernel twice, through the filter and past it. The second run shows
//! what the filter keeps away, and that the sockets would have got it.

mod guard;
mod lab;
mod sequence;

use std::collections::BTreeMap;
use std::fmt;

use ringfence_testbed::random::Random;
use ringfence_testbed::require;

use guard::Guard;
use lab::{DENIED, Delivered, Lab};
use sequence::{Kind, Sequence, make, marker};

/// Sequences of each kind and family.
const REPEATS: u32 = 100;

/// Sequences after which the kernel is waited for.
const BATCH: usize = 50;

const SEED: u64 = 1;

/// What became of the sequences of one kind in one family.
#[derive(Clone, Debug, Default)]
struct Counts {
    fragments: usize,
    /// Of them, sent.
    passed: usize,
    /// Packets that arrived as they were meant and may.
    allowed: usize,
    /// Packets that arrived and may not, whether anybody meant them or not.
    denied: usize,
    /// Others that arrived and that nobody meant.
    foreign: usize,
}

/// By kind and whether it is IPv6.
#[derive(Default)]
struct Report(BTreeMap<(Kind, bool), Counts>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24} fragments   passed  allowed   denied  foreign", "")?;
        for ((kind, v6), counts) in &self.0 {
            let name = format!("{kind:?}, IPv{}", if *v6 { 6 } else { 4 });
            let Counts { fragments, passed, allowed, denied, foreign } = counts;
            writeln!(
                f,
                "{name:<24} {fragments:>9} {passed:>8} {allowed:>8} {denied:>8} {foreign:>8}"
            )?;
        }
        Ok(())
    }
}

#[test]
fn what_the_kernel_makes_of_fragments_that_pass_is_what_was_judged() {
    let Some(_granted) = require::privileged() else { return };
    let past = play(false);
    println!("past the filter\n{past}");
    let through = play(true);
    println!("through the filter\n{through}");

    for (kind, counts) in &through.0 {
        assert_eq!((counts.denied, counts.foreign), (0, 0), "{kind:?}\n{through}");
        assert!(counts.allowed <= REPEATS as usize, "{kind:?}\n{through}");
    }
    // Without a checksum, IPv4 delivers what pieces of two packets come to.
    let confused = [Kind::TwoFirsts, Kind::Overlap].map(|kind| &past.0[&(kind, false)]);
    assert!(confused[0].denied > 0 && confused[1].foreign > 0, "nothing is attacked:\n{past}");
    let reached = |report: &Report, kind| {
        [false, true].map(|v6| (report.0[&(kind, v6)].allowed, report.0[&(kind, v6)].denied))
    };
    let all = REPEATS as usize;
    for kind in [Kind::ToDenied, Kind::DeniedPing, Kind::ReusedAfter] {
        let own = usize::from(kind == Kind::ReusedAfter) * all;
        assert_eq!(reached(&past, kind), [(own, all); 2], "{kind:?} arrives without a filter");
        assert_eq!(reached(&through, kind), [(own, 0); 2], "{kind:?}");
    }
}

/// Sends all sequences; what has arrived.
fn play(filtered: bool) -> Report {
    let mut lab = Lab::new();
    let mut guard = filtered.then(Guard::new);
    let mut random = Random::new(SEED);
    let mut report = Report::default();
    for (family, ends) in lab.ends.clone().iter().enumerate() {
        let kinds = (0..REPEATS).flat_map(|_| Kind::ALL);
        let sequences: Vec<Sequence> =
            (1..).zip(kinds).map(|(number, kind)| make(*kind, number, ends, &mut random)).collect();
        for batch in sequences.chunks(BATCH) {
            for sequence in batch {
                let counts = report.0.entry((sequence.kind, family == 1)).or_default();
                send(&mut lab, guard.as_mut(), sequence, counts);
            }
            let text = b"a marker";
            lab.send(&marker(ends, text));
            for delivered in lab.deliveries(text) {
                let sequence = origin(&delivered, &sequences);
                let counts = report.0.entry((sequence.kind, family == 1)).or_default();
                count(&delivered, sequence, counts);
            }
        }
        for (kind, counts) in report.0.iter().filter(|((_, v6), _)| *v6 == (family == 1)) {
            if sequences.iter().any(|one| one.kind == kind.0 && one.is_proper) {
                let all = (counts.fragments, REPEATS as usize);
                assert_eq!((counts.passed, counts.allowed), all, "{kind:?}\n{report}");
            }
        }
    }
    report
}

fn send(lab: &mut Lab, mut guard: Option<&mut Guard>, sequence: &Sequence, counts: &mut Counts) {
    counts.fragments += sequence.frames.len();
    for frame in &sequence.frames {
        if guard.as_mut().is_none_or(|guard| guard.passes(frame)) {
            counts.passed += 1;
            lab.send(frame);
        }
    }
}

/// The sequence whose number the data begins with.
fn origin<'s>(delivered: &Delivered, sequences: &'s [Sequence]) -> &'s Sequence {
    let number = delivered.data.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    let place = number.and_then(|number| number.checked_sub(1));
    let found = place.and_then(|place| sequences.get(place as usize));
    found.unwrap_or_else(|| panic!("nobody sent {delivered:?}"))
}

fn count(delivered: &Delivered, sequence: &Sequence, counts: &mut Counts) {
    let meant = |one: &&sequence::Intended| {
        (one.port, one.data.as_slice()) == (delivered.port, delivered.data.as_slice())
    };
    match sequence.packets.iter().find(meant) {
        Some(packet) if packet.is_allowed => counts.allowed += 1,
        Some(_) => counts.denied += 1,
        None if delivered.port == Some(DENIED) => counts.denied += 1,
        None => counts.foreign += 1,
    }
}
