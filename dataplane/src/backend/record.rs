//! What is kept on disk of the rules that a tool has installed, so that the next apply can change
//! only what differs.
//!
//! The kernel is the truth about what is enforced. A record is used only where the kernel agrees
//! with it; without one, or with one of another boot or version, or one that was not finished,
//! everything is installed as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Mode;

/// The number of this format. What other numbers mean is not known here.
const VERSION: u32 = 1;

/// What is known of the rules that are installed; `R` is the tool's own part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<R> {
    version: u32,
    /// The boot that it was installed in.
    boot: String,
    /// What it was installed with: `iptables-legacy`, `ipset`, `nftables`.
    pub tool: String,
    /// The generation.
    pub generation: u32,
    /// Whether denials are denied.
    pub mode: Mode,
    /// Nanoseconds since the epoch when it was installed.
    pub installed_at: u64,
    /// Whether the kernel was about to be changed: it may then be anywhere between the state that
    /// was recorded before and this one.
    pub unfinished: bool,
    /// The tool's own part.
    pub ruleset: R,
}

impl<R> Record<R> {
    /// A finished record of this boot.
    #[must_use]
    pub fn new(tool: &str, generation: u32, mode: Mode, installed_at: u64, ruleset: R) -> Self {
        Self {
            version: VERSION,
            boot: boot(),
            tool: tool.to_owned(),
            generation,
            mode,
            installed_at,
            unfinished: false,
            ruleset,
        }
    }
}

/// Why a record could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} `{}`: see that its folder can be written", path.display())]
pub struct RecordError {
    /// `read`, `write`, `remove`.
    verb: &'static str,
    /// The file.
    path: PathBuf,
    /// Why.
    #[source]
    source: io::Error,
}

/// The file that a record is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFile {
    path: PathBuf,
}

impl RecordFile {
    /// The file for what `backend` installs (`iptables`, `ipset`, `nftables`), in `folder`.
    #[must_use]
    pub fn new(folder: &Path, backend: &str) -> Self {
        Self { path: folder.join(backend).with_extension("json") }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it; nothing if there is none, or none of this format and boot.
    ///
    /// # Errors
    ///
    /// [`RecordError`] when it is there and cannot be read.
    pub fn read<R: DeserializeOwned>(&self) -> Result<Option<Record<R>>, RecordError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.error("read", source)),
        };
        let read: Option<Record<R>> = serde_json::from_str(&text).ok();
        Ok(read.filter(|record| record.version == VERSION && record.boot == boot()))
    }

    /// Writes `record` so that it is on disk whole or not at all, and before this returns.
    ///
    /// # Errors
    ///
    /// [`RecordError`]; what was there before is there still.
    pub fn write<R: Serialize>(&self, record: &Record<R>) -> Result<(), RecordError> {
        self.try_write(record).map_err(|source| self.error("write", source))
    }

    /// Removes it, where it is there.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn remove(&self) -> Result<(), RecordError> {
        for path in [&self.unwritten(), &self.path] {
            match fs::remove_file(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(self.error("remove", source));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn try_write<R: Serialize>(&self, record: &Record<R>) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)?;
        let text = serde_json::to_string(record)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        let mut file = options.open(self.unwritten())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(self.unwritten(), &self.path)?;
        File::open(folder)?.sync_all()
    }

    fn unwritten(&self) -> PathBuf {
        self.path.with_extension("json-new")
    }

    fn error(&self, verb: &'static str, source: io::Error) -> RecordError {
        RecordError { verb, path: self.path.clone(), source }
    }
}

/// The kernel's name for this boot (random(4)); empty where it gives none.
pub(crate) fn boot() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    name.trim().to_owned()
}

/// Now, in nanoseconds since the epoch.
pub(super) fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record<Vec<String>> {
        Record::new("nftables", 7, Mode::Audit, 1_000, vec!["chain forward".to_owned()])
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = RecordFile::new(&folder.path().join("last-good"), "nftables");
        assert_eq!(file.read::<Vec<String>>().unwrap(), None);
        let unfinished = Record { unfinished: true, ..record() };
        for record in [unfinished, record()] {
            file.write(&record).unwrap();
            assert_eq!(file.read().unwrap(), Some(record));
        }
        let names = fs::read_dir(folder.path().join("last-good")).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["nftables.json"], "nothing else is left in the folder");
        file.remove().unwrap();
        file.remove().unwrap();
        assert_eq!(file.read::<Vec<String>>().unwrap(), None);
    }

    #[test]
    fn records_of_another_boot_or_version_or_shape_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = RecordFile::new(folder.path(), "ipset");
        file.write(&Record { boot: "another".to_owned(), ..record() }).unwrap();
        assert_eq!(file.read::<Vec<String>>().unwrap(), None);
        file.write(&Record { version: VERSION + 1, ..record() }).unwrap();
        assert_eq!(file.read::<Vec<String>>().unwrap(), None);
        file.write(&record()).unwrap();
        assert_eq!(file.read::<u32>().unwrap(), None);
        fs::write(file.path(), "{\"version\":").unwrap();
        assert_eq!(file.read::<Vec<String>>().unwrap(), None);
    }

    #[test]
    fn a_folder_that_cannot_be_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("last-good"), "").unwrap();
        let file = RecordFile::new(&folder.path().join("last-good"), "ipset");
        let error = file.write(&record()).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("cannot write `{}`: see that its folder can be written", file.path().display())
        );
    }
}
