//! Where programs, maps and links are pinned.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::EbpfError;

/// The directory of our pins, on a BPF filesystem:
/// `maps/NAME`, `programs/HASH/NAME`, `links/ifINDEX-HOOK`. The maps come and go together: they are
/// made in `maps-new`, which takes its final name when all are there.
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

    /// Where maps are while not all of them are there.
    pub(super) fn unfinished_maps(&self) -> PathBuf {
        self.root.join("maps-new")
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
        self.can_create()?;
        for path in [self.root.clone(), self.links(), self.programs()] {
            create(&path)?;
        }
        self.check()
    }

    /// Whether [`Pins::create`] has what it needs; makes nothing.
    ///
    /// # Errors
    ///
    /// As [`Pins::create`].
    pub(super) fn can_create(&self) -> Result<(), EbpfError> {
        let parent = self.root.parent().unwrap_or(Path::new("/"));
        let is_bpffs = statfs(parent).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC);
        if !is_bpffs {
            return Err(EbpfError::NoBpffs { path: parent.to_owned() });
        }
        self.check()
    }

    /// Lets `make` pin all maps in the folder that it is given, which becomes that of the maps
    /// when it is done.
    ///
    /// # Errors
    ///
    /// What `make` says, or [`EbpfError::File`]. There are no maps then.
    pub(super) fn make_maps(
        &self,
        make: impl FnOnce(&Path) -> Result<(), EbpfError>,
    ) -> Result<(), EbpfError> {
        let unfinished = self.unfinished_maps();
        // Programs look into the maps they were loaded with, so those of other maps are of no use.
        for leftover in [self.programs(), self.maps(), unfinished.clone()] {
            remove(&leftover)?;
        }
        create(&self.programs())?;
        create(&unfinished)?;
        make(&unfinished)?;
        fs::rename(&unfinished, self.maps()).map_err(EbpfError::file("rename", &unfinished))
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
            remove(&directory)?;
        }
        Ok(())
    }
}

/// Makes a directory for root alone, where it is missing.
fn create(path: &Path) -> Result<(), EbpfError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(EbpfError::file("create", path)(error)),
    }
}

/// Takes away a directory with everything in it, if it is there.
pub(super) fn remove(directory: &Path) -> Result<(), EbpfError> {
    match fs::remove_dir_all(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(EbpfError::file("remove", directory)(error)),
    }
}
