//! What the dataplane tells userspace: verdict events and counters.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::identity::AddressBytes;
use super::shared_with_kernel;

/// One decision, as the ring buffer carries it.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Event {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// The generation that decided.
    pub generation: u32,
    /// The rule that decided; 0 where none did.
    pub rule: u32,
    /// Identity of the source address.
    pub source_identity: u32,
    /// Identity of the destination address.
    pub destination_identity: u32,
    /// The endpoint whose side decided; 0 where none was reached.
    pub endpoint: u32,
    /// Interface index.
    pub ifindex: u32,
    /// Source address.
    pub source: AddressBytes,
    /// Destination address.
    pub destination: AddressBytes,
    /// Source port, or the ICMP identifier.
    pub source_port: u16,
    /// Destination port, or the ICMP `type << 8 | code`.
    pub destination_port: u16,
    /// Length of the frame in bytes, 65,535 at most.
    pub length: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// 4, 6, or 0 where the packet was not understood.
    pub family: u8,
    /// A [`crate::verdict::Verdict`] as a number.
    pub verdict: u8,
    /// A [`crate::verdict::Reason`] as a number.
    pub reason: u8,
    /// A [`super::config::Hook`] as a number.
    pub hook: u8,
    /// A [`super::policy::Direction`] as a number.
    pub direction: u8,
    /// TCP flags, 0 for other protocols.
    pub tcp_flags: u8,
    /// 1 if this packet opened a flow.
    pub new_flow: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// Packets and bytes; one per reason and direction, and one per rule, on each CPU.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

/// Index of the reason counter: two per reason (ingress, egress).
#[must_use]
#[inline(always)]
pub const fn reason_counter(reason: u8, direction: u8) -> u32 {
    (reason as u32) << 1 | (direction & 1) as u32
}

shared_with_kernel!(Event: 80, Counter: 16);
