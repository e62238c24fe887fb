//! What is kept on disk of an apply: what its numbers stand for, and which policies it was made of.
//!
//! The kernel is the truth about what is enforced; this file only explains it. Without it, or
//! with that of another generation, the next apply installs everything anew and names every
//! policy as created.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::EnforceError;
use crate::backend::Numbers;

/// The number of this format.
const VERSION: u32 = 1;

/// What is known of the installed generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledPolicies {
    version: u32,
    /// What the numbers stand for.
    pub numbers: Numbers,
    /// Policy name → digest of what it says.
    pub policies: BTreeMap<String, String>,
}

impl InstalledPolicies {
    /// What is known of an apply of `policies`.
    #[must_use]
    pub fn new(numbers: Numbers, policies: BTreeMap<String, String>) -> Self {
        Self { version: VERSION, numbers, policies }
    }

    /// Reads the file; nothing if there is none, or none of this format.
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
        Ok(read.filter(|read| read.version == VERSION))
    }

    /// Writes the file so that it is there whole or not at all.
    ///
    /// # Errors
    ///
    /// [`EnforceError::File`].
    pub fn write(&self, path: &Path) -> Result<(), EnforceError> {
        let error = |source| EnforceError::File { verb: "write", path: path.to_owned(), source };
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(error)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(error)?;
        let text = serde_json::to_string(self).map_err(|e| error(e.into()))?;
        file.write_all(text.as_bytes()).map_err(error)?;
        file.as_file().sync_all().map_err(error)?;
        file.persist(path).map_err(|e| error(e.error))?;
        Ok(())
    }

    /// Removes the file.
    ///
    /// # Errors
    ///
    /// [`EnforceError::File`].
    pub fn remove(path: &Path) -> Result<(), EnforceError> {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(EnforceError::File { verb: "remove", path: path.to_owned(), source })
            }
            _ => Ok(()),
        }
    }
}
