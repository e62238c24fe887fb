//! A record as a folder, and back.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{GoalLine, Measurement, Omission, RecordError, Run, Sample};
use super::{machine_file, plot, readme, sheet};
use crate::machine::Machine;

const README: &str = "README.md";
const LEFT_OUT: &str = "left-out.csv";
const GOALS: &str = "goals.csv";

/// What was measured, where and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Where.
    pub machine: Machine,
    /// By which command, of which commit, when, and whether to the end.
    pub run: Run,
    /// What was measured.
    pub samples: Vec<Sample>,
    /// What was not.
    pub omissions: Vec<Omission>,
    /// The goals that were measured in the same run.
    pub goals: Vec<GoalLine>,
}

impl Record {
    /// Makes a folder of it in `parent`: `<date>-<commit>-<topic>`, with `-partial` behind it if the
    /// run did not come to its end, and a number if there is such a folder already. The folder
    /// appears with everything in it or not at all. This can be done at any time of a run.
    ///
    /// # Errors
    ///
    /// [`RecordError`] when the folder cannot be written.
    pub fn write(&self, parent: &Path, topic: &str) -> Result<PathBuf, RecordError> {
        fs::create_dir_all(parent).map_err(RecordError::io("make", parent))?;
        let failed = RecordError::io("make a folder in", parent);
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(".record-").permissions(Permissions::from_mode(0o755));
        let folder = builder.tempdir_in(parent).map_err(failed)?;
        self.write_into(folder.path(), topic)?;
        let place = publish(folder.path(), parent, &self.name(topic))?;
        // It has moved, so there is nothing left to remove.
        let _ = folder.keep();
        Ok(place)
    }

    /// Writes all its files into a folder that is there.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn write_into(&self, folder: &Path, topic: &str) -> Result<(), RecordError> {
        for measurement in Measurement::ALL {
            if self.samples.iter().any(|sample| sample.measurement == measurement) {
                let file = folder.join(measurement.file()).with_extension("csv");
                sheet::write_samples(&file, measurement, &self.samples)?;
            }
        }
        sheet::write_omissions(&folder.join(LEFT_OUT), &self.omissions)?;
        sheet::write_goals(&folder.join(GOALS), &self.goals)?;
        machine_file::write(&folder.join(machine_file::NAME), &self.machine, &self.run)?;
        let plots = plot::draw(self)?;
        for plot in &plots {
            let file = folder.join(plot.file);
            fs::write(&file, &plot.svg).map_err(RecordError::io("write", &file))?;
        }
        let file = folder.join(README);
        let text = readme::text(self, topic, &plots);
        fs::write(&file, text).map_err(RecordError::io("write", &file))
    }

    /// Reads the record in `folder`.
    ///
    /// # Errors
    ///
    /// [`RecordError`], which names the file, the line and the column.
    pub fn read(folder: &Path) -> Result<Self, RecordError> {
        for missing in [machine_file::NAME, LEFT_OUT, GOALS] {
            if !folder.join(missing).is_file() {
                return Err(RecordError::NoRecord { path: folder.to_owned(), missing });
            }
        }
        let (machine, run) = machine_file::read(&folder.join(machine_file::NAME))?;
        let mut samples = Vec::new();
        for measurement in Measurement::ALL {
            let file = folder.join(measurement.file()).with_extension("csv");
            if file.exists() {
                samples.extend(sheet::read_samples(&file, measurement)?);
            }
        }
        let omissions = sheet::read_omissions(&folder.join(LEFT_OUT))?;
        let goals = sheet::read_goals(&folder.join(GOALS))?;
        Ok(Self { machine, run, samples, omissions, goals })
    }

    fn name(&self, topic: &str) -> String {
        let partial = if self.run.complete { "" } else { "-partial" };
        format!("{}-{}-{topic}{partial}", self.run.date(), self.run.commit)
    }
}

