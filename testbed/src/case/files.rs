//! From paths to texts.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ringfence_dataplane::document::limits::FILE_BYTES;

use super::CaseError;

/// Endings of the files that are read in a folder.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// What stands for standard input, and what it is called in messages.
const STDIN: &str = "-";
const STDIN_NAME: &str = "<stdin>";

/// The files that `paths` mean, each once, however many of them lead there.
pub fn list(paths: &[PathBuf], errors: &mut Vec<CaseError>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if path.as_os_str() == STDIN || !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        if let Err(source) = add_folder(path, &mut files) {
            errors.push(unreadable(path, source));
        } else if files.len() == before {
            errors.push(CaseError::Empty {
                path: path.display().to_string(),
                what: "has no case files; only `*.yaml`, `*.yml` and `*.json` are read".to_owned(),
            });
        }
    }
    let mut known = BTreeSet::new();
    // What cannot be followed is kept, so that opening it says why.
    files.retain(|path| known.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    files
}

/// What messages call `path`.
pub fn name(path: &Path) -> String {
    if path.as_os_str() == STDIN { STDIN_NAME.to_owned() } else { path.display().to_string() }
}

/// The text of a file.
pub fn text(path: &Path, errors: &mut Vec<CaseError>) -> Option<String> {
    let mut bytes = Vec::new();
    let mut read = |from: &mut dyn Read| from.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes);
    let read = if path.as_os_str() == STDIN {
        read(&mut io::stdin().lock())
    } else {
        fs::File::open(path).and_then(|mut file| read(&mut file))
    };
    let text = match read {
        Ok(length) if length > FILE_BYTES => {
            Err(io::Error::other(format!("it is larger than {} MiB", FILE_BYTES >> 20)))
        }
        Ok(_) => String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text")),
        Err(error) => Err(error),
    };
    text.map_err(|source| errors.push(unreadable(path, source))).ok()
}

/// Adds the case files of a folder and its subfolders. Links to folders are not followed, so that
/// the way has an end; pipes, sockets and devices are no files.
fn add_folder(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries: io::Result<Vec<fs::DirEntry>> = fs::read_dir(folder)?.collect();
    let mut entries = entries?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if entry.file_type()?.is_dir() {
            add_folder(&path, files)?;
        } else if extension.is_some_and(|known| EXTENSIONS.contains(&known))
            && path.metadata().map_or(true, |found| found.is_file())
        {
            files.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> CaseError {
    CaseError::Unreadable { path: name(path), source }
}
