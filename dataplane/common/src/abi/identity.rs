//! Who an address is: address → [`AddressEntry`] (identity and, on this host, endpoint).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::shared_with_kernel;

/// Identity numbers that never stand for a label set.
#[expect(clippy::module_inception, reason = "`identity::ANY` reads right where it is used")]
pub mod identity {
    /// As the peer of a policy key: every identity.
    pub const ANY: u32 = 0;
    /// An address that could not be looked up.
    pub const UNKNOWN: u32 = 1;
    /// An address of this host, when no workload document describes the host.
    pub const HOST: u32 = 2;
    /// An address that no workload has and no policy names.
    pub const WORLD: u32 = 3;
    /// The first number that may stand for a label set.
    pub const FIRST_DYNAMIC: u32 = 256;
}

/// Endpoint numbers with a fixed meaning.
pub mod endpoint {
    /// Not an endpoint of this host.
    pub const NONE: u32 = 0;
    /// The host itself.
    pub const HOST: u32 = 1;
    /// Some endpoint of an interface, but not known which. No endpoint has this number.
    pub const UNKNOWN: u32 = 2;
    /// The first number that may stand for a workload.
    pub const FIRST_DYNAMIC: u32 = 256;
}

/// An address as a map key: IPv4 addresses sit in the last four bytes, the others zero. The
/// family is kept beside it (or is given by the map), so no IPv6 address can pass for IPv4.
pub type AddressBytes = [u8; 16];

/// What an address means. Eight bytes, so one aligned store changes it.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct AddressEntry {
    /// The identity; see [`identity`].
    pub identity: u32,
    /// The endpoint of this host that owns the address; see [`endpoint`].
    pub endpoint: u32,
}

/// Key of the IPv4 prefix trie: `bpf_lpm_trie_key` with four data bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PrefixV4 {
    /// Bits of `address` that count.
    pub length: u32,
    /// The address, network order.
    pub address: [u8; 4],
}

/// Key of the IPv6 prefix trie.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PrefixV6 {
    /// Bits of `address` that count.
    pub length: u32,
    /// The address, network order.
    pub address: [u8; 16],
}

shared_with_kernel!(AddressEntry: 8, PrefixV4: 8, PrefixV6: 20);
