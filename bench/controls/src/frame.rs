//! Frames: reading the fields that a decision needs, and writing keys into them.

use core::ptr::{read_unaligned, write_unaligned};

use aya_ebpf::programs::{TcContext, XdpContext};

/// Where a frame's directly readable part begins and ends.
#[derive(Clone, Copy)]
pub struct Frame {
    start: usize,
    end: usize,
}

impl From<&XdpContext> for Frame {
    #[inline(always)]
    fn from(context: &XdpContext) -> Self {
        Self { start: context.data(), end: context.data_end() }
    }
}

impl From<&TcContext> for Frame {
    #[inline(always)]
    fn from(context: &TcContext) -> Self {
        Self { start: context.data(), end: context.data_end() }
    }
}

/// What a decision needs of an IPv4 packet.
pub struct Packet {
    /// The source address as it stands in the packet.
    pub source: u32,
    pub protocol: u8,
    pub destination_port: u16,
}

const ETHERNET: usize = 14;
const SHORTEST_IPV4: usize = 20;
const PORTS: usize = 4;

impl Frame {
    /// Reads Ethernet, IPv4 without options, and the ports of TCP or UDP.
    #[inline(always)]
    pub fn parse(self) -> Option<Packet> {
        let [ip, ports] = [ETHERNET, ETHERNET + SHORTEST_IPV4].map(|offset| self.start + offset);
        if ports + PORTS > self.end {
            return None;
        }
        // SAFETY: all that is read lies before `ports + PORTS`, which is not beyond the end, and
        // the verifier checks that again.
        let (kind, version, protocol, source, port) = unsafe {
            (
                read_unaligned((self.start + 12) as *const u16),
                *(ip as *const u8),
                *((ip + 9) as *const u8),
                read_unaligned((ip + 12) as *const u32),
                read_unaligned((ports + 2) as *const u16),
            )
        };
        let is_read = kind == 0x0800u16.to_be() && version == 0x45 && matches!(protocol, 6 | 17);
        is_read.then_some(Packet { source, protocol, destination_port: u16::from_be(port) })
    }

    /// Writes `key` at `offset`; whether the frame goes that far.
    #[inline(always)]
    pub fn write(self, offset: u32, key: u32) -> bool {
        let at = self.start + offset as usize;
        if at + size_of::<u32>() > self.end {
            return false;
        }
        // SAFETY: the four bytes lie in the frame, and the verifier checks that again.
        unsafe { write_unaligned(at as *mut u32, key) };
        true
    }
}
