//! Why the host could not be changed or read.

use std::io;
use std::path::PathBuf;

use super::{HostError, PlacementErrors};
use crate::backend::conntrack::ConntrackError;
use crate::backend::ebpf::EbpfError;
use crate::backend::nftables::NftablesError;
use crate::backend::with_sources;
use crate::backend::xtables::XtablesError;

/// Why the host could not be changed or read. It behaves as before then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnforceError {
    /// This process may not do that.
    #[error(
        "{what} needs root, or the capabilities {missing}: run it with `sudo`, or give them to \
         the service that runs it"
    )]
    NotPrivileged {
        /// What was asked for.
        what: &'static str,
        /// The capabilities that are missing.
        missing: String,
    },
    /// Somebody else is changing the host.
    #[error(
        "another ringfence (process {process}) is changing this host; wait until it is done, or \
         see who holds `{}`",
        path.display()
    )]
    Busy {
        /// The lock.
        path: PathBuf,
        /// The process that has it.
        process: String,
    },
    /// A file of ours cannot be used.
    #[error("cannot {verb} `{}`", path.display())]
    File {
        /// `open`, `read`, `write`, `remove`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host's network cannot be read.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Workloads cannot be placed.
    #[error(transparent)]
    Placement(#[from] PlacementErrors),
    /// An interface has the network and workloads behind it.
    #[error(
        "interface `{interface}` is named by workload `{workload}` and is an uplink of the host: \
         give the host's workload document the interface it means with `interface:`"
    )]
    TwoRoles {
        /// The interface.
        interface: String,
        /// The workload.
        workload: String,
    },
    /// Which connections the kernel knows cannot be found out.
    #[error("the connections that the kernel knows cannot be compared with policy")]
    Connections(#[source] ConntrackError),
    /// What was installed is not described on disk.
    #[error(
        "{backend} is in force, but what its numbers stand for is not on disk, so `status` cannot \
         name rules and policies: mend what is wrong and apply again"
    )]
    NotKept {
        /// The backend that is in force.
        backend: &'static str,
        /// Why.
        source: Box<EnforceError>,
    },
    /// What comes after a change has failed.
    #[error("{backend} is in force, but {why}; mend what is wrong and apply again")]
    NotFinished {
        /// The backend that is in force.
        backend: &'static str,
        /// What has failed, and why.
        why: String,
    },
    /// More than one thing has failed after a change.
    #[error("{}", all(errors))]
    Several {
        /// All of it.
        errors: Vec<EnforceError>,
    },
    /// Connections that the kernel knows have not been asked about.
    #[error(
        "{backend} is in force, but connections that the kernel knows may go on although policy \
         refuses them: mend what is wrong and apply again"
    )]
    NotRevoked {
        /// The backend that is in force.
        backend: &'static str,
        /// Why.
        source: ConntrackError,
    },
    /// What another backend has installed is still there.
    #[error(
        "{backend} is in force, but what was installed before it cannot be taken away; both \
         enforce until `ringfence off` or the next apply succeeds"
    )]
    Left {
        /// The backend that is in force.
        backend: &'static str,
        /// Why.
        source: Box<EnforceError>,
    },
    /// iptables or ipset.
    #[error(transparent)]
    Xtables(#[from] XtablesError),
    /// nftables.
    #[error(transparent)]
    Nftables(#[from] NftablesError),
    /// The kernel.
    #[error(transparent)]
    Ebpf(#[from] EbpfError),
}

impl EnforceError {
    /// The one error, or one for all; nothing if there are none.
    pub(super) fn of_all(mut errors: Vec<Self>) -> Option<Self> {
        match errors.len() {
            0 | 1 => errors.pop(),
            _ => Some(Self::Several { errors }),
        }
    }
}

/// A sentence for each, with what it came of.
fn all(errors: &[EnforceError]) -> String {
    let each: Vec<String> = errors.iter().map(|error| with_sources(error)).collect();
    each.join("; and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_errors_each_is_told() {
        let not_finished =
            |why: &str| EnforceError::NotFinished { backend: "iptables", why: why.to_owned() };
        assert!(EnforceError::of_all(Vec::new()).is_none());
        let one = EnforceError::of_all(vec![not_finished("a")]).unwrap().to_string();
        assert_eq!(one, "iptables is in force, but a; mend what is wrong and apply again");
        let file = EnforceError::File {
            verb: "write",
            path: "x".into(),
            source: io::Error::other("no room"),
        };
        let both = EnforceError::of_all(vec![not_finished("a"), file]).unwrap().to_string();
        assert_eq!(both, format!("{one}; and cannot write `x`: no room"));
    }
}
