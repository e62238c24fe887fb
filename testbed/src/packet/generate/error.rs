//! ICMP errors: about packets that were, that were not, and that cannot be.

use super::{Draft, Generator, Kind, Place};
use crate::packet::{Frame, Layer, quote};

/// Types and codes of ICMP errors (RFC 792), and of ICMPv6 errors (RFC 4443).
const ERRORS_V4: [(u8, u8); 7] = [(3, 0), (3, 1), (3, 3), (3, 4), (4, 0), (11, 0), (12, 0)];
const ERRORS_V6: [(u8, u8); 6] = [(1, 0), (1, 4), (2, 0), (3, 0), (4, 0), (4, 1)];

impl Generator<'_> {
    pub(super) fn icmp_error(&mut self) -> Draft {
        match self.random.below(10) {
            0..6 => self.error_about_a_packet().unwrap_or_else(|| self.invented_error()),
            6..8 => self.invented_error(),
            _ => self.malformed_error(),
        }
    }

    /// An error sent back to whoever sent an earlier packet, by its receiver or a router.
    fn error_about_a_packet(&mut self) -> Option<Draft> {
        if self.history.is_empty() {
            return None;
        }
        let about = self.history[self.random.below(self.history.len())].clone();
        let (source, destination) = addresses(&about.frame)?;
        let to = Place { address: source, interface: about.from };
        let from = if self.random.chance(70) {
            Place { address: destination, interface: about.to }
        } else {
            self.world.stranger(&mut self.random, source.is_ipv6())
        };
        let enough = if self.random.chance(85) { 256 } else { 20 + self.random.below(40) };
        let quoted = quote(&about.frame.build(), enough);
        Some(self.error(Kind::IcmpErrorTracked, from, to, &quoted))
    }

    fn invented_error(&mut self) -> Draft {
        let v6 = self.random.chance(50);
        let (from, to) = self.ends(v6);
        let about = Frame::ethernet().ip(to.address, from.address).udp(33_434, 7).payload(8);
        let about = match self.random.below(3) {
            0 => Frame::ethernet().ip(to.address, from.address).tcp(999, 9).syn(),
            1 => Frame::ethernet().ip(from.address, to.address).echo_request(1, 1),
            _ => about,
        };
        self.error(Kind::IcmpErrorInvented, from, to, &quote(&about.build(), 64))
    }

    fn malformed_error(&mut self) -> Draft {
        let v6 = self.random.chance(50);
        let (from, to) = self.ends(v6);
        let inside = Frame::ethernet().ip(to.address, from.address).udp(1, 2).payload(4).build();
        let mut quoted = quote(&inside, 64);
        match self.random.below(3) {
            0 => quoted.truncate(self.random.below(quoted.len())),
            1 => quoted[0] = self.random.number() as u8,
            _ => quoted = self.random.bytes(24),
        }
        self.error(Kind::IcmpErrorMalformed, from, to, &quoted)
    }

    fn error(&mut self, kind: Kind, from: Place, to: Place, quoted: &[u8]) -> Draft {
        let types = if from.address.is_ipv6() { ERRORS_V6.as_slice() } else { &ERRORS_V4 };
        let (icmp_type, code) = *self.random.pick(types);
        let frame = Frame::ethernet().ip(from.address, to.address);
        let frame = frame.icmp(icmp_type, code, [0, 0, 5, 0]).bytes(quoted);
        Draft::between(frame, kind, from, to)
    }
}

/// Source and destination of the first IP header.
fn addresses(frame: &Frame) -> Option<(std::net::IpAddr, std::net::IpAddr)> {
    frame.layers().iter().find_map(|layer| match layer {
        Layer::Ipv4(ip) => Some((ip.source.into(), ip.destination.into())),
        Layer::Ipv6(ip) => Some((ip.source.into(), ip.destination.into())),
        _ => None,
    })
}
