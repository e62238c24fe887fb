//! Texts whose meaning is known, and texts that mean nothing.
//!
//! Verdicts were found with the kernel itself: `testbed/tests/nft_text` asks it again.

mod changes;
mod fields;
mod flow;
mod reading;
mod sets;

use std::net::IpAddr;

use jiff::Timestamp;

use super::Nftables;
use crate::chain_eval::conntrack::{State, Tracked};
use crate::chain_eval::packet::Packet;
use crate::chain_eval::{Action, Hook, Ruleset, Seen};
use crate::packet::Frame;

/// The table of these rules alone, in a chain where packets pass through.
fn rules(rules: &str) -> String {
    with("", rules)
}

/// The same, with other things in the table.
fn with(others: &str, rules: &str) -> String {
    let base = "type filter hook forward priority filter; policy accept;";
    format!("table inet t {{\n{others}\nchain base {{\n{base}\n{rules}\n}}\n}}\n")
}

fn read(text: &str) -> Nftables {
    Nftables::read(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What is wrong with the text, as it is told.
fn fault(text: &str) -> String {
    match Nftables::read(text) {
        Ok(_) => panic!("nobody finds anything wrong with:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// A packet that passes through, new to connection tracking.
struct Passing {
    packet: Packet,
    input: Option<&'static str>,
    output: Option<&'static str>,
    state: State,
    now: Timestamp,
}

impl Passing {
    fn new(frame: Frame) -> Self {
        let packet = Packet::read(&frame.build()).unwrap();
        let (input, output) = (Some("wl0"), Some("uplink"));
        Self { packet, input, output, state: State::New, now: Timestamp::UNIX_EPOCH }
    }

    fn tcp(source: &str, destination: &str, port: u16) -> Self {
        Self::new(between(source, destination).tcp(40_000, port).syn())
    }

    fn udp(source: &str, destination: &str, port: u16) -> Self {
        Self::new(between(source, destination).udp(40_000, port))
    }

    fn icmp(source: &str, destination: &str, kind: u8, code: u8) -> Self {
        Self::new(between(source, destination).icmp(kind, code, [0; 4]))
    }

    fn at(&self, text: &str, hook: Hook) -> (bool, String) {
        let tracked = Tracked { state: self.state, ..Tracked::UNASKED };
        let seen = Seen {
            hook,
            packet: &self.packet,
            tracked,
            input: self.input,
            output: self.output,
            host: &["10.9.9.9".parse().unwrap()],
            now: self.now,
        };
        let verdict = read(text).verdict(&seen);
        let words = verdict.steps.iter().map(|step| match &step.action {
            Action::Drop => format!("drop {}", step.comment),
            Action::Accept => format!("accept {}", step.comment),
            Action::Return => format!("return {}", step.comment),
            Action::Enter(chain) => format!("{chain} {}", step.comment),
            Action::Log(prefix) => format!("log {prefix} {}", step.comment),
            Action::Refuse => panic!("nft drops nothing by itself"),
        });
        let words: Vec<String> = words.map(|word| word.trim_end().to_owned()).collect();
        (!verdict.dropped, words.join(", "))
    }

    /// Whether it passes, and by which way.
    fn walk(&self, text: &str) -> (bool, String) {
        self.at(text, Hook::Forward)
    }

    fn passes(&self, text: &str) -> bool {
        self.walk(text).0
    }
}

fn between(source: &str, destination: &str) -> Frame {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    Frame::ethernet().ip(address(source), address(destination))
}
