//! Connections and fragmented packets the dataplane remembers.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::identity::AddressBytes;
use super::limits::FRAGMENT_PIECES;
use super::shared_with_kernel;

/// Time in flow entries is `CLOCK_MONOTONIC` nanoseconds shifted right by this: 8.4 ms per tick,
/// 417 days until a tick number returns.
pub const TICK_SHIFT: u32 = 23;

/// Address families as flow keys hold them.
pub mod family {
    #![allow(missing_docs, reason = "the names say it")]
    pub const V4: u8 = 4;
    pub const V6: u8 = 6;
}

/// A flow as one endpoint sees it: local is the endpoint's own side, whichever way the packet
/// goes, so that a packet and its reply have the same key. ICMP queries put their identifier into
/// the port of the side that asks and their type into the other; `asker` keeps questions of the
/// two sides apart, which may use the same identifier.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct FlowKey {
    /// The endpoint's address.
    pub local: AddressBytes,
    /// The other end's address.
    pub remote: AddressBytes,
    /// The endpoint; both ends of a connection between two workloads of one host keep their own.
    pub endpoint: u32,
    /// The endpoint's port.
    pub local_port: u16,
    /// The other end's port.
    pub remote_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// One of [`family`].
    pub family: u8,
    /// One of [`asker`].
    pub asker: u8,
    /// Zero.
    pub reserved: u8,
}

/// Who asks, in a flow of ICMP queries and their replies.
pub mod asker {
    /// Not a flow of ICMP queries.
    pub const NONE: u8 = 0;
    /// The endpoint.
    pub const LOCAL: u8 = 1;
    /// The other end.
    pub const REMOTE: u8 = 2;
}

/// What is known about a flow.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct FlowEntry {
    /// The generation that last allowed the flow.
    pub generation: u32,
    /// The rule that allowed it; 0 where a default did.
    pub rule: u32,
    /// Tick of the last packet.
    pub last_seen: u32,
    /// A state of [`crate::track`].
    pub state: u8,
    /// Bits of [`flow_flags`].
    pub flags: u8,
    /// The reason the flow is denied for, or in audit mode would be; 0 if it is allowed.
    pub audit_reason: u8,
    /// The reason it was allowed for.
    pub allow_reason: u8,
    /// TCP: how far both sides have come.
    pub numbers: Numbers,
    /// TCP: the token of the flow's window ([`super::cache::Window`]); 0 if it never had one.
    pub token: u64,
}

/// How far both sides of a TCP connection have come.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Numbers {
    /// One past the last sequence number the local side has sent.
    pub local_end: u32,
    /// One past the last sequence number the remote side has sent.
    pub remote_end: u32,
    /// What the local side has acknowledged.
    pub local_ack: u32,
    /// What the remote side has acknowledged.
    pub remote_ack: u32,
}

/// Bits of [`FlowEntry::flags`].
pub mod flow_flags {
    /// The remote side opened the flow (else the local side did).
    pub const OPENED_BY_REMOTE: u8 = 1 << 0;
    /// Packets have been seen in both directions.
    pub const CONFIRMED: u8 = 1 << 1;
    /// TCP: the local side has sent its FIN.
    pub const LOCAL_FIN: u8 = 1 << 2;
    /// TCP: the remote side has sent its FIN.
    pub const REMOTE_FIN: u8 = 1 << 3;
    /// TCP: the first packet that was seen was no SYN; older numbers are not known.
    pub const PICKED_UP: u8 = 1 << 4;
    /// The first packet that was seen came from the side that did not open the flow.
    pub const BEGUN_BY_ANSWER: u8 = 1 << 5;
}

/// A fragmented packet on its way past one endpoint in one direction.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct FragmentKey {
    /// Source address.
    pub source: AddressBytes,
    /// Destination address.
    pub destination: AddressBytes,
    /// The identification field (16 bits in IPv4, 32 in IPv6).
    pub identification: u32,
    /// The endpoint deciding.
    pub endpoint: u32,
    /// IP protocol of the fragmented payload.
    pub protocol: u8,
    /// One of [`family`].
    pub family: u8,
    /// 0 ingress, 1 egress.
    pub direction: u8,
    /// Zero.
    pub reserved: u8,
}

/// What has been seen of a fragmented packet whose first fragment was allowed.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct FragmentEntry {
    /// The generation that allowed the first fragment.
    pub generation: u32,
    /// The rule that did.
    pub rule: u32,
    /// Tick of the first fragment.
    pub first_seen: u32,
    /// Bits of [`fragment_flags`].
    pub flags: u8,
    /// Pieces in use.
    pub pieces_used: u8,
    /// In audit mode, the reason the first fragment would have been denied for; else 0.
    pub audit_reason: u8,
    /// Zero.
    pub reserved: u8,
    /// Byte ranges already passed, `start << 16 | end`, neighbours merged.
    pub pieces: [u32; FRAGMENT_PIECES],
}

/// Bits of [`FragmentEntry::flags`].
pub mod fragment_flags {
    /// Pieces overlapped: the whole packet is lost (RFC 5722 §3, RFC 8200 §4.5).
    pub const POISONED: u8 = 1 << 0;
    /// The fragment that ends the packet has been seen.
    pub const END_SEEN: u8 = 1 << 1;
}

shared_with_kernel!(FlowKey: 44, FlowEntry: 40, Numbers: 16, FragmentKey: 44, FragmentEntry: 48);
