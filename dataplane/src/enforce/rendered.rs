//! A plan as text for a tool.

use crate::backend::chains::{Plan, Script};
use crate::backend::iptables::{self, Family, Layout};
use crate::backend::{ipset, nftables};

/// Which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rendering {
    /// Rules of one family, for `iptables-restore` or `ip6tables-restore`.
    Iptables {
        /// The family.
        family: Family,
        /// How they are arranged.
        layout: Layout,
    },
    /// Sets of both families, for `ipset restore`.
    IpsetSets,
    /// The rules of one family that ask the sets.
    IpsetRules {
        /// The family.
        family: Family,
    },
    /// The table, for `nft -f`.
    Nftables,
}

/// Text, and the program that reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedText {
    /// `iptables-restore`, `ip6tables-restore`, `ipset restore` or `nft -f`.
    pub program: &'static str,
    /// The text.
    pub script: Script,
}

/// Why a plan cannot be said in the words of a tool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// In those of iptables or ipset.
    #[error(transparent)]
    Iptables(#[from] iptables::RenderError),
    /// In those of nft.
    #[error(transparent)]
    Nftables(#[from] nftables::RenderError),
}

/// What `plan` says, as text for a tool on a host that has nothing of ours yet.
///
/// # Errors
///
/// [`RenderError`].
pub fn rendered(plan: &Plan, rendering: Rendering) -> Result<RenderedText, RenderError> {
    let restore = |family| match family {
        Family::V4 => "iptables-restore",
        Family::V6 => "ip6tables-restore",
    };
    Ok(match rendering {
        Rendering::Iptables { family, layout } => RenderedText {
            program: restore(family),
            script: iptables::ruleset(plan, family, layout)?.script(),
        },
        Rendering::IpsetSets => {
            let (sets, _) = ipset::rules(plan)?;
            RenderedText { program: "ipset restore", script: ipset::script(&sets) }
        }
        Rendering::IpsetRules { family } => {
            let (_, [v4, v6]) = ipset::rules(plan)?;
            let rules = match family {
                Family::V4 => v4,
                Family::V6 => v6,
            };
            RenderedText { program: restore(family), script: rules.script() }
        }
        Rendering::Nftables => {
            RenderedText { program: "nft -f", script: nftables::ruleset(plan)?.script() }
        }
    })
}
