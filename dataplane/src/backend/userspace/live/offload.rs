//! What the sender's host left to whoever sends the frame on: an unfinished checksum, and
//! segmentation.
//!
//! The frame arrives with a header that says it, and whoever sent the frame may have written that
//! header. The kernel does what it says after the decision: it writes two bytes at a place of the
//! sender's choice. So it goes on only if it says what a stack says of the very packet that was
//! decided:
//!
//! 1. A checksum is TCP's or UDP's own, over the segment; or it lies in what a UDP datagram
//!    carries (a tunnel's inner packet), which nobody decides by.
//! 2. Segmentation is of the packet's family and protocol.
//! 3. The packet is whole, not a fragment.
//!
//! An unfinished CRC32c of SCTP is none of these: the header has no words for it, and the kernel
//! would write another sum.

use ringfence_common::abi::flow::family;
use ringfence_common::abi::policy::protocol;
use ringfence_common::packet::{Packet, PacketRead, parse};

/// `struct virtio_net_hdr` (Linux `include/uapi/linux/virtio_net.h`), in the host's byte order.
pub mod vnet {
    #![allow(missing_docs, reason = "the names are the kernel's")]
    pub const BYTES: usize = 10;
    pub const FLAGS: usize = 0;
    pub const SEGMENTATION: usize = 1;
    pub const HEADERS_LENGTH: usize = 2;
    pub const CHECKSUM_START: usize = 6;
    pub const CHECKSUM_OFFSET: usize = 8;
    pub const NEEDS_CHECKSUM: u8 = 1;
    pub const TCP_V4: u8 = 1;
    pub const TCP_V6: u8 = 4;
    pub const UDP: u8 = 5;
    /// Beside TCP: the segments carry explicit congestion notification.
    pub const ECN: u8 = 0x80;
}

/// Where the checksum is in the header of TCP (RFC 9293 §3.1) and of UDP (RFC 768).
const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;

const UDP_HEADER: usize = 8;

/// Whether what `header`, a `struct virtio_net_hdr`, asks for fits `frame`.
pub fn fits<R: PacketRead + ?Sized>(header: &[u8; vnet::BYTES], frame: &R) -> bool {
    let number = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
    let needs_checksum = header[vnet::FLAGS] & vnet::NEEDS_CHECKSUM != 0;
    let segmentation = header[vnet::SEGMENTATION];
    if !needs_checksum && segmentation == 0 {
        return true;
    }
    let mut packet = Packet::default();
    // Audit mode lets pass what cannot be read; nobody writes into that.
    if parse(frame, &mut packet).is_err() || packet.family == 0 || packet.fragment.present {
        return false;
    }
    let start = number(vnet::CHECKSUM_START);
    let checksum_fits =
        !needs_checksum || has_checksum(&packet, start, number(vnet::CHECKSUM_OFFSET));
    checksum_fits && (segmentation == 0 || is_segmented_as(&packet, segmentation))
}

fn has_checksum(packet: &Packet, start: usize, offset: usize) -> bool {
    let transport = packet.cursor as usize;
    let own = match packet.protocol {
        protocol::TCP => TCP_CHECKSUM,
        protocol::UDP => UDP_CHECKSUM,
        _ => return false,
    };
    let payload = transport + UDP_HEADER;
    let is_carried = packet.protocol == protocol::UDP
        && start >= payload
        && start + offset + 2 <= packet.end as usize;
    (start, offset) == (transport, own) || is_carried
}

