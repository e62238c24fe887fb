//! Who does the router's work, and that nobody asks for neighbours.

use std::fs;
use std::net::UdpSocket;

use ringfence_testbed::lab::{Contender, Family, INSIDE, Lab, Mismatch, Position, cores};
use ringfence_testbed::require;

use crate::scene::{LIMIT, case};

/// The masks of both interfaces of the router.
fn masks(lab: &Lab) -> [String; 2] {
    let read = |port: &str| {
        let path = format!("/sys/class/net/{port}/queues/rx-0/rps_cpus");
        lab.at_router(|| fs::read_to_string(path).unwrap().trim().to_owned()).unwrap()
    };
    [read(&lab.uplink().name), read(&lab.workload().name)]
}

/// How often a processor was called to take packets that another one had received, by processor:
/// the tenth figure of each line (Linux `net/core/net-procfs.c`).
fn called() -> Vec<u64> {
    let table = fs::read_to_string("/proc/net/softnet_stat").unwrap();
    let tenth = |line: &str| line.split_whitespace().nth(9).unwrap().to_owned();
    table.lines().map(|line| u64::from_str_radix(&tenth(line), 16).unwrap()).collect()
}

#[test]
fn the_router_works_where_it_is_told_to() {
    let Some(_granted) = require::privileged() else { return };
    let mut lab = Lab::new().unwrap();
    let asked = case(Contender::None, Position::First, Mismatch::Address, Family::V4);
    let before = masks(&lab);
    assert!(before.iter().all(|mask| mask.trim_matches(['0', ',']).is_empty()), "{before:?}");
    let (measured, other) = (lab.cores().measured, lab.cores().other());
    lab.steer(Some(other)).unwrap();
    lab.install(asked, LIMIT).unwrap();
    let steered = masks(&lab);
    for mask in &steered {
        let last = mask.rsplit(',').next().unwrap();
        assert_eq!(u32::from_str_radix(last, 16), Ok(1 << other), "{mask}");
    }
    if measured != other {
        let calls = called()[other];
        lab.client()
            .run(|| {
                cores::pin_to(measured).unwrap();
                let socket = UdpSocket::bind((asked.source(), 0)).unwrap();
                for _ in 0..100 {
                    socket.send_to(b"?", asked.target()).unwrap();
                }
            })
            .unwrap();
        assert!(called()[other] > calls, "another processor was called");
    }
    lab.clear().unwrap();
    assert_eq!(masks(&lab), steered, "it stays so over installs");
    lab.steer(None).unwrap();
    assert_eq!(masks(&lab), before);
    let none = lab.steer(Some(8_191)).unwrap_err().said();
    assert!(none.contains("steer what the router receives"), "{none}");
}

/// `/proc/net/arp` has the flags 0x6 for an address that is known for good, and no other lines.
#[test]
fn neighbours_are_known_for_good() {
    let Some(_granted) = require::privileged() else { return };
    let lab = Lab::new().unwrap();
    let asked = case(Contender::None, Position::First, Mismatch::Address, Family::V4);
    lab.check(asked).unwrap();
    for (namespace, neighbours) in [(lab.client(), 1), (lab.router(), 2), (lab.server(), 1)] {
        let table =
            namespace.run(|| fs::read_to_string("/proc/thread-self/net/arp").unwrap()).unwrap();
        let lines: Vec<&str> = table.lines().skip(1).collect();
        let known = lines.iter().filter(|line| line.split_whitespace().nth(2) == Some("0x6"));
        assert_eq!(known.count(), neighbours, "{table}");
        assert_eq!(lines.len(), neighbours, "{table}");
    }
    let is_there = lab.client().run(|| fs::metadata("/proc/thread-self/net/dev").is_ok()).unwrap();
    assert!(is_there && INSIDE == "eth0");
}
