//! What the command says when it cannot, with which exit code; and its JSON.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, umount2};
use ringfence_testbed::require;
use serde_json::Value;

use crate::host::{Host, Run, cluster, command, ingress};

const NOBODY: u32 = 65_534;

fn json(run: &Run) -> Value {
    assert_eq!(run.code, Some(0), "{run:?}");
    let value: Value = serde_json::from_str(&run.stdout).expect("the output is JSON");
    assert_eq!(value["version"], 1, "{value}");
    value
}

#[test]
fn without_privileges_there_is_one_message() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = host.documents("policies.yaml", &[ingress("db", "api", 5432)]);
    // Where anybody may run it.
    let program = host.folder().join("ringfence");
    fs::copy(env!("CARGO_BIN_EXE_ringfence"), &program).expect("the command can be copied");
    for (path, mode) in [(host.folder(), 0o755), (&documents, 0o644), (&program, 0o755)] {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, mode).expect("permissions can be set");
    }
    let documents = documents.to_str().expect("the path is text");
    for arguments in [&["apply", "-f", documents][..], &["status"], &["off"]] {
        let output = host.run(|| {
            let mut command = command(&program, arguments);
            command.uid(NOBODY).gid(NOBODY).output().expect("the command runs")
        });
        let run = Run {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        // Chains take less than programs do; of programs, there is nothing to be read or taken away.
        let capabilities = match arguments[0] {
            "apply" => "CAP_NET_ADMIN, CAP_SYS_ADMIN",
            _ => "CAP_NET_ADMIN",
        };
        run.assert_refused(1, &[arguments[0], "root", capabilities, "sudo"]);
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
    assert_eq!(host.contents(), None);
}

#[test]
fn the_hosts_own_faults() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = host.documents("policies.yaml", &[ingress("db", "api", 5432)]);

    let missing = "---\n{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {namespace: \
                   shop, name: new}, spec: {addresses: [10.20.0.7], interface: eth7}}\n";
    let run = host.apply(&host.documents("missing.yaml", &[missing.to_owned()]));
    run.assert_refused(1, &["`shop/new`", "`eth7`", "leave it out"]);

    let lock = Path::new("/run/ringfence/lock");
    let run = host.run(|| {
        fs::create_dir_all("/run/ringfence").expect("the folder can be made");
        let mut file = fs::File::create(lock).expect("the lock's file can be made");
        write!(file, "{}", std::process::id()).expect("it can be written");
        let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error);
        let held = held.expect("nobody else has it");
        let run = host.apply(&documents);
        drop(held);
        run
    });
    let process = format!("process {}", std::process::id());
    run.assert_refused(1, &[&process, "wait", "/run/ringfence/lock"]);

    let other = host.folder().to_str().expect("the path is text");
    let run = host.ringfence(&["apply", "-f", documents.to_str().expect("text"), "--root", other]);
    run.assert_refused(1, &["no BPF filesystem", "mount -t bpf"]);

    host.run(|| umount2("/sys/fs/bpf", MntFlags::MNT_DETACH).expect("it can be unmounted"));
    host.apply(&documents)
        .assert_refused(1, &["no BPF filesystem", "mount -t bpf bpf /sys/fs/bpf"]);
    let run = host.ringfence(&["status"]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "Nothing is installed: this host is open.\n")
    );
}

#[test]
fn the_users_own_faults() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = host.documents("policies.yaml", &[ingress("db", "api", 5432)]);
    let documents = documents.to_str().expect("the path is text");
    for verb in ["apply", "check", "compile", "matrix"] {
        let run = host.ringfence(&[verb, "-f", "/no/such/file.yaml"]);
        assert_eq!(run.code, Some(2), "{verb}: {run:?}");
        let said = [run.stdout, run.stderr].concat();
        assert!(said.contains("/no/such/file.yaml"), "{verb}: {said}");
    }
    let trace =
        |who| host.ringfence(&["trace", "-f", documents, "-s", who, "-d", "db", "--dport", "1"]);
    trace("wbe").assert_refused(2, &["there is no workload `wbe`", "did you mean `shop/web`?"]);
    for wrong in [&["apply"][..], &["apply", "-f", documents, "--hook", "tc"], &["of"]] {
        let run = host.ringfence(wrong);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains("--help"), "{run:?}");
    }
    assert_eq!(host.contents(), None);
}

#[test]
fn json_is_versioned_and_the_same_story() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = host.documents("policies.yaml", &[ingress("db", "api", 5432)]);
    let documents = documents.to_str().expect("the path is text");
    for verb in ["check", "compile", "matrix"] {
        json(&host.ringfence(&[verb, "-f", documents, "-o", "json"]));
    }
    let trace =
        ["trace", "-f", documents, "-s", "web", "-d", "db", "--dport", "5432", "-o", "json"];
    assert_eq!(json(&host.ringfence(&trace))["verdict"], "DENIED");
    assert_eq!(json(&host.ringfence(&["status", "-o", "json"]))["installed"], false);

    let apply = ["apply", "-f", documents, "-o", "json"];
    let dry = json(&host.ringfence(&[&apply[..], &["--dry-run"]].concat()));
    assert_eq!((&dry["dryRun"], &dry["mapEntries"]["touched"]), (&true.into(), &0.into()));
    let applied = json(&host.ringfence(&apply));
    assert_eq!(applied["generation"], 1);
    assert_eq!(applied["policies"]["networkpolicy/shop/db"], "created");
    assert_eq!(applied["policyEntries"], dry["policyEntries"]);
    let status = json(&host.ringfence(&["status", "-o", "json"]));
    assert_eq!((&status["installed"], &status["generation"]), (&true.into(), &1.into()));
    assert_eq!(status["policies"], serde_json::json!(["networkpolicy/shop/db"]));
    let hooks = status["hooks"].as_array().expect("hooks are a list");
    assert_eq!(hooks.len(), applied["hooks"].as_array().expect("hooks are a list").len());
    assert!(hooks.iter().all(|hook| hook["alive"] == true), "{status}");

    let again = host.ringfence(&["apply", "-f", documents]);
    assert_eq!(again.code, Some(0));
    assert!(again.stdout.contains("networkpolicy/shop/db unchanged\n"), "{again:?}");
    assert!(again.stdout.contains("nothing to do: 0 map entries touched"), "{again:?}");
    let off = host.ringfence(&["off"]);
    assert!(off.code == Some(0) && off.stdout.contains("This host is open"), "{off:?}");
    let off = host.ringfence(&["off"]);
    assert_eq!((off.code, off.stdout.as_str()), (Some(0), "Nothing was installed.\n"));
}

#[test]
fn policies_of_the_cluster_are_named_and_told_apart() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let shop = ingress("db", "api", 5432);
    let telnet = ", protocols: [{tcp: {destinationPort: {number: 23}}}]";
    let apply = |policies: &[String]| host.apply(&host.documents("policies.yaml", policies));
    for (guard, expected) in [
        (Some(cluster("guard", "Deny", "")), "clusternetworkpolicy/guard created"),
        (Some(cluster("guard", "Deny", "")), "clusternetworkpolicy/guard unchanged"),
        (Some(cluster("guard", "Deny", telnet)), "clusternetworkpolicy/guard configured"),
        (Some(cluster("guard", "Accept", telnet)), "clusternetworkpolicy/guard configured"),
        (None, "clusternetworkpolicy/guard pruned"),
    ] {
        let run = apply(&guard.into_iter().chain([shop.clone()]).collect::<Vec<_>>());
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stdout.lines().any(|line| line == expected), "{expected}: {run:?}");
    }
}
