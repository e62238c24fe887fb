//! `ringfence run-userspace` between real interfaces: what passes, and what is left when it ends.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_testbed::connectivity::{Probe, measure};
use ringfence_testbed::require;
use ringfence_testbed::topology::{Family, Topology, Wiring};
use ringfence_testbed::veth::Netlink;
use ringfence_testbed::workload::{Outcome, Process, Transport, start_all};
use serde_json::Value;
use tempfile::TempDir;

use crate::host::{Run, command, ingress};

/// `IFF_PROMISC` (Linux `include/uapi/linux/if.h`).
const PROMISCUOUS: u32 = 0x100;

/// The database's port.
const PORT: u16 = 5432;

/// Three workloads, each behind the box.
struct Shop {
    topology: Topology,
    processes: Vec<Process>,
    folder: TempDir,
}

fn workload(name: &str, last: u8, more: &str) -> String {
    format!(
        "---\n{{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {{namespace: shop, \
         name: {name}, labels: {{app: {name}}}}}, \
         spec: {{addresses: [10.20.0.{last}, \"fd20::{last}\"]{more}}}}}\n"
    )
}

const WORKLOADS: [(&str, u8); 3] = [("api", 12), ("db", 13), ("web", 11)];

impl Shop {
    fn open() -> Self {
        let plain = WORKLOADS.map(|(name, last)| workload(name, last, ""));
        let text = [&plain.concat(), &workload("node", 1, ", host: true")[..]].concat();
        let input = Input::Text { name: "workloads.yaml".into(), text };
        let policies = document::read(&[input], Validation::Strict).policies;
        let inventory = policies.expect("the documents are right").inventory;
        let topology = Topology::build_wired(&inventory, &[], Wiring::ThroughBox)
            .expect("the network can be built");
        let processes = start_all(&topology, &[PORT]).expect("the servers start");
        Self { topology, processes, folder: tempfile::tempdir().expect("a temporary directory") }
    }

    /// Documents in which each workload says its interface.
    fn documents(&self, policies: &[String]) -> PathBuf {
        let mut text = String::new();
        for (name, last) in WORKLOADS {
            let links = &self.topology.filter_box().expect("there is a box").links;
            let link = links.iter().find(|link| link.workload == format!("shop/{name}"));
            let interface = &link.expect("every workload has a link").inside;
            text += &workload(name, last, &format!(", interface: {interface}"));
        }
        let path = self.folder.path().join("policies.yaml");
        fs::write(&path, text + &policies.concat()).expect("the file can be written");
        path
    }

