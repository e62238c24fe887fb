//! What can be chosen beside policy, and where things are.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use crate::model::WorkloadName;

/// What can be chosen beside policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether denials are denied.
    pub mode: Mode,
    /// What a change of policy does to connections.
    pub established: Established,
    /// How long after the beginning (time 0 of [`super::Connections::see`]) connections older than
    /// that are picked up; [`super::limits::PICK_UP`] at most.
    pub pick_up: Duration,
    /// The essential traffic that is not let through.
    pub essential_off: BTreeSet<Essential>,
}

/// What happens to what policy does not allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is denied.
    #[default]
    Enforce,
    /// It passes and is reported (semantics 4).
    Audit,
}

/// What a change of policy does to connections (semantics 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Established {
    /// What is no longer allowed is cut at its next packet.
    #[default]
    Revalidate,
    /// They live until they end.
    Keep,
}

/// Essential traffic: what always works (semantics 8). Each can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Essential {
    /// Every frame that is not IP.
    NonIp,
    /// IPv6 neighbour and router discovery.
    NeighbourDiscovery,
    /// IPv6 multicast listener discovery.
    MulticastListener,
    /// ICMP errors about a tracked flow.
    RelatedErrors,
    /// DHCP and DHCPv6 between client and server.
    Dhcp,
    /// A workload talking to itself.
    SelfTraffic,
    /// The host talking to its own workloads.
    HostToWorkload,
}

impl Essential {
    /// All of it.
    pub const ALL: [Self; 7] = [
        Self::NonIp,
        Self::NeighbourDiscovery,
        Self::MulticastListener,
        Self::RelatedErrors,
        Self::Dhcp,
        Self::SelfTraffic,
        Self::HostToWorkload,
    ];

    /// What it is called where it is switched off.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NonIp => "non-ip",
            Self::NeighbourDiscovery => "neighbour-discovery",
            Self::MulticastListener => "multicast-listener",
            Self::RelatedErrors => "related-errors",
            Self::Dhcp => "dhcp",
            Self::SelfTraffic => "self",
            Self::HostToWorkload => "host-to-workload",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|essential| essential.name() == name)
    }
}

/// What is where on the one host that enforces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The host's own workloads, those behind one interface together.
    pub interfaces: Vec<BTreeSet<WorkloadName>>,
    /// Addresses of the host beside those that the inventory gives it.
    pub host_addresses: BTreeSet<IpAddr>,
}
