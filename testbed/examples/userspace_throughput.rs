//! How many frames the userspace filter carries between two machines, and what each costs.
//!
//! ```sh
//! cargo run --release -p ringfence-testbed --example userspace_throughput
//! ```
//!
//! Root. A sender inside floods a machine outside with UDP datagrams in frames of 64 bytes (60 and
//! the checksum that a cable adds), over [`FLOWS`] flows; what arrives outside is counted by the
//! kernel there. Sender, filter and both kernels share the machine's processors, so the figure is
//! one for all of them together. Each measurement is [`SECONDS`] long and made [`RUNS`] times;
//! medians are printed. Then the same flood to a port that policy denies, which costs everything
//! but sending: the difference is the cost of sending. Time in the kernel and in the filter's own
//! code is that of the filter's threads as the kernel accounts it.
//!
//! Bias: a veth has no hardware, so there are neither interrupts nor DMA, and checksums stay
//! unfinished. The flood does not wait, so the sender takes time from the filter.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

use std::fs;
use std::io::IoSlice;
use std::net::UdpSocket;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg};
use ringfence_dataplane::backend::Settings;
use ringfence_dataplane::backend::userspace::live::{self, Running};
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_dataplane::enforce::{Ends, HostView, wires};
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::topology::{BOX_INSIDE, BOX_OUTSIDE, Machines};

const RUNS: usize = 5;
const SECONDS: f64 = 3.0;
const FLOWS: u16 = 16;

/// Bytes of UDP payload that make a frame of 60 bytes.
const PAYLOAD: usize = 18;

/// Datagrams sent with one system call.
const BATCH: usize = 64;

/// Two ports for the flood: policy allows one.
const ALLOWED: u16 = 5_000;
const DENIED: u16 = 6_000;

/// Clock ticks in a second as `/proc` counts them (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

const DOCUMENTS: &str = r#"
{apiVersion: ringfence.dev/v1alpha1, kind: Workload,
 metadata: {namespace: lab, name: inside, labels: {app: inside}},
 spec: {addresses: [10.0.0.1, "fd00::1"]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: lab, name: inside},
 spec: {podSelector: {}, policyTypes: [Egress],
  egress: [{to: [{ipBlock: {cidr: 10.0.0.0/24}}], ports: [{port: 5000, protocol: UDP}]}]}}
"#;

/// One measurement.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// Frames offered each second.
    offered: f64,
    /// Frames that the filter decided each second.
    decided: f64,
    /// Frames that arrived outside each second.
    arrived: f64,
    /// Microseconds of the filter's threads for each decided frame: own code, kernel.
    cost: [f64; 2],
}

fn main() {
    println!("{}", machine());
    println!(
        "{:<9} {:>7} {:>12} {:>12} {:>12} {:>10} {:>12}",
        "flood", "threads", "offered/s", "decided/s", "arrived/s", "own µs", "in kernel µs"
    );
    for threads in [1, 2] {
        for (name, port) in [("allowed", ALLOWED), ("denied", DENIED)] {
            let runs: Vec<Measured> = (0..RUNS).map(|_| measure(threads, port)).collect();
            let median = |field: fn(&Measured) -> f64| {
                let mut values: Vec<f64> = runs.iter().map(field).collect();
                values.sort_by(f64::total_cmp);
                values[values.len() / 2]
            };
            println!(
                "{name:<9} {threads:>7} {:>12.0} {:>12.0} {:>12.0} {:>10.2} {:>12.2}",
                median(|run| run.offered),
                median(|run| run.decided),
                median(|run| run.arrived),
                median(|run| run.cost[0]),
                median(|run| run.cost[1])
            );
        }
    }
    println!("load average after: {}", fs::read_to_string("/proc/loadavg").unwrap().trim());
}

/// The machine and what else it does.
fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name\t: "));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    format!(
        "{} processors ({}), Linux {}, load average before: {}",
        thread::available_parallelism().unwrap(),
        model.unwrap_or("unknown model"),
        release.trim(),
        load.trim()
    )
}

