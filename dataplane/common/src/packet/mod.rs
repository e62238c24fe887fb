//! Bytes to a [`Packet`], or the reason they are none.
//!
//! Goals: (a) the same answer for the same bytes on every hook; (b) nothing is believed that was
//! not checked: every length against the frame, every header against its end; (c) the kernel's
//! verifier can follow it.
//!
//! For (c), bytes come through [`PacketRead`] with a bounds check each, loops have constant
//! bounds, and what one header says to the next (where it starts, where the packet ends) goes
//! through the caller-owned [`Packet`] and not through registers: the verifier forgets what is
//! in memory, so it walks each header once and not once per way to get there. That is also why
//! the steps are functions of their own (`inline(never)`).
//!
//! Not done here: checksums (the stack verifies them, and hardware may not have written them yet
//! on the way out), TCP options, anything inside tunnels.

mod ethernet;
mod icmp;
mod ipv4;
mod ipv6;
pub mod ordinary;
mod transport;

pub use icmp::{Icmp, icmp_kind};
pub use transport::tcp;

use crate::abi::flow::family;
use crate::abi::identity::AddressBytes;
use crate::abi::limits::HEADER_OFFSET;
use crate::verdict::Reason;

/// Access to the bytes of one frame.
pub trait PacketRead {
    /// The `N` bytes at `offset`; `None` if they are not all in the frame, or if `offset` is past
    /// [`HEADER_OFFSET`].
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// Bytes that cost no call to get.
    type Header<'a>: Header
    where
        Self: 'a;

    /// The `N` bytes at `offset`, if they cost no call to get.
    fn header<const N: usize>(&self, offset: usize) -> Option<Self::Header<'_>>;

    /// Length of the whole frame in bytes.
    fn length(&self) -> usize;

    /// The frame's length as far as it is known without a call: at most [`PacketRead::length`].
    fn length_at_hand(&self) -> usize;

    /// VLAN tags of the frame that the driver took out of its bytes (0 or 1).
    fn tags_outside(&self) -> usize;
}

impl PacketRead for [u8] {
    type Header<'a> = &'a [u8];

    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > HEADER_OFFSET {
            return None;
        }
        self.get(offset..)?.first_chunk().copied()
    }

    fn header<const N: usize>(&self, offset: usize) -> Option<&[u8]> {
        self.get(offset..)?.get(..N)
    }

    fn length(&self) -> usize {
        self.len()
    }

    fn length_at_hand(&self) -> usize {
        self.len()
    }

    fn tags_outside(&self) -> usize {
        0
    }
}

/// Bytes of a header, whose length has been checked; numbers are in network order. What lies past
/// the end is 0.
pub trait Header: Copy {
    /// The byte at `AT`.
    fn u8<const AT: usize>(self) -> u8;
    /// The two bytes at `AT`.
    fn u16<const AT: usize>(self) -> u16;
    /// The four bytes at `AT`.
    fn u32<const AT: usize>(self) -> u32;
    /// The eight bytes at `AT`.
    fn u64<const AT: usize>(self) -> u64;
}

impl Header for &[u8] {
    fn u8<const AT: usize>(self) -> u8 {
        self.get(AT).copied().unwrap_or_default()
    }

    fn u16<const AT: usize>(self) -> u16 {
        u16::from_be_bytes(bytes_at(self, AT))
    }

    fn u32<const AT: usize>(self) -> u32 {
        u32::from_be_bytes(bytes_at(self, AT))
    }

