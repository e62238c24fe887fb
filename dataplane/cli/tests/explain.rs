//! `ringfence explain`: what a diagnostic means.

use assert_cmd::Command;
use ringfence_dataplane::document::Code;

fn explain(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::cargo_bin("ringfence").expect("the binary is built");
    let output = command.arg("explain").args(arguments).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("the output is text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_code_is_explained_with_examples() {
    for spelling in ["RF0021", "rf0021"] {
        let (code, stdout, stderr) = explain(&[spelling]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert_eq!(stdout, Code::UnknownField.explanation());
        assert!(stdout.contains("## Wrong") && stdout.contains("## Right"), "{stdout}");
    }
}

#[test]
fn all_codes_are_listed() {
    let (code, stdout, stderr) = explain(&[]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let expected: Vec<String> =
        Code::ALL.iter().map(|code| format!("{code}  {}", code.title())).collect();
    assert_eq!(stdout.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn an_unknown_code_is_a_usage_error() {
    let (code, stdout, stderr) = explain(&["RF9999"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert_eq!(
        stderr,
        "error: there is no diagnostic `RF9999`; `ringfence explain` lists those there are\n"
    );
}

#[test]
fn output_that_cannot_be_written_is_a_failure_and_a_closed_pipe_a_quiet_one() {
    let run = |stdout: std::process::Stdio| {
        let binary = assert_cmd::cargo::cargo_bin("ringfence");
        let mut command = std::process::Command::new(binary);
        let output = command.arg("explain").stdout(stdout).output().expect("the binary runs");
        let stderr = String::from_utf8(output.stderr).expect("the output is text");
        (output.status.code(), stderr)
    };
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let (code, stderr) = run(full.into());
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: No space left on device"), "{stderr}");

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(run(writer.into()), (Some(1), String::new()));
}
