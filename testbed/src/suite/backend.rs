//! What a backend is to the suite, and which there are.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ringfence_common::abi::config::Hook;
use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::backend::Arrival;
use ringfence_dataplane::backend::ebpf::EbpfError;
use ringfence_dataplane::backend::iptables::Layout;
use ringfence_dataplane::compile::CompileError;
use ringfence_dataplane::model::{Direction, PolicySet, WorkloadName};

use super::chains::{Chains, texts};
use super::{ebpf, oracle, userspace};
use crate::case::{Case, Place};
use crate::netns::NamespaceError;
use crate::require;
use crate::veth::NetlinkError;

/// A host that has all workloads of a case and says what becomes of frames at its interfaces.
pub trait Backend {
    /// Begins a case: its first policies hold, and nothing is remembered.
    ///
    /// # Errors
    ///
    /// [`SuiteError`].
    fn begin(&mut self, case: &Case) -> Result<(), SuiteError>;

    /// Forgets connections and fragments.
    ///
    /// # Errors
    ///
    /// [`SuiteError`].
    fn forget(&mut self) -> Result<(), SuiteError>;

    /// Lets time pass in which nothing happens.
    ///
    /// # Errors
    ///
    /// [`SuiteError`].
    fn wait(&mut self, time: Duration) -> Result<(), SuiteError>;

    /// Other policies hold from now on; what is remembered stays.
    ///
    /// # Errors
    ///
    /// [`SuiteError`].
    fn apply(&mut self, policies: &PolicySet) -> Result<(), SuiteError>;

    /// Decides a frame at the interface of the workload `at`, or at the uplink. `direction` is seen
    /// from the workload: what it sends arrives at its interface. At the uplink it is seen from the
    /// host: what is sent to the host arrives there.
    ///
    /// # Errors
    ///
    /// [`SuiteError`].
    fn see(&mut self, at: At<'_>, direction: Direction, frame: &[u8])
    -> Result<Answer, SuiteError>;
}

/// An interface, by what is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At<'c> {
    /// A workload that is not the host.
    Workload(&'c WorkloadName),
    /// The network. The host's name, where the case describes the host.
    Uplink(Option<&'c WorkloadName>),
}

impl At<'_> {
    /// Whether what goes in `direction` arrives on the interface (else it leaves through it).
    #[must_use]
    pub fn arrives(self, direction: Direction) -> bool {
        match self {
            Self::Workload(_) => direction == Direction::Egress,
            Self::Uplink(_) => direction == Direction::Ingress,
        }
    }
}

/// What came of asking about a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was decided.
    Said(Said),
    /// The kernel runs no program at this hook on such a frame alone; why. It is not a shortcoming
    /// of the backend, and counted apart.
    Inapplicable(&'static str),
    /// The backend could not be asked; why.
    Skipped(&'static str),
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What becomes of the frame.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Names of the rules that decided; several where all say the same.
    pub rules: Vec<String>,
    /// The hook that decided; nothing where there are none.
    pub hook: Option<Hook>,
    /// Reasons that the backend does not tell from the one given: the packet may have any of them.
    pub also: Vec<Reason>,
    /// A known limit of the backend on which the answer hangs: where it is not what a case expects,
    /// the backend could not be asked, and this is why.
    pub limit: Option<&'static str>,
}

impl Said {
    /// A decision that no rule has made, and no hook that is known.
    #[must_use]
    pub const fn new(verdict: Verdict, reason: Reason) -> Self {
        Self { verdict, reason, rules: Vec::new(), hook: None, also: Vec::new(), limit: None }
    }

    /// Whether it may have been made for this reason.
    #[must_use]
    pub fn gives(&self, reason: Reason) -> bool {
        self.reason == reason || self.also.contains(&reason)
    }
}

/// The backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendName {
    /// [`ringfence_dataplane::oracle`], reading frames and model literally.
    Oracle,
    /// The userspace filter.
    Userspace,
    /// The programs in the kernel, run on single frames (`BPF_PROG_TEST_RUN`).
    Ebpf,
    /// The text of iptables rules, walked in process: chains of their own in one run, one chain for
    /// each direction in another.
    Iptables,
    /// The text of iptables rules and of the sets that they ask, walked in process.
    Ipset,
    /// The text of nftables rules, walked in process.
    Nftables,
}

/// A backend, and at which hook it sees what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// The backend.
    pub backend: BackendName,
    /// Nothing where the backend knows no hooks.
    pub arrival: Option<Way>,
    /// How chains are laid out; nothing where there are none, or one way alone.
    pub layout: Option<Layout>,
}

/// [`Arrival`], with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// At XDP.
    Xdp,
    /// At tc ingress.
    Tc,
}

impl Way {
    /// What it is for a desired state.
    #[must_use]
    pub const fn arrival(self) -> Arrival {
        match self {
            Self::Xdp => Arrival::Xdp,
            Self::Tc => Arrival::Tcx,
        }
    }

    /// The hook for what goes in `direction` at `at`.
    #[must_use]
    pub fn hook(self, at: At<'_>, direction: Direction) -> Hook {
        match (at.arrives(direction), self) {
            (true, Self::Xdp) => Hook::Xdp,
            (true, Self::Tc) => Hook::TcIngress,
            (false, _) => Hook::TcEgress,
        }
    }

    /// `xdp` or `tc`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tc => "tc",
        }
    }
}

/// A name that no backend has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no backend `{0}`; choose among oracle, userspace, ebpf, iptables, ipset and nftables"
)]
pub struct UnknownBackend(String);

