//! Cases against backends: whatever disagrees is named with its packet, rule and reason.
//!
//! Goals:
//! 1. Every backend answers the same questions: the frames of a case, and for each probe the first
//!    packet of the connection it speaks of. Only who answers differs.
//! 2. Every hook is tried. What a workload sends is seen at XDP in one run and at tc ingress in
//!    another; what it receives at tc egress in both.
//! 3. Nothing is left out in silence: what a backend cannot be asked is counted, with the reason.
//! 4. Cases share nothing: each begins with nothing remembered, each probe too.
//!
//! Design. A [`Backend`] sees frames at interfaces of one host that has all workloads of the case
//! (`route` says which interfaces a packet passes, `packet` makes it). `judge` compares what it
//! says with what the case expects; `run` takes all cases through all backends, each backend and
//! hook on a thread of its own, and adds up. `coverage` knows what the cases of a corpus have tried.
//!
//! A backend is added by a variant of [`BackendName`] and what `BackendName::open` makes of it.

mod backend;
pub(crate) mod chains;
pub mod coverage;
mod ebpf;
mod host;
mod judge;
pub mod kernel;
pub mod live;
mod oracle;
mod packet;
mod report;
mod route;
mod run;
mod userspace;

pub use backend::{
    Answer, At, Backend, BackendName, Run, Said, SuiteError, Unavailable, UnknownBackend, Way,
};
pub use judge::{Expected, Side, Wrong};
pub use report::{Answered, Failure, Item, NotAsked, Report, Totals, verdict_name};
pub use run::run;

#[cfg(test)]
mod tests;
