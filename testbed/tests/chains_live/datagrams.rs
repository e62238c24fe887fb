//! Datagrams that each open a flow of their own, counted where they arrive.
//!
//! A packet of a known connection passes without policy being asked. Here every datagram comes
//! from another port, and none is answered: each one is judged by the policy of its moment.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use ringfence_testbed::netns::{Namespace, NamespaceError};
use ringfence_testbed::port;
use ringfence_testbed::topology::{Family, Place};
use socket2::{Domain, SockRef, Socket, Type};

use crate::host::Host;

/// Source ports. Nobody listens there, and the kernel chooses none of them itself.
const SOURCES: std::ops::Range<u16> = 10_000..30_000;
/// Time between two datagrams of a way.
const TICK: Duration = Duration::from_millis(2);
/// How long a datagram may be on its way.
const LAST: Duration = Duration::from_millis(300);
const ATTEMPTS: usize = 10;
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// From whom to whom, in both families.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub from: &'static str,
    pub to: &'static str,
    /// Where nobody else listens; no two ways to one place have the same.
    pub port: u16,
}

/// What became of the datagrams of a way in one family.
#[derive(Debug)]
pub struct Count {
    pub family: Family,
    pub sent: u32,
    pub arrived: BTreeSet<u32>,
}

impl Count {
    pub fn lost(&self) -> Vec<u32> {
        (0..self.sent).filter(|number| !self.arrived.contains(number)).collect()
    }
}

/// Datagrams that are being sent.
pub struct Flood {
    is_over: Arc<AtomicBool>,
    streams: Vec<Stream>,
}

type Thread<T> = JoinHandle<Result<T, NamespaceError>>;

struct Stream {
    way: Way,
    family: Family,
    sender: Thread<u32>,
    has_ended: Arc<AtomicBool>,
    receiver: Thread<BTreeSet<u32>>,
}

impl Flood {
    pub fn start(host: &Host, ways: &[Way]) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let each = ways.iter().flat_map(|way| Family::ALL.map(|family| (*way, family)));
        let streams = each.map(|(way, family)| stream(host, way, family, &is_over)).collect();
        Self { is_over, streams }
    }

    /// Ends it: for each way what became of its datagrams, family by family.
    pub fn finish(self) -> Vec<(Way, Count)> {
        self.is_over.store(true, Ordering::Relaxed);
        let sent: Vec<_> = self
            .streams
            .into_iter()
            .map(|stream| {
                let sent = stream.sender.join().unwrap().unwrap();
                (stream.way, stream.family, sent, stream.has_ended, stream.receiver)
            })
            .collect();
        sleep(LAST);
        let count =
            |(way, family, sent, has_ended, receiver): (_, _, _, Arc<AtomicBool>, Thread<_>)| {
                has_ended.store(true, Ordering::Relaxed);
                (way, Count { family, sent, arrived: receiver.join().unwrap().unwrap() })
            };
        sent.into_iter().map(count).collect()
    }
}

/// Whether datagrams arrive, of both families alike, while nothing changes. On a busy machine those
/// that are `expected` to may need more than one attempt.
pub fn arrive(host: &Host, way: Way, expected: bool) -> bool {
    let mut arrived = BTreeSet::new();
    for _ in 0..if expected { ATTEMPTS } else { 1 } {
        let flood = Flood::start(host, &[way]);
        sleep(10 * TICK);
        let counts = flood.finish();
        let some = counts.iter().filter(|(_, count)| !count.arrived.is_empty());
        arrived.extend(some.map(|(_, count)| count.family));
        if arrived.len() == Family::ALL.len() {
            return true;
        }
    }
    assert!(arrived.is_empty(), "{}, {way:?}: only {arrived:?} arrives", host.backend);
    false
}

fn stream(host: &Host, way: Way, family: Family, is_over: &Arc<AtomicBool>) -> Stream {
    let (from, to) = (host.place(way.from), host.place(way.to));
    let (source, destination) = (own(from, family), SocketAddr::new(own(to, family), way.port));
    let socket = in_namespace(&to.namespace, move || port::udp(destination).unwrap());
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES).unwrap();
    socket.set_read_timeout(Some(LAST)).unwrap();
    let has_ended = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&has_ended);
    let receiver = to.namespace.spawn("receiver", move || receive(&socket, &ended)).unwrap();
    let over = Arc::clone(is_over);
    let sender = from.namespace.spawn("sender", move || send(source, destination, &over)).unwrap();
    Stream { way, family, sender, has_ended, receiver }
}

fn own(place: &Place, family: Family) -> IpAddr {
    place.address(family).unwrap_or_else(|| panic!("{} has no {family}", place.name))
}

fn in_namespace<T: Send>(namespace: &Namespace, work: impl FnOnce() -> T + Send) -> T {
    namespace.run(work).unwrap()
}

/// Sends datagrams 0, 1, … until it is over; how many those were.
fn send(source: IpAddr, destination: SocketAddr, is_over: &AtomicBool) -> u32 {
    let mut ports = SOURCES.cycle();
    let mut number = 0_u32;
    while !is_over.load(Ordering::Relaxed) {
        let port = ports.next().unwrap();
        match open(SocketAddr::new(source, port)).send_to(&number.to_be_bytes(), destination) {
            Ok(_) => {}
            // What the sender's own host drops.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => panic!("{source} -> {destination}: {error}"),
        }
        number += 1;
        sleep(TICK);
    }
    number
}

/// Other ways from the same place use the same ports.
fn open(source: SocketAddr) -> UdpSocket {
    let socket = Socket::new(Domain::for_address(source), Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&source.into()).unwrap();
    socket.into()
}

fn receive(socket: &UdpSocket, has_ended: &AtomicBool) -> BTreeSet<u32> {
    let mut arrived = BTreeSet::new();
    let mut bytes = [0; 4];
    loop {
        match socket.recv(&mut bytes) {
            Ok(_) => {
                arrived.insert(u32::from_be_bytes(bytes));
            }
            Err(_) if has_ended.load(Ordering::Relaxed) => return arrived,
            Err(_) => {}
        }
    }
}