    fn in_box<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let filter_box = self.topology.filter_box().expect("there is a box");
        filter_box.namespace.run(work).expect("the box can be entered")
    }

    fn arguments(&self, documents: &Path) -> Vec<String> {
        let mut arguments = vec!["run-userspace".to_owned(), "-f".to_owned()];
        arguments.push(documents.to_str().expect("the path is text").to_owned());
        for link in &self.topology.filter_box().expect("there is a box").links {
            arguments.extend(["--between".to_owned(), link.inside.clone(), link.outside.clone()]);
        }
        arguments
    }

    /// Starts the command and waits until it filters.
    fn start(&self, documents: &Path, more: &[&str]) -> Filter {
        let mut arguments = self.arguments(documents);
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let stderr = self.folder.path().join("stderr");
        let log = fs::File::create(&stderr).expect("a file for stderr");
        let child = self.in_box(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let mut command = command(Path::new(env!("CARGO_BIN_EXE_ringfence")), &arguments);
            command.stdout(Stdio::piped()).stderr(log).spawn().expect("the command starts")
        });
        let filter = Filter { child, stderr };
        filter.wait_for("(generation 1)", 3);
        filter
    }

    /// Who reaches the database.
    fn reach_db(&self) -> BTreeSet<&'static str> {
        let number = |name: &str| {
            let mut places = self.topology.places().iter();
            places.position(|place| place.name == format!("shop/{name}")).expect("it is a place")
        };
        let probe = |name, transport, family| Probe {
            source: number(name),
            destination: number("db"),
            port: PORT,
            transport,
            family,
        };
        let all = ["api", "web"].iter().flat_map(|name| {
            Transport::ALL
                .into_iter()
                .flat_map(move |transport| Family::ALL.map(|family| (*name, transport, family)))
        });
        let all: Vec<_> = all.collect();
        let probes: Vec<Probe> =
            all.iter().map(|(name, transport, family)| probe(name, *transport, *family)).collect();
        let outcomes = measure(&self.processes, &probes, &|_| false);
        let answered = |probe: &Probe| outcomes[probe] == Outcome::Answered;
        all.iter()
            .filter(|(name, transport, family)| answered(&probe(name, *transport, *family)))
            .map(|(name, ..)| *name)
            .collect()
    }

    /// Names of the box's interfaces that see frames for others.
    fn promiscuous(&self) -> Vec<String> {
        self.in_box(|| {
            let names = Netlink::open().and_then(|netlink| netlink.interfaces());
            let flags = |name: &String| {
                let text = fs::read_to_string(format!("/sys/class/net/{name}/flags"));
                let text = text.expect("every interface has flags");
                let digits = text.trim().trim_start_matches("0x").to_owned();
                u32::from_str_radix(&digits, 16).expect("flags are a number")
            };
            let mut names = names.expect("the interfaces can be listed");
            names.retain(|name| flags(name) & PROMISCUOUS != 0);
            names
        })
    }

    /// How many packet sockets there are in the box.
    fn packet_sockets(&self) -> usize {
        self.in_box(|| {
            let sockets = fs::read_to_string("/proc/thread-self/net/packet");
            sockets.expect("the list of packet sockets can be read").lines().count() - 1
        })
    }
}

/// The command while it runs. It is killed when the test ends without ending it.
struct Filter {
    child: Child,
    stderr: PathBuf,
}

impl Filter {
    fn wait_for(&self, text: &str, times: usize) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let said = fs::read_to_string(&self.stderr).expect("stderr can be read");
            if said.matches(text).count() >= times {
                return;
            }
            assert!(Instant::now() < end, "`{text}` {times} times in: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.child.id()).expect("a process has a small number");
        kill(Pid::from_raw(process), signal).expect("the process is there");
    }

