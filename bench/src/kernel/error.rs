//! Why something could not be measured.

use std::error::Error;

use ringfence_dataplane::backend::ebpf::EbpfError;
use ringfence_testbed::traffic::TrafficError;

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// The machine or the user lacks something.
    #[error("this cannot be measured here: {0}")]
    Missing(String),
    /// The engine refused.
    #[error("the engine's tables or programs: {0}")]
    Engine(#[from] EbpfError),
    /// The kernel or a tool refused.
    #[error("cannot {what}: {why}")]
    Refused {
        /// What was tried.
        what: String,
        /// What was said.
        why: String,
    },
    /// Something else was done than what was to be measured.
    #[error("{what} did something else than what is measured: {why}")]
    Wrong {
        /// Who.
        what: String,
        /// What was expected, and what happened.
        why: String,
    },
}

impl MeasureError {
    /// For `map_err`: what was tried.
    pub fn refused<E: Error>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        |error| Self::Refused { what: what.into(), why: chain(&error) }
    }

    /// Something else happened.
    #[must_use]
    pub fn wrong(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Wrong { what: what.into(), why: why.into() }
    }
}

impl From<TrafficError> for MeasureError {
    fn from(error: TrafficError) -> Self {
        match error {
            TrafficError::TooFewCores { .. } => Self::Missing(error.to_string()),
            TrafficError::Unexpected(why) => Self::wrong("the traffic", why),
            other => Self::Refused { what: "make traffic".to_owned(), why: chain(&other) },
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
