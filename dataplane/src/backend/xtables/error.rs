//! Why rules could not be installed, read or taken away.

use std::path::PathBuf;

use crate::backend::iptables::RenderError;
use crate::backend::record::RecordError;
use crate::backend::tool::ToolError;

/// Why rules could not be installed, read or taken away. Each message says the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XtablesError {
    /// A tool.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// What shall be installed has no words.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The record of what is installed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Somebody else's chain has a name that we need.
    #[error(
        "chain `{chain}` of `{table}` has a name of ours, and no rule in it is ours: rename it \
         (`{program} -t {} -E {chain} OTHER-NAME`) or delete it, then apply again",
        table.split(' ').next_back().unwrap_or_default()
    )]
    ForeignChain {
        /// `iptables filter`.
        table: String,
        /// The program that can change it.
        program: String,
        /// The chain.
        chain: String,
    },
    /// Somebody else's rule leads into a chain of ours that is to go.
    #[error(
        "rule `-A {chain} {rule}` of `{table}` is not ours and leads to a chain of ours that is \
         to be removed: delete it (`{program} -t {} -D {chain} {rule}`), then try again",
        table.split(' ').next_back().unwrap_or_default()
    )]
    ForeignJump {
        /// `iptables filter`.
        table: String,
        /// The program that can change it.
        program: String,
        /// The chain that the rule is in.
        chain: String,
        /// The rule.
        rule: String,
    },
    /// The host refuses a change; what was enforced before is enforced still.
    #[error("{why}; what was enforced before is enforced still")]
    Refused {
        /// What went wrong.
        why: Box<XtablesError>,
    },
    /// The host refuses a change halfway and does not go back either.
    #[error(
        "{why}; putting back what was enforced before failed too: {then}; the host enforces a \
         mixture of both: apply again, or open the host with `ringfence off`"
    )]
    NotTakenBack {
        /// What went wrong.
        why: Box<XtablesError>,
        /// What went wrong then.
        then: Box<XtablesError>,
    },
    /// What was taken away is there again, or still.
    #[error(
        "`{what}` is still there after everything was taken away: see whether another program \
         puts it back, then run `ringfence off` again"
    )]
    Remains {
        /// Chains and sets.
        what: String,
    },
    /// Rules of ours are there, and no record of this boot describes them.
    #[error(
        "{chains} chains of ringfence are installed, but `{}` does not describe them (it is \
         missing, or of another boot): apply again, or take them away with `ringfence off`",
        record.display()
    )]
    Unrecorded {
        /// How many.
        chains: usize,
        /// Where the record should be.
        record: PathBuf,
    },
}
