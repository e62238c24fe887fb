//! `ringfence verify`: exit codes, lines and JSON.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};

const SHOP: &str = include_str!("fixtures/cases/shop.yaml");

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn verify(folder: &Path, arguments: &[&str]) -> Run {
    let mut command = Command::cargo_bin("ringfence").expect("the binary is built");
    command.args(["--color", "never", "verify"]).args(arguments).current_dir(folder);
    let output = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("the output is text");
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A folder with the shop's case after `change`.
fn shop(change: impl FnOnce(String) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let text = change(SHOP.to_owned());
    fs::write(folder.path().join("shop.yaml"), text).expect("a file can be written");
    folder
}

#[test]
fn agreement_is_exit_0_and_totals() {
    let folder = shop(|text| text);
    let run = verify(folder.path(), &["."]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = run.stdout.lines().collect();
    let totals = "0 wrong of 2 probes and 1 frame, 0 skipped";
    let line = |name: &str| format!("{name:<12} {totals}");
    let expected = [
        "1 case, 2 probes, 1 frame".to_owned(),
        line("oracle"),
        line("userspace"),
        line("  xdp"),
        line("  tc"),
        "other keys kept: title (1 case); -v shows them".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_wrong_verdict_is_exit_1_and_a_line_for_each_backend_and_hook() {
    let folder = shop(|text| text.replace("expect: deny, reason: NoRule", "expect: allow"));
    let run = verify(folder.path(), &["shop.yaml", "--backend", "userspace"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""));
    let wrong: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with("WRONG")).collect();
    let line = |way: &str| {
        format!(
            "WRONG db-only-from-api: probe 2 shop/web -> shop/db 5432/TCP [10.1.0.4 -> 10.1.0.3]: \
             userspace {way}: expected allow, actual deny, reason NoRule, no rule"
        )
    };
    assert_eq!(wrong, [line("xdp"), line("tc")]);
    assert!(run.stdout.contains("userspace    1 wrong of 2 probes"), "{}", run.stdout);
}

#[test]
fn json_has_totals_failures_and_unknown_keys() {
    let folder = shop(|text| text.replace("expect: allow, reason: Rule", "expect: deny"));
    let run = verify(folder.path(), &["shop.yaml", "-o", "json"]);
    assert_eq!(run.code, Some(1));
    let json: Value = serde_json::from_str(&run.stdout).expect("the output is JSON");
    assert_eq!(
        (&json["cases"], &json["probes"], &json["frames"]),
        (&1.into(), &2.into(), &1.into())
    );
    for backend in ["oracle", "userspace"] {
        let totals = &json["backends"][backend];
        let counts = ["probes", "wrong", "skipped"].map(|key| totals[key].as_u64());
        assert_eq!(counts, [Some(2), Some(1), Some(0)], "{backend}");
    }
    assert_eq!(json["backends"]["userspace"]["hooks"]["tc"]["wrong"], 1);
    let failures = json["failures"].as_array().expect("failures are a list");
    let who: Vec<(&Value, &Value)> =
        failures.iter().map(|failure| (&failure["backend"], &failure["hook"])).collect();
    let (oracle, userspace) = (json!("oracle"), json!("userspace"));
    let (none, xdp, tc) = (json!(null), json!("xdp"), json!("tc"));
    assert_eq!(who, [(&oracle, &none), (&userspace, &xdp), (&userspace, &tc)]);
    let first = &failures[0];
    assert_eq!(first["case"], "db-only-from-api");
    assert_eq!((&first["expected"], &first["actual"]), (&json!("deny"), &json!("allow")));
    assert_eq!(first["rules"], json!(["networkpolicy/shop/db ingress[0]"]));
    assert_eq!(json["extra"][0]["keys"], json!({ "title": "the database is for the api" }));
}

#[test]
fn cases_that_cannot_be_read_are_exit_2_with_all_places() {
    let folder = shop(|text| {
        let text = text.replace("from: shop/web", "from: shop/wep");
        text.replace("reason: Rule", "reason: Rule, prot: TCP")
    });
    fs::write(folder.path().join("broken.json"), "{").expect("a file can be written");
    let run = verify(folder.path(), &["."]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    let expected = [
        "error: ./broken.json:1:1: this is neither YAML nor JSON: ",
        "./shop.yaml:17:13: there is no pod `shop/wep` (did you mean `shop/web`?); pods are named",
    ];
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{}", run.stderr);
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\nis not\n{expected}");
    }

    let missing = verify(folder.path(), &["nowhere.yaml"]);
    assert_eq!(missing.code, Some(2));
    assert!(
        missing.stderr.starts_with("error: cannot read `nowhere.yaml`: "),
        "{}",
        missing.stderr
    );
}

#[test]
fn policies_with_errors_are_shown_with_the_case_they_stand_in() {
    let folder = shop(|text| text.replace("ingress: [ { from:", "ingress: [ { form:"));
    let run = verify(folder.path(), &["shop.yaml"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    for part in
        ["error: shop.yaml:5:3: ", "error[RF0021]", "shop.yaml (from line 5):6:16", "`form`"]
    {
        assert!(run.stderr.contains(part), "`{part}` is not in\n{}", run.stderr);
    }
}

#[test]
fn unknown_backends_are_exit_2() {
    let folder = shop(|text| text);
    let variant = "only the kernel tells `iptables-nft` from `iptables`: add `--live` or ask that";
    for (backend, expected) in [
        ("iptables-nft", variant),
        (
            "ebfp",
            "there is no backend `ebfp`; choose among oracle, userspace, ebpf, iptables, ipset",
        ),
        ("oracle,nft", "there is no backend `nft`; choose among oracle,"),
    ] {
        let run = verify(folder.path(), &["shop.yaml", "--backend", backend]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{backend}");
        assert!(run.stderr.contains(expected), "{}", run.stderr);
    }
}

#[test]
fn unknown_keys_inside_are_warnings_that_quiet_leaves_out() {
    let folder = shop(|text| text.replace("reason: NoRule", "reason: NoRule, reson: x"));
    let run = verify(folder.path(), &["shop.yaml", "--backend", "oracle"]);
    assert_eq!(run.code, Some(0));
    let warning = "warning: shop.yaml:17:93: a probe has no key `reson` (did you mean `reason`?); \
                   it is left out\n";
    assert_eq!(run.stderr, warning);
    let quiet = verify(folder.path(), &["-q", "shop.yaml", "--backend", "oracle"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
    let verbose = verify(folder.path(), &["-qv", "shop.yaml", "--backend", "oracle"]);
    let key = "db-only-from-api: title: \"the database is for the api\"\n";
    assert!(verbose.stdout.starts_with(key), "{}", verbose.stdout);
}

#[test]
fn policies_that_fit_no_tables_are_exit_2_with_the_place_of_their_case() {
    // Each port of each block is an entry of its own, and there are at most 1,048,576.
    let block = |number: usize| {
        format!("{{ ipBlock: {{ cidr: 10.{}.{}.0/24 }} }}", number / 256, number % 256)
    };
    let blocks: Vec<String> = (0..1_100).map(block).collect();
    let ports: Vec<String> =
        (0..1_100).map(|number| format!("{{ port: {} }}", 2 * number + 1)).collect();
    let (blocks, ports) = (blocks.join(", "), ports.join(", "));
    let folder = shop(|text| {
        let begin = text.find("ingress: [").expect("the case has a rule");
        let end = begin + text[begin..].find('\n').expect("the rule's line ends");
        format!(
            "{}ingress: [ {{ from: [ {blocks} ], ports: [ {ports} ] }} ]{}",
            &text[..begin],
            &text[end..]
        )
    });
    let run = verify(folder.path(), &["shop.yaml", "--backend", "userspace"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{}", run.stderr);
    let start = "error: shop.yaml:1:1: case `db-only-from-api` cannot be compiled: the policy does";
    assert!(run.stderr.starts_with(start), "{}", run.stderr);
}

#[test]
fn warnings_are_in_the_json_too_those_of_documents_among_them() {
    let folder = shop(|text| {
        let text = text.replace("title:", "polices:").replace("NoRule", "NoRule, reson: x");
        let block =
            "[ { ipBlock: { cidr: 10.1.0.2/24 } } ], ports: [ { port: 5432 } ] }, { from: [";
        let text = text.replace("ingress: [ { from: [", &format!("ingress: [ {{ from: {block}"));
        text.replace("expect: deny, reason: NoRule", "expect: allow")
    });
    let run = verify(folder.path(), &["shop.yaml", "--backend", "oracle", "-o", "json"]);
    assert_eq!(run.code, Some(0), "{}\n{}", run.stdout, run.stderr);
    let json: Value = serde_json::from_str(&run.stdout).expect("the output is JSON");
    let warnings = json["warnings"].as_array().expect("warnings are a list");
    let expected = [
        (17, "a probe has no key `reson` (did you mean `reason`?); it is left out"),
        (3, "a case has no key `polices` (did you mean `policies`?); it is kept and means nothing"),
        (5, "RF0044: "),
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    for (found, (line, message)) in warnings.iter().zip(expected) {
        assert_eq!((&found["file"], &found["line"]), (&json!("shop.yaml"), &json!(line)));
        let found = found["message"].as_str().expect("a message is text");
        assert!(found.starts_with(message), "{found}");
    }
    assert!(run.stderr.contains("shop.yaml (from line 5):6:"), "{}", run.stderr);
    let quiet = verify(folder.path(), &["-q", "shop.yaml", "--backend", "oracle"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
}

#[test]
fn the_way_out_of_unknown_documents_is_no_flag_that_verify_does_not_have() {
    let folder = shop(|text| text.replace("kind: NetworkPolicy", "kind: Deployment"));
    let run = verify(folder.path(), &["shop.yaml"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("unknown kind `Deployment`"), "{}", run.stderr);
    assert!(!run.stderr.contains("--validate"), "{}", run.stderr);
}

#[test]
fn a_file_is_read_once_however_it_is_named_and_dash_is_stdin() {
    let folder = shop(|text| text);
    std::os::unix::fs::symlink("shop.yaml", folder.path().join("z.yaml")).expect("a link");
    let pipe = Command::new("mkfifo").arg("pipe.yaml").current_dir(folder.path()).output();
    assert!(pipe.expect("`mkfifo` runs").status.success());
    let run = verify(folder.path(), &["shop.yaml", ".", "./shop.yaml", "--backend", "oracle"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.starts_with("1 case, 2 probes, 1 frame\n"), "{}", run.stdout);

    let mut command = Command::cargo_bin("ringfence").expect("the binary is built");
    command.args(["verify", "-", "--backend", "oracle"]);
    let output = command.write_stdin(SHOP.replace("shop/web,", "shop/wep,")).output();
    let output = output.expect("the binary runs");
    let stderr = String::from_utf8(output.stderr).expect("the output is text");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.starts_with("error: <stdin>:17:13: there is no pod `shop/wep`"), "{stderr}");
}
