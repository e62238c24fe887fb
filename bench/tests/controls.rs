//! The control programs do what they are named after.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::BTreeMap;

use ringfence_bench::kernel::{
    Control, Controls, Keys, Marked, Packets, Rule, Seat, Station, Subject,
};
use ringfence_bench::kernel::{Measured, returns};
use ringfence_bench::workload::{Crowd, Entry, Family, Place};
use ringfence_common::abi::config::Hook;
use ringfence_common::abi::policy::protocol;
use ringfence_controls::{DRAWN, LOOKUPS, verdict};
use ringfence_testbed::packet::Frame;
use ringfence_testbed::require;

const SERVER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 0, 0, 1);
const FRIEND: std::net::Ipv4Addr = std::net::Ipv4Addr::new(11, 0, 0, 1);
const FOE: std::net::Ipv4Addr = std::net::Ipv4Addr::new(11, 0, 0, 2);
const STRANGER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(11, 0, 0, 3);

/// Controls that let a friend pass and deny a foe, both for TCP port 443.
fn controls() -> Controls {
    let rule = |address, identity, verdict| Rule {
        address,
        identity,
        protocol: protocol::TCP,
        port: 443,
        verdict,
    };
    let mut controls = Controls::load(2).unwrap();
    let rules = [rule(FRIEND, 300, verdict::ALLOW), rule(FOE, 301, verdict::DENY)];
    controls.fill(rules.into_iter()).unwrap();
    controls
}

/// What XDP programs return.
const ABORTED: u32 = 0;
const DROP: u32 = 1;
const PASS: u32 = 2;

#[test]
fn decisions_are_those_of_the_entries() {
    let Some(_granted) = require::kernel() else { return };
    let seat = Seat::take().unwrap();
    let controls = controls();
    let from = |source| Frame::ethernet().ipv4(source, SERVER);
    let cases = [
        ("a friend", from(FRIEND).tcp(4_000, 443).syn(), true, Some(verdict::ALLOW)),
        ("a foe", from(FOE).tcp(4_000, 443).syn(), false, Some(verdict::DENY)),
        ("a stranger", from(STRANGER).tcp(4_000, 443).syn(), false, Some(verdict::DEFAULT)),
        ("another port", from(FRIEND).tcp(4_000, 80).syn(), false, Some(verdict::DEFAULT)),
        ("another protocol", from(FRIEND).udp(4_000, 443), false, Some(verdict::DEFAULT)),
        ("a protocol without ports", from(FRIEND).gre(), false, None),
    ];
    let deciding = [
        (Control::TwoHashesXdp, Hook::Xdp),
        (Control::TwoHashesTc, Hook::TcEgress),
        (Control::ThreeTriesXdp, Hook::Xdp),
        (Control::ThreeTriesTc, Hook::TcEgress),
    ];
    for (control, hook) in deciding {
        for (name, frame, passes, counted) in &cases {
            let count = || counted.map(|verdict| controls.decided(verdict).unwrap());
            let before = count();
            let program = controls.program(control).unwrap();
            let ran = program.run(&frame.build(), seat.ifindex(), 3).unwrap();
            let name = format!("{} and {name}", control.name());
            assert_eq!(ran.returned, returns(hook, *passes), "{name}");
            assert_eq!(count(), before.map(|before| before + 3), "{name}: what is counted");
        }
    }
}

#[test]
fn programs_without_tables_return_what_they_are_named_after() {
    let Some(_granted) = require::kernel() else { return };
    let seat = Seat::take().unwrap();
    let controls = controls();
    let frame = Frame::ethernet().ipv4(FOE, SERVER).tcp(4_000, 443).syn().build();
    let returned = |control| {
        let program = controls.program(control).unwrap();
        program.run(&frame, seat.ifindex(), 1).unwrap().returned
    };
    assert_eq!(returned(Control::EmptyXdp), PASS);
    assert_eq!(returned(Control::EmptyTc), returns(Hook::TcEgress, true));
    assert_eq!(returned(Control::DropXdp), DROP);
    // Nothing to call has been set.
    assert_eq!(returned(Control::DrawXdp), ABORTED);
    assert_eq!(returned(Control::DrawTc), 77);
}

