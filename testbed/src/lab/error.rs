//! Why a case cannot be had.

use std::error::Error;
use std::time::Duration;

use ringfence_dataplane::backend::nftables::NftablesError;
use ringfence_dataplane::backend::tool::ToolError;
use ringfence_dataplane::backend::xtables::XtablesError;
use ringfence_dataplane::compile::CompileError;
use ringfence_dataplane::enforce::EnforceError;

use crate::netns::NamespaceError;
use crate::topology::TopologyError;

/// Why a case cannot be had. After each of them the laboratory is as new.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// Nobody can have it, or not this contender.
    #[error("{0}")]
    Impossible(String),
    /// It takes too long.
    #[error(
        "putting it into place, or listing it, took longer than {} s{}", after.as_secs_f64(),
        if *is_still_running { ", and goes on in a namespace that is no longer used" } else { "" }
    )]
    TimedOut {
        /// The time that it was given.
        after: Duration,
        /// Whether the work could not be stopped, and goes on in the namespace that was thrown
        /// away: only what this process does itself cannot, such as compiling.
        is_still_running: bool,
    },
    /// The machine does not have what it takes: a tool, a privilege.
    #[error("{0}")]
    Missing(String),
    /// It is installed, and packets do not fare as they should.
    #[error("{contender} filters wrongly: {what}")]
    Wrong {
        /// What filters.
        contender: super::Contender,
        /// What was seen.
        what: String,
    },
    /// The engine refuses.
    #[error(transparent)]
    Engine(Box<EnforceError>),
    /// The compiler refuses.
    #[error(transparent)]
    Compile(CompileError),
    /// A tool refuses.
    #[error(transparent)]
    Tool(ToolError),
    /// The namespaces, cables and addresses cannot be had.
    #[error(transparent)]
    Network(#[from] TopologyError),
    /// The machine refuses something else.
    #[error("the machine refuses to {what}")]
    Refused {
        /// What was asked of it.
        what: String,
        /// Its answer.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl LabError {
    /// What is said of it: the sentence and what it came of.
    #[must_use]
    pub fn said(&self) -> String {
        let mut said = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            said = format!("{said}: {error}");
            source = error.source();
        }
        said
    }

    pub(super) fn refused<E: Into<Box<dyn Error + Send + Sync>>>(
        what: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Refused { what, source: source.into() }
    }
}

impl From<NamespaceError> for LabError {
    fn from(error: NamespaceError) -> Self {
        Self::Network(error.into())
    }
}

impl From<ToolError> for LabError {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::Missing { .. } => Self::Missing(error.to_string()),
            ToolError::TimedOut { seconds, .. } => Self::TimedOut {
                after: Duration::try_from_secs_f32(seconds).unwrap_or_default(),
                is_still_running: false,
            },
            error => Self::Tool(error),
        }
    }
}

/// A tool that is missing is that also where the engine asked for it.
impl From<EnforceError> for LabError {
    fn from(error: EnforceError) -> Self {
        match error {
            EnforceError::Xtables(XtablesError::Tool(tool @ ToolError::Missing { .. }))
            | EnforceError::Nftables(NftablesError::Tool(tool @ ToolError::Missing { .. })) => {
                Self::from(tool)
            }
            error => Self::Engine(Box::new(error)),
        }
    }
}
