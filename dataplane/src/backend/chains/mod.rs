//! Tables as rule chains, before any tool's words: what the generators of iptables, ipset and
//! nftables rules share.
//!
//! # Goals
//!
//! 1. Each chain says what the tables say: for every packet that opens a connection, the first
//!    [`Line`] that matches is the verdict that [`ringfence_common::decide::policy`] gives.
//! 2. Who enforces what is settled once, here: which chains there are, who enters them, what comes
//!    before policy. A generator only finds the words.
//! 3. The same tables give the same plan, in the same order.
//! 4. Each rule can be traced: it is about a rule of a document, or about a
//!    [`Reason`](ringfence_common::verdict::Reason).
//!
//! # Design
//!
//! Identities are numbers of our own, which no packet carries: peers are written as ranges of
//! addresses. Identities never share an address, so within one [`Form`] the ranges of different
//! lines for one service never overlap, and only the order of the forms matters. Who asks lines in
//! their order may have them overlap, in fewer and rounder ranges ([`Side::widened`]).
//!
//! The kernel's connection tracking replaces ours: packets of known connections pass before
//! policy is asked, and after a change the connections that the new policy refuses are taken out
//! of the kernel's table (semantics 3; [`super::conntrack`]).
//!
//! Nothing is ever accepted for others: a chain of ours refuses a packet or returns, and what
//! other people's rules say of it then still counts.

mod about;
pub mod hash;
mod lines;
mod plan;
mod report;
mod script;
mod space;
mod widen;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ringfence_common::abi::policy::Direction;
use serde::{Deserialize, Serialize};

pub use self::about::About;
pub use self::report::{LOG_GROUP, log_prefix};
pub use self::script::{Script, ScriptLine};
use super::{Mode, Settings};
use crate::compile::RuleDescription;

/// Everything that chains have to do on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether denials are denied.
    pub mode: Mode,
    /// What else can be chosen.
    pub settings: Settings,
    /// The workloads of this host, by name.
    pub guards: Vec<Guard>,
    /// The host itself, where a document describes it.
    pub host: Option<HostGuard>,
    /// What policy says about each subject and direction that it says something about. Directions
    /// that are open are not here.
    pub sides: BTreeMap<(u32, Direction), Side>,
    /// What rule numbers stand for.
    pub rules: BTreeMap<u32, RuleDescription>,
}

/// A workload of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Its endpoint number.
    pub endpoint: u32,
    /// `namespace/name`.
    pub name: String,
    /// How its packets are known.
    pub entry: Entry,
    /// Its addresses, sorted.
    pub addresses: Vec<IpAddr>,
    /// Whose policy applies.
    pub subject: u32,
    /// Whether some policy isolates it, in whichever direction: what belongs to no connection and
    /// opens none is refused then.
    pub isolated: bool,
}

/// How the packets of a workload are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// By the interface that it alone sits behind.
    Interface(String),
    /// By an interface that it shares with others, and its addresses.
    Shared(String),
    /// By its addresses alone; where it sits is not known, so senders are not checked.
    Addresses,
}

/// The host itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostGuard {
    /// `namespace/name`.
    pub name: String,
    /// The interfaces between it and the network; none means all but the loopback and those of
    /// workloads.
    pub uplinks: Vec<String>,
    /// All its addresses, sorted.
    pub addresses: Vec<IpAddr>,
    /// Whose policy applies.
    pub subject: u32,
    /// As [`Guard::isolated`].
    pub isolated: bool,
}

/// What policy says about one direction of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// In the order in which they are asked; the first that matches decides.
    pub lines: Vec<Line>,
    /// What is decided where none matches.
    pub default: Decided,
}

/// Something that policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its place in the lookup order.
    pub form: Form,
    /// The other ends.
    pub peers: Peers,
    /// The services.
    pub service: Service,
    /// What is decided.
    pub decided: Decided,
}

/// The forms of [`ringfence_common::decide`] in the order in which they are asked; the sixth,
/// everyone and everything, is [`Side::default`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Form {
    /// (peer, class of ports)
    PeerPorts = 1,
    /// (peer, every port of a protocol)
    PeerProtocol = 2,
    /// (peer, everything)
    Peer = 3,
    /// (everyone, class of ports)
    Ports = 4,
    /// (everyone, every port of a protocol)
    Protocol = 5,
}

/// The other ends of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Everyone, of both families.
    Anyone,
    /// Those with these addresses: sorted, and neither overlapping nor adjacent. Not both are
    /// empty.
    Of {
        /// IPv4 addresses.
        v4: Vec<RangeInclusive<Ipv4Addr>>,
        /// IPv6 addresses.
        v6: Vec<RangeInclusive<Ipv6Addr>>,
    },
}

/// The services of a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Every protocol and port.
    Everything,
    /// Every port of an IP protocol, by its number.
    Protocol(u8),
    /// Some ports of a protocol: sorted, neither overlapping nor adjacent. For ICMP and ICMPv6
    /// they are `type << 8 | code`.
    Ports {
        /// The IP protocol number.
        protocol: u8,
        /// The ports of the destination.
        ranges: Vec<PortRange>,
    },
}

/// Ports from a first to a last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last, not less than the first.
    pub last: u16,
}

/// What is decided about the packets that a line matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decided {
    /// Whether they pass.
    pub allows: bool,
    /// Whether they are reported.
    pub logs: bool,
    /// The rule that decides; 0 where none does.
    pub rule: u32,
}