/// Gives a folder the first name that is free: `name`, `name-2`, `name-3`, …
fn publish(folder: &Path, parent: &Path, name: &str) -> Result<PathBuf, RecordError> {
    let names = (1_u32..)
        .map(|number| if number == 1 { name.to_owned() } else { format!("{name}-{number}") });
    for name in names {
        let place = parent.join(name);
        if place.symlink_metadata().is_ok() {
            continue;
        }
        match fs::rename(folder, &place) {
            Ok(()) => return Ok(place),
            // Another process was faster.
            Err(error) if is_taken(&error) => {}
            Err(error) => return Err(RecordError::io("make", &place)(error)),
        }
    }
    unreachable!("there is no last number")
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AlreadyExists
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::synthetic;

    #[test]
    fn what_was_written_is_read() {
        let parent = tempfile::tempdir().unwrap();
        let record = synthetic::record();
        let place = record.write(parent.path(), "compare").unwrap();
        assert_eq!(place, parent.path().join("2026-01-31-abc1234-compare"));
        let mut read = Record::read(&place).unwrap();
        // Samples come back by measurement, in the order within each.
        let mut expected = record;
        expected.samples.sort_by_key(|sample| sample.measurement);
        read.samples.sort_by_key(|sample| sample.measurement);
        assert_eq!(read, expected);
        let left = fs::read_dir(parent.path()).unwrap().count();
        assert_eq!(left, 1, "only the record is left in its parent");
    }

    #[test]
    fn a_record_is_never_overwritten() {
        let parent = tempfile::tempdir().unwrap();
        let mut record = synthetic::record();
        record.samples.truncate(20);
        let first = record.write(parent.path(), "compare").unwrap();
        let before = fs::read(first.join("README.md")).unwrap();
        record.run.command = "another".to_owned();
        let second = record.write(parent.path(), "compare").unwrap();
        assert_eq!(second, parent.path().join("2026-01-31-abc1234-compare-2"));
        assert_eq!(fs::read(first.join("README.md")).unwrap(), before);
    }

    #[test]
    fn a_partial_record_is_named_and_says_so() {
        let parent = tempfile::tempdir().unwrap();
        let mut record = synthetic::record();
        record.samples.truncate(7);
        record.run.complete = false;
        let place = record.write(parent.path(), "compare").unwrap();
        assert!(place.ends_with("2026-01-31-abc1234-compare-partial"), "{place:?}");
        let text = fs::read_to_string(place.join("README.md")).unwrap();
        assert!(text.contains("**Partial:**") && text.contains("complete: no"), "{text}");
        assert!(!Record::read(&place).unwrap().run.complete);
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_with_line_and_column() {
        let parent = tempfile::tempdir().unwrap();
        let place = synthetic::record().write(parent.path(), "compare").unwrap();
        let file = place.join("send.csv");
        let text = fs::read_to_string(&file).unwrap();
        let said = |text: &str| {
            fs::write(&file, text).unwrap();
            Record::read(&place).unwrap_err().to_string()
        };
        let unknown = said(&text.replacen("bare-iptables,", "naked-iptables,", 1));
        assert!(unknown.contains("send.csv`, line "), "{unknown}");
        assert!(
            unknown.contains(", column `contender`: unknown variant `naked-iptables`"),
            "{unknown}"
        );
        let number = said(&text.replacen("none,0,last", "none,some,last", 1));
        assert!(
            number.ends_with("line 2, column `rules`: invalid digit found in string"),
            "{number}"
        );
        let short = said(&(text.clone() + "none,0,last\n"));
        assert!(short.ends_with("it has 3 columns and not 11"), "{short}");
        let columns = said(&text.replacen("per_packet_ns", "per_packet_ms", 1));
        assert!(columns.contains("per_packet_ms` and not `contender,"), "{columns}");
    }

    #[test]
    fn a_folder_that_is_no_record_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let said = Record::read(folder.path()).unwrap_err().to_string();
        assert!(said.ends_with("is no record: it has no `machine.txt`"), "{said}");
    }

    #[test]
    fn zz_view() {
        let place = std::path::Path::new("/tmp/record-view");
        let _ = fs::remove_dir_all(place);
        fs::create_dir_all(place).unwrap();
        synthetic::record().write_into(place, "compare").unwrap();
    }
}
