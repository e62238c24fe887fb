//! What a generation is: its number, its mode, what is attached where.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::shared_with_kernel;

/// One installed generation. There are two slots; [`Selector`] says which one counts.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Config {
    /// [`super::ABI_VERSION`]; anything else denies every packet.
    pub abi: u32,
    /// Grows by one with every apply. Flows decided under an older one are decided again.
    pub generation: u32,
    /// Bits of [`essential`]: which essential traffic passes.
    pub essential: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// Bits of [`report`]: which decisions become events.
    pub report: u32,
    /// Mid-stream TCP is picked up until then, in ticks ([`super::flow::TICK_SHIFT`]); not before
    /// [`super::limits::PICK_UP_SECONDS`] ahead of it.
    pub pick_up_until: u32,
    /// Nanoseconds since the epoch when the generation was installed.
    pub installed_at: u64,
}

/// Which slot of [`Config`] and of every table counts. Read once per packet.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Selector {
    /// 0 or 1.
    pub slot: u32,
    /// Changes whenever what the fast path remembers must not count any more though the generation
    /// has not changed.
    pub epoch: u32,
}

/// Bits of [`Config::flags`].
pub mod flags {
    /// Would-be denials pass and are reported (`--mode audit`).
    pub const AUDIT: u32 = 1 << 0;
    /// Flows keep their verdict when policy changes (`established: keep`).
    pub const KEEP_ESTABLISHED: u32 = 1 << 1;
    /// The IPv4 prefixes that policy names have more lengths than tables are made for
    /// ([`super::super::table::LENGTHS`]), and lie in a trie.
    pub const TRIE_V4: u32 = 1 << 2;
    /// As [`TRIE_V4`], for IPv6.
    pub const TRIE_V6: u32 = 1 << 3;
}

/// Essential traffic (semantics 8): each bit is a rule that can be switched off.
pub mod essential {
    /// ARP and every other frame that is not IP.
    pub const NON_IP: u32 = 1 << 0;
    /// IPv6 neighbour discovery, router solicitation, and router advertisements *to* workloads.
    pub const NEIGHBOUR_DISCOVERY: u32 = 1 << 1;
    /// Multicast listener reports and queries (MLD), which neighbour discovery on switched
    /// networks needs; IGMP is not among them.
    pub const MULTICAST_LISTENER: u32 = 1 << 2;
    /// ICMP errors, path-MTU messages among them, that belong to a tracked flow.
    pub const RELATED_ERRORS: u32 = 1 << 3;
    /// DHCP and DHCPv6 between a client and a server.
    pub const DHCP: u32 = 1 << 4;
    /// A workload talking to itself.
    pub const SELF: u32 = 1 << 5;
    /// The host talking to its own workloads (kubelet's rule).
    pub const HOST_TO_WORKLOAD: u32 = 1 << 6;
    /// All of them: the default.
    pub const ALL: u32 = (1 << 7) - 1;
}

/// Bits of [`Config::report`].
pub mod report {
    /// Denied and audited packets.
    pub const DENIED: u32 = 1 << 0;
    /// The first packet of each allowed flow.
    pub const NEW_FLOWS: u32 = 1 << 1;
    /// Every packet (tests and debugging).
    pub const ALL: u32 = 1 << 2;
}

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Hook {
    /// XDP: frames arriving on the interface, before the stack.
    Xdp = 0,
    /// tcx ingress: packets arriving on the interface (what a workload behind a veth sends).
    TcIngress = 1,
    /// tcx egress: packets leaving through the interface (what a workload behind a veth gets).
    TcEgress = 2,
}

/// Key of the attachment map.
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
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct AttachmentKey {
    /// Interface index.
    pub ifindex: u32,
    /// A [`Hook`] as a number.
    pub hook: u32,
}

/// What a hook on an interface has to check. Data, so that the programs contain no policy.
#[repr(C, align(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Attachment {
    /// Bits of [`checks`].
    pub checks: u32,
    /// The endpoint behind the interface where there is exactly one, the host where the interface
    /// is an uplink, else [`super::identity::endpoint::UNKNOWN`].
    pub endpoint: u32,
}

/// Bits of [`Attachment::checks`].
pub mod checks {
    /// The source address must belong to an endpoint behind this interface.
    pub const SOURCE_INSIDE: u32 = 1 << 0;
    /// The source address must not belong to this host or a workload on it.
    pub const SOURCE_OUTSIDE: u32 = 1 << 1;
    /// Egress policy of the workload behind this interface.
    pub const WORKLOAD_EGRESS: u32 = 1 << 2;
    /// Ingress policy of the workload behind this interface.
    pub const WORKLOAD_INGRESS: u32 = 1 << 3;
    /// Ingress policy of the host, for packets addressed to it.
    pub const HOST_INGRESS: u32 = 1 << 4;
    /// Egress policy of the host, for packets it sends.
    pub const HOST_EGRESS: u32 = 1 << 5;
    /// Router advertisements are refused: they come from a workload, not from a router.
    pub const NO_ROUTERS: u32 = 1 << 6;
}

shared_with_kernel!(Config: 32, Selector: 8, AttachmentKey: 8, Attachment: 8);
