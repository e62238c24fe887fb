//! `--failsafe`: what stays open on the host, in the verbs that say what a host enforces.

use std::io::Write as _;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::NamedTempFile;

/// A host that a policy closes in both directions, and a workload that none selects.
const CLOSED: &str = "\
{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {namespace: infra, name: node},
 spec: {host: true, addresses: [192.0.2.1]}}
---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {namespace: shop, name: web},
 spec: {addresses: [10.0.0.1]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: infra, name: closed},
 spec: {podSelector: {}, policyTypes: [Ingress, Egress]}}
";

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn documents() -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(CLOSED.as_bytes()).expect("it can be written");
    file
}

fn ringfence(verb: &str, arguments: &str, variable: Option<&str>) -> Run {
    let file = documents();
    let mut command = Command::cargo_bin("ringfence").expect("the binary is built");
    command.args(["--color", "never", verb, "-f"]).arg(file.path());
    command.args(arguments.split_whitespace());
    for name in ["VALIDATE", "DEFAULT_NAMESPACE", "FAILSAFE"] {
        command.env_remove(format!("RINGFENCE_{name}"));
    }
    variable.map(|list| command.env("RINGFENCE_FAILSAFE", list));
    let output = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("the output is text");
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn the_way_in_stays_open_unless_the_list_says_otherwise() {
    let traced = |from: &str, to: &str, port: &str, list: &str, variable| {
        let arguments = format!("-s {from} -d {to} --dport {port} --exit-code {list}");
        let run = ringfence("trace", &arguments, variable);
        assert!(run.code == Some(0) || run.code == Some(1), "{arguments}: {}", run.stderr);
        run.code == Some(0)
    };
    let (outside, node) = ("203.0.113.7", "infra/node");
    for (from, to, port, list, variable, expected) in [
        (outside, node, "22/tcp", "", None, true),
        (outside, node, "23/tcp", "", None, false),
        (outside, node, "22/udp", "", None, false),
        (node, outside, "53/udp", "", None, true),
        (node, outside, "68/udp", "", None, true),
        (node, outside, "53/tcp", "", None, false),
        (outside, node, "22/tcp", "--failsafe none", None, false),
        (outside, node, "2222/tcp", "--failsafe in:2222/tcp", None, true),
        (outside, node, "22/tcp", "--failsafe in:2222/tcp", None, false),
        (outside, node, "22/tcp", "", Some("none"), false),
        (outside, node, "22/tcp", "--failsafe in:tcp/22", Some("none"), true),
    ] {
        let case = format!("{from} -> {to} {port} {list} {variable:?}");
        assert_eq!(traced(from, to, port, list, variable), expected, "{case}");
    }
}

#[test]
fn it_is_shown_as_a_policy_before_all_others() {
    let run = ringfence("trace", "-s 203.0.113.7 -d infra/node --dport 22/tcp", None);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with('*')).collect();
    assert_eq!(
        lines,
        [
            "* failsafe/host: before all policy, selected by ringfence.dev/host",
            "* networkpolicy/infra/closed: selected by everything; isolates",
        ],
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("(failsafe in:22/tcp)"), "{}", run.stdout);

    let run = ringfence("compile", "-o json", None);
    let json: Value = serde_json::from_str(&run.stdout).expect("the output is JSON");
    let entries = json["entries"].as_array().expect("entries are a list");
    let open = entries.iter().filter(|entry| !entry["rule"].is_null());
    let open: Vec<(&Value, &Value)> =
        open.map(|entry| (&entry["service"], &entry["origin"])).collect();
    let expected = [
        (&"22/TCP".into(), &"failsafe in:22/tcp".into()),
        (&"53/UDP".into(), &"failsafe out:53/udp".into()),
        (&"67-68/UDP".into(), &"failsafe out:67-68/udp".into()),
    ];
    assert_eq!(open, expected, "{json}");

    let run = ringfence("matrix", "--port 22/tcp", None);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let closed = ringfence("matrix", "--port 22/tcp --failsafe none", None);
    assert_ne!(run.stdout, closed.stdout);
}

#[test]
fn a_list_that_does_not_parse_stops_the_command() {
    for verb in ["apply", "compile", "matrix", "trace"] {
        let rest = match verb {
            "trace" => "-s shop/web -d infra/node --dport 22/tcp",
            _ => "",
        };
        for (list, variable) in [("--failsafe ssh", None), ("", Some("in:22/tcp,ssh"))] {
            let run = ringfence(verb, &format!("{rest} {list}"), variable);
            assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{verb}: {}", run.stderr);
            assert!(run.stderr.contains("`ssh` is no port"), "{verb}: {}", run.stderr);
        }
    }
}
