//! Cutting a packet into fragments, as a router or a host would (RFC 791 §3.2, RFC 8200 §4.5).

use super::extension::{Extension, extension_kind};
use super::frame::{Bytes, Frame, Layer};
use super::ip_flags;

impl Frame {
    /// The frames of this packet's fragments, in order. `size` is the payload of each but the last
    /// and must be a multiple of eight.
    ///
    /// # Panics
    ///
    /// When `size` is not such a number or the frame has no IP header.
    #[must_use]
    pub fn fragments(&self, identification: u32, size: usize) -> Vec<Vec<u8>> {
        assert!(size > 0 && size.is_multiple_of(8), "a fragment of {size} bytes does not exist");
        let start = self.first_fragmentable();
        let protocol = self.layers()[start].protocol();
        let whole = self.encode_from(start);
        let pieces = whole.chunks(size).enumerate();
        pieces
            .map(|(index, piece)| {
                let offset = (index * size / 8) as u16;
                let more = (index + 1) * size < whole.len();
                let mut frame = self.clone();
                frame.layers_mut().truncate(start);
                frame.one_fragment(identification, offset, more, protocol, piece).build()
            })
            .collect()
    }

    fn one_fragment(
        self,
        identification: u32,
        offset: u16,
        more: bool,
        protocol: Option<u8>,
        piece: &[u8],
    ) -> Self {
        let bytes = Layer::Bytes(Bytes { protocol, bytes: piece.to_vec() });
        if self.is_v6() {
            self.fragment_header(identification, offset, more).layer(bytes)
        } else {
            self.layer(bytes).with_ipv4(|ip| {
                ip.identification = identification as u16;
                ip.fragment_offset = offset;
                ip.flags = if more { ip_flags::MORE } else { 0 };
            })
        }
    }

    /// The index of the first layer that fragments carry: what follows the IP header and, in IPv6,
    /// the headers that every router on the way reads.
    fn first_fragmentable(&self) -> usize {
        let is_ip = |layer: &Layer| matches!(layer, Layer::Ipv4(_) | Layer::Ipv6(_));
        let ip = self.layers().iter().position(is_ip).expect("the frame has an IP header");
        let rest = &self.layers()[ip + 1..];
        ip + 1 + rest.iter().take_while(|layer| for_every_router(layer)).count()
    }
}

fn for_every_router(layer: &Layer) -> bool {
    let per_hop = [extension_kind::HOP_BY_HOP, extension_kind::ROUTING];
    matches!(layer, Layer::Extension(Extension { kind, .. }) if per_hop.contains(kind))
}
