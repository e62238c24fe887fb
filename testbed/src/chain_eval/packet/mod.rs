//! A frame as rule chains see it: after the kernel's IP input, before the first chain.
//!
//! Sources: `ip_rcv` (net/ipv4/ip_input.c), `ipv6_rcv` (net/ipv6/ip6_input.c), RFC 791, RFC 8200.
//! What these drop no chain ever sees, and neither frames that are not IP: each is an [`Unseen`]
//! with its reason. Fragments are put together before the first chain (`nf_defrag_ipv4`,
//! `nf_defrag_ipv6`, at a priority before the table `raw`), so a single one is unseen too.

mod checksum;
mod ipv4;
mod ipv6;
mod transport;

use std::net::IpAddr;

pub use self::transport::{Tcp, flags, protocol};

/// A packet before the first chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The source address.
    pub source: IpAddr,
    /// The destination address, of the same family.
    pub destination: IpAddr,
    /// The hop limit, or time to live.
    pub hop_limit: u8,
    /// The protocol behind all extension headers; nothing where they cannot be followed to their
    /// end. The kernel takes ESP and what it does not know for protocols, as it does "no next
    /// header".
    pub protocol: Option<u8>,
    /// The bytes from the protocol's header to the end of the packet; no more than the lengths in
    /// the IP header say.
    pub transport: Vec<u8>,
}

/// Why no chain ever sees a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unseen(pub &'static str);

/// The kernel puts fragments together (`nf_defrag_ipv4`, `nf_defrag_ipv6`).
pub const FRAGMENT: Unseen = Unseen("the kernel puts fragments together before the first chain");

impl Packet {
    /// Reads an Ethernet frame.
    ///
    /// # Errors
    ///
    /// [`Unseen`] for a frame that no chain ever sees.
    pub fn read(frame: &[u8]) -> Result<Self, Unseen> {
        let (Some(ether_type), Some(bytes)) = (frame.get(12..14), frame.get(14..)) else {
            return Err(Unseen("the frame is shorter than an Ethernet header"));
        };
        match ether_type {
            [0x08, 0x00] => ipv4::read(bytes),
            [0x86, 0xdd] => ipv6::read(bytes),
            [0x81, 0x00] | [0x88, 0xa8] => {
                Err(Unseen("rule chains see VLAN-tagged frames on the interface of their tag"))
            }
            _ => Err(Unseen("rule chains see IP alone")),
        }
    }

    /// Whether it is of IPv6.
    #[must_use]
    pub const fn is_v6(&self) -> bool {
        self.source.is_ipv6()
    }
}

/// What a strict reader of the standards minds about the headers of an IP packet, and the kernel
/// does not.
pub(crate) fn oddity(bytes: &[u8], is_v6: bool) -> Option<&'static str> {
    if is_v6 { ipv6::oddity(bytes) } else { None }
}

/// The packet that an ICMP error quotes, as far as it is there; nothing where no flow can be told
/// from it.
pub(super) fn quoted(bytes: &[u8], is_v6: bool) -> Option<Packet> {
    if is_v6 { ipv6::quoted(bytes) } else { ipv4::quoted(bytes) }
}

#[cfg(test)]
mod tests;
