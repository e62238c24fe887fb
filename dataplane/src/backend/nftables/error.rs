//! Why something has no words in nft.

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
