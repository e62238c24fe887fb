//! Network namespaces that belong to this process alone.
//!
//! # Goals
//!
//! 1. Whatever ends the process, a panic or SIGKILL among them, nothing stays on the host.
//! 2. The host's own namespaces are never changed, whatever an engine under test does.
//! 3. Code that runs in a namespace looks like any other code.
//!
//! # Design
//!
//! A namespace is held by open file descriptors and by nothing else: no name below `/run/netns`,
//! no mount the host can see (goal 1). The kernel ends it, with its interfaces, routes and the
//! programs attached there, when the last descriptor and the last thread in it are gone.
//!
//! A thread that enters a namespace stays there until it ends, so entering always happens on a
//! thread made for the purpose, and the caller's thread keeps its own (goals 2 and 3). Threads
//! that such a thread starts are in the namespace too.
//!
//! [`Namespace::isolated_host`] stands for a whole host: it has a mount namespace beside the
//! network namespace, with a sysfs that shows its interfaces, a BPF file system of its own at
//! [`BPF_FILE_SYSTEM`], and `/run` and `/var/lib` of its own, empty at first. What an engine pins
//! or writes there ends with it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic;
use std::path::Path;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use crate::veth::{Netlink, NetlinkError};

/// Where an isolated host has its BPF file system: where every host has it.
pub const BPF_FILE_SYSTEM: &str = "/sys/fs/bpf";

/// Stack of a thread in a namespace, in bytes: that of a process's main thread, where most of what
/// is tried here runs otherwise.
const STACK_BYTES: usize = 8 << 20;

/// Why a namespace could not be made or entered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// The process may not do it.
    #[error(
        "`{call}` is not permitted: making network namespaces takes root (CAP_SYS_ADMIN and \
         CAP_NET_ADMIN); run it with `sudo`"
    )]
    NotPermitted {
        /// The system call.
        call: &'static str,
    },
    /// The kernel refused for another reason.
    #[error("`{call}` failed")]
    Kernel {
        /// The system call.
        call: &'static str,
        /// What it said.
        #[source]
        source: Errno,
    },
    /// A thread could not be started or a namespace file not be opened.
    #[error("`{what}` failed")]
    Host {
        /// What was tried.
        what: &'static str,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// A setting of the namespace cannot be written.
    #[error("`/proc/sys/net/{setting}` cannot be written")]
    Setting {
        /// The setting, relative to `/proc/sys/net`.
        setting: String,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// The new namespace could not be prepared.
    #[error("the namespace's loopback interface does not come up")]
    Loopback(#[source] NetlinkError),
}

/// A network namespace, and for an isolated host a mount namespace too. Dropping the last one
/// ends it, once no thread is left in it.
#[derive(Debug)]
pub struct Namespace {
    network: OwnedFd,
    mounts: Option<OwnedFd>,
}

impl Namespace {
    /// A new network namespace with its loopback interface up.
    ///
    /// # Errors
    ///
    /// [`NamespaceError`]: without privileges, or when the kernel refuses.
    pub fn new() -> Result<Self, NamespaceError> {
        on_a_thread(|| {
            call("unshare", unshare(CloneFlags::CLONE_NEWNET))?;
            loopback_up()?;
            Ok(Self { network: current("net")?, mounts: None })
        })?
    }

    /// A namespace that stands for a host: see the module's description.
    ///
    /// # Errors
    ///
    /// [`NamespaceError`]: without privileges, or when the kernel refuses.
    pub fn isolated_host() -> Result<Self, NamespaceError> {
        on_a_thread(|| {
            call("unshare", unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS))?;
            mount_private_file_systems()?;
            loopback_up()?;
            Ok(Self { network: current("net")?, mounts: Some(current("mnt")?) })
        })?
    }

    /// Moves the calling thread into the namespace; it stays there until it ends. Threads that
    /// it starts from now on are there too.
    ///
    /// # Errors
    ///
    /// [`NamespaceError`] when the kernel refuses.
    pub fn enter(&self) -> Result<(), NamespaceError> {
        if let Some(mounts) = &self.mounts {
            // A thread that shares its root and working directory with others may not change
            // its mount namespace.
            call("unshare", unshare(CloneFlags::CLONE_FS))?;
            call("setns", setns(mounts, CloneFlags::CLONE_NEWNS))?;
        }
        call("setns", setns(&self.network, CloneFlags::CLONE_NEWNET))
    }

    /// Runs `work` on a thread in the namespace and waits for it. A panic of `work` goes on in
    /// the caller.
    ///
    /// # Errors
    ///
    /// [`NamespaceError`] when the namespace cannot be entered; `work` has not run then.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        on_a_thread(|| {
            self.enter()?;
            Ok(work())
        })?
    }

    /// Starts a thread called `name` in the namespace. What it returns when the namespace cannot
    /// be entered is the error.
    ///
    /// # Errors
    ///
    /// [`NamespaceError::Host`] when no thread can be started.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T, NamespaceError>>, NamespaceError> {
        let inside = self.try_clone()?;
        thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                inside.enter()?;
                // The thread itself keeps the namespace; a descriptor more would outlive it.
                drop(inside);
                Ok(work())
            })
            .map_err(|source| NamespaceError::Host { what: "start a thread", source })
    }

    /// Another handle on the same namespace.
    ///
    /// # Errors
    ///
    /// [`NamespaceError::Host`] when the process has no descriptor left.
    pub fn try_clone(&self) -> Result<Self, NamespaceError> {
        let duplicate = |fd: &OwnedFd| {
            fd.try_clone().map_err(|source| NamespaceError::Host { what: "duplicate", source })
        };
        Ok(Self {
            network: duplicate(&self.network)?,
            mounts: self.mounts.as_ref().map(duplicate).transpose()?,
        })
    }

    /// The network namespace's descriptor, for netlink requests that name it.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.network.as_fd()
    }

    /// Writes settings below `/proc/sys/net`: name, `ipv4/ip_forward` for instance, and value.
    ///
    /// # Errors
    ///
    /// [`NamespaceError::Setting`] when one does not exist or is read-only.
    pub fn set_all<'a>(
        &self,
        settings: impl Iterator<Item = &'a (&'a str, &'a str)> + Send,
    ) -> Result<(), NamespaceError> {
        self.run(|| {
            for (setting, value) in settings {
                std::fs::write(Path::new("/proc/sys/net").join(setting), value).map_err(
                    |source| NamespaceError::Setting { setting: (*setting).to_owned(), source },
                )?;
            }
            Ok(())
        })?
    }
}

