//! Sequences of fragments, proper ones and those that are made to confuse.

use std::net::IpAddr;

use ringfence_testbed::packet::{Frame, Layer};
use ringfence_testbed::random::Random;

use super::lab::{ALLOWED, DENIED, Ends, TRUSTED};

/// Declares the kinds and their list.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[doc = $doc])+ $name),+ }

        impl Kind {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

kinds! {
    /// All pieces, one behind the other.
    InOrder,
    /// The first piece first, then the others in any order.
    Shuffled,
    /// Pieces of eight bytes: the first is the UDP header and nothing else.
    Tiny,
    /// An echo request from somebody who may send it, in small pieces.
    Ping,
    /// The same from somebody who may not.
    DeniedPing,
    /// To the port that is denied.
    ToDenied,
    /// A packet with a fragment header that is whole (RFC 6946); plain in IPv4.
    Atomic,
    /// A first piece that ends before the transport header does, in IPv6 behind an option header;
    /// in IPv4 the rest of the header comes as an overlap.
    HeaderInPieces,
    /// A later piece comes before the first.
    FirstLate,
    /// One piece twice.
    Duplicate,
    /// Bytes of the first piece again, with other ports, in a piece of its own.
    RewrittenPorts,
    /// Two first pieces, one of them for the port that is denied.
    TwoFirsts,
    /// A later piece that overlaps its neighbours, with other bytes.
    Overlap,
    /// One piece never comes.
    Hole,
    /// A piece behind the last one.
    BehindTheEnd,
    /// Two last pieces at different ends.
    TwoEnds,
    /// The number of an allowed packet, complete, used again for a denied one.
    ReusedAfter,
    /// The pieces of an allowed and of a denied packet of one number, by turns, the denied one's
    /// first piece first.
    ReusedByTurns,
}

/// What goes over the wire, and what it is meant to be.
pub struct Sequence {
    pub kind: Kind,
    pub frames: Vec<Vec<u8>>,
    /// The packets of which the frames are pieces.
    pub packets: Vec<Intended>,
    /// Whether policy allows all of it and nothing about it is wrong.
    pub is_proper: bool,
}

/// A packet as its sender meant it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intended {
    /// `None` for an echo request.
    pub port: Option<u16>,
    pub data: Vec<u8>,
    pub is_allowed: bool,
}

/// A packet to be cut: who sends it, its number, and what its fragments carry.
struct Cut<'a> {
    ends: &'a Ends,
    from: IpAddr,
    number: u32,
    protocol: u8,
    whole: Vec<u8>,
}

/// Makes sequence `number` of a kind; its packets carry that number as their identification.
pub fn make(kind: Kind, number: u32, ends: &Ends, random: &mut Random) -> Sequence {
    let material = Material::new(kind, number, ends, random);
    let proper = [Kind::InOrder, Kind::Shuffled, Kind::Tiny, Kind::Ping, Kind::Atomic];
    let of_both = [Kind::TwoFirsts, Kind::ReusedAfter, Kind::ReusedByTurns];
    let packets = match kind {
        Kind::Ping => vec![material.intended(None, true)],
        Kind::DeniedPing => vec![material.intended(None, false)],
        Kind::ToDenied => vec![material.intended(Some(DENIED), false)],
        _ => {
            let second = of_both.contains(&kind).then(|| material.intended(Some(DENIED), false));
            [material.intended(Some(ALLOWED), true)].into_iter().chain(second).collect()
        }
    };
    let frames = material.simple(kind, random).unwrap_or_else(|| material.confusing(kind, random));
    Sequence { kind, frames, packets, is_proper: proper.contains(&kind) }
}

/// The packets of which sequences are made.
struct Material<'a> {
    ends: &'a Ends,
    number: u32,
    /// Bytes of a piece.
    size: usize,
    /// What the allowed packet carries, and what the denied one does.
    data: [Vec<u8>; 2],
    /// The allowed packet.
    good: Cut<'a>,
    /// The same without a checksum, and the denied one: nothing but the filter and reassembly
    /// itself stands in their way.
    loose: Cut<'a>,
    other: Cut<'a>,
}

