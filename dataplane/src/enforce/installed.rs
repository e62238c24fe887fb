//! What is kept on disk of an apply: what its numbers stand for, and which policies it was made of.
//!
//! The kernel is the truth about what is enforced; this file only explains it. Without it, or
//! with that of another generation or of another boot (pins end with a boot, and generations begin
//! again), the next apply installs everything anew and names every policy as created.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BackendChoice, EnforceError};
use crate::backend::Numbers;
use crate::backend::record::boot;

/// The number of this format.
const VERSION: u32 = 1;

/// What is known of the installed generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledPolicies {
    version: u32,
    /// The boot it was installed in.
    boot: String,
    /// The backend that it was installed by.
    #[serde(default = "ebpf")]
    pub backend: String,
    /// Until when, in seconds since the epoch, chains pick up connections that are older.
    #[serde(default)]
    pub pick_up_until: Option<u64>,
    /// What the numbers stand for.
    pub numbers: Numbers,
    /// Policy name → digest of what it says.
    pub policies: BTreeMap<String, String>,
}

impl InstalledPolicies {
    /// What is known of an apply of `policies` by `backend`.
    #[must_use]
    pub fn new(
        backend: BackendChoice,
        numbers: Numbers,
        policies: BTreeMap<String, String>,
    ) -> Self {
        Self {
            version: VERSION,
            boot: boot(),
            backend: backend.name().to_owned(),
            pick_up_until: None,
            numbers,
            policies,
        }
    }

    /// Reads the file; nothing if there is none, or none of this format and boot.
    ///
    /// # Errors
    ///
    /// [`EnforceError::File`] when it is there and cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>, EnforceError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(EnforceError::File { verb: "read", path: path.to_owned(), source });
            }
        };
        let read: Option<Self> = serde_json::from_str(&text).ok();
        Ok(read.filter(|read| read.version == VERSION && read.boot == boot()))
    }

    /// Removes the file.
    ///
    /// # Errors
    ///
    /// [`EnforceError::File`].
    pub fn remove(path: &Path) -> Result<(), EnforceError> {
        for path in [path.to_owned(), unwritten(path)] {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(EnforceError::File { verb: "remove", path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The backend of records that name none, which are older than the others.
fn ebpf() -> String {
    BackendChoice::Ebpf.name().to_owned()
}

/// The file before it is written. It is made before the kernel is changed, so that a state
/// directory that takes no files is found out in time.
#[derive(Debug)]
pub(super) struct Unwritten {
    file: File,
    path: PathBuf,
}

impl Unwritten {
    /// Makes the file beside `path`. Whoever calls holds the lock.
    ///
    /// # Errors
    ///
    /// [`EnforceError::File`].
    pub(super) fn prepare(path: &Path) -> Result<Self, EnforceError> {
        let error = |source| EnforceError::File { verb: "write", path: path.to_owned(), source };
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).map_err(error)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        let file = options.open(unwritten(path)).map_err(error)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Writes the file so that it is there whole or not at all.
    ///
    /// # Errors
    ///
    /// [`EnforceError::File`].
    pub(super) fn write(mut self, installed: &InstalledPolicies) -> Result<(), EnforceError> {
        let error = |source| EnforceError::File { verb: "write", path: self.path.clone(), source };
        let text = serde_json::to_string(installed).map_err(|e| error(e.into()))?;
        self.file.write_all(text.as_bytes()).map_err(error)?;
        self.file.sync_all().map_err(error)?;
        fs::rename(unwritten(&self.path), &self.path).map_err(error)
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        // Gone already where it was written.
        let _ = fs::remove_file(unwritten(&self.path));
    }
}

fn unwritten(path: &Path) -> PathBuf {
    path.with_extension("json-new")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_another_boot_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("installed.json");
        let kept = InstalledPolicies::new(BackendChoice::Ebpf, Numbers::default(), BTreeMap::new());
        let write = |kept: &InstalledPolicies| {
            fs::write(&path, serde_json::to_string(kept).unwrap()).unwrap();
        };
        write(&kept);
        assert_eq!(InstalledPolicies::read(&path).unwrap(), Some(kept.clone()));
        write(&InstalledPolicies { boot: "another".to_owned(), ..kept });
        assert_eq!(InstalledPolicies::read(&path).unwrap(), None);
    }
}
