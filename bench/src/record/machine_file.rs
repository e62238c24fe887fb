//! `machine.txt`: the machine and the run, a line for each fact.

use std::fs;
use std::path::Path;

use csv::{ReaderBuilder, WriterBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{RecordError, Run};
use crate::machine::Machine;

/// What a file begins with whose machine had something else to do.
const BUSY: &str = "# busy: something else was at work before the first measurement";

/// The file's name.
pub const NAME: &str = "machine.txt";

/// Writes both.
pub fn write(file: &Path, machine: &Machine, run: &Run) -> Result<(), RecordError> {
    let mut text = String::new();
    if machine.is_busy() {
        text.push_str(BUSY);
        text.push_str("\n\n");
    }
    text.push_str(&lines(file, machine)?);
    text.push('\n');
    text.push_str(&lines(file, run)?);
    fs::write(file, text).map_err(RecordError::io("write", file))
}

/// Reads both.
pub fn read(file: &Path) -> Result<(Machine, Run), RecordError> {
    let text = fs::read_to_string(file).map_err(RecordError::io("read", file))?;
    let mut facts = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) =
            line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")))
        else {
            let why = "it is no `name: value`".to_owned();
            return Err(RecordError::Line { file: file.to_owned(), line: number, why });
        };
        facts.push(Fact { line: number, name, value: value.trim() });
    }
    Ok((from_facts(file, &facts)?, from_facts(file, &facts)?))
}

/// A line.
struct Fact<'a> {
    line: u64,
    name: &'a str,
    value: &'a str,
}

/// The fields of something flat, a line for each, in their order. As CSV they would be a line of
/// names and a line of values, of which nobody would read either.
fn lines(file: &Path, facts: &impl Serialize) -> Result<String, RecordError> {
    let failed = |error: csv::Error| RecordError::io("write", file)(error.into());
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    writer.serialize(facts).map_err(failed)?;
    let table = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    let mut reader = ReaderBuilder::new().from_reader(table.as_slice());
    let names = reader.headers().map_err(failed)?.clone();
    let mut text = String::new();
    for values in reader.records() {
        for (name, value) in names.iter().zip(&values.map_err(failed)?) {
            // A value is one line, whatever a tool or a user wrote.
            let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    Ok(text)
}

fn from_facts<T: DeserializeOwned>(file: &Path, facts: &[Fact<'_>]) -> Result<T, RecordError> {
    let names = csv::StringRecord::from_iter(facts.iter().map(|fact| fact.name));
    let values = csv::StringRecord::from_iter(facts.iter().map(|fact| fact.value));
    values.deserialize(Some(&names)).map_err(|error| {
        let file = file.to_owned();
        let csv::ErrorKind::Deserialize { err, .. } = error.kind() else {
            return RecordError::Content { file, why: error.to_string() };
        };
        let why = err.kind().to_string();
        let fact = err.field().and_then(|field| facts.get(usize::try_from(field).ok()?));
        match fact {
            Some(Fact { line, name, .. }) => {
                RecordError::Value { file, line: *line, column: (*name).to_owned(), why }
            }
            None => RecordError::Content { file, why },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> (tempfile::TempDir, Machine, Run) {
        let folder = tempfile::tempdir().unwrap();
        let mut machine = Machine::this();
        machine.load = 0.1;
        machine.finish();
        let run = Run::begin("cargo bench -- --full, \"quoted\": yes").end();
        write(&folder.path().join(NAME), &machine, &run).unwrap();
        (folder, machine, run)
    }

    #[test]
    fn what_was_written_is_read() {
        let (folder, machine, run) = written();
        assert_eq!(read(&folder.path().join(NAME)).unwrap(), (machine, run));
    }

    #[test]
    fn a_machine_that_was_busy_says_so_on_top() {
        let (folder, mut machine, run) = written();
        let file = folder.path().join(NAME);
        assert!(!fs::read_to_string(&file).unwrap().contains("busy"));
        machine.load = 0.51;
        write(&file, &machine, &run).unwrap();
        assert!(fs::read_to_string(&file).unwrap().starts_with("# busy: "));
        assert_eq!(read(&file).unwrap().0, machine);
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        let (folder, ..) = written();
        let file = folder.path().join(NAME);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\nload: 0.1\n", "\nload: much\n")).unwrap();
        let said = read(&file).unwrap_err().to_string();
        let expected = "machine.txt`, line 10, column `load`: invalid float literal";
        assert!(said.ends_with(expected), "{said}");

        fs::write(&file, text.replace("\nload: 0.1\n", "\n")).unwrap();
        let said = read(&file).unwrap_err().to_string();
        assert!(said.contains("missing field `load`"), "{said}");

        fs::write(&file, text.replace("complete: yes", "complete: perhaps")).unwrap();
        let said = read(&file).unwrap_err().to_string();
        assert!(said.contains("`perhaps` is neither `yes` nor `no`"), "{said}");

        fs::write(&file, "a processor\n").unwrap();
        let said = read(&file).unwrap_err().to_string();
        assert!(said.ends_with("machine.txt`, line 1: it is no `name: value`"), "{said}");
    }
}
