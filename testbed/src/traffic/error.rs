//! Why traffic could not be made.

use std::io;

use crate::netns::NamespaceError;

/// Why traffic could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrafficError {
    /// A namespace cannot be entered.
    #[error("a network namespace cannot be entered")]
    Namespace(#[from] NamespaceError),
    /// The kernel refused.
    #[error("cannot {what}")]
    Refused {
        /// What was tried.
        what: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Fewer cores than the measurement has threads.
    #[error("it takes {needed} cores, and this process may use {allowed}")]
    TooFewCores {
        /// How many are needed.
        needed: usize,
        /// How many there are.
        allowed: usize,
    },
    /// Something came back, or was counted, that nobody has sent.
    #[error("{0}")]
    Unexpected(String),
}

impl TrafficError {
    /// For `map_err`: what was tried.
    pub fn refused<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        |error| Self::Refused { what: what.into(), source: error.into() }
    }
}