    fn end(&mut self, signal: Signal) -> Run {
        self.signal(signal);
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("stdout is a pipe");
        pipe.read_to_string(&mut stdout).expect("stdout is text");
        let code = self.child.wait().expect("it ends").code();
        let stderr = fs::read_to_string(&self.stderr).expect("stderr can be read");
        Run { code, stdout, stderr }
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn policy_counts_as_long_as_the_command_runs_and_nothing_passes_after() {
    let Some(_granted) = require::privileged() else { return };
    let shop = Shop::open();
    let documents = shop.documents(&[ingress_tcp_udp("web")]);
    assert_eq!(shop.reach_db(), BTreeSet::new(), "the box itself carries nothing");

    for (signal, threads) in [(Signal::SIGINT, "1"), (Signal::SIGTERM, "3")] {
        let mut filter = shop.start(&documents, &["-o", "json", "--threads", threads]);
        assert_eq!(shop.reach_db(), ["web"].into());
        assert_eq!(shop.promiscuous().len(), 6);
        let run = filter.end(signal);
        assert_eq!(run.code, Some(0), "{run:?}");

        assert_eq!((shop.promiscuous(), shop.packet_sockets()), (vec![], 0));
        assert_eq!(shop.reach_db(), BTreeSet::new(), "nobody carries frames after {signal}");
        let counters: Value = serde_json::from_str(&run.stdout).expect("stdout is JSON");
        let ways = counters["ways"].as_array().expect("a list of ways");
        assert_eq!((&counters["version"], ways.len()), (&Value::from(1), 6), "{counters}");
        let denied = |way: &&Value| way["denied"].as_u64() > Some(0);
        let to_db: Vec<&Value> = ways.iter().filter(denied).collect();
        assert_eq!(to_db.len(), 1, "only the database denies: {counters}");
        let mut decisions = to_db[0]["decisions"].as_array().expect("a list").iter();
        let no_rule = decisions.find(|one| one["reason"] == "NoRule");
        // Four questions of the API, each asked more than once.
        let packets = no_rule.and_then(|one| one["packets"].as_u64());
        assert!(packets >= Some(4), "{counters}");
    }
}

#[test]
fn a_killed_command_leaves_nothing_and_nothing_passes() {
    let Some(_granted) = require::privileged() else { return };
    let shop = Shop::open();
    let mut filter = shop.start(&shop.documents(&[]), &[]);
    assert_eq!(shop.reach_db(), ["api", "web"].into(), "no policy isolates anybody");
    let run = filter.end(Signal::SIGKILL);
    assert_eq!((run.code, run.stdout.as_str()), (None, ""));
    assert_eq!((shop.promiscuous(), shop.packet_sockets()), (vec![], 0));
    assert_eq!(shop.reach_db(), BTreeSet::new());
}

#[test]
fn sighup_replaces_the_policy_and_keeps_the_old_one_where_the_new_is_wrong() {
    let Some(_granted) = require::privileged() else { return };
    let shop = Shop::open();
    let mut filter = shop.start(&shop.documents(&[ingress_tcp_udp("web")]), &[]);
    assert_eq!(shop.reach_db(), ["web"].into());

    shop.documents(&[ingress_tcp_udp("api")]);
    filter.signal(Signal::SIGHUP);
    filter.wait_for("(generation 2)", 3);
    assert_eq!(shop.reach_db(), ["api"].into());

    shop.documents(&["---\nkind: NetworkPolicies\n".to_owned()]);
    filter.signal(Signal::SIGHUP);
    filter.wait_for("the policy from before stays in force", 1);
    assert_eq!(shop.reach_db(), ["api"].into());
    let run = filter.end(Signal::SIGINT);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("NoRule"), "{run:?}");
}

#[test]
fn an_interface_that_goes_away_ends_the_command() {
    let Some(_granted) = require::privileged() else { return };
    let shop = Shop::open();
    let mut filter = shop.start(&shop.documents(&[]), &[]);
    shop.in_box(|| Netlink::open().and_then(|netlink| netlink.remove("in-0"))).expect("it goes");
    let code = filter.child.wait().expect("it ends").code();
    let said = fs::read_to_string(&filter.stderr).expect("stderr can be read");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("interface `in-0` is gone; nothing passes any more"), "{said}");
    assert_eq!((shop.promiscuous(), shop.packet_sockets()), (vec![], 0));
}

/// Nothing arrives on an interface that is down, so nothing tells when it goes.
#[test]
fn an_interface_that_goes_away_while_it_is_down_ends_the_command() {
    let Some(_granted) = require::privileged() else { return };
    let shop = Shop::open();
    let mut filter = shop.start(&shop.documents(&[]), &["--threads", "2"]);
    shop.in_box(|| Netlink::open().and_then(|netlink| netlink.set_down("out-1"))).expect("it goes");
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(filter.child.try_wait().expect("it can be asked"), None, "it may come up again");
    shop.in_box(|| {
        let netlink = Netlink::open()?;
        netlink.remove("out-1")?;
        // Another one of the same name is not the one that was filtered.
        let filter_box = &shop.topology.filter_box().expect("there is a box").namespace;
        netlink.add_veth("out-1", filter_box, "other-1")
    })
    .expect("it is replaced");
    let end = Instant::now() + Duration::from_secs(5);
    let code = loop {
        if let Some(status) = filter.child.try_wait().expect("it can be asked") {
            break status.code();
        }
        assert!(Instant::now() < end, "the command goes on without its interface");
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = fs::read_to_string(&filter.stderr).expect("stderr can be read");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("interface `out-1` is gone; nothing passes any more"), "{said}");
}

