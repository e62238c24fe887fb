//! A wire to a host, and what arrives there.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use aya::programs::TcAttachType;
use ipnet::IpNet;
use ringfence_common::abi::config::Hook;
use ringfence_dataplane::backend::ebpf::{Kernel, LoadedProgram};
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::port;
use ringfence_testbed::random::Random;
use ringfence_testbed::veth::{Netlink, Via};

use crate::policies::{ALLOWED, DENIED, HOST};

/// What both ends of the wire are called.
const NAME: &str = "mixed";

/// Packets N go to this port, at which somebody listens; packets A to ports at which nobody does.
const LISTENED: u16 = 9_999;

/// Packets sent in a row before others have a turn.
const BURST: usize = 32;

/// Two ends of a wire.
pub struct Wire {
    pub near: Namespace,
    pub host: Namespace,
    pub ifindex: u32,
}

impl Wire {
    pub fn new() -> Self {
        let (near, host) = (Namespace::new().unwrap(), Namespace::isolated_host().unwrap());
        near.run(|| {
            let netlink = Netlink::open().unwrap();
            netlink.add_veth(NAME, &host, NAME).unwrap();
            netlink.set_up(NAME).unwrap();
            for address in ALLOWED.iter().chain(&DENIED) {
                netlink.add_address(NAME, address.parse::<IpAddr>().unwrap().into()).unwrap();
            }
            route(&netlink, &HOST);
        })
        .unwrap();
        let ifindex = host
            .run(|| {
                let netlink = Netlink::open().unwrap();
                netlink.set_up(NAME).unwrap();
                for address in HOST {
                    netlink.add_address(NAME, address.parse::<IpAddr>().unwrap().into()).unwrap();
                }
                route(&netlink, &ALLOWED);
                route(&netlink, &DENIED);
                netlink.index(NAME).unwrap()
            })
            .unwrap();
        Self { near, host, ifindex }
    }

    /// Runs `work` on the host.
    pub fn at_host<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.host.run(work).unwrap()
    }

    /// Lets the program see what arrives, for as long as the answer lives.
    pub fn attach(&self, kernel: &mut Kernel) -> LoadedProgram {
        kernel.load(&[Hook::TcIngress]).unwrap();
        let mut program = kernel.program(Hook::TcIngress).unwrap();
        self.at_host(|| {
            if let LoadedProgram::Tc(program) = &mut program {
                program.attach(NAME, TcAttachType::Ingress).unwrap();
            }
        });
        program
    }

    /// Sends one packet after the other until some of both families have arrived: both ends know
    /// each other then.
    fn warm_up(&self) {
        for family in 0..2 {
            let before = self.at_host(unlistened);
            let ready = self.near.run(|| {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_secs(10) {
                    // The address may not be ready yet.
                    if let Ok(socket) = UdpSocket::bind(at(ALLOWED[family], 0)) {
                        let _ = socket.send_to(&[0; 8], at(HOST[family], 9_000));
                    }
                    sleep(Duration::from_millis(20));
                    if self.at_host(unlistened) > before + 2 {
                        return true;
                    }
                }
                false
            });
            assert!(ready.unwrap(), "nothing arrives at {}", HOST[family]);
        }
        sleep(Duration::from_millis(100));
    }

    /// Starts sending A and N, all four at once: two kinds, two families.
    pub fn start(&self) -> Load {
        let listeners = self.at_host(|| {
            HOST.map(|address| {
                let socket = port::udp(at(address, LISTENED)).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket
            })
        });
        self.warm_up();
        let before = self.at_host(unlistened);
        let is_over = Arc::new(AtomicBool::new(false));
        let sent = Arc::new([const { AtomicU64::new(0) }; 2]);
        let sender = {
            let (is_over, sent) = (Arc::clone(&is_over), Arc::clone(&sent));
            self.near.spawn("sender", move || send(&is_over, &sent)).unwrap()
        };
        Load { listeners, before, is_over, sent, sender }
    }
}

/// Packets under way.
pub struct Load {
    listeners: [UdpSocket; 2],
    before: u64,
    is_over: Arc<AtomicBool>,
    sent: Arc<[AtomicU64; 2]>,
    sender: JoinHandle<Result<(), ringfence_testbed::netns::NamespaceError>>,
}

/// How many packets A and N were sent, and how many of them arrived.
#[derive(Debug, PartialEq, Eq)]
pub struct Count {
    pub sent: [u64; 2],
    pub arrived: [u64; 2],
}

impl Load {
    /// Stops sending and counts.
    pub fn finish(self, wire: &Wire) -> Count {
        self.is_over.store(true, Ordering::Relaxed);
        self.sender.join().unwrap().unwrap();
        let allowed = wire.at_host(unlistened) - self.before;
        let denied = self.listeners.iter().map(|socket| {
            let mut buffer = [0; 64];
            std::iter::repeat_with(|| socket.recv(&mut buffer)).take_while(Result::is_ok).count()
        });
        let denied = denied.sum::<usize>() as u64;
        let sent = [0, 1].map(|kind: usize| self.sent[kind].load(Ordering::Relaxed));
        Count { sent, arrived: [allowed, denied] }
    }
}

/// Sends until it is over. A packet is a flow of its own: its destination port is drawn, or its
/// source port is another.
fn send(is_over: &AtomicBool, sent: &[AtomicU64; 2]) {
    let mut random = Random::new(0xabcd);
    let socket = |address: &str| UdpSocket::bind(at(address, 0)).unwrap();
    let allowed = ALLOWED.map(socket);
    let denied: Vec<[UdpSocket; 2]> = (0..64).map(|_| DENIED.map(socket)).collect();
    let mut turn = 0;
    while !is_over.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            for family in 0..2 {
                let port = 10_000 + random.below(50_000) as u16;
                // What the filter drops, the sender is not told of.
                allowed[family].send_to(&[1; 8], at(HOST[family], port)).unwrap();
                sent[0].fetch_add(1, Ordering::Relaxed);
                let socket = &denied[turn % denied.len()][family];
                socket.send_to(&[2; 8], at(HOST[family], LISTENED)).unwrap();
                sent[1].fetch_add(1, Ordering::Relaxed);
                turn += 1;
            }
        }
        std::thread::yield_now();
    }
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

fn route(netlink: &Netlink, addresses: &[&str; 2]) {
    for address in addresses {
        let prefix = IpNet::from(address.parse::<IpAddr>().unwrap());
        netlink.add_route(prefix, Via::Link { interface: NAME, source: None }).unwrap();
    }
}

/// UDP packets of both families that have come to ports at which nobody listens.
fn unlistened() -> u64 {
    let v4 = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut lines = v4.lines().filter(|line| line.starts_with("Udp:"));
    let names: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let values: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let place = names.iter().position(|name| *name == "NoPorts").unwrap();
    let v6 = fs::read_to_string("/proc/thread-self/net/snmp6").unwrap();
    let line = v6.lines().find(|line| line.starts_with("Udp6NoPorts")).unwrap();
    let of_v6: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    values[place].parse::<u64>().unwrap() + of_v6
}
