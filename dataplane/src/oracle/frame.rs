//! A frame taken apart: what each header says, or why it is denied (semantics 15).
//!
//! Every function reads what is there and copies it; nothing is skipped because it will not be
//! needed. The headers are those of IEEE 802.3 and 802.1Q, RFC 791, RFC 8200, RFC 9293, RFC 768,
//! RFC 9260, RFC 792 and RFC 4443.

mod ethernet;
mod icmp;
mod ipv4;
mod ipv6;
mod quoted;
mod transport;

use std::net::IpAddr;
use std::ops::Range;

use ringfence_common::verdict::Reason;

pub use self::icmp::{Meaning, Message};
pub use self::quoted::{About, Quoted};
pub use self::transport::{Segment, Transport};

/// IP protocol numbers (IANA) that mean something here.
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ICMPV6: u8 = 58;
    pub const SCTP: u8 = 132;
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// ARP, LLC, LLDP and the like.
    NotIp,
    /// A packet.
    Ip(Packet),
}

/// An IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// Time to live, hop limit.
    pub hops: u8,
    /// What follows the IP header and its extensions.
    pub protocol: u8,
    /// What part of a packet this is, if it is a part.
    pub fragment: Option<Fragment>,
    pub transport: Transport,
}

/// A part of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    pub identification: u32,
    /// Which bytes of the whole packet's payload it holds.
    pub bytes: Range<usize>,
    /// Whether others follow it.
    pub more: bool,
}

impl Fragment {
    pub fn is_first(&self) -> bool {
        self.bytes.start == 0
    }

    /// A fragment that no packet has: empty, of odd length in the middle (RFC 791 §3.2, RFC 8200
    /// §4.5: multiples of eight bytes), or past the largest packet.
    fn check(&self) -> Result<(), Reason> {
        let possible = !self.bytes.is_empty()
            && (!self.more || self.bytes.len().is_multiple_of(8))
            && self.bytes.end <= usize::from(u16::MAX);
        if possible { Ok(()) } else { Err(Reason::BadFragment) }
    }
}

impl Packet {
    /// Whether it is a fragment that is not the first, which has no transport header.
    pub fn is_later_fragment(&self) -> bool {
        self.fragment.as_ref().is_some_and(|fragment| !fragment.is_first())
    }
}

/// Takes a frame apart.
///
/// # Errors
///
/// Why it is denied if it is malformed.
pub fn read(frame: &[u8]) -> Result<Frame, Reason> {
    let (ether_type, packet) = ethernet::read(frame)?;
    match ether_type {
        ethernet::IPV4 => ipv4::read(packet).map(Frame::Ip),
        ethernet::IPV6 => ipv6::read(packet).map(Frame::Ip),
        _ => Ok(Frame::NotIp),
    }
}

/// The first `N` bytes.
fn start<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.first_chunk().copied()
}