impl<'a> Material<'a> {
    fn new(kind: Kind, number: u32, ends: &'a Ends, random: &mut Random) -> Self {
        let small = matches!(kind, Kind::Tiny | Kind::Ping | Kind::DeniedPing);
        let size = if small { 8 } else { 24 + 8 * random.below(8) };
        let length = 64 + random.below(400);
        let data = [0_u32, 1].map(|which| {
            [&number.to_be_bytes()[..], &which.to_be_bytes(), &random.bytes(length)].concat()
        });
        let good = Cut::udp(ends, number, ALLOWED, &data[0], true);
        let loose = Cut::udp(ends, number, ALLOWED, &data[0], false);
        let other = Cut::udp(ends, number, DENIED, &data[1], false);
        Self { ends, number, size, data, good, loose, other }
    }

    fn intended(&self, port: Option<u16>, is_allowed: bool) -> Intended {
        let data = self.data[usize::from(port == Some(DENIED))].clone();
        Intended { port, data, is_allowed }
    }

    /// The pieces of one packet, each once, first piece first; `None` for the other kinds.
    fn simple(&self, kind: Kind, random: &mut Random) -> Option<Vec<Vec<u8>>> {
        let Self { ends, number, size, good, .. } = self;
        let ping = |from| Cut::echo(ends, from, *number, &self.data[0]).pieces(*size);
        Some(match kind {
            Kind::InOrder | Kind::Tiny => good.pieces(*size),
            Kind::Shuffled => {
                // Never more disjoint pieces than the filter remembers.
                let mut pieces = good.pieces(good.whole.len().div_ceil(6).next_multiple_of(8));
                random.shuffle(&mut pieces[1..]);
                pieces
            }
            Kind::Ping => ping(ends.trusted),
            Kind::DeniedPing => ping(ends.sender),
            Kind::ToDenied => self.other.pieces(*size),
            Kind::Atomic => vec![good.piece(0, good.whole.len(), false)],
            _ => return None,
        })
    }

    /// Pieces in a wrong order or number, or of two packets.
    fn confusing(&self, kind: Kind, random: &mut Random) -> Vec<Vec<u8>> {
        let Self { ends, number, size, good, loose, other, .. } = self;
        let mut pieces = good.pieces(*size);
        let later = 1 + random.below(pieces.len() - 1);
        match kind {
            Kind::HeaderInPieces => return loose.header_in_pieces(*size),
            Kind::FirstLate => pieces.swap(0, later),
            Kind::Duplicate => pieces.insert(later, pieces[later - random.below(2)].clone()),
            Kind::RewrittenPorts => {
                pieces = loose.pieces(*size);
                pieces.insert(1, other.piece(0, 8, true));
            }
            Kind::TwoFirsts => {
                pieces = loose.pieces(*size);
                let place = if random.chance(50) { 0 } else { later };
                pieces.insert(place, other.piece(0, *size, true));
            }
            Kind::Overlap => {
                pieces = loose.pieces(*size);
                let start = size + 8 * random.below(2) - 8 * random.below(2);
                pieces.insert(later, other.piece(start, *size, true));
            }
            Kind::Hole => drop(pieces.remove(random.below(pieces.len()))),
            Kind::BehindTheEnd => {
                let end = good.whole.len().next_multiple_of(8) + 8;
                pieces.insert(later, good.stray(end, &self.data[1][..16]));
            }
            Kind::TwoEnds => {
                let (shorter, last) = (pieces.len() / 2 * size, pieces.len() - 1);
                pieces.insert(last, good.piece(shorter, size - 8, false));
            }
            Kind::ReusedAfter => pieces.extend(other.pieces(*size)),
            Kind::ReusedByTurns => {
                // Their checksums tell the packets apart where numbers cannot.
                let other = Cut::udp(ends, *number, DENIED, &self.data[1], true).pieces(*size);
                pieces = other.into_iter().zip(pieces).flat_map(<[_; 2]>::from).collect();
            }
            _ => unreachable!("the simple kinds are made elsewhere"),
        }
        pieces
    }
}

