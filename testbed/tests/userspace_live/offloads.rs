//! What the driver knows of frames goes through with them.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ringfence_dataplane::backend::userspace::live::{NotSent, WayCounters};
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::port;
use ringfence_testbed::require;
use ringfence_testbed::topology::{BOX_OUTSIDE, Machines};
use ringfence_testbed::veth::Netlink;

use crate::wire::{start, stop};

/// Bytes transferred each way.
const TRANSFERRED: usize = 50 << 20;

/// The longest frame of cables with an MTU of 1,500 bytes.
const LONGEST: u64 = 1_514;

const PATIENCE: Duration = Duration::from_secs(20);

/// The bytes that every transfer has, from any place on.
fn content(from: usize, count: usize) -> Vec<u8> {
    let mixed = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) as u8;
    (from..from + count).map(mixed).collect()
}

/// Sends `bytes` of content to whoever connects, and checks that the other end got them.
fn transfer(from: &Namespace, to: &Namespace, server: SocketAddr, bytes: usize) {
    const CHUNK: usize = 1 << 18;
    thread::scope(|scope| {
        let (ready, listening) = mpsc::channel();
        let sender = scope.spawn(move || {
            from.run(|| {
                let listener = TcpListener::bind(server).unwrap();
                ready.send(()).unwrap();
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                for at in (0..bytes).step_by(CHUNK) {
                    stream.write_all(&content(at, CHUNK.min(bytes - at))).unwrap();
                }
            })
            .unwrap();
        });
        listening.recv().unwrap();
        to.run(|| {
            let mut stream = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut chunk = vec![0; CHUNK];
            for at in (0..bytes).step_by(CHUNK) {
                let expected = CHUNK.min(bytes - at);
                stream.read_exact(&mut chunk[..expected]).unwrap();
                assert!(chunk[..expected] == content(at, expected), "bytes from {at} on differ");
            }
            assert_eq!(stream.read(&mut chunk).unwrap(), 0, "the stream ends where it should");
        })
        .unwrap();
        sender.join().unwrap();
    });
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse::<IpAddr>().unwrap(), port)
}

/// Nothing went wrong with any frame.
fn assert_unharmed(ways: &[WayCounters; 2]) {
    for way in ways {
        assert_eq!((way.denied(), way.cut, way.unreadable), (0, 0, 0), "{way:?}");
        assert!(way.not_sent.is_empty(), "{way:?}");
    }
}

fn bytes_per_packet(way: &WayCounters) -> u64 {
    let sum = way
        .decided
        .values()
        .fold((0, 0), |sum, counter| (sum.0 + counter.bytes, sum.1 + counter.packets));
    sum.0 / sum.1
}

#[test]
fn tcp_at_full_speed_keeps_its_content_both_ways() {
    let Some(_granted) = require::privileged() else { return };
    let machines = Machines::build(1_500).unwrap();
    let (inside, outside) = (&machines.inside, &machines.outside);
    let running = start(&machines, 2);
    transfer(outside, inside, at("10.0.0.2", 5_001), TRANSFERRED);
    transfer(inside, outside, at("fd00::1", 5_002), TRANSFERRED);
    let ways = stop(running);
    assert_unharmed(&ways);
    for way in &ways {
        let mean = bytes_per_packet(way);
        assert!(mean > 2 * LONGEST, "{mean} bytes in a frame: offloads are off, and untried");
    }
}

/// Sends datagrams of these lengths and says which arrived.
fn datagrams(
    from: &Namespace,
    to: &Namespace,
    server: SocketAddr,
    lengths: &[usize],
) -> Vec<usize> {
    thread::scope(|scope| {
        let (ready, listening) = mpsc::channel();
        let receiver = scope.spawn(move || {
            to.run(|| {
                let socket = port::udp(server).unwrap();
                socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
                ready.send(()).unwrap();
                let mut datagram = vec![0; 1 << 16];
                let mut arrived = Vec::new();
                while let Ok(length) = socket.recv(&mut datagram) {
                    assert!(datagram[..length] == content(0, length), "{length} bytes differ");
                    arrived.push(length);
                }
                arrived
            })
            .unwrap()
        });
        listening.recv().unwrap();
        from.run(|| {
            let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).unwrap();
            for length in lengths {
                socket.send_to(&content(0, *length), server).unwrap();
            }
        })
        .unwrap();
        receiver.join().unwrap()
    })
}

#[test]
fn fragments_pass_whole() {
    let Some(_granted) = require::privileged() else { return };
    let machines = Machines::build(1_500).unwrap();
    let running = start(&machines, 2);
    let lengths = [1, 1_472, 1_473, 5_000, 9_000];
    for server in [at("10.0.0.2", 5_001), at("fd00::2", 5_001)] {
        let mut arrived = datagrams(&machines.inside, &machines.outside, server, &lengths);
        // Fragments and whole datagrams may go through different threads.
        arrived.sort_unstable();
        assert_eq!(arrived, lengths);
    }
    assert_unharmed(&stop(running));
}

#[test]
fn what_is_longer_than_the_next_cable_takes_is_counted_and_not_cut() {
    let Some(_granted) = require::privileged() else { return };
    let machines = Machines::build(9_000).unwrap();
    machines
        .filter_box
        .run(|| Netlink::open().and_then(|netlink| netlink.set_mtu(BOX_OUTSIDE, 1_500)))
        .unwrap()
        .unwrap();
    let running = start(&machines, 1);
    let server = at("10.0.0.2", 5_001);
    let arrived = datagrams(&machines.inside, &machines.outside, server, &[100, 4_000, 200]);
    assert_eq!(arrived, [100, 200]);
    let [out, _] = stop(running);
    assert_eq!(out.not_sent.get(&NotSent::TooLong), Some(&1), "{out:?}");
    assert_eq!((out.denied(), out.cut), (0, 0), "{out:?}");
}

#[test]
fn what_policy_does_not_allow_does_not_pass() {
    let Some(_granted) = require::privileged() else { return };
    let machines = Machines::build(1_500).unwrap();
    let running = start(&machines, 2);
    let (inside, outside) = (&machines.inside, &machines.outside);
    assert_eq!(datagrams(outside, inside, at("10.0.0.1", 5_999), &[10]), [10]);
    assert_eq!(datagrams(outside, inside, at("10.0.0.1", 6_000), &[10]), [0; 0]);
    assert_eq!(datagrams(inside, outside, at("fd00::2", 6_000), &[10]), [0; 0]);
    let [out, inward] = stop(running);
    assert_eq!((out.denied(), inward.denied()), (1, 1), "{out:?} {inward:?}");
}