    fn u64<const AT: usize>(self) -> u64 {
        u64::from_be_bytes(bytes_at(self, AT))
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

/// What a packet is, as far as policy asks. Addresses are as in [`AddressBytes`], ports in host
/// order, zero where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: AddressBytes,
    /// Destination address.
    pub destination: AddressBytes,
    /// 4, 6, or 0 for a frame that is not IP ([`family`]).
    pub family: u8,
    /// The transport's IP protocol number; in a later fragment, of what was fragmented.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// TCP flags byte.
    pub tcp_flags: u8,
    /// Source port; for ICMP the identifier of queries.
    pub source_port: u16,
    /// Destination port; for ICMP `type << 8 | code`.
    pub destination_port: u16,
    /// TCP sequence number.
    pub tcp_sequence: u32,
    /// TCP acknowledgement number.
    pub tcp_acknowledgement: u32,
    /// Sequence numbers the segment takes: its data, SYN and FIN.
    pub tcp_length: u32,
    /// What kind of ICMP message it is.
    pub icmp: Icmp,
    /// How it is fragmented.
    pub fragment: Fragment,
    /// Offset of the packet inside an ICMP error, from the start of the frame; else 0.
    pub embedded_at: u32,
    /// Offset of the header to be read next, from the start of the frame.
    pub cursor: u32,
    /// One past the last byte of the IP packet, from the start of the frame.
    pub end: u32,
}

/// The fragment a packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// Identification field.
    pub identification: u32,
    /// First byte of the piece within the fragmented payload.
    pub start: u16,
    /// One past its last byte.
    pub end: u16,
    /// Whether the packet is a fragment at all (an IPv6 atomic fragment is not).
    pub present: bool,
    /// Whether more fragments follow.
    pub more: bool,
    /// What distinguishes packets of the same identification: the protocol in IPv4; in IPv6 it
    /// is the fragment header's own number, which is no distinction (RFC 8200 §4.5).
    pub protocol: u8,
}

impl Fragment {
    /// A fragment without the transport header.
    #[must_use]
    #[inline(always)]
    pub const fn is_later(&self) -> bool {
        self.present && self.start != 0
    }

    /// The fragment with the transport header.
    #[must_use]
    #[inline(always)]
    pub const fn is_first(&self) -> bool {
        self.present && self.start == 0
    }
}

/// Reads a frame. Afterwards `packet.family` is 0 if the frame is not IP.
///
/// # Errors
///
/// The reason for which the frame has to be denied. `packet` then holds what had been read.
#[inline(never)]
pub fn parse<R: PacketRead + ?Sized>(frame: &R, packet: &mut Packet) -> Result<(), Reason> {
    let ethertype = ethernet::parse(frame, packet)?;
    packet.end = frame.length() as u32;
    packet.family = match ethertype {
        ethernet::IPV4 => family::V4,
        ethernet::IPV6 => family::V6,
        _ => return Ok(()),
    };
    network(frame, Depth::Outer, packet)
}

/// Reads the packet inside the ICMP error `outer`: addresses, protocol and ports of the packet
/// that the error is about. It may be cut behind its ports (RFC 792 sends eight bytes of it), so
/// lengths are not held against it.
///
/// # Errors
///
/// [`Reason::MalformedEmbedded`].
#[inline(never)]
pub fn parse_embedded<R: PacketRead + ?Sized>(
    frame: &R,
    outer: &Packet,
    packet: &mut Packet,
) -> Result<(), Reason> {
    *packet = Packet { family: outer.family, ..Packet::default() };
    packet.cursor = outer.embedded_at;
    packet.end = outer.end;
    network(frame, Depth::Embedded, packet).map_err(|_| Reason::MalformedEmbedded)
}

/// Reads the network header at the cursor and what follows it.
#[inline(always)]
fn network<R: PacketRead + ?Sized>(
    frame: &R,
    depth: Depth,
    packet: &mut Packet,
) -> Result<(), Reason> {
    if packet.family == family::V4 {
        ipv4::parse(frame, depth, packet)?;
    } else {
        ipv6::parse(frame, depth, packet)?;
    }
    if packet.fragment.is_later() {
        return Ok(());
    }
    transport::parse(frame, depth, packet)
}

/// Which packet is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// The frame's own.
    Outer,
    /// The one an ICMP error quotes, which may be cut.
    Embedded,
}