/// Runs `work` on a thread of its own, so that the namespaces it enters stay with that thread.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("namespace".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|source| NamespaceError::Host { what: "start a thread", source })?;
        thread.join().map_or_else(|panic| panic::resume_unwind(panic), Ok)
    })
}

/// The calling thread's namespace of `kind`.
fn current(kind: &str) -> Result<OwnedFd, NamespaceError> {
    File::open(Path::new("/proc/thread-self/ns").join(kind))
        .map(OwnedFd::from)
        .map_err(|source| NamespaceError::Host { what: "open a file below /proc/self/ns", source })
}

/// Gives the calling thread's new mount namespace what an engine needs of a host.
fn mount_private_file_systems() -> Result<(), NamespaceError> {
    // First of all cut the tie to the host's mounts: until then a mount here appears there.
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    call("mount / private", mount(None::<&str>, "/", None::<&str>, private, None::<&str>))?;
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let put = |kind, target| mount(Some(kind), target, Some(kind), safe, None::<&str>);
    call("mount sysfs on /sys", put("sysfs", "/sys"))?;
    call("mount bpf on /sys/fs/bpf", put("bpf", BPF_FILE_SYSTEM))?;
    call("mount tmpfs on /run", put("tmpfs", "/run"))?;
    call("mount tmpfs on /var/lib", put("tmpfs", "/var/lib"))
}

fn loopback_up() -> Result<(), NamespaceError> {
    Netlink::open().and_then(|netlink| netlink.set_up("lo")).map_err(NamespaceError::Loopback)
}

fn call(call: &'static str, result: nix::Result<()>) -> Result<(), NamespaceError> {
    result.map_err(|source| match source {
        Errno::EPERM => NamespaceError::NotPermitted { call },
        source => NamespaceError::Kernel { call, source },
    })
}