/// Why a backend cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// This machine or user cannot run it.
    #[error("backend `{backend}` cannot run here: {missing}")]
    Missing {
        /// The backend.
        backend: &'static str,
        /// What is missing, and the way out.
        missing: String,
    },
}

/// Why cases could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// The policies of a case fit no tables.
    #[error("{place}: case `{case}` cannot be compiled")]
    Compile {
        /// Where the case stands.
        place: Place,
        /// The case.
        case: String,
        /// Why.
        #[source]
        source: Box<CompileError>,
    },
    /// The kernel did not do what the eBPF backend asked for.
    #[error("the eBPF backend failed")]
    Ebpf(#[from] EbpfError),
    /// A program cannot be run or attached.
    #[error("the kernel does not {what}: {why}")]
    Program {
        /// What was asked of it.
        what: String,
        /// What it said.
        why: String,
    },
    /// A namespace cannot be made.
    #[error("no namespace for the eBPF backend can be made")]
    Namespace(#[from] NamespaceError),
    /// Interfaces cannot be made.
    #[error("the interfaces for the eBPF backend cannot be made")]
    Netlink(#[from] NetlinkError),
    /// Programs were run and told nothing about it.
    #[error("the program at {0} sent no event for a frame that it decided")]
    Silent(&'static str),
    /// Tables have no words in a tool, or its words were not understood.
    #[error("{place}: case `{case}` cannot be put into rules of `{backend}`")]
    Text {
        /// The backend.
        backend: BackendName,
        /// Where the case stands.
        place: Place,
        /// The case.
        case: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A rule drops a packet and does not say why.
    #[error("a rule of `{backend}` with the comment `{comment}` drops packets without a reason")]
    Unmarked {
        /// The backend.
        backend: BackendName,
        /// The rule's comment.
        comment: String,
    },
    /// A frame came before any case.
    #[error("no case has begun")]
    NoCase,
    /// A case speaks of a workload that its tables do not have.
    #[error("workload `{0}` is on no interface")]
    Nowhere(String),
    /// A thread has panicked.
    #[error("a thread that ran cases has panicked")]
    Panicked,
}

impl BackendName {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 6] =
        [Self::Oracle, Self::Userspace, Self::Ebpf, Self::Iptables, Self::Ipset, Self::Nftables];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Oracle => "oracle",
            Self::Userspace => "userspace",
            Self::Ebpf => "ebpf",
            Self::Iptables => "iptables",
            Self::Ipset => "ipset",
            Self::Nftables => "nftables",
        }
    }

    /// Whether it can be used on this machine, by this user.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] with what is missing.
    pub fn check(self) -> Result<(), Unavailable> {
        match self {
            Self::Oracle | Self::Userspace | Self::Iptables | Self::Ipset | Self::Nftables => {
                Ok(())
            }
            Self::Ebpf => require::missing_for_kernel().map_or(Ok(()), |missing| {
                Err(Unavailable::Missing { backend: self.name(), missing })
            }),
        }
    }

    /// The runs that try all its hooks.
    #[must_use]
    pub fn runs(self) -> Vec<Run> {
        let run = Run { backend: self, arrival: None, layout: None };
        match self {
            Self::Userspace | Self::Ebpf => {
                [Way::Xdp, Way::Tc].map(|way| Run { arrival: Some(way), ..run }).to_vec()
            }
            Self::Iptables => [Layout::Structured, Layout::Flat]
                .map(|layout| Run { layout: Some(layout), ..run })
                .to_vec(),
            Self::Oracle | Self::Ipset | Self::Nftables => vec![run],
        }
    }
}

impl Run {
    /// `structured` or `flat`; nothing where there is one layout alone.
    #[must_use]
    pub fn layout_name(self) -> Option<&'static str> {
        self.layout.map(|layout| match layout {
            Layout::Structured => "structured",
            Layout::Flat => "flat",
        })
    }

    /// What tells it from the other runs of its backend: the hook, or the layout.
    #[must_use]
    pub fn part(self) -> Option<&'static str> {
        self.arrival.map(Way::name).or(self.layout_name())
    }

    /// The backend, ready for its first case. The calling thread may be moved into a network
    /// namespace, where it stays.
    ///
    /// # Errors
    ///
    /// [`SuiteError`] when the kernel refuses.
    pub(super) fn open(self) -> Result<Box<dyn Backend>, SuiteError> {
        let way = self.arrival.unwrap_or(Way::Tc);
        Ok(match self.backend {
            BackendName::Oracle => Box::new(oracle::Literal::default()),
            BackendName::Userspace => Box::new(userspace::InMemory::new(way)),
            BackendName::Ebpf => Box::new(ebpf::TestRuns::new(way)?),
            BackendName::Iptables => Box::new(Chains::new(
                self.backend,
                match self.layout {
                    Some(Layout::Flat) => texts::iptables_flat,
                    _ => texts::iptables,
                },
            )),
            BackendName::Ipset => Box::new(Chains::new(self.backend, texts::ipset)),
            BackendName::Nftables => Box::new(Chains::new(self.backend, texts::nftables)),
        })
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `ebpf xdp`, `iptables flat`, or `oracle`.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part() {
            Some(part) => write!(f, "{} {part}", self.backend),
            None => self.backend.fmt(f),
        }
    }
}

impl FromStr for BackendName {
    type Err = UnknownBackend;

    fn from_str(text: &str) -> Result<Self, UnknownBackend> {
        let found = Self::ALL.into_iter().find(|backend| backend.name() == text);
        found.ok_or_else(|| UnknownBackend(text.to_owned()))
    }
}
