//! Backends that can be applied on a network of namespaces.

mod chains;
mod ebpf;
mod userspace;

use std::error::Error;
use std::fmt;

use ringfence_common::abi::event::Event;
use ringfence_dataplane::backend::iptables::Layout;
use ringfence_dataplane::backend::xtables::Variant;
use ringfence_dataplane::backend::{Mode, Settings};
use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::enforce::BackendChoice;
use ringfence_dataplane::model::Inventory;

use crate::require::{self, Tool};
use crate::suite::Unavailable;
use crate::topology::{Topology, Wiring};

/// Why a backend cannot do what it was asked to do.
pub type EnforcerError = Box<dyn Error + Send + Sync>;

/// A backend that can be tried on a real network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// eBPF programs at the host's interfaces.
    Ebpf,
    /// The filter in userspace, on the ways between the workloads and the host.
    Userspace,
    /// Rule chains that `iptables-legacy` puts into the kernel.
    IptablesLegacy,
    /// Rule chains that `iptables-nft` puts into the kernel.
    IptablesNft,
    /// Rule chains and sets, by `ipset` and the variant of iptables that `iptables` is.
    Ipset,
    /// A table of nftables.
    Nftables,
}

/// A name that is of no backend which can be tried on a real network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "backend `{0}` guards no real network: with `--live` choose among ebpf, userspace, \
     iptables-legacy, iptables-nft, iptables (both of them), ipset and nftables, and try others \
     without it"
)]
pub struct NotLive(String);

impl Backend {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 6] = [
        Self::Ebpf,
        Self::Userspace,
        Self::IptablesLegacy,
        Self::IptablesNft,
        Self::Ipset,
        Self::Nftables,
    ];

    /// Those that `text` stands for: one by its name, or both variants by `iptables`.
    ///
    /// # Errors
    ///
    /// [`NotLive`].
    pub fn named(text: &str) -> Result<Vec<Self>, NotLive> {
        if text == "iptables" {
            return Ok(vec![Self::IptablesLegacy, Self::IptablesNft]);
        }
        let found = Self::ALL.into_iter().find(|backend| backend.name() == text);
        found.map(|backend| vec![backend]).ok_or_else(|| NotLive(text.to_owned()))
    }

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Userspace => "userspace",
            Self::IptablesLegacy => "iptables-legacy",
            Self::IptablesNft => "iptables-nft",
            Self::Ipset => "ipset",
            Self::Nftables => "nftables",
        }
    }

    /// Whether it can be tried on this machine, by this user.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] with what is missing.
    pub fn check(self) -> Result<(), Unavailable> {
        let missing = match self {
            Self::Ebpf => require::missing_for_kernel(),
            // The namespaces are all that it takes.
            Self::Userspace => require::missing_for_namespaces(),
            Self::IptablesLegacy | Self::IptablesNft | Self::Ipset | Self::Nftables => {
                require::missing_for_tools(self.tools())
            }
        };
        let backend = self.name();
        missing.map_or(Ok(()), |missing| Err(Unavailable::Missing { backend, missing }))
    }

    /// The tools that put its rules into the kernel.
    #[must_use]
    pub const fn tools(self) -> &'static [Tool] {
        match self {
            Self::Ebpf | Self::Userspace => &[],
            Self::IptablesLegacy => &[Tool::IptablesLegacy],
            Self::IptablesNft => &[Tool::IptablesNft],
            Self::Ipset => &[Tool::Ipset, Tool::IptablesLegacy, Tool::IptablesNft],
            Self::Nftables => &[Tool::Nft],
        }
    }

    /// How the network has to be wired for it.
    pub(super) const fn wiring(self) -> Wiring {
        match self {
            Self::Userspace => Wiring::ThroughBox,
            _ => Wiring::Direct,
        }
    }

    /// How `ringfence apply` is told to use it; nothing for the filter in userspace, which is no
    /// part of the host.
    #[must_use]
    pub const fn choice(self) -> Option<BackendChoice> {
        let (legacy, nft) = (Some(Variant::Legacy), Some(Variant::Nft));
        let layout = Layout::Structured;
        match self {
            Self::Ebpf => Some(BackendChoice::Ebpf),
            Self::Userspace => None,
            Self::IptablesLegacy => Some(BackendChoice::Iptables { variant: legacy, layout }),
            Self::IptablesNft => Some(BackendChoice::Iptables { variant: nft, layout }),
            Self::Ipset => Some(BackendChoice::Ipset { variant: None }),
            Self::Nftables => Some(BackendChoice::Nftables),
        }
    }

    /// One that has applied nothing yet.
    pub(super) fn enforcer(self) -> Box<dyn Enforcer> {
        match self.choice() {
            Some(BackendChoice::Ebpf) => Box::new(ebpf::Live::default()),
            Some(chains) => Box::new(chains::Live::new(chains)),
            None => Box::new(userspace::Live::default()),
        }
    }
}

/// The name that `--backend` knows.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What shall hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'t> {
    pub tables: &'t Tables,
    pub mode: Mode,
    pub settings: Settings,
}

/// A backend on one network.
pub(super) trait Enforcer {
    /// Lets everything pass between the workloads of `inventory`, where the network alone does
    /// not.
    fn open(&mut self, topology: &Topology, inventory: &Inventory) -> Result<(), EnforcerError>;

    /// Makes the host behave as `wanted` says; connections that it knows live on.
    fn apply(&mut self, topology: &Topology, wanted: &Wanted<'_>) -> Result<(), EnforcerError>;

    /// The decisions since the last call, oldest first; `None` from a backend that reports none.
    fn events(&mut self, topology: &Topology) -> Result<Option<Vec<Event>>, EnforcerError>;

    /// Why probes of which one end is the host cannot be asked where these tables hold.
    fn cannot(&self, _tables: &Tables) -> Option<&'static str> {
        None
    }

    /// Takes everything away, what is known of connections too.
    fn off(&mut self, topology: &Topology) -> Result<(), EnforcerError>;
}
