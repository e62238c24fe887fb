//! What is installed, as read from the host.

use std::collections::BTreeMap;
use std::fmt;

use ringfence_common::abi::config::Hook;
use ringfence_common::abi::event::Counter;
use ringfence_common::abi::policy::Direction;
use ringfence_common::verdict::Reason;

use super::Mode;

/// What is installed, as read from the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The generation.
    pub generation: u32,
    /// Nanoseconds since the epoch when it was installed.
    pub installed_at: u64,
    /// Its mode.
    pub mode: Mode,
    /// In which of its ways the backend has installed it, where it has several:
    /// `iptables-nft, structured`.
    pub variant: Option<String>,
    /// Hooks of programs, and whether they are in place.
    pub attached: Vec<Attached>,
    /// Chains, and the rules of the kernel's own chains that lead into them; those that are missing
    /// or not as they were left, first.
    pub chains: Vec<Chained>,
    /// Maps or sets, with what they hold and can hold.
    pub fill: Vec<Fill>,
}

/// A hook that is in place, or should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Interface index.
    pub ifindex: u32,
    /// Interface name; empty where the interface is gone.
    pub interface: String,
    /// The hook.
    pub hook: Hook,
    /// How: `tcx`, `xdp native`, `xdp generic`.
    pub how: &'static str,
    /// Whether it still is in place.
    pub alive: bool,
}

/// What a hook is called in output and in the names of pins.
#[must_use]
pub const fn hook_name(hook: Hook) -> &'static str {
    match hook {
        Hook::Xdp => "xdp",
        Hook::TcIngress => "tc-ingress",
        Hook::TcEgress => "tc-egress",
    }
}

/// A chain that is in place, or should be; or a rule of the kernel's own chain that leads into one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chained {
    /// The tool and table that it is in: `iptables filter`, `ip6tables raw`, `inet ringfence`.
    pub table: String,
    /// The chain: `RF-IN-0000002a`; for a rule that leads into one, `FORWARD -> RINGFENCE-FORWARD`.
    pub chain: String,
    /// Whether it is as it was left.
    pub state: ChainState,
}

/// Whether a chain is as it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChainState {
    /// It is not there.
    Missing,
    /// It is there, but somebody has changed it.
    Changed,
    /// It is as it was left.
    InPlace,
}

impl fmt::Display for ChainState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::InPlace => "in place",
        })
    }
}

/// How full a map or a set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The map or set.
    pub map: String,
    /// Entries in it.
    pub entries: u64,
    /// Entries that fit, where there is a limit.
    pub capacity: Option<u64>,
}

/// Packets and bytes under one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonCount {
    /// The reason.
    pub reason: Reason,
    /// The direction; nothing where the reason was found before there was one.
    pub direction: Option<Direction>,
    /// Packets and bytes.
    pub count: Counter,
}

/// What packets have been counted under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reasons that have been met, by number and then by direction.
    pub reasons: Vec<ReasonCount>,
    /// Rule number → packets and bytes it has decided.
    pub rules: BTreeMap<u32, Counter>,
    /// Events that found their buffer full; nothing where there are no events of ours.
    pub lost_events: Option<u64>,
}
