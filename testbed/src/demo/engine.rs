//! What the demo asks of an engine.

use std::error::Error;

use ringfence_common::abi::event::Event;
use ringfence_dataplane::document;
use ringfence_dataplane::model::PolicySet;

/// Why an engine could not do what it was asked to do.
pub type EngineError = Box<dyn Error + Send + Sync>;

/// What enforces policy on the host whose namespaces the calling thread is in. All calls come
/// from threads in the namespaces of one isolated host, each call from a new thread.
pub trait Engine: Send {
    /// Makes the host behave as `policies` say; `documents` is the report on the documents they
    /// were read from.
    ///
    /// # Errors
    ///
    /// When that fails; the host behaves as before then.
    fn apply(
        &mut self,
        policies: &PolicySet,
        documents: &document::Report,
    ) -> Result<Applied, EngineError>;

    /// The verdict events since the last call, oldest first.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn events(&mut self) -> Result<Vec<Event>, EngineError>;
}

/// What an engine says about an apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The lines that `ringfence apply` prints: one for each policy, then the summary.
    pub lines: Vec<String>,
}
