//! Backends: whatever makes a host behave as the tables say.
//!
//! A backend takes a [`Desired`] state and knows nothing of policies or documents. It reads back
//! what the host does now, changes what differs, and can take away everything it has made.

mod all_local;
pub mod chains;
pub mod clock;
pub mod conntrack;
pub mod ebpf;
pub mod host;
mod installed;
pub mod ipset;
pub mod iptables;
pub mod nftables;
pub mod record;
pub mod tool;
pub mod userspace;
pub mod xtables;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ringfence_common::abi::ABI_VERSION;
use ringfence_common::abi::config::{Config, essential, flags, report};
use ringfence_common::track::ticks;
use serde::{Deserialize, Serialize};

pub use self::installed::{
    Attached, ChainState, Chained, Counters, Fill, Installed, ReasonCount, hook_name,
};
use crate::compile::{EndpointDescription, IdentityDescription, RuleDescription, Tables};

/// Makes a host behave as tables say.
pub trait Backend {
    /// What can go wrong.
    type Error: std::error::Error;

    /// What is installed; nothing where nothing is.
    ///
    /// # Errors
    ///
    /// When the host cannot be read, or what is there is not of this version.
    fn read_back(&self) -> Result<Option<Installed>, Self::Error>;

    /// The generation that is installed; 0 where none is.
    ///
    /// # Errors
    ///
    /// As [`Backend::read_back`].
    fn generation(&self) -> Result<u32, Self::Error> {
        Ok(self.read_back()?.map_or(0, |installed| installed.generation))
    }

    /// What packets have been counted under; nothing where nothing is installed.
    ///
    /// # Errors
    ///
    /// When the host cannot be read.
    fn counters(&self) -> Result<Option<Counters>, Self::Error>;

    /// What [`Backend::apply`] would do, without doing it.
    ///
    /// # Errors
    ///
    /// When the host cannot be read, or would refuse.
    fn preview(&self, desired: &Desired, known: Option<&Numbers>) -> Result<Applied, Self::Error>;

    /// Makes the host behave as `desired` says, touching only what differs. `known` is what the
    /// numbers of the installed generation stand for, as [`Applied::numbers`] gave it then;
    /// without it, or with that of another generation, everything is installed anew.
    ///
    /// # Errors
    ///
    /// When the host refuses. It then enforces what it enforced before.
    fn apply(&mut self, desired: &Desired, known: Option<&Numbers>)
    -> Result<Applied, Self::Error>;

    /// Takes away everything this backend has made on the host, and says what that was, a
    /// line for each; nothing where there was nothing of it.
    ///
    /// # Errors
    ///
    /// When something cannot be taken away.
    fn remove(&mut self) -> Result<Option<Vec<String>>, Self::Error>;
}

/// The state a host shall be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The tables, restricted to this host ([`Tables::for_host`]).
    pub tables: Tables,
    /// The interfaces to be guarded.
    pub interfaces: Vec<Interface>,
    /// The host's own addresses.
    pub host_addresses: BTreeSet<IpAddr>,
    /// Whether denials are denied.
    pub mode: Mode,
    /// Everything else that can be chosen.
    pub settings: Settings,
}

impl Desired {
    /// The configuration of generation `generation` of this state, installed at `now` in ticks
    /// ([`ringfence_common::abi::flow::TICK_SHIFT`]), which is `installed_at` in nanoseconds since
    /// the epoch.
    #[must_use]
    pub fn config(&self, generation: u32, now: u32, installed_at: u64) -> Config {
        self.settings.config(self.mode, generation, now, installed_at)
    }
}

/// What happens to what policy does not allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It is denied.
    #[default]
    Enforce,
    /// It passes and is reported (semantics 4).
    Audit,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
        })
    }
}

/// What can be chosen beside policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which essential traffic passes: bits of [`essential`].
    pub essential: u32,
    /// Which decisions are reported: bits of [`report`].
    pub report: u32,
    /// Whether flows keep their verdict when policy changes.
    pub keep_established: bool,
    /// Seconds after an interface is first guarded in which connections older than that are
    /// picked up; [`ringfence_common::abi::limits::PICK_UP_SECONDS`] at most.
    pub pick_up_seconds: u32,
    /// Until when, in seconds since the epoch, chains pick up connections that are older than
    /// they are; nothing for chains that do not. Whoever applies them says so: programs know their
    /// own time ([`Settings::pick_up_seconds`]), printed rules have none.
    pub pick_up_until: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            essential: essential::ALL,
            report: report::DENIED,
            keep_established: false,
            pick_up_seconds: 60,
            pick_up_until: None,
        }
    }
}

impl Settings {
    /// As [`Desired::config`], in the mode `mode`.
    #[must_use]
    pub fn config(&self, mode: Mode, generation: u32, now: u32, installed_at: u64) -> Config {
        let bits =
            [(flags::AUDIT, mode == Mode::Audit), (flags::KEEP_ESTABLISHED, self.keep_established)];
        Config {
            abi: ABI_VERSION,
            generation,
            essential: self.essential,
            flags: bits.iter().filter(|(_, on)| *on).map(|(bit, _)| bit).sum(),
            report: self.report,
            pick_up_until: now.wrapping_add(ticks(u64::from(self.pick_up_seconds))),
            installed_at,
        }
    }
}

/// An interface to be guarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What is behind it.
    pub role: Role,
    /// Endpoint numbers of the workloads behind it; for an uplink, the host's.
    pub endpoints: BTreeSet<u32>,
    /// Where arriving frames are seen.
    pub arrival: Arrival,
}

/// What is behind an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Workloads of this host.
    Workload,
    /// The network.
    Uplink,
}

/// Which hook sees the frames that arrive on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// tcx ingress.
    Tcx,
    /// XDP in the driver, or where the driver cannot, in the stack.
    Xdp,
}

/// What the numbers of a generation stand for: that part of its tables that the kernel does not
/// have. It is kept beside the documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// The generation.
    pub generation: u32,
    /// Identities.
    pub identities: BTreeMap<u32, IdentityDescription>,
    /// Endpoints of this host.
    pub endpoints: BTreeMap<u32, EndpointDescription>,
    /// Rules.
    pub rules: BTreeMap<u32, RuleDescription>,
}

impl Numbers {
    /// What the numbers of `tables` stand for, installed as `generation`.
    #[must_use]
    pub fn of(tables: &Tables, generation: u32) -> Self {
        Self {
            generation,
            identities: tables.identities.clone(),
            endpoints: tables.endpoints.clone(),
            rules: tables.rules.clone(),
        }
    }
}

/// What an apply has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What the numbers stand for now, to be kept for the next apply.
    pub numbers: Numbers,
    /// How it was done.
    pub how: How,
    /// Map entries, or rules and elements of sets, that are installed now.
    pub entries: usize,
    /// Map entries, or rules and elements of sets, written or removed.
    pub entries_touched: usize,
    /// Policy entries, or rules and elements of sets, added, changed, removed.
    pub policy: [usize; 3],
    /// Hooks that were attached, replaced or detached, a line for each: the interface, and after
    /// a space what was done.
    pub hooks: Vec<String>,
    /// What was run, or would be, a line for each tool and text; nothing for hooks.
    pub steps: Vec<String>,
    /// What the user should know about the host, in sentences.
    pub warnings: Vec<String>,
    /// What went wrong after the change, which is in force, in sentences.
    pub left_undone: Vec<String>,
}

/// An error and all that it came of.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// How an apply was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Nothing differed.
    Nothing,
    /// Entry by entry, in steps that no packet can see halfway.
    InPlace,
    /// As a whole, behind one switch.
    Switched,
}