#[test]
fn interfaces_that_are_unfit_and_missing_privileges_are_said() {
    let Some(_granted) = require::privileged() else { return };
    let shop = Shop::open();
    let documents = shop.documents(&[]);
    let program = Path::new(env!("CARGO_BIN_EXE_ringfence"));
    let run = |between: &[[&str; 2]]| {
        shop.in_box(|| {
            let file = documents.to_str().expect("the path is text");
            let ends = between.iter().flat_map(|[a, b]| ["--between", a, b]);
            let arguments: Vec<&str> =
                ["run-userspace", "-f", file].into_iter().chain(ends).collect();
            output(command(program, &arguments))
        })
    };
    run(&[["in-0", "out-9"]]).assert_refused(1, &["no interface `out-9`", "similar: `out-0`"]);
    run(&[["in-0", "in-0"]]).assert_refused(1, &["`in-0`", "name each interface once"]);
    run(&[["lo", "in-0"]]).assert_refused(1, &["`lo`", "no Ethernet interface"]);
    let usage = run(&[]);
    assert_eq!(usage.code, Some(2), "{usage:?}");

    shop.in_box(|| {
        let address = "192.0.2.1/24".parse().expect("an address");
        Netlink::open().and_then(|netlink| netlink.add_address("out-1", address))
    })
    .expect("the address can be added");
    run(&[["in-1", "out-1"]]).assert_refused(1, &["`out-1` has the address 192.0.2.1", "flush"]);
    let forwarding = "/proc/sys/net/ipv4/conf/out-0/forwarding";
    shop.in_box(|| fs::write(forwarding, "1")).expect("the setting can be written");
    run(&[["in-0", "out-0"]]).assert_refused(1, &["sysctl -w net/ipv4/conf/out-0/forwarding=0"]);

    // IPv6 is forwarded by what all interfaces are told, unless the end is without IPv6.
    let setting = |path: &str, value| {
        let path = format!("/proc/sys/net/ipv6/conf/{path}");
        shop.in_box(|| fs::write(path, value)).expect("the setting can be written");
    };
    setting("in-2/disable_ipv6", "0");
    setting("all/forwarding", "1");
    run(&[["in-2", "out-2"]]).assert_refused(
        1,
        &["`net/ipv6/conf/all/forwarding`", "net/ipv6/conf/in-2/disable_ipv6=1"],
    );
    setting("all/forwarding", "0");
    setting("in-2/disable_ipv6", "1");

    let filter_box = &shop.topology.filter_box().expect("there is a box").namespace;
    shop.in_box(|| {
        let netlink = Netlink::open()?;
        netlink.add_veth("loop-a", filter_box, "loop-b")?;
        ["loop-a", "loop-b"].into_iter().try_for_each(|name| netlink.set_up(name))
    })
    .expect("the pair can be made");
    run(&[["loop-a", "loop-b"]])
        .assert_refused(1, &["linked to each other", "`loop-a`", "`loop-b`"]);

    let copy = shop.folder.path().join("ringfence");
    fs::copy(program, &copy).expect("the command can be copied");
    for path in [shop.folder.path(), &copy] {
        let everybody = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path, everybody).expect("permissions can be set");
    }
    let file = documents.to_str().expect("the path is text");
    let refused = shop.in_box(|| {
        let mut command =
            command(&copy, &["run-userspace", "-f", file, "--between", "in-2", "out-2"]);
        command.uid(65_534).gid(65_534);
        output(command)
    });
    refused.assert_refused(1, &["CAP_NET_RAW", "sudo"]);
}

fn output(mut command: std::process::Command) -> Run {
    let output = command.output().expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is text");
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A policy that lets `from` reach the database over TCP and UDP.
fn ingress_tcp_udp(from: &str) -> String {
    let port = format!("{{port: {PORT}}}");
    ingress("db", from, PORT).replace(&port, &format!("{port}, {{port: {PORT}, protocol: UDP}}"))
}

#[test]
fn a_signal_before_the_documents_are_read_ends_the_command() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let program = Path::new(env!("CARGO_BIN_EXE_ringfence"));
        let mut command =
            command(program, &["run-userspace", "-f", "-", "--between", "none-0", "none-1"]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the command starts");
        std::thread::sleep(Duration::from_millis(300));
        let process = i32::try_from(child.id()).expect("a process has a small number");
        kill(Pid::from_raw(process), signal).expect("the process is there");
        let end = Instant::now() + Duration::from_secs(5);
        while child.try_wait().expect("it can be asked").is_none() {
            if Instant::now() > end {
                let _ = child.kill();
                panic!("{signal} is swallowed while documents are awaited");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