#[test]
fn each_run_decides_the_next_key() {
    let Some(_granted) = require::kernel() else { return };
    let seat = Seat::take().unwrap();
    let mut controls = controls();
    let keys: Vec<u32> = [FRIEND, FOE, STRANGER, FOE]
        .iter()
        .cycle()
        .take(DRAWN)
        .map(|address| u32::from_ne_bytes(address.octets()))
        .collect();
    let frame = Frame::ethernet().ipv4(SERVER, SERVER).tcp(4_000, 443).syn().build();
    for (draw, target) in [
        (Control::DrawXdp, Control::TwoHashesXdp),
        (Control::DrawXdp, Control::ThreeTriesXdp),
        (Control::DrawTc, Control::TwoHashesTc),
        (Control::DrawTc, Control::ThreeTriesTc),
    ] {
        controls.prepare(14 + 12, &keys).unwrap();
        controls.aim_at(target).unwrap();
        let verdicts = [verdict::ALLOW, verdict::DENY, verdict::DEFAULT];
        let count =
            |controls: &Controls| verdicts.map(|verdict| controls.decided(verdict).unwrap());
        let before = count(&controls);
        let rounds = DRAWN as u32 + 4;
        controls.program(draw).unwrap().run(&frame, seat.ifindex(), rounds).unwrap();
        let after = count(&controls);
        let added: Vec<u64> =
            after.iter().zip(before).map(|(after, before)| after - before).collect();
        let quarter = u64::from(rounds) / 4;
        assert_eq!(
            added,
            [quarter, 2 * quarter, quarter],
            "{} into {}",
            draw.name(),
            target.name()
        );
        assert_eq!(controls.turns().unwrap(), u64::from(rounds));
    }
}

#[test]
fn loops_find_what_is_there() {
    let Some(_granted) = require::kernel() else { return };
    let mut controls = controls();
    let keys: Vec<u32> = [FRIEND, FOE, STRANGER, FOE]
        .iter()
        .cycle()
        .take(DRAWN)
        .map(|address| u32::from_ne_bytes(address.octets()))
        .collect();
    for control in [Control::LoopHash, Control::LoopTrie] {
        controls.prepare(0, &keys).unwrap();
        let before = controls.sum().unwrap();
        let ran = controls.program(control).unwrap().run(&[0; 64], 0, 2).unwrap();
        assert!(matches!(ran, Measured { returned: PASS, .. }), "{}: {ran:?}", control.name());
        let expected = 2 * LOOKUPS as u64 / 4 * (300 + 2 * 301);
        assert_eq!(controls.sum().unwrap() - before, expected, "{}", control.name());
        assert_eq!(controls.turns().unwrap(), 2 * LOOKUPS as u64);
    }
}

#[test]
fn every_program_of_the_object_has_a_name_here() {
    let Some(_granted) = require::kernel() else { return };
    let controls = controls();
    let names: BTreeMap<&str, Control> =
        Control::ALL.map(|control| (control.name(), control)).into();
    for name in controls.names() {
        assert!(names.contains_key(name.as_str()), "`{name}` is not among the controls");
    }
    for control in Control::ALL {
        assert!(controls.program(control).is_ok(), "the object has no `{}`", control.name());
    }
}

#[test]
fn a_station_refuses_to_measure_something_else() {
    let Some(_granted) = require::kernel() else { return };
    let seat = Seat::take().unwrap();
    for place in [Place::HostAtXdp, Place::WorkloadAtTc] {
        for family in [Family::V4, Family::V6] {
            let crowd = Crowd::new(place, family, Entry::Allow, 50);
            let mut station = Station::new(&seat, place, crowd).unwrap();
            let mut measure = |packets, keys| {
                station
                    .measure(Subject::Engine, packets, keys, 500)
                    .map_err(|error| error.to_string())
            };
            // Nobody has opened these connections.
            let error = measure(Packets::Established, Keys::Hot).unwrap_err();
            assert!(error.contains("did something else than what is measured"), "{error}");
            measure(Packets::First, Keys::Ports).unwrap();
            measure(Packets::First, Keys::Strangers).unwrap();
            station.establish(Keys::Random).unwrap();
            let known = station.measure(Subject::Engine, Packets::Established, Keys::Random, 500);
            known.unwrap();
        }
    }
}

#[test]
fn a_marked_program_decides_as_the_other_does() {
    let Some(_granted) = require::kernel() else { return };
    let seat = Seat::take().unwrap();
    for place in [Place::HostAtXdp, Place::WorkloadAtTc] {
        let crowd = Crowd::new(place, Family::V4, Entry::Deny, 50);
        let (known, unknown) = (crowd.syn(0), vec![0; 14]);
        let mut station = Station::new(&seat, place, crowd).unwrap();
        let engine = station.engine();
        let marked = Marked::load(engine, place.inbound()).unwrap();
        for frame in [&known, &unknown] {
            let way = marked.way(frame, seat.ifindex()).unwrap();
            let program = engine.program(place.inbound()).unwrap();
            let ran = program.run(frame, seat.ifindex(), 1).unwrap();
            assert_eq!(way.returned, ran.returned, "{place:?}");
            assert!(way.contents.instructions > 10, "{place:?}: {way:?}");
        }
    }
}