impl<'a> Cut<'a> {
    fn udp(ends: &'a Ends, number: u32, port: u16, data: &[u8], checked: bool) -> Self {
        let frame = Frame::ethernet().ip(ends.sender, ends.receiver).udp(40_000, port).bytes(data);
        // IPv6 has no datagrams without a checksum (RFC 8200 §8.1).
        let frame = if checked || ends.receiver.is_ipv6() {
            frame
        } else {
            frame.with_udp(|udp| udp.checksum = Some(0))
        };
        Self { ends, from: ends.sender, number, protocol: 17, whole: behind_ip(&frame) }
    }

    fn echo(ends: &'a Ends, from: IpAddr, number: u32, data: &[u8]) -> Self {
        let frame = Frame::ethernet().ip(from, ends.receiver).echo_request(9, 1).bytes(data);
        let protocol = if from.is_ipv4() { 1 } else { 58 };
        Self { ends, from, number, protocol, whole: behind_ip(&frame) }
    }

    /// All pieces in their order, all but the last of `size` bytes.
    fn pieces(&self, size: usize) -> Vec<Vec<u8>> {
        let starts = (0..self.whole.len()).step_by(size);
        starts.map(|start| self.piece(start, size, start + size < self.whole.len())).collect()
    }

    fn piece(&self, start: usize, size: usize, more: bool) -> Vec<u8> {
        let start = start.min(self.whole.len());
        let end = (start + size).min(self.whole.len());
        self.fragment(start, more, self.protocol, &self.whole[start..end])
    }

    /// A last piece at `start` that is none of the packet's.
    fn stray(&self, start: usize, bytes: &[u8]) -> Vec<u8> {
        self.fragment(start, false, self.protocol, bytes)
    }

    /// A chain of headers (IPv6), or the ports (IPv4), that goes on in the second piece.
    fn header_in_pieces(&self, size: usize) -> Vec<Vec<u8>> {
        if self.from.is_ipv4() {
            let mut pieces = self.pieces(size);
            pieces[0] = self.piece(0, 8, true);
            pieces.insert(1, self.piece(0, size, true));
            return pieces;
        }
        let option = [self.protocol, 2, 1, 20].into_iter().chain([0; 20]);
        let whole: Vec<u8> = option.chain(self.whole.iter().copied()).collect();
        let pieces = whole.chunks(16).enumerate().map(|(index, piece)| {
            self.fragment(index * 16, (index + 1) * 16 < whole.len(), 60, piece)
        });
        pieces.collect()
    }

    fn fragment(&self, start: usize, more: bool, protocol: u8, bytes: &[u8]) -> Vec<u8> {
        let frame = Frame::ethernet().ip(self.from, self.ends.receiver);
        let offset = (start / 8) as u16;
        let frame = if self.from.is_ipv4() {
            frame.protocol_bytes(protocol, bytes).fragment(self.number as u16, offset, more)
        } else {
            frame.fragment_header(self.number, offset, more).protocol_bytes(protocol, bytes)
        };
        frame.with_ethernet(|ethernet| ethernet.destination = self.ends.link_address).build()
    }
}

/// What a frame carries behind its IP header.
fn behind_ip(frame: &Frame) -> Vec<u8> {
    let is_v6 = frame.layers().iter().any(|layer| matches!(layer, Layer::Ipv6(_)));
    frame.build()[14 + if is_v6 { 40 } else { 20 }..].to_vec()
}

/// A frame that is allowed and whole: what arrives before it has arrived.
pub fn marker(ends: &Ends, text: &[u8]) -> Vec<u8> {
    let frame = Frame::ethernet().ip(ends.trusted, ends.receiver).udp(TRUSTED, ALLOWED).bytes(text);
    frame.with_ethernet(|ethernet| ethernet.destination = ends.link_address).build()
}
