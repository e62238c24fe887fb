//! What can go wrong on the way from tables to a table of nftables.

use crate::backend::record::RecordError;
use crate::backend::tool::ToolError;

/// Why tables cannot be written for nft. The caller's host is at fault, not a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// An interface has a name that nft cannot say.
    #[error(
        "nftables cannot name interface `{}` of `{workload}`: {why}; rename it \
         (`ip link set dev OLD name NEW`), or use another backend",
        interface.escape_debug()
    )]
    Interface {
        /// The interface.
        interface: String,
        /// The workload behind it, or the host.
        workload: String,
        /// What is wrong with the name.
        why: &'static str,
    },
    /// Frames that are not IP shall not pass.
    #[error(
        "nftables' `inet` table sees no frames other than IP, so it cannot refuse them: leave that \
         kind of essential traffic on, or use another backend"
    )]
    NonIp,
}

/// Why our table could not be read or changed. The kernel has what it had before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NftablesError {
    /// Tables have no words in nft.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The tool is missing, or it refuses.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The record cannot be kept.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// There is a table of our name that we have not made.
    #[error(
        "table `inet ringfence` is there, and Ringfence has not made it: rename it, or delete it \
         (`nft delete table inet ringfence`), and apply again"
    )]
    Foreign,
    /// Our table is there, and nothing is known of it.
    #[error(
        "table `inet ringfence` is Ringfence's, but the record of it is gone or of another \
         version: apply again, or take it away with `ringfence off`"
    )]
    Unrecorded,
    /// nft has taken everything, and the kernel does not have it.
    #[error(
        "nft has taken the whole table, and it is not there as it should be ({odd}): something \
         else changes table `inet ringfence`; stop that and apply again"
    )]
    NotInstalled {
        /// What is not as it was written.
        odd: String,
    },
    /// nft tells of the table what we do not understand.
    #[error("what `nft -j list table inet ringfence` says is no JSON: is this nft from nftables?")]
    Unreadable {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}
