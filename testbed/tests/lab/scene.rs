//! What the tests ask of a laboratory's router.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use ringfence_testbed::lab::{Asked, Case, Contender, Family, Lab, Mismatch, Position, Tracking};
use ringfence_testbed::veth::Netlink;

/// Rules of most cases.
pub const RULES: usize = 10;

/// Far more than ten rules take.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A case of ten rules, of new flows.
pub fn case(contender: Contender, position: Position, mismatch: Mismatch, family: Family) -> Asked {
    let (rules, tracking) = (RULES, Tracking::New);
    Case { contender, rules, position, mismatch, tracking, family }.into()
}

/// What a command prints that runs on the router and has to go well.
pub fn command(lab: &Lab, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let run = || Command::new(words[0]).args(&words[1..]).output().unwrap();
    let output = lab.at_router(run).unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Everything of a filter that the router can have: tables, sets, interfaces, files, connections.
/// Looking at it makes none of it.
pub fn state(lab: &Lab) -> Vec<(&'static str, String)> {
    let read = |path: &'static str| {
        let text = lab.at_router(|| fs::read_to_string(path).unwrap_or_default()).unwrap();
        (path, text)
    };
    let list = |path: &'static str| {
        let names = |path| -> Vec<_> {
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect()
        };
        (path, lab.at_router(|| format!("{:?}", names(path))).unwrap())
    };
    let links = lab.at_router(|| Netlink::open().unwrap().interfaces().unwrap()).unwrap();
    vec![
        read("/proc/thread-self/net/ip_tables_names"),
        read("/proc/thread-self/net/ip6_tables_names"),
        read("/proc/sys/net/netfilter/nf_conntrack_count"),
        list("/sys/fs/bpf"),
        list("/run"),
        list("/var/lib"),
        ("sets", command(lab, "ipset save")),
        ("rules", command(lab, "nft list ruleset")),
        ("interfaces", format!("{links:?}")),
    ]
}

/// Gives the router a folder of tools that has `program` alone, which is a shell's line; nothing
/// for no tools at all.
pub fn replace_tools(lab: &Lab, program: Option<(&str, &str)>) {
    let place = "/usr/sbin";
    lab.at_router(|| {
        mount(Some("tools"), place, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        if let Some((name, line)) = program {
            let path = format!("{place}/{name}");
            fs::write(&path, format!("#!/bin/sh\n{line}\n")).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
    })
    .unwrap();
}

/// Whether some process on this machine has such arguments.
pub fn is_running(arguments: &[&str]) -> bool {
    let wanted: String = arguments.iter().map(|argument| format!("{argument}\0")).collect();
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    // A process may end while the list is read.
    processes
        .into_iter()
        .any(|process| fs::read_to_string(process.join("cmdline")).is_ok_and(|line| line == wanted))
}
