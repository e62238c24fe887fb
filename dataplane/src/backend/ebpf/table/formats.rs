//! The five bucket tables: what lies in their slots.

use ringfence_common::abi::limits;
use ringfence_common::abi::table::{self, NarrowSlot, WideSlot, chunks};
use ringfence_common::table::{hash, hash_of_one, hash_of_wide};

use super::cuckoo::Format;

/// A bucket table of the kernel.
pub(in super::super) trait Kind<const WORDS: usize>: Format<WORDS> {
    /// Its map.
    const NAME: &'static str;
    /// Chunks of one generation at most.
    const CHUNKS: u32;
    /// Keys of one generation at most.
    const LIMIT: u32;
}

macro_rules! narrow_kind {
    ($(#[$doc:meta])* $kind:ident, $map:ident, $key:expr, $limit:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(in super::super) enum $kind {}

        impl Format<2> for $kind {
            const KEY: NarrowSlot = $key;
            const COMMIT: usize = 0;

            fn hash(seed: [u64; 2], slot: &NarrowSlot) -> u64 {
                let [first, second] = [slot[0] & Self::KEY[0], slot[1] & Self::KEY[1]];
                match Self::KEY[1] {
                    0 => hash_of_one(seed[0], first),
                    _ => hash(seed[0], [first, second]),
                }
            }
        }

        impl Kind<2> for $kind {
            const NAME: &'static str = stringify!($map);
            const CHUNKS: u32 = chunks::$map;
            const LIMIT: u32 = $limit;
        }
    };
}

narrow_kind!(
    /// Endpoints of this host.
    Endpoints,
    ENDPOINTS,
    table::ENDPOINT_KEY,
    limits::ENDPOINTS
);
narrow_kind!(
    /// IPv4 addresses and prefixes.
    AddressesV4,
    ADDRESSES_V4,
    table::V4_KEY,
    limits::ADDRESSES + limits::PREFIXES
);
narrow_kind!(
    /// Policy.
    Policy,
    POLICY,
    table::POLICY_KEY,
    limits::POLICY_ENTRIES
);

/// What each hook checks.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Attachments {}

impl Format<4> for Attachments {
    const KEY: WideSlot = table::ATTACHMENT_KEY;
    const COMMIT: usize = 0;

    fn hash(seed: [u64; 2], slot: &WideSlot) -> u64 {
        hash_of_one(seed[0], slot[0])
    }
}

impl Kind<4> for Attachments {
    const NAME: &'static str = "ATTACHMENTS";
    const CHUNKS: u32 = chunks::ATTACHMENTS;
    const LIMIT: u32 = limits::ATTACHMENTS;
}

/// IPv6 addresses and prefixes.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum AddressesV6 {}

impl Format<4> for AddressesV6 {
    const KEY: WideSlot = table::V6_KEY;
    const COMMIT: usize = 3;

    fn hash(seed: [u64; 2], slot: &WideSlot) -> u64 {
        hash_of_wide(seed, slot)
    }
}

impl Kind<4> for AddressesV6 {
    const NAME: &'static str = "ADDRESSES_V6";
    const CHUNKS: u32 = chunks::ADDRESSES_V6;
    const LIMIT: u32 = limits::ADDRESSES + limits::PREFIXES;
}
