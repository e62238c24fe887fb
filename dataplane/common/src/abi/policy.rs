//! What an endpoint may do: [`Endpoint`], [`PolicyKey`] → [`PolicyEntry`], and the classes of
//! ports that policy tells apart.
//!
//! An entry is keyed by (subject, direction, peer, service). A service is one of three forms:
//! every protocol and port, every port of one protocol, or one *class* of ports of one protocol.
//! Classes are intervals of ports that all rules treat alike, named by their first port; a map
//! from port to class ([`ClassBlock`]) makes a range as cheap as a single port. ICMP uses
//! `type << 8 | code` where the others have a port.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::shared_with_kernel;

/// IP protocol numbers (IANA) that have ports or types.
pub mod protocol {
    #![allow(missing_docs, reason = "the names are IANA's")]
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ICMPV6: u8 = 58;
    pub const SCTP: u8 = 132;
}

/// Direction of a flow, seen from the endpoint that policy protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Direction {
    /// Towards the endpoint.
    Ingress = 0,
    /// From the endpoint.
    Egress = 1,
}

/// Key of the policy map.
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
pub struct PolicyKey {
    /// Whom the entry protects (an identity number, see [`Endpoint::subject`]).
    pub subject: u32,
    /// The other end's identity, or [`super::identity::identity::ANY`].
    pub peer: u32,
    /// Direction and service, packed by [`PolicyKey::service`].
    pub service: u32,
}

impl PolicyKey {
    const EGRESS: u32 = 1 << 31;
    const PROTOCOL: u32 = 1 << 24;
    const CLASS: u32 = 1 << 25;

    /// Every protocol and port.
    #[must_use]
    pub const fn any_service(direction: Direction) -> u32 {
        direction as u32 * Self::EGRESS
    }

    /// Every port of `protocol`.
    #[must_use]
    pub const fn any_port(direction: Direction, protocol: u8) -> u32 {
        Self::any_service(direction) | Self::PROTOCOL | (protocol as u32) << 16
    }

    /// One class of ports of `protocol`; `class` is the first port of the interval.
    #[must_use]
    pub const fn service(direction: Direction, protocol: u8, class: u16) -> u32 {
        Self::any_service(direction) | Self::CLASS | (protocol as u32) << 16 | class as u32
    }

    /// The direction this key is for.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        if self.service & Self::EGRESS == 0 { Direction::Ingress } else { Direction::Egress }
    }

    /// The protocol and class this key is for: `None` for every service, `Some((p, None))` for
    /// every port of `p`.
    #[must_use]
    pub const fn protocol_and_class(&self) -> Option<(u8, Option<u16>)> {
        let protocol = (self.service >> 16) as u8;
        if self.service & Self::CLASS != 0 {
            Some((protocol, Some(self.service as u16)))
        } else if self.service & Self::PROTOCOL != 0 {
            Some((protocol, None))
        } else {
            None
        }
    }
}

/// Which forms of key exist for one direction of a subject, so that a packet never asks for a
/// form that no rule produced. Bits of [`Endpoint::ingress_forms`] and `egress_forms`.
pub mod forms {
    /// Policy applies. Without it, the direction is open and nothing is looked up.
    pub const ENFORCED: u8 = 1 << 0;
    /// (peer, class of ports)
    pub const PEER_CLASS: u8 = 1 << 1;
    /// (peer, every port of a protocol)
    pub const PEER_PROTOCOL: u8 = 1 << 2;
    /// (peer, everything)
    pub const PEER: u8 = 1 << 3;
    /// (every peer, class of ports)
    pub const ANY_CLASS: u8 = 1 << 4;
    /// (every peer, every port of a protocol)
    pub const ANY_PROTOCOL: u8 = 1 << 5;
    /// (every peer, everything): the subject's default where it is not a plain denial
    pub const ANY: u8 = 1 << 6;
    /// Not a form: some policy isolates the subject in this direction. What belongs to no flow
    /// and opens none is denied by an endpoint that is isolated in either, but for what is picked
    /// up (semantics 10).
    pub const ISOLATED: u8 = 1 << 7;
}

/// What a policy entry says. Zero is not a verdict, so a zeroed entry denies.
pub mod action {
    /// Let the flow through.
    pub const ALLOW: u8 = 1;
    /// Refuse the flow.
    pub const DENY: u8 = 2;
}

/// Value of the policy map. Eight bytes, so one aligned store changes it.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct PolicyEntry {
    /// One of [`action`].
    pub action: u8,
    /// Bits of [`entry_flags`].
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// The document rule that produced this entry; 0 where none did (a default).
    pub rule: u32,
}

/// Bits of [`PolicyEntry::flags`].
pub mod entry_flags {
    /// Report each new flow that this entry decides.
    pub const LOG: u8 = 1 << 0;
}

/// An endpoint of this host.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Endpoint {
    /// Whose policy applies: the number of the endpoint's label set, the same for its v4 and v6
    /// addresses.
    pub subject: u32,
    /// The interface the endpoint sits behind; 0 for the host, which has several.
    pub ifindex: u32,
    /// Bits of [`forms`].
    pub ingress_forms: u8,
    /// Bits of [`forms`].
    pub egress_forms: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// Protocols that have a class map, in its order. Others have the single class 0.
pub const CLASSED_PROTOCOLS: [u8; 5] =
    [protocol::TCP, protocol::UDP, protocol::SCTP, protocol::ICMP, protocol::ICMPV6];

/// Index of `protocol` in the class map; `None` for protocols without ports.
#[must_use]
#[inline(always)]
pub const fn class_table(protocol: u8) -> Option<u32> {
    match protocol {
        protocol::TCP => Some(0),
        protocol::UDP => Some(1),
        protocol::SCTP => Some(2),
        protocol::ICMP => Some(3),
        protocol::ICMPV6 => Some(4),
        _ => None,
    }
}

/// Ports of one value of the class map.
pub const BLOCK_PORTS: usize = 1_024;

/// Values of the class map for each protocol.
pub const BLOCKS: u32 = 64;

/// Port → class for a block of ports of one protocol: one value of the class map. The block of a
/// port is `class_table(protocol) * BLOCKS + port / BLOCK_PORTS`.
pub type ClassBlock = [u16; BLOCK_PORTS];

const _: () = assert!(BLOCK_PORTS * BLOCKS as usize == 1 << 16);

shared_with_kernel!(PolicyKey: 12, PolicyEntry: 8, Endpoint: 16);
