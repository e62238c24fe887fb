//! A flood of first packets displaces no connection (safety P5), in the kernel and in the filter.

use std::net::Ipv4Addr;

use ringfence_common::abi::config::Hook;
use ringfence_common::abi::limits::HALF_OPEN_FLOWS;
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::{Arrival, clock};
use ringfence_testbed::packet::Frame;
use ringfence_testbed::require;
use ringfence_testbed::suite::kernel::{Ran, returns};

use super::plain;
use super::setting::{Scenario, Setting};
use super::side_by_side::SideBySide;

/// Connections of each protocol; every second one is idle while the flood lasts.
const CONNECTIONS: u16 = 100;

/// Packets of the flood after which the others say something.
const EVERY: u32 = 40_000;

const WEB: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
/// Whom nobody isolates: packets from the middle of connections that nobody knows pass here.
const OPEN: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);

#[test]
fn connections_outlive_a_flood_of_first_packets() {
    let Some(_granted) = require::kernel() else { return };
    let setting = Setting::new();
    setting.pool.host().run(|| flood(&setting)).unwrap();
}

fn flood(setting: &Setting) {
    let loud = plain(Arrival::Tcx);
    let quiet = Scenario { report: 0, ..loud };
    let interfaces = setting.indices();
    let (web, open) = (interfaces[0], interfaces[5]);
    let mut sides = SideBySide::new(&interfaces, &setting.desired(0, quiet));
    for number in 0..CONNECTIONS {
        for (frame, hook) in opening(number) {
            assert!(passes(&mut sides, &frame, hook, web), "connection {number} is allowed");
        }
    }
    let connections = 2 * usize::from(CONNECTIONS);
    assert_eq!(sides.filter.flows(), connections);
    for number in 0..4 * HALF_OPEN_FLOWS {
        let from = Ipv4Addr::from_bits(0xc000_0210 + number / 60_000);
        let port = (number % 60_000) as u16 + 1_000;
        let (frame, at) = if number % 2 == 0 {
            (Frame::ethernet().ipv4(from, WEB).tcp(port, 443).syn(), web)
        } else {
            (Frame::ethernet().ipv4(from, OPEN).tcp(port, 9_999).ack(1), open)
        };
        assert!(passes(&mut sides, &frame, Hook::TcEgress, at), "{number}");
        if number % EVERY == 0 {
            let turn = number / EVERY;
            for number in (0..CONNECTIONS).step_by(2) {
                for (frame, hook) in talking(number, turn) {
                    assert!(passes(&mut sides, &frame, hook, web), "connection {number} goes on");
                }
            }
        }
    }
    assert_eq!(sides.filter.flows(), HALF_OPEN_FLOWS as usize + connections);
    sides.install(&setting.desired(0, loud));
    for number in 0..CONNECTIONS {
        for (frame, hook) in talking(number, 4 * HALF_OPEN_FLOWS / EVERY + 1) {
            let told = reasons(&mut sides, &frame, hook, web);
            let expected = if hook == Hook::TcEgress { Reason::Established } else { Reason::Reply };
            assert_eq!(told, [expected as u8; 2], "connection {number}, kernel and filter");
        }
    }
    let [[kernel, _], _] = sides.forget();
    assert!(kernel <= HALF_OPEN_FLOWS as usize + connections, "{kernel} flows");
}

/// What opens a TCP connection and a two-way flow of datagrams.
fn opening(number: u16) -> Vec<(Frame, Hook)> {
    let port = 2_000 + number;
    let to_web = || Frame::ethernet().ipv4(CLIENT, WEB);
    let from_web = || Frame::ethernet().ipv4(WEB, CLIENT);
    vec![
        (to_web().tcp(port, 443).syn().sequence(10), Hook::TcEgress),
        (from_web().tcp(443, port).syn().sequence(20).ack(11), Hook::TcIngress),
        (to_web().tcp(port, 443).sequence(11).ack(21), Hook::TcEgress),
        (to_web().udp(port, 443).payload(9), Hook::TcEgress),
        (from_web().udp(443, port).payload(9), Hook::TcIngress),
    ]
}

/// What both say later.
fn talking(number: u16, turn: u32) -> Vec<(Frame, Hook)> {
    let port = 2_000 + number;
    let (own, other) = (11 + turn * 5, 21);
    let to_web = || Frame::ethernet().ipv4(CLIENT, WEB);
    let from_web = || Frame::ethernet().ipv4(WEB, CLIENT);
    vec![
        (to_web().tcp(port, 443).sequence(own).ack(other).payload(5), Hook::TcEgress),
        (from_web().tcp(443, port).sequence(other).ack(own + 5), Hook::TcIngress),
        (to_web().udp(port, 443).payload(9), Hook::TcEgress),
        (from_web().udp(443, port).payload(9), Hook::TcIngress),
    ]
}

/// Whether both sides, which report nothing, let the frame pass.
fn passes(sides: &mut SideBySide, frame: &Frame, hook: Hook, ifindex: u32) -> bool {
    let (frame, now) = (frame.build(), clock::now().unwrap());
    let by_filter = sides.filter.decide(&frame, hook, ifindex, now).decision.passes();
    let ran = sides.kernel.run_quietly(&frame, hook, ifindex).unwrap();
    by_filter && ran.is_some_and(|(returned, _)| returned == returns(hook, true))
}

/// The reasons that the kernel and the filter give.
fn reasons(sides: &mut SideBySide, frame: &Frame, hook: Hook, ifindex: u32) -> [u8; 2] {
    let (frame, now) = (frame.build(), clock::now().unwrap());
    let by_filter = sides.filter.decide(&frame, hook, ifindex, now).decision.reason as u8;
    match sides.kernel.run(&frame, hook, ifindex).unwrap() {
        Ran::Decided(_, event) => [event.reason, by_filter],
        Ran::Inapplicable => panic!("the kernel runs programs on such frames"),
    }
}
