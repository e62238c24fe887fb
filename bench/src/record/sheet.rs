//! Tables of a record as CSV, and back.

use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord, WriterBuilder};
use ringfence_testbed::lab::{Case, Contender, Family, Mismatch, Position, Tracking};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{GoalLine, Measurement, Omission, RecordError, Sample};

/// The columns of a sample before its value, whose column is the measurement's.
const SAMPLE: [&str; 10] = [
    "contender",
    "rules",
    "position",
    "mismatch",
    "tracking",
    "family",
    "variant",
    "statistic",
    "pass",
    "round",
];

/// The columns of what was left out.
const OMISSION: [&str; 9] = [
    "measurement",
    "contender",
    "rules",
    "position",
    "mismatch",
    "tracking",
    "family",
    "variant",
    "why",
];

/// A line of a measurement's file.
#[derive(Serialize)]
struct SampleLine {
    contender: Contender,
    rules: usize,
    position: Position,
    mismatch: Mismatch,
    tracking: Tracking,
    family: Family,
    variant: String,
    statistic: String,
    pass: u32,
    round: u32,
    value: f64,
}

/// A line of the file of what was left out.
#[derive(Serialize)]
struct OmissionLine {
    measurement: Measurement,
    contender: Contender,
    rules: usize,
    position: Position,
    mismatch: Mismatch,
    tracking: Tracking,
    family: Family,
    variant: String,
    why: String,
}

/// Writes those of `samples` that are of `measurement`.
pub fn write_samples(
    file: &Path,
    measurement: Measurement,
    samples: &[Sample],
) -> Result<(), RecordError> {
    let columns: Vec<&str> = SAMPLE.into_iter().chain([measurement.column()]).collect();
    let of_it = samples.iter().filter(|sample| sample.measurement == measurement);
    write(file, &columns, of_it.map(SampleLine::from))
}

/// Reads a measurement's file.
pub fn read_samples(file: &Path, measurement: Measurement) -> Result<Vec<Sample>, RecordError> {
    let columns: Vec<&str> = SAMPLE.into_iter().chain([measurement.column()]).collect();
    read(file, &columns, |cells| {
        Ok(Sample {
            measurement,
            case: cells.case()?,
            variant: cells.next()?,
            statistic: cells.next()?,
            pass: cells.next()?,
            round: cells.next()?,
            value: cells.next()?,
        })
    })
}

/// Writes what was left out.
pub fn write_omissions(file: &Path, omissions: &[Omission]) -> Result<(), RecordError> {
    write(file, &OMISSION, omissions.iter().map(OmissionLine::from))
}

/// Reads what was left out.
pub fn read_omissions(file: &Path) -> Result<Vec<Omission>, RecordError> {
    read(file, &OMISSION, |cells| {
        Ok(Omission {
            measurement: cells.next()?,
            case: cells.case()?,
            variant: cells.next()?,
            why: cells.next()?,
        })
    })
}

/// Writes the goals.
pub fn write_goals(file: &Path, goals: &[GoalLine]) -> Result<(), RecordError> {
    write(file, &GoalLine::COLUMNS, goals.iter())
}

/// Reads the goals.
pub fn read_goals(file: &Path) -> Result<Vec<GoalLine>, RecordError> {
    read(file, &GoalLine::COLUMNS, |cells| {
        Ok(GoalLine {
            goal: cells.next()?,
            case: cells.next()?,
            bound: cells.next()?,
            limit: cells.next()?,
            measured: cells.next()?,
            unit: cells.next()?,
            met: cells.next()?,
            reading: cells.next()?,
        })
    })
}

fn write<T: Serialize>(
    file: &Path,
    columns: &[&str],
    lines: impl Iterator<Item = T>,
) -> Result<(), RecordError> {
    let failed = |error: csv::Error| RecordError::io("write", file)(error.into());
    let mut writer = WriterBuilder::new().has_headers(false).from_path(file).map_err(failed)?;
    writer.write_record(columns).map_err(failed)?;
    for line in lines {
        writer.serialize(line).map_err(failed)?;
    }
    writer.flush().map_err(RecordError::io("write", file))
}

/// Reads lines of a file that has to have `columns`; `line` makes something of the cells of one.
fn read<T>(
    file: &Path,
    columns: &[&str],
    line: impl Fn(&mut Cells<'_>) -> Result<T, RecordError>,
) -> Result<Vec<T>, RecordError> {
    let problem = |error| problem(file, error);
    let mut reader = ReaderBuilder::new().from_path(file).map_err(problem)?;
    let found = reader.headers().map_err(problem)?;
    if found != columns {
        let found = found.iter().collect::<Vec<_>>().join(",");
        return Err(RecordError::Columns {
            file: file.to_owned(),
            found,
            expected: columns.join(","),
        });
    }
    let read = |record: Result<StringRecord, csv::Error>| {
        let record = record.map_err(problem)?;
        line(&mut Cells { file, columns, record: &record, taken: 0 })
    };
    reader.records().map(read).collect()
}

/// The cells of a line, taken one after the other, so that a wrong one can be named.
struct Cells<'a> {
    file: &'a Path,
    columns: &'a [&'a str],
    record: &'a StringRecord,
    taken: usize,
}

impl Cells<'_> {
    fn next<T: DeserializeOwned>(&mut self) -> Result<T, RecordError> {
        let place = self.taken;
        self.taken += 1;
        // The reader refuses lines that have not as many cells as there are columns.
        let cell = StringRecord::from_iter(self.record.get(place));
        let (value,) = cell.deserialize::<(T,)>(None).map_err(|error| RecordError::Value {
            file: self.file.to_owned(),
            line: self.record.position().map_or(0, csv::Position::line),
            column: self.columns[place].to_owned(),
            why: match error.into_kind() {
                ErrorKind::Deserialize { err, .. } => err.kind().to_string(),
                other => format!("{other:?}"),
            },
        })?;
        Ok(value)
    }

    fn case(&mut self) -> Result<Case, RecordError> {
        Ok(Case {
            contender: self.next()?,
            rules: self.next()?,
            position: self.next()?,
            mismatch: self.next()?,
            tracking: self.next()?,
            family: self.next()?,
        })
    }
}

fn problem(file: &Path, error: csv::Error) -> RecordError {
    let line = error.position().map_or(0, csv::Position::line);
    let why = match error.into_kind() {
        ErrorKind::Io(error) => return RecordError::io("read", file)(error),
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} columns and not {expected_len}")
        }
        ErrorKind::Utf8 { err, .. } => err.to_string(),
        other => format!("{other:?}"),
    };
    RecordError::Line { file: file.to_owned(), line, why }
}

impl From<&Sample> for SampleLine {
    fn from(sample: &Sample) -> Self {
        let Case { contender, rules, position, mismatch, tracking, family } = sample.case;
        Self {
            contender,
            rules,
            position,
            mismatch,
            tracking,
            family,
            variant: sample.variant.clone(),
            statistic: sample.statistic.clone(),
            pass: sample.pass,
            round: sample.round,
            value: sample.value,
        }
    }
}

impl From<&Omission> for OmissionLine {
    fn from(omission: &Omission) -> Self {
        let Case { contender, rules, position, mismatch, tracking, family } = omission.case;
        Self {
            measurement: omission.measurement,
            contender,
            rules,
            position,
            mismatch,
            tracking,
            family,
            variant: omission.variant.clone(),
            why: omission.why.clone(),
        }
    }
}
