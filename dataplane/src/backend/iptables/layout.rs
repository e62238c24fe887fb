//! How the rules of policy are arranged.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the rules of policy are arranged.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// A chain for each endpoint and direction, ports together in one rule where that goes.
    #[default]
    Structured,
    /// One list of rules for all, a rule for each peer address and port: what other layouts are
    /// measured against.
    Flat,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Structured => "structured",
            Self::Flat => "flat",
        })
    }
}
