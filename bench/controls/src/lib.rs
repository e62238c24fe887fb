//! What the control programs and the measurements share: keys, values and sizes.
//!
//! Keys and values are arrays of integers, which both sides can read as they are.
#![no_std]
#![deny(unsafe_code)]

/// Keys that a measurement prepares. The program takes one after the other, so that no two packets
/// of a run ask for the same entry and no predictor learns their order.
pub const DRAWN: usize = 32_768;

/// Look-ups that a loop makes each time it is run: enough that the whole nanoseconds in which the
/// kernel tells a run's length are small beside it.
pub const LOOKUPS: usize = 64;

const _: () = assert!(DRAWN.is_power_of_two() && DRAWN.is_multiple_of(LOOKUPS));

/// What is drawn: [`draws::OFFSET`] says where in the frame the key goes, [`draws::INTERFACE`] where
/// the program that floods sends the frame, the rest are the keys, in the order in which they are
/// taken, as the four bytes stand in the frame.
pub type Draws = [u32; draws::KEYS + DRAWN];

/// Positions in [`Draws`].
pub mod draws {
    /// The offset in the frame at which a key is written, at most [`LAST_OFFSET`].
    pub const OFFSET: usize = 0;
    /// The index of the interface to be flooded.
    pub const INTERFACE: usize = 1;
    /// The first key.
    pub const KEYS: usize = 2;
    /// The last offset at which a key can be written.
    pub const LAST_OFFSET: u32 = 63;
}

/// What routers change in a frame, by [`routed`], as it stood there before.
pub type Routed = [u32; 5];

/// Positions in [`Routed`].
pub mod routed {
    /// The first of three words that begin the frame: the Ethernet addresses.
    pub const ADDRESSES: usize = 0;
    /// The offset in the frame of the word with the hops left, at most [`super::draws::LAST_OFFSET`].
    pub const OFFSET: usize = 3;
    /// That word; in IPv4 the header's checksum is its second half.
    pub const HOPS_LEFT: usize = 4;
}

/// Key of the table from IPv4 address to identity: the address as it stands in the packet, and zero.
pub type IdentityKey = [u32; 2];

/// Key of the table of verdicts: identity, [`service`], and zeroes.
pub type VerdictKey = [u32; 4];

/// Data of a policy trie's key: identity, direction, protocol and port, in network order where they
/// have more than one byte. All of it is the prefix.
pub type PolicyData = [u8; 8];

/// Protocol and port as [`VerdictKey`] has them.
#[must_use]
#[inline(always)]
pub const fn service(protocol: u8, port: u16) -> u32 {
    (protocol as u32) << 16 | port as u32
}

/// The data of a policy trie's key for an incoming packet.
#[must_use]
#[inline(always)]
pub const fn policy_data(identity: u32, protocol: u8, port: u16) -> PolicyData {
    let ([a, b, c, d], [e, f]) = (identity.to_be_bytes(), port.to_be_bytes());
    [a, b, c, d, 0, protocol, e, f]
}

/// Values of the verdict tables, and positions of their counters.
pub mod verdict {
    /// The packet passes.
    pub const ALLOW: u32 = 1;
    /// An entry denies it.
    pub const DENY: u32 = 2;
    /// No entry is there: it is denied.
    pub const DEFAULT: u32 = 0;
    /// Counters there are.
    pub const COUNTERS: usize = 4;
}

/// Identity of whom no entry knows; policy for any peer is below it.
pub const ANYONE: u32 = 0;
