//! Cases on a real network: the backend really applied, real packets.
//!
//! # Goals
//!
//! 1. A verdict is what became of a packet, not what somebody says of it: what is allowed has to
//!    be answered, what is denied must not arrive.
//! 2. A denial is the policy's doing: a probe that is not answered without any policy cannot be
//!    asked here, and where the backend reports its decisions a denial without one is wrong.
//! 3. A busy machine makes no wrong verdict: what is lost is asked again, and only an arrival that
//!    was not allowed is wrong at once, since no accident makes one.
//! 4. Nothing is left out in silence: what cannot be asked is counted and says why.
//!
//! # Design
//!
//! Cases that agree on who has which address share a network (`cluster`): one namespace for each
//! workload, the host, and the addresses that nobody has behind the host's uplink. First every
//! probe of all of them is asked there without policy (goal 2). Then, case by case and step by
//! step, the backend is applied to the running state, as an administrator would do it, and all
//! probes are asked at once, each from a port of its own, so that each opens a connection that
//! nobody knows.
//!
//! Packets without ports or identifiers (most ICMP messages and other protocols) would be taken
//! for the other direction of each other, or for an older connection: they are asked in rounds,
//! each on fresh state. So is everything once the ports run out.
//!
//! Rule chains leave it to the kernel to remember connections, and it remembers them when the
//! chains are gone; taking such a backend off forgets them as well. A rule that drops a packet
//! tells nobody, so that goal 2 rests on the question without policy there.
//!
//! What this does not do: frames. Most of them are there because no stack sends them; they are
//! counted as skipped.

mod ask;
mod cluster;
mod enforcer;
mod judge;
mod report;
mod run;

use ringfence_dataplane::compile::CompileError;

use crate::prober::ProberError;
use crate::topology::TopologyError;

pub use self::enforcer::{Backend, EnforcerError, NotLive};
pub use self::report::{Asked, Progress, Report, Skipped, Wrong};
pub use self::run::run;

/// Why cases cannot be tried on a real network. That a verdict is wrong is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// The network of a case.
    #[error("{case}: its network cannot be built")]
    Topology {
        /// The first case on that network, and where it stands.
        case: String,
        /// Why.
        #[source]
        source: Box<TopologyError>,
    },
    /// Whoever asks and answers in it.
    #[error("{case}: its probes cannot be asked")]
    Prober {
        /// The first case on that network, and where it stands.
        case: String,
        /// Why.
        #[source]
        source: Box<ProberError>,
    },
    /// The policies of a case fit no tables.
    #[error("{case}: its policies cannot be compiled")]
    Compile {
        /// The case, and where it stands.
        case: String,
        /// Why.
        #[source]
        source: Box<CompileError>,
    },
    /// The backend.
    #[error("{case}: {backend} cannot {what}")]
    Enforcer {
        /// The case, and where it stands.
        case: String,
        /// Which backend.
        backend: Backend,
        /// What it was asked to do.
        what: &'static str,
        /// Why it cannot.
        #[source]
        source: EnforcerError,
    },
}
