//! `ringfence demo`: its exit codes, and that nothing is left behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringfence_testbed::require;

/// A user without privileges, as every Linux has one.
const NOBODY: u32 = 65_534;

/// What the real host shows: interfaces, mounts, named namespaces.
fn host() -> BTreeSet<String> {
    let names = |directory: &str| -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten();
        entries.map(|entry| format!("{:?}", entry.unwrap().file_name())).collect()
    };
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts.lines().map(str::to_owned);
    names("/sys/class/net").into_iter().chain(names("/run/netns")).chain(mounts).collect()
}

#[test]
fn the_story_ends_well_and_leaves_nothing() {
    let Some(_granted) = require::kernel() else { return };
    let before = host();
    let output =
        Command::new(cargo_bin("ringfence")).args(["demo", "--color", "never"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}{errors}");
    for part in [
        "networkpolicy/shop/api-server created",
        "networkpolicy/shop/api-server configured",
        "building/hvac reached 10 places, then 1",
        "policy-verdict:none EGRESS DENIED (TCP Flags: SYN)",
        "6,480 cells tried in 3 rounds, 0 wrong; 0 packets of the transfer lost",
    ] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    assert!(!text.contains("WRONG") && !text.contains('\x1b'), "{text}");
    assert_eq!(host(), before);
}

/// Interrupts the demo once its output has a line with `marker`.
fn interrupted(marker: &str, signal: Signal) {
    let before = host();
    let mut child = Command::new(cargo_bin("ringfence"))
        .args(["demo", "--color", "never"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(marker)), "the demo gets to `{marker}`");
    let sent = Instant::now();
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
    let status = child.wait().unwrap();
    assert!(sent.elapsed() < Duration::from_secs(5), "{signal} at `{marker}`");
    assert_eq!(host(), before, "{signal} at `{marker}`");
    if signal == Signal::SIGKILL {
        assert_eq!(status.signal(), Some(9));
        return;
    }
    assert_eq!(status.code(), Some(128 + signal as i32), "{signal} at `{marker}`");
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors.trim(), "interrupted; nothing is left behind");
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let Some(_granted) = require::kernel() else { return };
    interrupted("namespaces", Signal::SIGINT);
    interrupted("Generation 1", Signal::SIGTERM);
    interrupted("while shop/api-server is busy", Signal::SIGINT);
    interrupted("Generation 1", Signal::SIGKILL);
}

#[test]
fn without_privileges_it_says_what_it_needs() {
    let Some(_granted) = require::privileged() else { return };
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("ringfence");
    fs::copy(cargo_bin("ringfence"), &program).unwrap();
    let output = Command::new(&program).arg("demo").uid(NOBODY).gid(NOBODY).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 1, "one message: {errors}");
    assert!(errors.contains("takes root") && errors.contains("sudo"), "{errors}");
    assert!(output.stdout.is_empty());
}
