//! The program that reads records.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use ringfence_bench::machine::Machine;
use ringfence_bench::record::{Measurement, Record, Run, Sample, statistic};
use ringfence_testbed::lab::{Case, Contender, Family, Mismatch, Position, Tracking};

fn results(arguments: &[&Path]) -> (Option<i32>, String, String) {
    let output = Command::cargo_bin("results").unwrap().args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A record of one made-up figure.
fn record(parent: &Path, per_packet_ns: f64) -> PathBuf {
    let case = Case {
        contender: Contender::EbpfTcx,
        rules: 10,
        position: Position::Last,
        mismatch: Mismatch::Address,
        tracking: Tracking::New,
        family: Family::V4,
    };
    let sample = |pass| Sample {
        measurement: Measurement::Send,
        case,
        variant: String::new(),
        statistic: statistic::MEDIAN.to_owned(),
        pass,
        round: 1,
        value: per_packet_ns,
    };
    let record = Record {
        machine: Machine::this(),
        run: Run::begin("made up").end(),
        samples: vec![sample(1), sample(2)],
        omissions: Vec::new(),
        goals: Vec::new(),
    };
    record.write(parent, "made-up").unwrap()
}

#[test]
fn records_that_differ_are_told_from_those_that_do_not() {
    let parent = tempfile::tempdir().unwrap();
    let first = record(parent.path(), 1_000.0);
    let near = record(parent.path(), 1_050.0);
    let far = record(parent.path(), 2_000.0);
    let compare = Path::new("compare");
    let (code, said, _) = results(&[compare, &first, &near]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("0 of 1 cases differ by more than the errors of both records\n"));
    let (code, said, _) = results(&[compare, &first, &far]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("×2.00") && said.contains("worse"), "{said}");
    let (code, said, _) = results(&[compare, &first, &far, Path::new("-o"), Path::new("json")]);
    assert_eq!(code, Some(1), "{said}");
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["cases"][0]["change"], "worse");
    assert_eq!(json["cases"][0]["ratio"], 2.0);
}

#[test]
fn what_cannot_be_read_is_an_error_of_the_caller() {
    let parent = tempfile::tempdir().unwrap();
    let (code, _, said) = results(&[Path::new("compare"), parent.path(), parent.path()]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("is no record: it has no `machine.txt`"), "{said}");
    let (code, _, said) = results(&[Path::new("compare"), parent.path()]);
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn a_record_drawn_anew_is_the_same_and_goes_nowhere_else() {
    let parent = tempfile::tempdir().unwrap();
    let first = record(parent.path(), 1_000.0);
    let into = parent.path().join("again");
    let arguments = [Path::new("plot"), &first, Path::new("--into"), &into];
    let (code, _, said) = results(&arguments);
    assert_eq!(code, Some(0), "{said}");
    let mut files = 0;
    for file in fs::read_dir(&first).unwrap() {
        let file = file.unwrap();
        let again = fs::read(into.join(file.file_name())).unwrap();
        assert_eq!(fs::read(file.path()).unwrap(), again, "{:?}", file.file_name());
        files += 1;
    }
    assert_eq!(fs::read_dir(&into).unwrap().count(), files);
    let (code, _, said) = results(&arguments);
    assert_eq!(code, Some(2), "an existing folder is refused: {said}");
}
