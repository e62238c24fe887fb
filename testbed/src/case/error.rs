//! What is wrong with case files.

use std::fmt;
use std::io;

use super::Place;

/// Everything that is wrong with the case files of one run; at least one thing.
#[derive(Debug)]
pub struct CaseErrors(pub Vec<CaseError>);

/// One thing that is wrong with a case file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// A path cannot be read.
    #[error("cannot read `{path}`: {source}; give a case file, or a folder of case files")]
    Unreadable {
        /// The path as it was given.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to read.
    #[error("`{path}` {what}")]
    Empty {
        /// The path as it was given.
        path: String,
        /// What is missing, and the way out.
        what: String,
    },
    /// A value cannot be meant.
    #[error("{place}: {message}")]
    Wrong {
        /// Where it stands.
        place: Place,
        /// What is wrong with it, and the way out.
        message: String,
    },
    /// Policy documents cannot be used.
    #[error("{place}: these documents cannot be used\n\n{diagnostics}")]
    Documents {
        /// Where their text stands.
        place: Place,
        /// All diagnostics; their lines count from the text's first one.
        diagnostics: String,
    },
}

/// All of them, one after the other.
impl fmt::Display for CaseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let between = if index == 0 { "" } else { "\n" };
            write!(f, "{between}{}", error.to_string().trim_end())?;
        }
        Ok(())
    }
}

impl std::error::Error for CaseErrors {}
