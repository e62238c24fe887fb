//! `ringfence compile`, `trace` and `matrix` on a small shop.

use assert_cmd::Command;
use serde_json::Value;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs a verb on the shop, in its folder.
fn ringfence(verb: &str, arguments: &[&str]) -> Run {
    ringfence_on(&["shop.yaml"], verb, arguments)
}

/// Runs a verb on some of the fixtures, in their folder.
fn ringfence_on(files: &[&str], verb: &str, arguments: &[&str]) -> Run {
    let mut command = Command::cargo_bin("ringfence").expect("the binary is built");
    command.args(["--color", "never", verb]);
    files.iter().for_each(|file| _ = command.args(["-f", file]));
    command.args(arguments);
    command.current_dir(FIXTURES);
    command.env_remove("RINGFENCE_VALIDATE").env_remove("RINGFENCE_DEFAULT_NAMESPACE");
    let output = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("the output is text");
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn trace(arguments: &str) -> Run {
    ringfence("trace", &arguments.split(' ').collect::<Vec<_>>())
}

#[test]
fn trace_says_why_and_what_was_nearest() {
    let run = trace("-s shop/api -d db --dport 22/tcp");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(run.stdout);
}

/// The shop below policies of the whole cluster.
const GUARDED: [&str; 2] = ["shop.yaml", "guards.yaml"];

#[test]
fn trace_names_the_tiers_and_their_rules() {
    let arguments = ["-s", "web", "-d", "db", "--dport", "5432/tcp"];
    let run = ringfence_on(&GUARDED, "trace", &arguments);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(run.stdout);
    let run = ringfence_on(&GUARDED, "trace", &[&arguments[..], &["-o", "json"]].concat());
    let json: Value = serde_json::from_str(&run.stdout).expect("the output is JSON");
    let policies = &json["traces"][0]["ingress"]["policies"];
    let place =
        |index: usize| (policies[index]["tier"].clone(), policies[index]["priority"].clone());
    assert_eq!(place(0), ("admin".into(), 10.into()));
    assert_eq!(place(1), ("developer".into(), 0.into()));
    assert_eq!(place(2), ("baseline".into(), 0.into()));
}

#[test]
fn matrix_and_compile_know_policies_of_the_cluster() {
    let run = ringfence_on(&GUARDED, "matrix", &["--port", "8080/tcp"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    insta::assert_snapshot!(run.stdout);
    let run = ringfence_on(&GUARDED, "compile", &["-o", "json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("clusternetworkpolicy/quarantine egress[0]"), "{}", run.stdout);
}

#[test]
fn trace_merges_what_both_families_share() {
    let run = trace("-s web -d api --dport http/tcp");
    assert_eq!(run.code, Some(0));
    insta::assert_snapshot!(run.stdout);
}

#[test]
fn trace_exits_with_the_verdict_if_asked_to() {
    for (arguments, code) in [
        ("-s api -d db --dport 5432/tcp --exit-code", 0),
        ("-s api -d db --dport 5431/tcp --exit-code", 1),
        ("-s api -d db --dport 5431/tcp", 0),
        ("-s 10.2.0.1 -d db --dport 9100 --exit-code", 0),
        ("-s 10.1.0.9 -d db --dport 9100 --exit-code", 1),
        ("-s db -d db --dport 1 --exit-code", 0),
        ("-s web -d api --dport icmp --exit-code", 1),
    ] {
        let run = trace(arguments);
        assert_eq!(run.code, Some(code), "{arguments}\n{}{}", run.stdout, run.stderr);
    }
}

#[test]
fn trace_refuses_what_it_cannot_find_in_one_line() {
    for (arguments, expected) in [
        ("-s wbe -d db --dport 1", "there is no workload `wbe`; did you mean `shop/web`?"),
        (
            "-s web -d api --dport nope/tcp",
            "`shop/api` has no port called `nope/TCP`; it names `http/TCP`",
        ),
        (
            "-s fd00::4 -d db --dport 1",
            "`shop/web` and `shop/db` have no addresses of one family (IPv4 or IPv6)",
        ),
    ] {
        let run = trace(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{arguments}");
        assert_eq!(run.stderr, format!("error: {expected}\n"), "{arguments}");
    }
}

#[test]
fn trace_is_complete_in_json() {
    let run = trace("-s api -d db --dport 22/tcp -o json");
    let json: Value = serde_json::from_str(&run.stdout).expect("the output is JSON");
    let trace = &json["traces"][0];
    assert_eq!((&json["version"], &json["verdict"]), (&1.into(), &"DENIED".into()));
    assert_eq!((&trace["protocol"], &trace["port"]), (&6.into(), &22.into()));
    assert_eq!(trace["egress"]["reason"], "NotIsolated");
    assert_eq!(trace["ingress"]["reason"], "NoRule");
    assert_eq!(trace["ingress"]["nearestMisses"][0], "networkpolicy/shop/db ingress[0]");
    let rules = trace["ingress"]["policies"][0]["rules"].as_array().expect("rules are a list");
    let matched: Vec<(&Value, &Value)> =
        rules.iter().map(|rule| (&rule["peersMatch"], &rule["portsMatch"])).collect();
    let (yes, no) = (&Value::Bool(true), &Value::Bool(false));
    assert_eq!(matched, [(yes, no), (no, no)]);
}

#[test]
fn compile_prints_identities_entries_and_sizes() {
    let run = ringfence("compile", &[]);
    assert_eq!(run.code, Some(0));
    insta::assert_snapshot!(run.stdout);
    let expected = "2 policies over 3 workloads: 18 map entries in ";
    assert!(run.stderr.starts_with(expected), "{}", run.stderr);
}

#[test]
fn compile_says_the_same_in_json() {
    let run = ringfence("compile", &["-o", "json"]);
    let json: Value = serde_json::from_str(&run.stdout).expect("the output is JSON");
    let entries = json["entries"].as_array().expect("entries are a list");
    let services: Vec<&str> =
        entries.iter().filter_map(|entry| entry["service"].as_str()).collect();
    assert_eq!(services, ["8080/TCP", "9100/TCP", "5432-5440/TCP"]);
    assert_eq!(entries[2]["rule"], "networkpolicy/shop/db ingress[0]");
    assert_eq!(entries[2]["origin"], "shop.yaml:26");
    let addresses = &json["identities"][1]["addresses"];
    assert_eq!(*addresses, serde_json::json!(["10.1.0.4", "fd00::4"]));
    let bytes: u64 = json["maps"]
        .as_array()
        .expect("maps are a list")
        .iter()
        .filter_map(|map| map["bytes"].as_u64())
        .sum();
    assert_eq!(
        (Some(bytes), Some(2 * bytes)),
        (json["bytes"].as_u64(), json["peakBytes"].as_u64())
    );
}

#[test]
fn matrix_shows_who_may_talk_to_whom() {
    let run = ringfence("matrix", &[]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(run.stdout);
}

#[test]
fn matrix_answers_for_the_services_asked_about() {
    let arguments = ["--port", "5440/tcp", "--port", "icmp", "--port", "http/tcp", "-o", "json"];
    let run = ringfence("matrix", &arguments);
    let json: Value = serde_json::from_str(&run.stdout).expect("the output is JSON");
    let names: Vec<&Value> =
        json["ends"].as_array().expect("ends are a list").iter().map(|end| &end["name"]).collect();
    assert_eq!(names, ["shop/api", "shop/db", "shop/web", "world"]);
    let matrices = json["matrices"].as_array().expect("matrices are a list");
    let (api_to_db, api_to_web, web_to_api) = ((0, 1), (0, 2), (2, 0));
    let cells = |(from, to): (usize, usize)| {
        matrices
            .iter()
            .map(move |m| m["cells"][from][to].as_str().expect("cells are text"))
            .collect::<Vec<_>>()
    };
    assert_eq!(cells(api_to_db), ["allow", "deny-ingress", "no-flow"]);
    assert_eq!(cells(api_to_web), ["allow", "allow", "no-flow"]);
    assert_eq!(cells(web_to_api), ["deny-egress", "deny-egress", "allow"]);
}
