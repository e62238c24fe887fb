//! Damage: cut, flipped, lengths that lie.

use super::{Draft, Generated, Generator, Kind};
use crate::packet::Layer;

impl Generator<'_> {
    /// Cuts the frame anywhere, at 0 bytes too.
    pub(super) fn truncate(&mut self, mut packet: Generated) -> Generated {
        packet.frame.truncate(self.random.below(packet.frame.len().max(1)));
        packet.kind = Kind::Truncated;
        packet
    }

    /// Flips one to three bits, mostly in the headers.
    pub(super) fn flip_bits(&mut self, mut packet: Generated) -> Generated {
        for _ in 0..=self.random.below(3) {
            let headers = packet.frame.len().min(if self.random.chance(90) { 64 } else { 4_096 });
            if headers > 0 {
                let at = self.random.below(headers);
                packet.frame[at] ^= 1 << self.random.below(8);
            }
        }
        packet.kind = Kind::BitFlipped;
        packet
    }

    /// Makes one length of one layer lie.
    pub(super) fn corrupt_length(&mut self, mut draft: Draft) -> Generated {
        let small = self.random.below(64) as u16;
        let wrong = if self.random.chance(70) { small } else { self.random.number() as u16 };
        let nibble = (wrong & 15) as u8;
        let chosen = self.random.number() as usize;
        let layers = draft.frame.layers_mut();
        let mut with_length: Vec<&mut Layer> =
            layers.iter_mut().filter(|layer| has_length(layer)).collect();
        let count = with_length.len();
        if count == 0 {
            return self.truncate(draft.build());
        }
        match &mut *with_length[chosen % count] {
            Layer::Ipv4(ip) if wrong & 1 == 0 => ip.total_length = Some(wrong),
            Layer::Ipv4(ip) if wrong & 16 == 0 => ip.header_length = Some(nibble),
            Layer::Ipv4(ip) => ip.version = nibble,
            Layer::Ipv6(ip) if wrong & 7 == 0 => ip.version = nibble,
            Layer::Ipv6(ip) => ip.payload_length = Some(wrong),
            Layer::Extension(header) => header.length = Some(wrong as u8),
            Layer::Tcp(tcp) => tcp.data_offset = Some(nibble),
            Layer::Udp(udp) => udp.length = Some(wrong),
            _ => unreachable!("`has_length` lets no other layer through"),
        }
        draft.kind = Kind::LengthCorrupted;
        draft.build()
    }
}

fn has_length(layer: &Layer) -> bool {
    matches!(
        layer,
        Layer::Ipv4(_) | Layer::Ipv6(_) | Layer::Extension(_) | Layer::Tcp(_) | Layer::Udp(_)
    )
}