fn measure(threads: usize, port: u16) -> Measured {
    let machines = Machines::build(1_500).unwrap();
    let running = filter(&machines, threads);
    let stop = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        // It reads nothing: its queue overflows, which the kernel does cheaply.
        let sink = machines.outside.run(|| UdpSocket::bind(("10.0.0.2", port)).unwrap()).unwrap();
        let flood = scope.spawn(|| machines.inside.run(|| flood(port, &stop)).unwrap());
        thread::sleep(Duration::from_millis(300));
        let before = Reading::now(&running, &machines.outside);
        thread::sleep(Duration::from_secs_f64(SECONDS));
        let after = Reading::now(&running, &machines.outside);
        stop.store(true, Ordering::Relaxed);
        let offered = flood.join().unwrap();
        drop(sink);
        after.since(&before, offered)
    });
    let (counters, end) = running.stop();
    end.unwrap();
    let denied = counters[0].ways[0].denied();
    assert_eq!(denied > 0, port == DENIED, "policy decides: {counters:?}");
    result
}

fn filter(machines: &Machines, threads: usize) -> Running {
    let input = Input::Text { name: "lab.yaml".into(), text: DOCUMENTS.into() };
    let policies = document::read(&[input], Validation::Strict).policies.unwrap();
    let tables = compile(&policies).unwrap();
    let options = live::Options {
        mode: Default::default(),
        settings: Settings::default(),
        threads: NonZeroUsize::new(threads).unwrap(),
    };
    let ends = [Ends { inside: BOX_INSIDE.into(), outside: BOX_OUTSIDE.into() }];
    let start = || {
        let placed = wires(&tables, &ends, &HostView::read().unwrap()).unwrap();
        live::start(placed.wires, &tables, options).unwrap()
    };
    machines.filter_box.run(start).unwrap()
}

/// Sends as fast as it goes until it is told to stop, and says how many frames a second that were.
fn flood(port: u16, stop: &AtomicBool) -> f64 {
    let sockets: Vec<UdpSocket> = (0..FLOWS)
        .map(|_| {
            let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
            socket.connect(("10.0.0.2", port)).unwrap();
            socket
        })
        .collect();
    let payload = [0; PAYLOAD];
    let messages: Vec<[IoSlice<'_>; 1]> = (0..BATCH).map(|_| [IoSlice::new(&payload)]).collect();
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    let started = Instant::now();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        for socket in &sockets {
            let batch = sendmmsg(
                socket.as_raw_fd(),
                &mut headers,
                messages.iter(),
                [None; BATCH],
                [],
                MsgFlags::empty(),
            );
            // A refusal is the other kernel's answer to an earlier datagram.
            sent += batch.map_or(0, Iterator::count);
        }
    }
    sent as f64 / started.elapsed().as_secs_f64()
}

/// What has happened until some moment.
struct Reading {
    at: Instant,
    decided: u64,
    arrived: u64,
    /// Ticks of the filter's threads: own code, kernel.
    ticks: [u64; 2],
}

impl Reading {
    fn now(running: &Running, outside: &Namespace) -> Self {
        let ways = &running.counters()[0].ways;
        Self {
            at: Instant::now(),
            decided: ways[0].decided.values().map(|counter| counter.packets).sum(),
            arrived: outside.run(received).unwrap(),
            ticks: filter_ticks(),
        }
    }

    fn since(&self, before: &Self, offered: f64) -> Measured {
        let seconds = (self.at - before.at).as_secs_f64();
        let decided = (self.decided - before.decided) as f64;
        let cost = |which: usize| {
            let ticks = (self.ticks[which] - before.ticks[which]) as f64;
            ticks / TICKS_PER_SECOND / decided * 1e6
        };
        Measured {
            offered,
            decided: decided / seconds,
            arrived: (self.arrived - before.arrived) as f64 / seconds,
            cost: [cost(0), cost(1)],
        }
    }
}

/// Frames that `eth0` of this namespace has received.
fn received() -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let line = table.lines().find_map(|line| line.trim().strip_prefix("eth0:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Ticks of all threads called `filter` (proc(5), `utime` and `stime`).
fn filter_ticks() -> [u64; 2] {
    let mut sum = [0; 2];
    for task in fs::read_dir("/proc/self/task").unwrap() {
        // A thread may end while the list is read.
        let Ok(stat) = fs::read_to_string(task.unwrap().path().join("stat")) else { continue };
        let Some((name, rest)) = stat.split_once(") ") else { continue };
        if name.ends_with("(filter") {
            let fields: Vec<&str> = rest.split_whitespace().collect();
            sum[0] += fields[11].parse::<u64>().unwrap();
            sum[1] += fields[12].parse::<u64>().unwrap();
        }
    }
    sum
}
