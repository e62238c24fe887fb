//! `ringfence verify --live`: exit codes, lines and JSON.

use std::fs;

use assert_cmd::Command;
use ringfence_testbed::require;
use serde_json::{Value, json};

const SHOP: &str = include_str!("../fixtures/cases/shop.yaml");

/// Exit code, stdout and stderr of `ringfence verify --live` for the shop's case after `change`.
fn verify(change: impl FnOnce(&str) -> String, arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join("shop.yaml"), change(SHOP)).expect("a file can be written");
    let mut command = Command::cargo_bin("ringfence").expect("the binary is built");
    command.args(["--color", "never", "verify", "--live", "shop.yaml", "--backend"]);
    let output = command.args(arguments).current_dir(&folder).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("the output is text");
    let code = output.status.code().expect("the command ends by itself");
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn agreement_is_exit_0_and_frames_are_skipped() {
    let Some(_granted) = require::kernel() else { return };
    let (code, stdout, stderr) = verify(str::to_owned, &["userspace,ebpf"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let why = "1 of them: a frame is not a connection; try it without --live";
    let expected = [
        format!("skipped: ebpf live, {why}"),
        format!("skipped: userspace live, {why}"),
        "1 case, 2 probes, live".to_owned(),
        "ebpf            0 wrong of 2 probes, 1 skipped".to_owned(),
        "userspace       0 wrong of 2 probes, 1 skipped".to_owned(),
        "other keys kept: title (1 case); -v shows them".to_owned(),
    ];
    assert_eq!(stdout.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_wrong_verdict_is_exit_1_and_in_the_json() {
    let Some(_granted) = require::kernel() else { return };
    let flip = |text: &str| text.replace("expect: allow, reason: Rule", "expect: deny");
    let (code, stdout, _) = verify(flip, &["ebpf", "-o", "json"]);
    assert_eq!(code, 1, "{stdout}");
    let output: Value = serde_json::from_str(&stdout).expect("the output is JSON");
    assert_eq!(output["live"], json!(true));
    let totals = json!({ "probes": 2, "frames": 0, "wrong": 1, "skipped": 1, "inapplicable": 0 });
    assert_eq!(output["backends"]["ebpf"], totals);
    let absent = ["hook", "side", "expectedRule", "frame"];
    assert!(absent.iter().all(|key| output["failures"][0].get(key) == Some(&Value::Null)));
    let failure = &output["failures"][0];
    assert_eq!(failure["addresses"], json!(["10.1.0.2", "10.1.0.3"]));
    assert_eq!((&failure["expected"], &failure["actual"]), (&json!("deny"), &json!("allow")));
    assert_eq!(failure["rules"], json!(["networkpolicy/shop/db ingress[0]"]));
}

#[test]
fn a_wrong_side_is_named_in_the_line() {
    let Some(_granted) = require::kernel() else { return };
    let flip = |text: &str| text.replace("NoRule }", "NoRule, expect_egress: deny }");
    let (code, stdout, stderr) = verify(flip, &["ebpf"]);
    assert_eq!((code, stderr.as_str()), (1, ""), "{stdout}");
    let wrong = "[10.1.0.4 -> 10.1.0.3]: ebpf live: egress expected deny, actual allow";
    assert!(
        stdout.lines().any(|line| line.starts_with("WRONG") && line.contains(wrong)),
        "{stdout}"
    );
}

#[test]
fn where_nothing_could_be_tried_a_sentence_says_so() {
    let Some(_granted) = require::kernel() else { return };
    let frames_only = |text: &str| {
        let (before, after) = (text.find("probes:"), text.find("frames:"));
        let (before, after) = before.zip(after).expect("the case has both");
        format!("{}{}", &text[..before], &text[after..])
    };
    let (code, stdout, stderr) = verify(frames_only, &["ebpf"]);
    assert_eq!(code, 1, "{stdout}");
    assert_eq!(stderr, "nothing was tried on ebpf: all 1 were skipped\n");
}

#[test]
fn a_backend_without_a_network_is_exit_2() {
    let (code, stdout, stderr) = verify(str::to_owned, &["oracle"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("backend `oracle` guards no real network"), "{stderr}");
}
