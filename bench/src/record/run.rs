//! The run of a program that a record is of.

use std::process::Command;
use std::time::Instant;

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};

/// The run of a program that a record is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The command that repeats it, from the root of the repository.
    pub command: String,
    /// The commit that was measured, shortened; `unknown` outside a repository.
    pub commit: String,
    /// Whether the files were those of the commit.
    pub tree: Tree,
    /// When it began, in RFC 3339, UTC.
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// Whether it came to its end; `yes` or `no` in a file.
    #[serde(with = "yes_or_no")]
    pub complete: bool,
}

/// Whether the files are those of the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tree {
    /// They are.
    Clean,
    /// Some are not.
    Changed,
    /// There is no repository, or no git.
    Unknown,
}

/// A run that has not ended.
#[derive(Clone, Debug)]
pub struct Running {
    begin: Instant,
    run: Run,
}

impl Run {
    /// Begins now; `command` is what repeats it.
    #[must_use]
    pub fn begin(command: impl Into<String>) -> Running {
        let now = Timestamp::now();
        let started = now.round(Unit::Second).unwrap_or(now).to_string();
        let commit = git(&["rev-parse", "--short=7", "HEAD"]);
        let tree = match git(&["status", "--porcelain"]) {
            None => Tree::Unknown,
            Some(changes) if changes.is_empty() => Tree::Clean,
            Some(_) => Tree::Changed,
        };
        let commit = commit.unwrap_or_else(|| "unknown".to_owned());
        let run =
            Run { command: command.into(), commit, tree, started, seconds: 0.0, complete: false };
        Running { begin: Instant::now(), run }
    }

    /// The day on which it began, as `2026-01-31`.
    #[must_use]
    pub fn date(&self) -> &str {
        self.started.split('T').next().unwrap_or_default()
    }
}

impl Running {
    /// As it is now, not at its end.
    #[must_use]
    pub fn so_far(&self) -> Run {
        let seconds = (self.begin.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        Run { seconds, ..self.run.clone() }
    }

    /// It has come to its end.
    #[must_use]
    pub fn end(&self) -> Run {
        Run { complete: true, ..self.so_far() }
    }
}

/// Truth in the words of people.
mod yes_or_no {
    use serde::de::{Deserialize as _, Deserializer, Error as _};
    use serde::ser::Serializer;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub fn serialize<S: Serializer>(is_so: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if *is_so { "yes" } else { "no" })
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<bool, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "yes" => Ok(true),
            "no" => Ok(false),
            other => Err(D::Error::custom(format!("`{other}` is neither `yes` nor `no`"))),
        }
    }
}

/// What git says of the repository that this was built from; nothing if it says nothing.
fn git(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.args(["-C", env!("CARGO_MANIFEST_DIR")]).args(arguments);
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_complete_at_its_end_and_not_before() {
        let running = Run::begin("cargo bench");
        let so_far = running.so_far();
        assert!(!so_far.complete && running.end().complete);
        assert_eq!(so_far.command, "cargo bench");
        let date = so_far.date();
        assert!(date.len() == 10 && date.starts_with("20"), "{date}");
        assert!(so_far.started.ends_with('Z') && !so_far.started.contains('.'), "{so_far:?}");
    }
}
