//! A copy of the sources in which faults are made.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::child;

/// The copy.
pub struct Tree {
    /// Its root.
    pub root: PathBuf,
}

impl Tree {
    /// Copies what git knows of `from`, and what it would know if it were added, to `to`. Files
    /// that are the same already are left alone, so that cargo builds little anew.
    pub fn copy(from: &Path, to: &Path) -> Result<Self> {
        let mut git = child::clean("git");
        git.current_dir(from).args(["-c", "safe.directory=*", "ls-files", "-z"]);
        git.args(["--cached", "--others", "--exclude-standard"]);
        let names: BTreeSet<PathBuf> =
            child::output(&mut git)?.split_terminator('\0').map(PathBuf::from).collect();
        let mut wanted = BTreeSet::new();
        for name in names {
            // A file that git knows may have been removed.
            let Ok(bytes) = fs::read(from.join(&name)) else { continue };
            write(&to.join(&name), &bytes)?;
            wanted.insert(name);
        }
        remove_others(to, to, &wanted)?;
        Ok(Self { root: to.to_owned() })
    }

    /// The text of a source.
    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.root.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Replaces the text of a source.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        write(&self.root.join(name), text.as_bytes())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Removes the files below `folder` that are not among `wanted`, which are below `root`.
fn remove_others(root: &Path, folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(root, &path, wanted)?;
        } else if !path.strip_prefix(root).is_ok_and(|name| wanted.contains(name)) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
