//! `ringfence check`: everything that is wrong, in one run, with exit code 2.

use assert_cmd::Command;
use serde_json::{Value, json};

const EVERYTHING_WRONG: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/document/fixtures/everything-wrong.yaml");

const RIGHT: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                     metadata: { name: web, namespace: shop }\nspec: { podSelector: {} }\n---\n\
                     apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n";

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs `ringfence check` with `arguments` and `stdin`.
fn check(arguments: &[&str], stdin: &str) -> Run {
    let mut command = Command::cargo_bin("ringfence").expect("the binary is built");
    command.args(["--color", "never", "check"]).args(arguments).write_stdin(stdin);
    command.env_remove("RINGFENCE_VALIDATE").env_remove("RINGFENCE_DEFAULT_NAMESPACE");
    let output = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("the output is text");
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Code, line and column of every diagnostic in the JSON output.
fn places(output: &Value) -> Vec<(String, u64, u64)> {
    let diagnostics = output["diagnostics"].as_array().expect("a list of diagnostics");
    diagnostics
        .iter()
        .map(|diagnostic| {
            let number = |field: &str| diagnostic[field].as_u64().expect("a number");
            let code = diagnostic["code"].as_str().expect("a code").to_owned();
            (code, number("line"), number("column"))
        })
        .collect()
}

#[test]
fn six_faults_are_named_at_their_places_in_one_run() {
    let run = check(&["-f", EVERYTHING_WRONG], "");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert_eq!(run.stdout, "0 policies, 0 workloads, 0 namespaces: 6 errors, 0 warnings\n");
    let heads: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("error[")).collect();
    let arrows: Vec<&str> = run
        .stderr
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--> "))
        .map(|place| place.strip_prefix(EVERYTHING_WRONG).expect("the file's name as it was given"))
        .collect();
    let expected = [
        ("error[RF0009]: the key `app` is there twice", ":11:7"),
        ("error[RF0021]: unknown field `form`", ":13:7"),
        ("error[RF0046]: the port number 80 is in quotes", ":18:17"),
        ("error[RF0049]: `endPort` 8000 is below `port` 9000", ":20:20"),
        (
            "error[RF0043]: the exception `192.168.0.0/16` is not strictly within `10.0.0.0/8`",
            ":26:17",
        ),
        ("error[RF0020]: unknown kind `NetworkPolcy` of `networking.k8s.io/v1`", ":29:7"),
    ];
    assert_eq!(heads, expected.map(|(head, _)| head), "{}", run.stderr);
    assert_eq!(arrows, expected.map(|(_, arrow)| arrow), "{}", run.stderr);
    for help in ["did you mean `from`?", "did you mean `NetworkPolicy`?", "remove the quotes: `80`"]
    {
        assert!(run.stderr.contains(help), "there is no `{help}` in\n{}", run.stderr);
    }
}

#[test]
fn json_says_the_same_on_stdout() {
    let run = check(&["-f", EVERYTHING_WRONG, "-o", "json"], "");
    assert_eq!((run.code, run.stderr.as_str()), (Some(2), ""));
    let output: Value = serde_json::from_str(&run.stdout).expect("the output is JSON");
    let expected = [
        ("RF0009", 11, 7),
        ("RF0021", 13, 7),
        ("RF0046", 18, 17),
        ("RF0049", 20, 20),
        ("RF0043", 26, 17),
        ("RF0020", 29, 7),
    ];
    assert_eq!(
        places(&output),
        expected.map(|(code, line, column)| (code.to_owned(), line, column))
    );
    assert_eq!(
        output["diagnostics"][1],
        json!({
            "code": "RF0021", "severity": "error", "message": "unknown field `form`",
            "file": EVERYTHING_WRONG, "line": 13, "column": 7, "endLine": 13, "endColumn": 11,
            "label": "an ingress rule has no such field", "related": [],
            "help": "did you mean `from`?",
        })
    );
    assert_eq!(
        output["diagnostics"][0]["related"],
        json!([{
            "file": EVERYTHING_WRONG, "line": 10, "column": 7, "endLine": 10, "endColumn": 10,
            "label": "it is here first",
        }])
    );
}

#[test]
fn what_is_right_is_summed_up() {
    let run = check(&["-f", "-"], RIGHT);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(run.stdout, "1 policy, 0 workloads, 1 namespace: 0 errors, 0 warnings\n");

    let run = check(&["-f", "-", "-o", "json"], RIGHT);
    let output: Value = serde_json::from_str(&run.stdout).expect("the output is JSON");
    let digest = output["documents"][0]["digest"].clone();
    assert!(digest.as_str().is_some_and(|digest| digest.len() == 16), "{digest}");
    assert_eq!(
        output,
        json!({
            "version": 1, "errors": 0, "warnings": 0, "diagnostics": [],
            "documents": [
                {"kind": "NetworkPolicy", "namespace": "shop", "name": "web", "file": "<stdin>",
                 "line": 3, "digest": digest},
                {"kind": "Namespace", "namespace": "", "name": "shop", "file": "<stdin>",
                 "line": 8, "digest": null},
            ],
        })
    );
}

#[test]
fn warnings_alone_are_no_failure() {
    let odd = RIGHT.replace("spec: { podSelector: {} }", "spec: { policyTypes: [ Ingress ] }");
    let run = check(&["-f", "-"], &odd);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.starts_with("warning[RF0051]"), "{}", run.stderr);
    assert_eq!(run.stdout, "1 policy, 0 workloads, 1 namespace: 0 errors, 1 warning\n");
}

#[test]
fn validation_can_be_less_strict() {
    let odd = RIGHT.replace("spec: {", "spec: { ingres: [], ");
    for (how, code, summary) in [
        ("strict", 2, "0 policies, 0 workloads, 1 namespace: 1 error, 0 warnings\n"),
        ("warn", 0, "1 policy, 0 workloads, 1 namespace: 0 errors, 1 warning\n"),
        ("ignore", 0, "1 policy, 0 workloads, 1 namespace: 0 errors, 0 warnings\n"),
    ] {
        let run = check(&["-f", "-", "--validate", how], &odd);
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), summary), "--validate={how}");
    }
}

#[test]
fn what_cannot_be_read_is_said_clearly() {
    let run = check(&["-f", "no-such-directory/"], "");
    assert_eq!(run.code, Some(2));
    let first = run.stderr.lines().next().expect("there is a message");
    assert!(
        first.starts_with("error[RF0001]: cannot read `no-such-directory/`: No such file"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("help: give an existing file"), "{}", run.stderr);

    let run = check(&["-f", "-"], "");
    assert_eq!(run.code, Some(2), "nothing at all is an error");
    assert!(run.stderr.starts_with("error[RF0011]"), "{}", run.stderr);

    let run = check(&[], "");
    assert_eq!(run.code, Some(2), "`-f` is required");
}

#[test]
fn the_default_namespace_must_be_one() {
    let policy = RIGHT.replace(", namespace: shop", "");
    let run = check(&["-f", "-", "-o", "json", "--default-namespace", "team-a"], &policy);
    let output: Value = serde_json::from_str(&run.stdout).expect("the output is JSON");
    assert_eq!(output["documents"][0]["namespace"], "team-a");
    let run = check(&["-f", "-", "--default-namespace", "Team A"], &policy);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("use up to 63 lower-case letters"), "{}", run.stderr);
}
