//! Taking back connections that the kernel tracks (semantics 3).
//!
//! # Goals
//!
//! 1. After new rules are in place, no connection goes on that they refuse.
//! 2. What they allow is not disturbed, and neither is what they say nothing about.
//! 3. It is the shared decision that says so, not another reading of policy.
//!
//! # Design
//!
//! Chains let the packets of known connections pass before they ask policy. So when policy has
//! changed, the kernel's table is read and what the tables now refuse is taken out of it: the next
//! packet of such a connection belongs to none and opens none, and is refused (goal 1).
//!
//! A connection is judged as chains see its packets: it comes from the address its opener has
//! itself, before any translation of the source, and goes to the address and port behind any
//! translation of the destination. Both local sides are asked, each about itself (goal 3). Who has
//! opened a connection that the kernel began to track in its middle is a guess, so there, a side
//! that allows it either way keeps it, as semantics 10 has it for picking up.
//!
//! The first packet of a connection may be on its way past the old rules while the table is read;
//! so the table is read again until nothing is left to be taken out.
//!
//! Rules look at the host's own connections where they pass its guarded interfaces. Which of them a
//! connection passes is not in the table, but in the routes: a connection with an address that the
//! host reaches through another interface is nobody's business (goal 2).
//!
//! A connection of an address that the tables do not know stays, although its packets may enter
//! the chains of a workload by its interface: the workload cannot answer from that address (it
//! would be refused as spoofed), so none of its packets ever pass as known.

mod connection;
mod judge;
mod netlink;
mod table;
mod way;

use std::io;

use self::judge::Judge;
use self::table::Table;
use self::way::Ways;
use super::{Desired, Mode};

/// How often the table is read at most.
const PASSES: usize = 3;

/// What has been done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Connections of the table that were judged, when it was read first.
    pub looked_at: usize,
    /// Those of them, and of what had come meanwhile, that were taken out.
    pub deleted: usize,
}

/// Why connections cannot be taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConntrackError {
    /// The kernel tracks no connections, so no rule lets one pass because it is known.
    #[error("the kernel tracks no connections: the module `nf_conntrack` is not loaded")]
    NotTracked,
    /// The kernel tracks connections but does not show them.
    #[error(
        "the kernel tracks connections but does not show them: load the module \
         `nf_conntrack_netlink`, or keep known connections with `--keep-established`"
    )]
    NotShown,
    /// The process may not see or change the table.
    #[error("reading the kernel's connections takes root (CAP_NET_ADMIN); run it with `sudo`")]
    NotPermitted,
    /// Netlink fails.
    #[error("cannot {action}")]
    Netlink {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel's answer cannot be read.
    #[error("the kernel's answer about its connections cannot be read: {0}")]
    Unreadable(String),
    /// Some connections that are refused now cannot be taken out of the table.
    #[error(
        "{count} connections that are refused now cannot be taken back, `{first}` among them: \
         `conntrack -D` says more"
    )]
    NotDeleted {
        /// How many.
        count: usize,
        /// The first of them.
        first: String,
        /// What the kernel said about it.
        #[source]
        source: io::Error,
    },
}

/// How many connections of the kernel's table [`revoke`] would take out now.
///
/// # Errors
///
/// [`ConntrackError`], as [`revoke`]; nothing has been changed.
pub fn refused(desired: &Desired) -> Result<usize, ConntrackError> {
    if !is_wanted(desired) {
        return Ok(0);
    }
    let (judge, mut ways) = (Judge::new(desired), Ways::new(desired));
    let mut is_guarded = |peer| ways.is_guarded(peer);
    let connections = Table::open()?.connections()?;
    Ok(connections.iter().filter(|one| judge.refuses(one, &mut is_guarded)).count())
}

/// Takes every connection out of the kernel's table that `desired` refuses, in the network
/// namespace of the calling thread. The rules have to be in place before. In audit mode, and where
/// known connections keep their verdict, nothing is looked at.
///
/// # Errors
///
/// [`ConntrackError`]. After [`ConntrackError::NotTracked`], all is well: no connection is known
/// that could pass. After any other, refused connections may go on.
pub fn revoke(desired: &Desired) -> Result<Revoked, ConntrackError> {
    if !is_wanted(desired) {
        return Ok(Revoked::default());
    }
    let (judge, mut ways) = (Judge::new(desired), Ways::new(desired));
    let mut is_guarded = |peer| ways.is_guarded(peer);
    let mut table = Table::open()?;
    let mut revoked = Revoked::default();
    for pass in 0..PASSES {
        let connections = table.connections()?;
        if pass == 0 {
            revoked.looked_at = connections.len();
        }
        let refused = connections.iter().filter(|one| judge.refuses(one, &mut is_guarded));
        let deleted = table.delete(refused)?;
        revoked.deleted += deleted;
        if deleted == 0 {
            break;
        }
    }
    Ok(revoked)
}

/// Whether known connections are to be taken back at all.
fn is_wanted(desired: &Desired) -> bool {
    desired.mode == Mode::Enforce && !desired.settings.keep_established
}
