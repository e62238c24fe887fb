//! A place never says that nothing is alive while a flow is, and stops saying "maybe" afterwards.

use super::*;

/// Ticks that flows may be silent.
const TIMEOUTS: [u32; 4] = [1_192, 3_576, 14_305, track::LONGEST];

/// A place, and until when each of its flows is alive.
struct Place {
    words: [u64; 2],
    ends: [Option<u32>; 5],
    now: u32,
}

impl Place {
    fn new(now: u32) -> Self {
        Self { words: [0; 2], ends: [None; 5], now }
    }

    fn touch(&mut self, flow: usize, timeout: u32) {
        let until = self.now.wrapping_add(timeout).wrapping_add(SLACK);
        if let Some((word, new)) = change(self.words, flow as u32 + 1, until, self.now) {
            self.words[word] = new.pack();
        }
        self.ends[flow] = Some(self.now.wrapping_add(timeout));
    }

    fn pass(&mut self, ticks: u32) {
        self.now = self.now.wrapping_add(ticks);
        for end in &mut self.ends {
            *end = end.filter(|end| !is_past(*end, self.now));
        }
    }

    fn says_alive(&self) -> bool {
        self.words.iter().any(|word| is_alive(*word, self.now))
    }
}

#[test]
fn whoever_is_alive_is_seen() {
    for beginning in [0, 3_000_000_000, u32::MAX - 100_000] {
        let (mut place, mut number) = (Place::new(beginning), 7_u32);
        let mut random = move |limit: u32| {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (number >> 8) % limit
        };
        let mut quiet = 0;
        for step in 0..200_000 {
            let timeout = TIMEOUTS[random(4) as usize];
            place.touch(random(5) as usize, timeout);
            // Long silences let places wear off.
            let ticks = if random(500) == 0 { random(10) * 10_000_000 } else { random(400) };
            place.pass(ticks);
            let alive = place.ends.iter().any(Option::is_some);
            assert!(!alive || place.says_alive(), "step {step} from {beginning}");
            quiet += u32::from(!place.says_alive());
        }
        assert!(quiet > 20, "places that nobody needs wear off: {quiet}");
    }
}

#[test]
fn the_end_of_either_of_two_flows_brings_its_date_forward() {
    for first in [0, 1] {
        let mut place = Place::new(50);
        place.touch(0, track::LONGEST);
        place.touch(1, track::LONGEST);
        place.pass(1_000);
        place.touch(first, 1_192);
        place.touch(1 - first, 1_192);
        place.pass(1_192 + SLACK + 1);
        assert!(!place.says_alive(), "flow {first} ended first");
    }
}

#[test]
fn of_three_flows_the_last_two_wear_off_with_time_alone() {
    let mut place = Place::new(50);
    (0..3).for_each(|flow| place.touch(flow, track::LONGEST));
    (0..3).for_each(|flow| place.touch(flow, 1_192));
    place.pass(14_305);
    assert!(place.says_alive(), "nobody knows whose the second word is");
    place.pass(track::LONGEST);
    assert!(!place.says_alive());
}

#[test]
fn a_date_that_hardly_differs_is_not_written() {
    let mut place = Place::new(50);
    place.touch(0, 14_305);
    let words = place.words;
    place.pass(STEP - 1);
    place.touch(0, 14_305);
    assert_eq!(place.words, words);
    place.pass(1);
    place.touch(0, 14_305);
    assert_ne!(place.words, words);
}

#[test]
fn both_directions_have_one_place_and_endpoints_have_their_own() {
    let mut packet = Packet { family: family::V4, protocol: protocol::TCP, ..Packet::default() };
    (packet.source[15], packet.destination[15]) = (1, 2);
    (packet.source_port, packet.destination_port) = (40_000, 443);
    let back = Packet {
        source: packet.destination,
        destination: packet.source,
        source_port: packet.destination_port,
        destination_port: packet.source_port,
        ..packet
    };
    assert_eq!(place(&packet, 300), place(&back, 300));
    assert_ne!(place(&packet, 300), place(&packet, 301));
    let datagram = Packet { protocol: protocol::UDP, ..packet };
    assert_ne!(place(&packet, 300), place(&datagram, 300));
    assert!(place(&packet, 300).is_multiple_of(2) && place(&packet, 300) < PRESENCES);
}
