//! Frames for tests: built layer by layer, well formed unless told otherwise.
//!
//! ```
//! use ringfence_testbed::packet::Frame;
//!
//! let frame = Frame::ethernet()
//!     .vlan(7)
//!     .ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into())
//!     .tcp(40_000, 443)
//!     .syn()
//!     .build();
//! assert_eq!(frame.len(), 14 + 4 + 20 + 20);
//! ```
//!
//! A [`Frame`] is a list of [`Layer`]s, outermost first. [`Frame::build`] encodes them from the
//! innermost outwards: lengths, next-protocol fields and checksums come out right by default. Each
//! of them is an `Option` in its layer; a value put there is written as it is, which makes the
//! malformed packets. [`generate`] makes streams of packets, good and bad, from a seed.

mod dhcp;
mod ethernet;
mod extension;
mod first;
mod fragments;
mod frame;
pub mod generate;
mod hex;
mod icmp;
mod ip;
mod neighbour;
mod transport;

pub use ethernet::{Arp, Ethernet, LinkLength, Vlan, ether_type};
pub use extension::{Extension, extension_kind};
pub use first::{SOURCE_PORT, first_packet, is_unicast};
pub use frame::{Bytes, Frame, Layer};
pub use hex::hex;
pub use icmp::{Icmp, quote};
pub use ip::{Ipv4, Ipv6, ip_flags};
pub use transport::{Gre, Sctp, Tcp, Udp, tcp_flags};
