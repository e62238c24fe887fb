//! Fragments, good and bad. Those of one packet are queued together.

use super::{Draft, Generated, Generator, Kind, Place};
use crate::packet::{Frame, extension_kind, ip_flags};

/// Identifications are drawn from few numbers, so that they are reused.
const IDENTIFICATIONS: usize = 64;

impl Generator<'_> {
    /// The first of some fragments; the others are queued.
    pub(super) fn fragments(&mut self) -> Generated {
        loop {
            self.queue_fragments();
            // A packet that fits into one fragment leaves nothing when that one is left out.
            if let Some(first) = self.pending.pop_front() {
                return first;
            }
        }
    }

    fn queue_fragments(&mut self) {
        let kind = self.random.weighted(&[
            (Kind::FragmentWhole, 8),
            (Kind::FragmentHeadless, 2),
            (Kind::FragmentTiny, 2),
            (Kind::FragmentOverlap, 2),
            (Kind::FragmentReuse, 2),
            (Kind::FragmentHoles, 1),
            (Kind::FragmentBad, 3),
            (Kind::FragmentAtomic, 3),
        ]);
        let v6 = self.random.chance(50) || kind == Kind::FragmentAtomic;
        let (from, to) = self.ends(v6);
        let identification = self.random.below(IDENTIFICATIONS) as u32;
        match kind {
            Kind::FragmentBad => self.bad_fragment(from, to, identification),
            Kind::FragmentAtomic => self.atomic_fragment(from, to, identification),
            _ => self.cut(kind, from, to, identification),
        }
    }

    /// Cuts a packet, and does to the pieces what `kind` says.
    fn cut(&mut self, kind: Kind, from: Place, to: Place, identification: u32) {
        let size = match kind {
            Kind::FragmentTiny => 8,
            Kind::FragmentHoles => 24,
            _ => 8 * (3 + self.random.below(20)),
        };
        let length = match kind {
            Kind::FragmentTiny => self.random.below(24),
            Kind::FragmentHoles => 600,
            _ => 40 + self.random.below(400),
        };
        let frame = Frame::ethernet().ip(from.address, to.address);
        let frame = self.transport(frame).payload(length);
        let mut pieces = frame.fragments(identification, size);
        match kind {
            Kind::FragmentHeadless => drop(pieces.remove(0)),
            Kind::FragmentOverlap => {
                let repeated = pieces[self.random.below(pieces.len())].clone();
                pieces.insert(self.random.below(pieces.len()), repeated);
                pieces.extend(frame.fragments(identification, size + 8));
            }
            Kind::FragmentReuse => pieces.extend(frame.fragments(identification, size)),
            Kind::FragmentHoles => {
                let mut index = 0;
                pieces.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
            }
            _ => {}
        }
        // Out of order, but mostly after the first: before it there is nothing to follow.
        let first = usize::from(self.random.chance(80)).min(pieces.len());
        if self.random.chance(40) {
            self.random.shuffle(&mut pieces[first..]);
        }
        let queued = pieces.into_iter().map(|frame| Generated {
            frame,
            kind,
            from: from.interface,
            to: to.interface,
        });
        self.pending.extend(queued);
    }

    /// Odd in the middle, empty, past the largest packet, or with flags nobody sets.
    fn bad_fragment(&mut self, from: Place, to: Place, identification: u32) {
        let (offset, more, length) = *self.random.pick(&[
            (0, true, 33),
            (4, true, 13),
            (4, true, 0),
            (4, false, 0),
            (8_191, false, 64),
            (8_190, true, 64),
            (8_191, true, 8),
        ]);
        let frame = Frame::ethernet().ip(from.address, to.address);
        let frame = if from.address.is_ipv6() {
            frame
                .fragment_header(identification, offset, more)
                .with_extension(|header| header.next_header = Some(17))
        } else {
            let reserved = if self.random.chance(20) { 4 } else { 0 };
            frame.fragment(identification as u16, offset, more).with_ipv4(|ip| {
                ip.protocol = Some(17);
                ip.flags |= reserved | ip_flags::DONT_FRAGMENT;
            })
        };
        let frame = frame.bytes(&vec![0x11; length]);
        self.queue(Draft::between(frame, Kind::FragmentBad, from, to));
    }

    /// A fragment header with nothing before or after it (RFC 6946).
    fn atomic_fragment(&mut self, from: Place, to: Place, identification: u32) {
        let frame = Frame::ethernet().ip(from.address, to.address);
        let frame = frame.fragment_header(identification, 0, false);
        let frame = if self.random.chance(30) {
            frame.extension(extension_kind::DESTINATION, &[1, 4, 0, 0, 0, 0])
        } else {
            frame
        };
        let frame = self.transport(frame);
        self.queue(Draft::between(frame, Kind::FragmentAtomic, from, to));
    }

    fn queue(&mut self, draft: Draft) {
        self.pending.push_back(draft.build());
    }
}
