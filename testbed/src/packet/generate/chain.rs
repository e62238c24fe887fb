//! IPv6 extension header chains and IPv4 options.

use super::{Draft, Generator, Kind};
use crate::packet::{Frame, extension_kind};

impl Generator<'_> {
    pub(super) fn extension_chain(&mut self) -> Draft {
        let kind = self.random.weighted(&[
            (Kind::IpOptions, 4),
            (Kind::ExtensionChain, 6),
            (Kind::ExtensionMany, 3),
            (Kind::ExtensionMisplaced, 2),
            (Kind::ExtensionTruncated, 3),
            (Kind::ExtensionSourceRoute, 1),
            (Kind::ExtensionOpaque, 2),
            (Kind::Jumbogram, 1),
        ]);
        let (from, to) = self.ends(kind != Kind::IpOptions);
        let frame = Frame::ethernet().ip(from.address, to.address);
        let frame = match kind {
            Kind::IpOptions => {
                let length = self.random.below(41);
                let options = self.random.bytes(length);
                frame.options(&options)
            }
            Kind::ExtensionChain => self.proper_chain(frame),
            Kind::ExtensionMany => {
                let count = 7 + self.random.below(5);
                (0..count).fold(frame, |frame, _| frame.destination_options(&[]))
            }
            Kind::ExtensionMisplaced if self.random.chance(50) => {
                frame.destination_options(&[]).hop_by_hop(&[])
            }
            Kind::ExtensionMisplaced => {
                frame.fragment_header(1, 0, false).fragment_header(2, 0, false)
            }
            Kind::ExtensionTruncated => {
                let length = 1 + self.random.number() as u8 / 2;
                self.proper_chain(frame)
                    .destination_options(&[])
                    .with_extension(|header| header.length = Some(length))
            }
            Kind::ExtensionSourceRoute => frame.routing(0, self.random.below(3) as u8),
            Kind::ExtensionOpaque => {
                let frame = self.proper_chain(frame);
                let end = *self.random.pick(&[
                    extension_kind::NO_NEXT_HEADER,
                    extension_kind::ESP,
                    extension_kind::MOBILITY,
                    extension_kind::HOST_IDENTITY,
                    extension_kind::SHIM6,
                    253,
                ]);
                frame.extension(end, &[0; 14])
            }
            _ => {
                frame.hop_by_hop(&[0xc2, 4, 0, 1, 0, 0]).with_ipv6(|ip| ip.payload_length = Some(0))
            }
        };
        let frame = if kind == Kind::ExtensionOpaque { frame } else { self.transport(frame) };
        Draft::between(frame, kind, from, to)
    }

    /// Up to five headers in the order of RFC 8200 §4.1.
    fn proper_chain(&mut self, mut frame: Frame) -> Frame {
        let length = self.random.below(12);
        let option = [&[1, length as u8], vec![0; length].as_slice()].concat();
        if self.random.chance(40) {
            frame = frame.hop_by_hop(&option);
        }
        if self.random.chance(50) {
            frame = frame.destination_options(&[]);
        }
        if self.random.chance(40) {
            let routing_type = *self.random.pick(&[2, 3, 4]);
            frame = frame.routing(routing_type, 1);
        }
        if self.random.chance(30) {
            frame = frame.authentication();
        }
        if self.random.chance(50) {
            frame = frame.destination_options(&option);
        }
        frame
    }

    /// Some transport header.
    pub(super) fn transport(&mut self, frame: Frame) -> Frame {
        let port = self.world.port(&mut self.random, 6);
        match self.random.below(5) {
            0 | 1 => frame.tcp(41_000, port).syn(),
            2 => frame.udp(41_000, port).payload(12),
            3 => frame.sctp(41_000, port).chunk(1, 0, &[0; 16]),
            _ => frame.echo_request(77, 1).payload(8),
        }
    }
}
