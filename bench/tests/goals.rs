//! The measuring program's arguments.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use assert_cmd::Command;

fn goals(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::cargo_bin("goals").unwrap().args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn an_unknown_goal_is_an_error_of_the_caller() {
    let (code, said) = goals(&["G1,G77"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("there is no goal `G77` to measure; there are G1, G2, "), "{said}");
}

#[test]
fn an_unknown_format_is_an_error_of_the_caller() {
    let (code, said) = goals(&["-o", "yaml"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("possible values: table, json"), "{said}");
}

#[test]
fn counting_and_measuring_exclude_each_other() {
    let (code, said) = goals(&["--exact", "G1"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot be used with"), "{said}");
}
