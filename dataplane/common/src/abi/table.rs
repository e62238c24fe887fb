//! Tables that the programs probe without calling the kernel.
//!
//! A call of a map helper costs more than everything else a packet needs. So keys and values lie
//! in arrays, whose look-ups the verifier replaces by a few instructions, and [`crate::table`]
//! finds a key there by itself.
//!
//! # Layout
//!
//! A table consists of *chunks*, arrays of [`CHUNK_BUCKETS`] buckets. The hash of a key says in
//! which chunk it is, and which two buckets of that chunk it may be in. A bucket has [`SLOTS`]
//! slots; a slot is one key with its value, packed in words so that whatever may change while
//! packets pass is one aligned word:
//!
//! | table | word 0 | word 1 | words 2, 3 |
//! |---|---|---|---|
//! | attachments | ifindex, hook << 32 | checks, endpoint << 32 | subject, ingress forms << 32, egress forms << 40; IPv4 address, its identity << 32 |
//! | endpoints | number, ingress forms << 32, egress forms << 40 | subject, ifindex << 32 | |
//! | IPv4 | address, (length + 1) << 32 | identity, endpoint << 32 | |
//! | IPv6 | first half of the address | second half | identity, endpoint << 32; length + 1 |
//! | policy | subject, peer << 32 | service, [`PackedEntry`] << 32 | |
//!
//! Addresses are integers here, prefixes have their host bits zero. A slot whose key words are all
//! zero is free. A table has at most [`LENGTHS`] lengths of prefixes of one family; policy that
//! names more of them keeps its prefixes in a trie ([`super::config::flags`]).
//!
//! A key lies in the second of its buckets only if the last slot of the first is not free, and
//! whoever takes the key out of a last slot leaves [`GONE`] there: a bucket whose last slot is free
//! says that no key has ever gone past it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::config::{Attachment, AttachmentKey, Config};
use super::identity::AddressEntry;
use super::policy::{Endpoint, PolicyEntry, PolicyKey, action, entry_flags};
use super::shared_with_kernel;

/// Keys of one bucket. With two buckets to choose from, four keys each, a table can be filled to
/// 97 % (Fountoulakis, Panagiotou, Steger: "On the Insertion Time of Cuckoo Hashing").
pub const SLOTS: usize = 4;

/// Buckets of a chunk: 64 KiB of narrow ones, 128 KiB of wide ones. The kernel's programs index
/// arrays of a size that is known when they are loaded.
pub const CHUNK_BUCKETS: u32 = 1_024;

/// Lengths of prefixes of one family that are looked up by hashing.
pub const LENGTHS: usize = 8;

/// A slot of two words.
pub type NarrowSlot = [u64; 2];

/// A slot of four words.
pub type WideSlot = [u64; 4];

/// A bucket of two-word slots: one cache line.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct NarrowBucket {
    /// The slots, free ones among them.
    pub slots: [NarrowSlot; SLOTS],
}

/// A bucket of four-word slots.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct WideBucket {
    /// The slots, free ones among them.
    pub slots: [WideSlot; SLOTS],
}

/// How large a table is.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Shape {
    /// Chunks in use.
    pub chunks: u32,
    /// Buckets in use of each; at most [`CHUNK_BUCKETS`].
    pub buckets: u32,
}

/// How the tables of one generation are laid out. It stays as it is for as long as the generation's
/// slot counts.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Layout {
    /// What hashes begin with.
    pub seed: [u64; 2],
    /// What each hook checks.
    pub attachments: Shape,
    /// Endpoints of this host.
    pub endpoints: Shape,
    /// IPv4 addresses and prefixes.
    pub addresses_v4: Shape,
    /// IPv6 addresses and prefixes.
    pub addresses_v6: Shape,
    /// Policy.
    pub policy: Shape,
    /// Lengths of the IPv4 prefixes other than 32, longest first; the rest [`NO_LENGTH`].
    pub lengths_v4: [u8; LENGTHS],
    /// Lengths of the IPv6 prefixes other than 128, longest first; the rest [`NO_LENGTH`].
    pub lengths_v6: [u8; LENGTHS],
}

/// One generation, as the programs meet it: one look-up serves both.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Generation {
    /// Its number, its mode, what passes without policy.
    pub config: Config,
    /// Where its tables' keys lie.
    pub layout: Layout,
}

/// The key word of the last slot of a bucket whose key has gone: no key has it, and the slot may be
/// used again.
pub const GONE: u64 = 1 << 62;

