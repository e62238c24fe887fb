//! Namespaces leave nothing behind, whatever ends those who made them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ringfence_testbed::netns::{BPF_FILE_SYSTEM, Namespace};
use ringfence_testbed::require;
use ringfence_testbed::veth::Netlink;

/// What the host shows to everybody: its interfaces, its mounts, its named namespaces.
#[derive(Debug, PartialEq, Eq)]
struct Host {
    interfaces: Vec<String>,
    mounts: BTreeSet<String>,
    named_namespaces: BTreeSet<String>,
}

impl Host {
    fn now() -> Self {
        let names = |directory: &str| {
            fs::read_dir(directory)
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect()
        };
        Self {
            interfaces: Netlink::open().unwrap().interfaces().unwrap(),
            mounts: fs::read_to_string("/proc/self/mounts")
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect(),
            named_namespaces: names("/run/netns"),
        }
    }
}

#[test]
fn a_namespace_has_a_loopback_and_is_not_the_hosts() {
    let Some(_granted) = require::privileged() else { return };
    let namespace = Namespace::new().unwrap();
    let inside = namespace.run(|| fs::read_link("/proc/thread-self/ns/net").unwrap()).unwrap();
    assert_ne!(inside, fs::read_link("/proc/thread-self/ns/net").unwrap());
    let interfaces = namespace.run(|| Netlink::open().unwrap().interfaces().unwrap()).unwrap();
    assert_eq!(interfaces.first().map(String::as_str), Some("lo"));
}

#[test]
fn settings_are_the_namespaces_own() {
    let Some(_granted) = require::privileged() else { return };
    let outside = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    let namespace = Namespace::new().unwrap();
    for value in ["1", "0"] {
        namespace.set_all([("ipv4/ip_forward", value)].iter()).unwrap();
        let inside =
            namespace.run(|| fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap()).unwrap();
        assert_eq!(inside.trim(), value);
        assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), outside);
    }
    let error = namespace.set_all([("ipv4/no_such_setting", "1")].iter()).unwrap_err();
    assert_eq!(error.to_string(), "`/proc/sys/net/ipv4/no_such_setting` cannot be written");
}

#[test]
fn an_isolated_host_has_a_bpf_file_system_of_its_own() {
    let Some(_granted) = require::privileged() else { return };
    let host = Namespace::isolated_host().unwrap();
    let directory = Path::new(BPF_FILE_SYSTEM).join("ringfence-testbed-own");
    host.run(|| fs::create_dir(&directory).unwrap()).unwrap();
    assert!(host.run(|| directory.is_dir()).unwrap(), "it is there in the host's next thread");
    assert!(!directory.exists(), "and not on the real host");
    let another = Namespace::isolated_host().unwrap();
    assert!(!another.run(|| directory.exists()).unwrap(), "nor on another isolated host");

    for directory in ["/run", "/var/lib"] {
        let file = Path::new(directory).join("ringfence-testbed-own");
        host.run(|| fs::write(&file, "").unwrap()).unwrap();
        assert!(!file.exists(), "what is written below {directory} stays inside");
    }

    let outside = Netlink::open().unwrap().interfaces().unwrap();
    let inside = host.run(|| Netlink::open().unwrap().interfaces().unwrap()).unwrap();
    let listed: BTreeSet<_> = host
        .run(|| {
            fs::read_dir("/sys/class/net")
                .unwrap()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap();
    assert_eq!(listed, inside.into_iter().collect(), "sysfs shows the namespace, not {outside:?}");
}

#[test]
fn nothing_stays_after_a_panic() {
    let Some(_granted) = require::privileged() else { return };
    let before = Host::now();
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        let host = Namespace::isolated_host().unwrap();
        let workload = Namespace::new().unwrap();
        host.run(|| {
            Netlink::open().unwrap().add_veth("rf-panic", &workload, "eth0").unwrap();
            panic!("in the middle of it");
        })
    }));
    let message = result.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(*message, "in the middle of it", "the panic reaches the caller");
    assert_eq!(Host::now(), before);
}

/// Set in the child of [`nothing_stays_after_sigkill`].
const CHILD: &str = "RINGFENCE_TESTBED_CHILD";

#[test]
fn nothing_stays_after_sigkill() {
    let Some(_granted) = require::privileged() else { return };
    if env::var_os(CHILD).is_some() {
        return hold_a_veth_until_killed();
    }
    let before = Host::now();
    let ours = Namespace::new().unwrap();
    let mut child = ours
        .run(|| {
            Command::new(env::current_exe().unwrap())
                .args(["--exact", "nothing_stays_after_sigkill", "--nocapture"])
                .env(CHILD, "1")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("held")), "the child got as far as that");
    let interfaces = || ours.run(|| Netlink::open().unwrap().interfaces().unwrap()).unwrap();
    assert!(interfaces().contains(&"rf-killed".to_owned()), "{:?}", interfaces());

    child.kill().unwrap();
    child.wait().unwrap();
    // The veth's other end goes with the child's namespace, and this end with it.
    let deadline = Instant::now() + Duration::from_secs(10);
    while interfaces().contains(&"rf-killed".to_owned()) {
        assert!(Instant::now() < deadline, "the killed child's namespace is still there");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(Host::now(), before);
}

/// Connects the namespace this process was started in to one of its own.
fn hold_a_veth_until_killed() {
    let _host = Namespace::isolated_host().unwrap();
    let own = Namespace::new().unwrap();
    Netlink::open().unwrap().add_veth("rf-killed", &own, "eth0").unwrap();
    println!("held");
    // Until the parent kills this process or ends.
    let _ = io::stdin().lock().read_line(&mut String::new());
    thread::sleep(Duration::from_secs(60));
}
