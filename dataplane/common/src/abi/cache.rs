//! What the fast path ([`crate::decide`]) keeps beside the table of flows.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::flow::{FlowKey, Numbers};
use super::shared_with_kernel;

/// A flow as packets of one direction at one hook show it, with what was decided about the last of
/// them. One for each CPU, so nobody else writes it. The first 64 bytes are all that an IPv4 packet
/// asks for.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct CachedFlow {
    /// Source port, destination port << 16, protocol << 32, hook << 40, family << 48; 0 in a place
    /// that is free.
    pub tuple: u64,
    /// IPv4: source << 32 | destination. IPv6: first half of the source.
    pub first: u64,
    /// The interface.
    pub ifindex: u32,
    /// The generation that decided.
    pub generation: u32,
    /// The selector's epoch at the time.
    pub epoch: u32,
    /// When that was, on the coarse clock.
    pub filled: u32,
    /// TCP: the token that the flow's window has for as long as this holds; else 0.
    pub token: u64,
    /// TCP: where the window is.
    pub window: u32,
    /// The rule that allowed the flow; 0 where a default did.
    pub rule: u32,
    /// The endpoint whose side decided.
    pub endpoint: u32,
    /// Identity of the source.
    pub source_identity: u32,
    /// Identity of the destination.
    pub destination_identity: u32,
    /// The reason, a [`crate::verdict::Reason`] as a number.
    pub reason: u8,
    /// The direction, as a number.
    pub direction: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// IPv6: second half of the source, and the destination.
    pub rest: [u64; 3],
    /// Zero; a place is two cache lines.
    pub spare: [u64; 5],
}

/// Places of one value of the flow cache.
pub const BLOCK_FLOWS: usize = 64;

/// A value of the flow cache's map: a per-CPU map is faster the fewer values it has.
pub type CacheBlock = [CachedFlow; BLOCK_FLOWS];

/// The sequence numbers of an established TCP connection that the fast path lets through, shared by
/// all CPUs. While its token is the flow's, these numbers count and not those of the flow's entry.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Window {
    /// The flow's token, never used twice in this place; 0 if nobody has it.
    pub token: u64,
    /// The numbers.
    pub numbers: Numbers,
    /// Tick of the last packet that went the full way.
    pub refreshed: u32,
    /// Flows that have had this place.
    pub serial: u32,
    /// Whose numbers these are.
    pub key: FlowKey,
    /// Zero; a place is two cache lines.
    pub spare: [u32; 13],
}

/// Until when a flow may be alive at a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// The one flow that has been alive here since the last time none was; 0 if there were more.
    pub owner: u32,
    /// The tick.
    pub until: u32,
}

impl Presence {
    /// As the map holds it. All zero: there has never been a flow.
    #[must_use]
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        (self.owner as u64) << 32 | self.until as u64
    }

    /// From what the map holds.
    #[must_use]
    #[inline(always)]
    pub const fn unpack(word: u64) -> Self {
        Self { owner: (word >> 32) as u32, until: word as u32 }
    }
}

shared_with_kernel!(CachedFlow: 128, Window: 128);