fn is_segmented_as(packet: &Packet, segmentation: u8) -> bool {
    match (packet.protocol, packet.family) {
        (protocol::TCP, family::V4) => segmentation & !vnet::ECN == vnet::TCP_V4,
        (protocol::TCP, family::V6) => segmentation & !vnet::ECN == vnet::TCP_V6,
        (protocol::UDP, _) => segmentation == vnet::UDP,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An Ethernet header with `tags` VLAN tags, an IPv4 header with `options` words of options,
    /// and 40 bytes for the transport.
    fn v4(protocol: u8, tags: usize, options: usize, fragment: u16) -> Vec<u8> {
        let mut frame = vec![0; 12];
        (0..tags).for_each(|_| frame.extend([0x81, 0, 0, 5]));
        frame.extend([8, 0, 0x45 + options as u8, 0, 0, 60 + 4 * options as u8, 0, 7]);
        frame.extend(fragment.to_be_bytes());
        frame.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend(vec![0; 4 * options]);
        transport(&mut frame, protocol);
        frame
    }

    /// IPv6, with hop-by-hop options before the transport.
    fn v6(protocol: u8) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 48, 0, 64]);
        frame.extend([0xfd; 32]);
        frame.extend([protocol, 0, 1, 4, 0, 0, 0, 0]);
        transport(&mut frame, protocol);
        frame
    }

    fn transport(frame: &mut Vec<u8>, protocol: u8) {
        let mut header = [0_u8; 40];
        match protocol {
            protocol::TCP => header[12..14].copy_from_slice(&[0x50, 0x10]),
            protocol::UDP => header[5] = 40,
            _ => {}
        }
        frame.extend(header);
    }

    fn header(flags: u8, segmentation: u8, start: u16, offset: u16) -> [u8; vnet::BYTES] {
        let mut header = [0; vnet::BYTES];
        header[vnet::FLAGS] = flags;
        header[vnet::SEGMENTATION] = segmentation;
        header[6..8].copy_from_slice(&start.to_ne_bytes());
        header[8..10].copy_from_slice(&offset.to_ne_bytes());
        header
    }

    fn checksum_fits(frame: &[u8], start: u16, offset: u16) -> bool {
        fits(&header(vnet::NEEDS_CHECKSUM, 0, start, offset), frame)
    }

    #[test]
    fn a_checksum_is_the_transports_own() {
        let (tcp, udp) = (protocol::TCP, protocol::UDP);
        for (frame, start, offset) in [
            (v4(tcp, 0, 0, 0), 34, 16),
            (v4(tcp, 2, 3, 0), 54, 16),
            (v4(udp, 1, 0, 0), 38, 6),
            (v6(tcp), 62, 16),
            (v6(udp), 62, 6),
        ] {
            for (other_start, other_offset) in (0..90).flat_map(|s| (0..40).map(move |o| (s, o))) {
                let is_own = (other_start, other_offset) == (start, offset);
                let is_udp = offset == 6;
                let end = frame.len() as u16;
                let is_carried =
                    is_udp && other_start >= start + 8 && other_start + other_offset + 2 <= end;
                let fits = checksum_fits(&frame, other_start, other_offset);
                assert_eq!(fits, is_own || is_carried, "{other_start} + {other_offset}");
            }
        }
    }

    #[test]
    fn other_protocols_fragments_and_damaged_packets_have_none() {
        for (frame, offset) in [
            (v4(protocol::SCTP, 0, 0, 0), 8),
            (v4(protocol::ICMP, 0, 0, 0), 2),
            (v4(47, 0, 0, 0), 6),
            (v4(protocol::UDP, 0, 0, 0x2000), 6),
            (v4(protocol::UDP, 0, 0, 5), 6),
            (vec![0; 60], 6),
        ] {
            assert!(!checksum_fits(&frame, 34, offset), "{frame:?}");
            assert!(fits(&header(0, 0, 34, offset), frame.as_slice()), "nothing is asked for");
        }
        let mut damaged = v4(protocol::UDP, 0, 0, 0);
        damaged[17] = 0;
        assert!(!checksum_fits(&damaged, 34, 6));
    }

    #[test]
    fn segmentation_is_of_the_packets_own_kind() {
        let kinds = |frame: &[u8]| -> Vec<u8> {
            (1..=255).filter(|kind| fits(&header(0, *kind, 0, 0), frame)).collect()
        };
        assert_eq!(kinds(&v4(protocol::TCP, 0, 0, 0)), [1, 0x81]);
        assert_eq!(kinds(&v6(protocol::TCP)), [4, 0x84]);
        assert_eq!(kinds(&v4(protocol::UDP, 0, 0, 0)), [5]);
        assert_eq!(kinds(&v6(protocol::UDP)), [5]);
        assert_eq!(kinds(&v4(protocol::SCTP, 0, 0, 0)), [0; 0]);
        assert_eq!(kinds(&v4(protocol::TCP, 0, 0, 0x2000)), [0; 0]);
    }
}