/// No more lengths.
pub const NO_LENGTH: u8 = 0xff;

/// Chunks of each table at most, per generation.
pub mod chunks {
    /// Of the attachments.
    pub const ATTACHMENTS: u32 = 16;
    /// Of the endpoints.
    pub const ENDPOINTS: u32 = 32;
    /// Of the IPv4 addresses.
    pub const ADDRESSES_V4: u32 = 512;
    /// Of the IPv6 addresses.
    pub const ADDRESSES_V6: u32 = 512;
    /// Of policy.
    pub const POLICY: u32 = 512;
}

/// What a policy entry says, in half a word: the rule's place in the table of rules in the low
/// [`PackedEntry::PLACE_BITS`] bits, then the action and the flags. Zero is not a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackedEntry(pub u32);

impl PackedEntry {
    /// Bits of the rule's place.
    pub const PLACE_BITS: u32 = 24;
    const ACTION_AT: u32 = Self::PLACE_BITS;
    const LOG: u32 = 1 << 31;

    /// Packs `entry`, whose rule is at `place` in the table of rules.
    #[must_use]
    pub const fn new(entry: &PolicyEntry, place: u32) -> Self {
        let log = if entry.flags & entry_flags::LOG != 0 { Self::LOG } else { 0 };
        let place = place & ((1 << Self::PLACE_BITS) - 1);
        Self(place | (entry.action as u32) << Self::ACTION_AT | log)
    }

    /// The entry, with the rule's place for its number.
    #[must_use]
    #[inline(always)]
    pub const fn unpack(self) -> PolicyEntry {
        PolicyEntry {
            action: (self.0 >> Self::ACTION_AT) as u8 & (action::ALLOW | action::DENY),
            flags: if self.0 & Self::LOG != 0 { entry_flags::LOG } else { 0 },
            reserved: [0; 2],
            rule: self.0 & ((1 << Self::PLACE_BITS) - 1),
        }
    }
}

/// What a hook checks, with what other tables say about the endpoint that it concerns, so that the
/// short way need not ask them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Station {
    /// What the hook checks.
    pub attachment: Attachment,
    /// Where the attachment names an endpoint, the one behind the interface or the host: its entry,
    /// without the interface. Else all zero.
    pub endpoint: Endpoint,
    /// Where that endpoint has exactly one IPv4 address: the address. Else 0.
    pub address: u32,
    /// The identity of the address.
    pub identity: u32,
}

/// The key words of an attachment.
#[must_use]
#[inline(always)]
pub const fn attachment_key(key: &AttachmentKey) -> WideSlot {
    [key.ifindex as u64 | (key.hook as u64) << 32, 0, 0, 0]
}

/// The bits of a slot that are key.
pub const ATTACHMENT_KEY: WideSlot = [u64::MAX, 0, 0, 0];

/// The slot of an attachment.
#[must_use]
pub const fn attachment_slot(key: &AttachmentKey, value: &Station) -> WideSlot {
    let Station { attachment, endpoint, address, identity } = value;
    let forms = (endpoint.ingress_forms as u64) << 32 | (endpoint.egress_forms as u64) << 40;
    [
        attachment_key(key)[0],
        attachment.checks as u64 | (attachment.endpoint as u64) << 32,
        endpoint.subject as u64 | forms,
        *address as u64 | (*identity as u64) << 32,
    ]
}

/// The attachment in a slot.
#[must_use]
#[inline(always)]
pub const fn attachment(slot: WideSlot) -> Attachment {
    Attachment { checks: slot[1] as u32, endpoint: (slot[1] >> 32) as u32 }
}

/// All that a slot says of an attachment.
#[must_use]
#[inline(always)]
pub const fn station(slot: WideSlot) -> Station {
    let endpoint = Endpoint {
        subject: slot[2] as u32,
        ifindex: 0,
        ingress_forms: (slot[2] >> 32) as u8,
        egress_forms: (slot[2] >> 40) as u8,
        reserved: [0; 6],
    };
    let (address, identity) = (slot[3] as u32, (slot[3] >> 32) as u32);
    Station { attachment: attachment(slot), endpoint, address, identity }
}

/// The key of the attachment in a slot.
#[must_use]
pub const fn key_of_attachment(slot: WideSlot) -> AttachmentKey {
    AttachmentKey { ifindex: slot[0] as u32, hook: (slot[0] >> 32) as u32 }
}

/// The key words of an endpoint, whose number is not 0.
#[must_use]
#[inline(always)]
pub const fn endpoint_key(number: u32) -> NarrowSlot {
    [number as u64, 0]
}

