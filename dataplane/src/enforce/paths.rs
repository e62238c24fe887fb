//! Where things are on a host.

use std::path::{Path, PathBuf};

/// The paths of an installation; a root other than `/` moves all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self::below("/")
    }
}

impl Paths {
    /// The paths below `root`.
    #[must_use]
    pub fn below(root: impl AsRef<Path>) -> Self {
        Self { root: root.as_ref().to_owned() }
    }

    /// Pins of programs, maps and links, on a BPF filesystem.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.root.join("sys/fs/bpf/ringfence")
    }

    /// What the installed numbers stand for.
    #[must_use]
    pub fn installed(&self) -> PathBuf {
        self.root.join("var/lib/ringfence/last-good/installed.json")
    }

    /// The folder with what each tool has installed.
    #[must_use]
    pub fn records(&self) -> PathBuf {
        self.root.join("var/lib/ringfence/last-good")
    }

    /// The lock that whoever changes the host holds.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("run/ringfence/lock")
    }
}
