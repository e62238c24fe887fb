//! `ringfence demo`: the whole story, on this machine, in under a minute.
//!
//! A shop after a story that everybody in the field tells: a web frontend, an API, a database, a
//! cache, a name server, monitoring, the tills, and the air conditioning that a vendor looks
//! after. First the network is flat and everybody reaches everybody. Then policy is applied and
//! every connection is tried again: what the oracle expects beside what happened. Then one policy
//! changes while a transfer runs. Then the air conditioning tries the tills.
//!
//! Everything lives in namespaces of this process ([`crate::netns`]); nothing is left behind.

mod denials;
mod engine;
mod expectation;
mod live;
mod report;
mod shop;
mod story;
mod telling;

use std::io;

pub use engine::{Applied, Engine, EngineError};
pub use expectation::Expectation;
pub use live::Live;
pub use report::{Change, Phase, Report};
pub use shop::{Documents, PORTS, change, outsiders, shop};
pub use story::tell;

use crate::netns::NamespaceError;
use crate::topology::TopologyError;
use crate::workload::WorkloadError;

/// Why the demo could not be told to its end. That something in it came out wrong is no error; the
/// [`Report`] says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The namespaces or the network in them.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A thread cannot enter its namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The servers.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The engine.
    #[error("the engine cannot {what}")]
    Engine {
        /// What it was asked to do.
        what: &'static str,
        /// Why it cannot.
        #[source]
        source: EngineError,
    },
    /// The demo's own documents; a fault of Ringfence.
    #[error("the demo's documents are wrong, which is a fault of Ringfence:\n{0}")]
    Documents(String),
    /// The output cannot be written.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}
