//! Packets that are well formed and yet out of place, and bytes that are no packet.

use std::net::IpAddr;

use super::{Draft, Generator, Kind, Place};
use crate::packet::Frame;

/// Addresses that may not be on a wire, or only on one side of a packet.
const MARTIANS_V4: [&str; 7] = [
    "127.0.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "0.1.2.3",
    "240.0.0.1",
];
const MARTIANS_V6: [&str; 5] = ["::", "::1", "ff02::1", "::ffff:10.0.0.1", "::10.0.0.1"];

impl Generator<'_> {
    pub(super) fn oddity(&mut self) -> Draft {
        let kind = self.random.weighted(&[
            (Kind::OtherProtocol, 5),
            (Kind::IcmpOther, 4),
            (Kind::Martian, 4),
            (Kind::Spoofed, 5),
            (Kind::SelfTraffic, 3),
            (Kind::Forwarded, 3),
            (Kind::UnknownInterface, 1),
            (Kind::Noise, 2),
        ]);
        let v6 = self.random.chance(50);
        let (mut from, mut to) = self.ends(v6);
        match kind {
            Kind::Martian => self.martian(&mut from, &mut to, v6),
            Kind::Spoofed => from.address = self.world.anyone(&mut self.random, v6).address,
            Kind::SelfTraffic => {
                from = self.world.workload(&mut self.random, v6);
                to = from;
            }
            Kind::Forwarded => {
                from = self.world.stranger(&mut self.random, v6);
                to = self.world.stranger(&mut self.random, v6);
            }
            Kind::UnknownInterface => {
                (from.interface, to.interface) =
                    (self.world.unknown_interface, self.world.unknown_interface);
            }
            _ => {}
        }
        let frame = Frame::ethernet().ip(from.address, to.address);
        let frame = match kind {
            Kind::OtherProtocol => self.other_protocol(frame),
            Kind::IcmpOther => {
                let (icmp_type, code) = (self.random.number() as u8, self.random.below(3) as u8);
                let other_family = self.random.chance(20);
                frame.icmp(icmp_type, code, [0, 7, 0, 1]).with_icmp(|icmp| icmp.v6 ^= other_family)
            }
            Kind::Noise => self.noise(),
            _ => self.transport(frame),
        };
        Draft::between(frame, kind, from, to)
    }

    fn martian(&mut self, from: &mut Place, to: &mut Place, v6: bool) {
        let list = if v6 { MARTIANS_V6.as_slice() } else { &MARTIANS_V4 };
        let address: IpAddr = self.random.pick(list).parse().expect("these are addresses");
        if self.random.chance(50) {
            from.address = address;
        } else {
            to.address = address;
        }
    }

    fn other_protocol(&mut self, frame: Frame) -> Frame {
        let (number, length) = (self.random.number() as u8, self.random.below(60));
        let bytes = self.random.bytes(length);
        let inner = [IpAddr::from([10, 9, 9, 1]), IpAddr::from([10, 9, 9, 2])];
        match self.random.below(5) {
            0 => frame.gre().ip(inner[0], inner[1]).udp(1, 2).payload(4),
            1 => frame.esp(&bytes),
            // IP in IP, IGMP.
            2 => frame.ip(inner[0], inner[1]).tcp(1, 2).syn(),
            3 => frame.protocol_bytes(2, &[0x16, 0, 0, 0, 224, 0, 0, 251]),
            _ => frame.protocol_bytes(number, &bytes),
        }
    }

    /// An Ethernet header of IPv4 or IPv6, or nothing, and then anything.
    fn noise(&mut self) -> Frame {
        let length = self.random.below(120);
        let mut bytes = self.random.bytes(length);
        let starts = [[0x08, 0x00, 0x45], [0x86, 0xdd, 0x60], [0x81, 0x00, 0x00]];
        let start = *self.random.pick(&starts);
        if bytes.len() > 15 && self.random.chance(80) {
            bytes[12..15].copy_from_slice(&start);
        }
        Frame::bare().bytes(&bytes)
    }
}
