//! Backends that can be applied on a network of namespaces.

mod ebpf;
mod userspace;

use std::error::Error;
use std::fmt;

use ringfence_common::abi::event::Event;
use ringfence_dataplane::backend::{Mode, Settings};
use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::model::Inventory;

use crate::require;
use crate::suite::{BackendName, Unavailable};
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
}

/// A backend that cannot be tried on a real network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "backend `{0}` guards no real network: with `--live` choose ebpf, userspace or both, and try \
     `{0}` without it"
)]
pub struct NotLive(pub BackendName);

impl TryFrom<BackendName> for Backend {
    type Error = NotLive;

    fn try_from(name: BackendName) -> Result<Self, NotLive> {
        match name {
            BackendName::Ebpf => Ok(Self::Ebpf),
            BackendName::Userspace => Ok(Self::Userspace),
            other => Err(NotLive(other)),
        }
    }
}

impl Backend {
    /// What it is called.
    #[must_use]
    pub const fn name(self) -> BackendName {
        match self {
            Self::Ebpf => BackendName::Ebpf,
            Self::Userspace => BackendName::Userspace,
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
        };
        let backend = self.name();
        missing.map_or(Ok(()), |missing| Err(Unavailable::Missing { backend, missing }))
    }

    /// How the network has to be wired for it.
    pub(super) const fn wiring(self) -> Wiring {
        match self {
            Self::Ebpf => Wiring::Direct,
            Self::Userspace => Wiring::ThroughBox,
        }
    }

    /// One that has applied nothing yet.
    pub(super) fn enforcer(self) -> Box<dyn Enforcer> {
        match self {
            Self::Ebpf => Box::new(ebpf::Live::default()),
            Self::Userspace => Box::new(userspace::Live::default()),
        }
    }
}

/// The name that `--backend` knows.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
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
