//! Where programs, maps and links are pinned.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::EbpfError;

/// The directory of our pins, on a BPF filesystem:
/// `maps/NAME`, `programs/HASH/NAME`, `links/ifINDEX-HOOK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    root: PathBuf,
}

impl Pins {
    /// The pins below `root`, by default `/sys/fs/bpf/ringfence`.
    #[must_use]
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where maps are.
    pub(super) fn maps(&self) -> PathBuf {
        self.root.join("maps")
    }

    /// Where links are.
    pub(super) fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// Where programs are, a folder for each version of the object.
    pub(super) fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    /// Whether anything is pinned.
    pub(super) fn exist(&self) -> bool {
        self.maps().join("SELECTOR").exists()
    }

    /// Makes the directories where they are missing, for root alone.
    ///
    /// # Errors
    ///
    /// [`EbpfError::NoBpffs`], or [`EbpfError::UntrustedPins`] where there is something already
    /// that somebody else may write to (safety P17).
    pub(super) fn create(&self) -> Result<(), EbpfError> {
        let parent = self.root.parent().unwrap_or(Path::new("/"));
        let is_bpffs = statfs(parent).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC);
        if !is_bpffs {
            return Err(EbpfError::NoBpffs { path: parent.to_owned() });
        }
        for path in [self.root.clone(), self.maps(), self.links(), self.programs()] {
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(EbpfError::file("create", &path)(error)),
            }
        }
        self.check()
    }

    /// Whether the pins are ours alone.
    ///
    /// # Errors
    ///
    /// [`EbpfError::UntrustedPins`].
    pub(super) fn check(&self) -> Result<(), EbpfError> {
        for path in [self.root.clone(), self.maps(), self.links(), self.programs()] {
            let found = match fs::symlink_metadata(&path) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(EbpfError::file("read", &path)(error)),
            };
            let owner = nix::unistd::Uid::effective().as_raw();
            let why = if !found.is_dir() {
                "it is not a directory".to_owned()
            } else if found.uid() != owner {
                format!("it belongs to user {}", found.uid())
            } else if found.mode() & 0o077 != 0 {
                format!("others may use it (mode {:04o})", found.mode() & 0o7777)
            } else {
                continue;
            };
            return Err(EbpfError::UntrustedPins { path, why });
        }
        Ok(())
    }

    /// The names in one of the directories, sorted.
    pub(super) fn names(directory: &Path) -> Result<Vec<String>, EbpfError> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(EbpfError::file("read", directory)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(EbpfError::file("read", directory))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Takes away all pins: links first, so that no program runs without its tables.
    pub(super) fn remove(&self) -> Result<(), EbpfError> {
        for directory in [self.links(), self.programs(), self.maps(), self.root.clone()] {
            match fs::remove_dir_all(&directory) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(EbpfError::file("remove", &directory)(error)),
            }
        }
        Ok(())
    }
}
