//! Frames that Ringfence reads are read by another parser, etherparse, in the same way; where one
//! refuses what the other reads, the difference is one of those in `differences`, with its reason.

mod differences;
mod examples;
mod reading;

use std::collections::BTreeMap;

use ringfence_testbed::packet::generate::{Generator, Place, World};
use ringfence_testbed::packet::hex;

use differences::{Difference, explain};
use reading::{ours, theirs};

/// Seeds, and frames from each.
const SEEDS: u64 = 6;
const FRAMES: usize = 25_000;

/// Outcomes and how often each came.
#[derive(Debug, Default)]
struct Tally {
    read_alike: usize,
    not_ip: usize,
    refused_by_both: usize,
    differences: BTreeMap<Difference, usize>,
}

impl Tally {
    /// Compares the two answers to a frame.
    fn compare(&mut self, frame: &[u8]) {
        let (ours, theirs) = (ours(frame), theirs(frame));
        match (&ours, &theirs) {
            (Ok(None), Ok(other)) if other.reading.is_none() => self.not_ip += 1,
            (Ok(Some(one)), Ok(other)) if other.reading.as_ref() == Some(one) => {
                self.read_alike += 1;
            }
            (Err(_), Err(_)) => self.refused_by_both += 1,
            _ => match explain(frame, &ours, &theirs) {
                Some(difference) => *self.differences.entry(difference).or_default() += 1,
                None => panic!(
                    "nobody understands this difference about {}:\nours   {ours:?}\ntheirs {theirs:?}",
                    hex(frame)
                ),
            },
        }
    }

    fn total(&self) -> usize {
        let differences: usize = self.differences.values().sum();
        self.read_alike + self.not_ip + self.refused_by_both + differences
    }
}

#[test]
fn generated_frames_are_read_as_etherparse_reads_them() {
    let world = world();
    let mut tally = Tally::default();
    for seed in 1..=SEEDS {
        for packet in Generator::new(&world, seed).take(FRAMES) {
            tally.compare(&packet.frame);
        }
    }
    println!("{tally:#?}");
    assert_eq!(tally.total(), SEEDS as usize * FRAMES);
    assert!(tally.total() >= 100_000 && tally.read_alike * 2 > tally.total(), "{tally:#?}");
    assert!(tally.refused_by_both >= 1_000 && tally.not_ip >= 1_000, "{tally:#?}");
}

/// Every frame cut at every length, and every bit of its headers flipped.
#[test]
fn damaged_frames_are_read_as_etherparse_reads_them() {
    let mut tally = Tally::default();
    for frame in examples::frames() {
        for length in 0..=frame.len() {
            tally.compare(&frame[..length]);
            tally.compare(&examples::with_fitting_length(&frame[..length]));
        }
        for bit in 0..frame.len().min(examples::HEADERS) * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            tally.compare(&flipped);
        }
    }
    println!("{tally:#?}");
    assert!(tally.read_alike >= 1_000 && tally.refused_by_both >= 1_000, "{tally:#?}");
}

/// A difference that no frame shows is no difference.
#[test]
fn every_difference_has_an_example() {
    for difference in Difference::ALL {
        let frame = examples::of(*difference);
        let found = explain(&frame, &ours(&frame), &theirs(&frame));
        assert_eq!(found, Some(*difference), "{}", hex(&frame));
    }
}

/// Workloads behind two interfaces, a host, strangers.
fn world() -> World {
    let address = |text: &str| text.parse().expect("an address");
    let place = |text, interface| Place { address: address(text), interface };
    World {
        workloads: vec![
            place("10.1.0.1", 2),
            place("fd01::1", 2),
            place("10.1.0.2", 3),
            place("fd01::2", 3),
        ],
        host: vec![address("10.0.0.254"), address("fd00::fe")],
        elsewhere: vec![address("192.0.2.7"), address("2001:db8::7")],
        ports: BTreeMap::from([(6, vec![80, 443]), (17, vec![53]), (132, vec![5_000])]),
        uplink: 9,
        unknown_interface: 10,
    }
}
