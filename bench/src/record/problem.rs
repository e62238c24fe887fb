//! Why a record cannot be written or read.

use std::io;
use std::path::{Path, PathBuf};

/// Why a record cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The operating system refused.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A folder that is no record.
    #[error("`{}` is no record: it has no `{missing}`", path.display())]
    NoRecord {
        /// The folder.
        path: PathBuf,
        /// The file that every record has.
        missing: &'static str,
    },
    /// A file with other columns than it should have.
    #[error("`{}` has the columns `{found}` and not `{expected}`", file.display())]
    Columns {
        /// The file.
        file: PathBuf,
        /// What it has, with commas between.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// A value that cannot be one of its column.
    #[error("`{}`, line {line}, column `{column}`: {why}", file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column's name.
        column: String,
        /// What is wrong with it.
        why: String,
    },
    /// A line that is none of such a file.
    #[error("`{}`, line {line}: {why}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A file that lacks something, or has something that is nowhere known.
    #[error("`{}`: {why}", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A plot that could not be drawn.
    #[error("cannot draw `{file}`: {why}")]
    Plot {
        /// The plot's file.
        file: String,
        /// Why not.
        why: String,
    },
}

impl RecordError {
    /// For `map_err`: what was tried with which file.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }
}