/// The bits of a slot that are key.
pub const ENDPOINT_KEY: NarrowSlot = [u32::MAX as u64, 0];

/// The slot of an endpoint.
#[must_use]
pub const fn endpoint_slot(number: u32, value: &Endpoint) -> NarrowSlot {
    let forms = (value.ingress_forms as u64) << 32 | (value.egress_forms as u64) << 40;
    [number as u64 | forms, value.subject as u64 | (value.ifindex as u64) << 32]
}

/// The endpoint in a slot.
#[must_use]
#[inline(always)]
pub const fn endpoint(slot: NarrowSlot) -> Endpoint {
    Endpoint {
        subject: slot[1] as u32,
        ifindex: (slot[1] >> 32) as u32,
        ingress_forms: (slot[0] >> 32) as u8,
        egress_forms: (slot[0] >> 40) as u8,
        reserved: [0; 6],
    }
}

/// The number of the endpoint in a slot.
#[must_use]
pub const fn number_of_endpoint(slot: NarrowSlot) -> u32 {
    slot[0] as u32
}

/// The key words of an IPv4 prefix; `address` has no host bits.
#[must_use]
#[inline(always)]
pub const fn v4_key(address: u32, length: u8) -> NarrowSlot {
    [address as u64 | (length as u64 + 1) << 32, 0]
}

/// The bits of a slot that are key.
pub const V4_KEY: NarrowSlot = [u64::MAX, 0];

/// The slot of an IPv4 prefix.
#[must_use]
pub const fn v4_slot(address: u32, length: u8, value: &AddressEntry) -> NarrowSlot {
    [v4_key(address, length)[0], address_word(value)]
}

/// The address and length of the IPv4 prefix in a slot.
#[must_use]
pub const fn v4_of(slot: NarrowSlot) -> (u32, u8) {
    (slot[0] as u32, (slot[0] >> 32) as u8 - 1)
}

/// The key words of an IPv6 prefix; `address` has no host bits.
#[must_use]
#[inline(always)]
pub const fn v6_key(address: [u64; 2], length: u8) -> WideSlot {
    [address[0], address[1], 0, length as u64 + 1]
}

/// The bits of a slot that are key.
pub const V6_KEY: WideSlot = [u64::MAX, u64::MAX, 0, u64::MAX];

/// The slot of an IPv6 prefix.
#[must_use]
pub const fn v6_slot(address: [u64; 2], length: u8, value: &AddressEntry) -> WideSlot {
    [address[0], address[1], address_word(value), length as u64 + 1]
}

/// The address and length of the IPv6 prefix in a slot.
#[must_use]
pub const fn v6_of(slot: WideSlot) -> ([u64; 2], u8) {
    ([slot[0], slot[1]], slot[3] as u8 - 1)
}

/// An address entry as one word.
#[must_use]
#[inline(always)]
pub const fn address_word(value: &AddressEntry) -> u64 {
    value.identity as u64 | (value.endpoint as u64) << 32
}

/// What an address word says.
#[must_use]
#[inline(always)]
pub const fn address_entry(word: u64) -> AddressEntry {
    AddressEntry { identity: word as u32, endpoint: (word >> 32) as u32 }
}

/// The key words of a policy entry, whose subject is not 0.
#[must_use]
#[inline(always)]
pub const fn policy_key(key: &PolicyKey) -> NarrowSlot {
    [key.subject as u64 | (key.peer as u64) << 32, key.service as u64]
}

/// The bits of a slot that are key.
pub const POLICY_KEY: NarrowSlot = [u64::MAX, u32::MAX as u64];

/// The slot of a policy entry.
#[must_use]
pub const fn policy_slot(key: &PolicyKey, value: PackedEntry) -> NarrowSlot {
    let [first, second] = policy_key(key);
    [first, second | (value.0 as u64) << 32]
}

/// What the policy entry in a slot says.
#[must_use]
#[inline(always)]
pub const fn policy_entry(slot: NarrowSlot) -> PackedEntry {
    PackedEntry((slot[1] >> 32) as u32)
}

/// The key of the policy entry in a slot.
#[must_use]
pub const fn key_of_policy(slot: NarrowSlot) -> PolicyKey {
    PolicyKey { subject: slot[0] as u32, peer: (slot[0] >> 32) as u32, service: slot[1] as u32 }
}

shared_with_kernel!(NarrowBucket: 64, WideBucket: 128, Layout: 72, Generation: 104);

#[cfg(test)]
mod tests;
