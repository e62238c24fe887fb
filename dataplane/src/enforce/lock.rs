//! One change of the host at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use super::EnforceError;

/// Held while the host is changed; gone with the process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// Takes the lock at `path` without waiting.
    ///
    /// # Errors
    ///
    /// [`EnforceError::Busy`] when somebody else has it.
    pub(super) fn take(path: &Path) -> Result<Self, EnforceError> {
        let error = |source| EnforceError::File { verb: "open", path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(error)?;
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).read(true).write(true).open(path);
        match Flock::lock(file.map_err(error)?, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                // For whoever finds it taken; it holds without that.
                let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
                Ok(Self { _file: file })
            }
            Err((mut file, nix::Error::EWOULDBLOCK)) => {
                let mut process = String::new();
                let _ = file.read_to_string(&mut process);
                if process.is_empty() {
                    process.push_str("unknown");
                }
                Err(EnforceError::Busy { path: path.to_owned(), process })
            }
            Err((_, source)) => Err(error(source.into())),
        }
    }
}
