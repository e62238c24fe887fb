//! The two programs that are called iptables.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backend::iptables::Family;
use crate::backend::tool::{ToolError, Tools};

/// Which iptables: both have the same words, but rules of different parts of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// `iptables-legacy`: rules of x_tables.
    Legacy,
    /// `iptables-nft`: rules of nf_tables.
    Nft,
}

impl Variant {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Legacy, Self::Nft];

    /// The one that `iptables` is on this host.
    ///
    /// # Errors
    ///
    /// [`ToolError`] when there is no `iptables`.
    pub fn of_host(tools: &Tools) -> Result<Self, ToolError> {
        // `iptables v1.8.9 (nf_tables)`; before 1.8 there was only the one, and nothing in brackets.
        let version = tools.ask("iptables", &["-V"])?;
        Ok(if version.contains("(nf_tables)") { Self::Nft } else { Self::Legacy })
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Legacy => Self::Nft,
            Self::Nft => Self::Legacy,
        }
    }

    /// The program that takes rules of `family`.
    #[must_use]
    pub fn restore(self, family: Family) -> String {
        format!("{}-restore", self.program(family))
    }

    /// The program that prints rules of `family`.
    #[must_use]
    pub fn save(self, family: Family) -> String {
        format!("{}-save", self.program(family))
    }

    /// The program that changes single rules of `family`.
    #[must_use]
    pub fn program(self, family: Family) -> String {
        match self {
            Self::Legacy => format!("{family}-legacy"),
            Self::Nft => format!("{family}-nft"),
        }
    }
}

/// `iptables-legacy`, `iptables-nft`.
impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program(Family::V4))
    }
}
