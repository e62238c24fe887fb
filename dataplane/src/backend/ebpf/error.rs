//! What can go wrong between us and the kernel.

use std::io;
use std::path::PathBuf;

use aya::maps::MapError;
use aya::pin::PinError;
use aya::programs::ProgramError;
use aya::programs::links::LinkError;

/// What can go wrong between us and the kernel. Each message says the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EbpfError {
    /// No BPF filesystem where pins are to go.
    #[error(
        "no BPF filesystem is mounted at `{0}`: mount one with `mount -t bpf bpf {0}`, \
         or add it to /etc/fstab",
        path.display()
    )]
    NoBpffs {
        /// Where it should be.
        path: PathBuf,
    },
    /// Pins that we would not have made that way.
    #[error(
        "`{}` is not to be trusted: {why}; inspect it and remove it (`rm -r`), then apply again",
        path.display()
    )]
    UntrustedPins {
        /// The directory or file.
        path: PathBuf,
        /// What is odd about it.
        why: String,
    },
    /// The maps are of another version of this program.
    #[error(
        "the installed maps have layout {found}, this program has layout {expected}: \
         run `ringfence off` with the version that installed them, then apply with this one"
    )]
    OtherVersion {
        /// What is installed.
        found: u32,
        /// What this program needs.
        expected: u32,
    },
    /// The kernel's verifier has refused a program.
    #[error(
        "the kernel refuses program `{program}`: {reason}; this engine needs Linux 6.6 or newer \
         with BTF (`CONFIG_DEBUG_INFO_BTF`) and, to run as root, no lockdown of BPF{log}"
    )]
    Refused {
        /// The program.
        program: &'static str,
        /// The error of `bpf(2)`.
        reason: io::Error,
        /// The end of the verifier's log, each line after a line break; empty without a log.
        log: String,
    },
    /// Somebody else's XDP program is on the interface.
    #[error(
        "interface `{interface}` already has the XDP program `{program}` (id {id}), which is not \
         ours: detach it (`ip link set dev {interface} xdp off`), or use `--hook tcx`, which runs \
         beside it"
    )]
    ForeignXdp {
        /// The interface.
        interface: String,
        /// The program's name.
        program: String,
        /// The program's id.
        id: u32,
    },
    /// The pin of a link is gone, and the link is not.
    #[error(
        "our program is still attached to `{interface}` at {hook}, although its pin is gone: \
         another process holds the link; end that process (`bpftool link` names it)"
    )]
    StillAttached {
        /// The interface.
        interface: String,
        /// The hook.
        hook: &'static str,
    },
    /// An interface has vanished.
    #[error("interface `{0}` does not exist any more: apply again")]
    NoInterface(
        /// Its name.
        String,
    ),
    /// The kernel does not let us.
    #[error(
        "the kernel does not permit {0}: this needs root, or the capabilities \
         CAP_NET_ADMIN and CAP_SYS_ADMIN, and a kernel that does not lock BPF down; run it with sudo"
    )]
    NotPermitted(
        /// What we tried.
        String,
    ),
    /// A file of ours cannot be read or written.
    #[error("cannot {verb} `{}`", path.display())]
    File {
        /// `create`, `read`, `remove`, …
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The object inside this program is broken: our fault.
    #[error("the object built into this program cannot be used: {0}")]
    Object(
        /// What is wrong with it.
        String,
    ),
    /// The tables are larger than the maps. Nothing has been changed.
    #[error(
        "the policy does not fit on this host: `{map}` needs {entries} entries and has room for \
         {room}; the installed policy stays in force"
    )]
    TooMany {
        /// The map.
        map: &'static str,
        /// Entries it would have.
        entries: usize,
        /// Entries it can have.
        room: usize,
    },
    /// A test has let so many steps be taken and no more ([`super::Maps::stop_after`]).
    #[error("stopped by a test")]
    Stopped,
    /// A map refused an operation.
    #[error("map `{map}`: {source}")]
    Map {
        /// The map.
        map: &'static str,
        /// Why.
        #[source]
        source: MapError,
    },
    /// A program or hook refused an operation.
    #[error("{action}")]
    Program {
        /// What was tried.
        action: String,
        /// Why.
        #[source]
        source: ProgramError,
    },
    /// A link refused an operation.
    #[error("{action}")]
    Link {
        /// What was tried.
        action: String,
        /// Why.
        #[source]
        source: LinkError,
    },
    /// A pin could not be made.
    #[error("cannot pin `{}`", path.display())]
    Pin {
        /// The pin.
        path: PathBuf,
        /// Why.
        #[source]
        source: PinError,
    },
}

impl EbpfError {
    /// For `map_err` on map operations.
    pub(super) fn map(map: &'static str) -> impl Fn(MapError) -> Self {
        move |source| Self::Map { map, source }
    }

    /// For `map_err` on programs and hooks.
    pub(super) fn program(action: impl Into<String>) -> impl FnOnce(ProgramError) -> Self {
        move |source| {
            let action = action.into();
            match &source {
                ProgramError::SyscallError(error)
                    if error.io_error.raw_os_error() == Some(libc::EPERM) =>
                {
                    Self::NotPermitted(format!("to {action}"))
                }
                _ => Self::Program { action: format!("cannot {action}"), source },
            }
        }
    }

    /// For `map_err` on files.
    pub(super) fn file(
        verb: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::PermissionDenied => {
                Self::NotPermitted(format!("to {verb} `{}`", path.display()))
            }
            _ => Self::File { verb, path, source },
        }
    }
}
