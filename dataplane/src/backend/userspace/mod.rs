//! The userspace filter: the kernel's decision over ordinary memory.
//!
//! It installs the same [`HostTables`] as the kernel's maps and runs the same
//! [`ringfence_common::decide`], so every difference between the two lies in bytes and look-ups,
//! and a generated packet finds it.
//!
//! [`Filter`] is for one thread, [`SharedFilter`] for several; [`live`] runs one between interfaces
//! and [`capture`] over recorded packets.

mod bounded;
pub mod capture;
pub mod live;
mod lookup;
mod shared;
mod state;

use ringfence_common::abi::config::{Config, Hook};
use ringfence_common::abi::event::Event;
use ringfence_common::decide::{Desk, Outcome, Place, decide};
use ringfence_common::packet::{Packet, PacketRead};

pub use self::shared::{Generation, SharedFilter};

use self::lookup::Lookup;
use self::state::Memory;
use super::host::HostTables;

/// A filter for one host: tables, and what it remembers of earlier packets.
pub struct Filter {
    tables: Lookup,
    memory: Memory,
    desk: Desk,
}

impl Filter {
    /// A filter that remembers nothing yet.
    #[must_use]
    pub fn new(tables: &HostTables) -> Self {
        Self { tables: Lookup::new(tables), memory: Memory::default(), desk: Desk::new() }
    }

    /// Replaces the tables by those of another generation; flows and fragments stay.
    pub fn install(&mut self, tables: &HostTables) {
        self.tables = Lookup::new(tables);
    }

    /// The configuration of the installed generation.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.tables.config
    }

    /// Decides a frame seen at `hook` of interface `ifindex`, at `now` in ticks
    /// ([`ringfence_common::abi::flow::TICK_SHIFT`]), and remembers what it means for later ones.
    #[must_use = "an outcome that is dropped is a packet that passes"]
    pub fn decide(&mut self, frame: &[u8], hook: Hook, ifindex: u32, now: u32) -> Outcome {
        self.decide_read(frame, &Place::new(ifindex, hook, now))
    }

    /// As [`Filter::decide`], for frames that are not one slice.
    #[must_use = "an outcome that is dropped is a packet that passes"]
    pub fn decide_read<R: PacketRead + ?Sized>(&mut self, frame: &R, place: &Place) -> Outcome {
        decide(frame, place, &self.tables, &mut self.memory, &mut self.desk);
        self.desk.work.outcome
    }

    /// The frame decided last, as far as it was read.
    #[must_use]
    pub fn packet(&self) -> &Packet {
        &self.desk.work.packet
    }

    /// Forgets every flow and fragment.
    pub fn clear(&mut self) {
        self.memory = Memory::default();
    }

    /// Flows remembered.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.memory.flows()
    }

    /// Fragmented packets remembered.
    #[must_use]
    pub fn fragmented_packets(&self) -> usize {
        self.memory.fragments.len()
    }
}

/// The event that the kernel's programs would report of a frame of `length` bytes that was seen at
/// a hook of interface `ifindex` at `time_ns`.
#[must_use]
pub fn event(
    packet: &Packet,
    outcome: &Outcome,
    (ifindex, hook): (u32, Hook),
    time_ns: u64,
    length: usize,
) -> Event {
    Event {
        time_ns,
        generation: outcome.generation,
        rule: outcome.decision.rule,
        source_identity: outcome.source_identity,
        destination_identity: outcome.destination_identity,
        endpoint: outcome.endpoint,
        ifindex,
        source: packet.source,
        destination: packet.destination,
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        length: u16::try_from(length).unwrap_or(u16::MAX),
        protocol: packet.protocol,
        family: packet.family,
        verdict: outcome.decision.verdict as u8,
        reason: outcome.decision.reason as u8,
        hook: hook as u8,
        direction: outcome.direction as u8,
        tcp_flags: packet.tcp_flags,
        new_flow: outcome.new_flow.into(),
        reserved: [0; 2],
    }
}

#[cfg(test)]
mod tests;
