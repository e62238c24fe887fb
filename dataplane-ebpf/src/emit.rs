//! Counters and events.

use ringfence_common::abi::event::{Counter, Event, reason_counter};
use ringfence_common::decide::{Desk, Outcome};

use crate::maps;

/// Counts the frame under its reason, and under its rule if one decided.
#[inline(always)]
pub fn count(outcome: &Outcome, length: usize) {
    let decision = &outcome.decision;
    let index = reason_counter(decision.reason as u8, outcome.direction as u8);
    if let Some(counter) = maps::REASON_COUNTERS.get_ptr_mut(index) {
        add(counter, length);
    }
    if decision.rule != 0
        && let Some(counter) = maps::RULE_COUNTERS.get_ptr_mut(decision.rule)
    {
        add(counter, length);
    }
}

#[inline(always)]
fn add(counter: *mut Counter, length: usize) {
    // SAFETY: the pointer is to this CPU's own value, which stays valid for the program's run.
    let counter = unsafe { &mut *counter };
    counter.packets += 1;
    counter.bytes += length as u64;
}

/// The number of the rule at `place` of the table of rules.
#[inline(always)]
fn number(place: u32) -> u32 {
    match place {
        0 => 0,
        place => maps::RULES.get(place).copied().unwrap_or(0),
    }
}

/// Puts an event into the ring buffer, or counts that it was full.
#[inline(never)]
pub fn event(time_ns: u64, desk: &Desk, length: usize) {
    let (packet, outcome) = (&desk.work.packet, &desk.work.outcome);
    let place = &desk.given.place;
    let Some(mut entry) = maps::EVENTS.reserve(0) else {
        if let Some(lost) = maps::LOST_EVENTS.get_ptr_mut(0) {
            // SAFETY: as in `add`.
            unsafe { *lost += 1 };
        }
        return;
    };
    entry.write(Event {
        time_ns,
        generation: outcome.generation,
        rule: number(outcome.decision.rule),
        source_identity: outcome.source_identity,
        destination_identity: outcome.destination_identity,
        endpoint: outcome.endpoint,
        ifindex: place.ifindex,
        source: packet.source,
        destination: packet.destination,
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        length: if length > 0xffff { 0xffff } else { length as u16 },
        protocol: packet.protocol,
        family: packet.family,
        verdict: outcome.decision.verdict as u8,
        reason: outcome.decision.reason as u8,
        hook: place.hook as u8,
        direction: outcome.direction as u8,
        tcp_flags: packet.tcp_flags,
        new_flow: outcome.new_flow as u8,
        reserved: [0; 2],
    });
    entry.submit(0);
}
