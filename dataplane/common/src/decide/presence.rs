//! Whether a flow of a packet's addresses and ports may be alive, without asking the table of flows.
//!
//! Goals: (a) "no" is never wrong, or the packets of a live flow would be refused; (b) no call and
//! no lock on the way of a packet that is refused; (c) "yes" wears off when flows end.
//!
//! Design. A flow's endpoint, addresses and ports, in either direction, hash to a place of an array:
//! two words that say until when a flow may be alive there. Whatever goes the full way keeps it true,
//! with `SLACK` to spare for packets that do not. A word remembers its flow as long as it has had but
//! one: then the flow's end may bring the date forward (c). Where more than two flows are alive at one
//! place, the second word stands for all but one, and only time ends it. Words change by
//! compare-and-swap, so no CPU undoes another's change (a).

use super::side::{Scratch, Stays};
use super::{State, Work};
use crate::abi::cache::Presence;
use crate::abi::flow::{FlowKey, family};
use crate::abi::limits::PRESENCES;
use crate::abi::policy::protocol;
use crate::packet::Packet;
use crate::table::{halves, hash};
use crate::track;

/// Ticks that a date lies behind what the flow's last packet on the full way says: more than
/// packets may pass on the short way before one goes the full way again, and [`STEP`].
const SLACK: u32 = 512;

/// Ticks by which a date has to differ to be written.
const STEP: u32 = 256;

/// Attempts to change a place while other CPUs do.
const ATTEMPTS: usize = 4;

/// Whether a packet's flow is of the kind that is looked for.
#[inline(always)]
pub fn is_kept(packet: &Packet) -> bool {
    packet.protocol == protocol::TCP || packet.protocol == protocol::UDP
}

/// The place of a packet's flow at an endpoint: the same for both directions. It is the number of the
/// first of its two words.
#[inline(always)]
pub fn place(packet: &Packet, endpoint: u32) -> u32 {
    let (source, destination) = if packet.family == family::V4 {
        (halves(&packet.source)[1], halves(&packet.destination)[1])
    } else {
        let ([a, b], [c, d]) = (halves(&packet.source), halves(&packet.destination));
        (a.rotate_left(23) ^ b, c.rotate_left(23) ^ d)
    };
    let (one, other) = (packet.source_port as u64, packet.destination_port as u64);
    let ports = (one ^ other) | (one + other) << 16 | (packet.protocol as u64) << 40;
    let ports = ports ^ (endpoint as u64) << 29;
    let mixed =
        hash(0, [source.wrapping_add(destination) ^ ports << 17, source ^ destination ^ ports]);
    ((mixed >> 32) as u32 % PRESENCES) & !1
}

/// Whether a flow may be alive at `place`; `now` may be late.
#[inline(always)]
pub fn may_be_alive<S: State>(state: &S, place: u32, now: u32) -> bool {
    is_any_alive(state.presences(place), now)
}

/// Whether a flow may be alive at a place with these words.
#[inline(always)]
pub fn is_any_alive([one, other]: [u64; 2], now: u32) -> bool {
    is_alive(one, now) || is_alive(other, now)
}

#[inline(always)]
fn is_alive(word: u64, now: u32) -> bool {
    word != 0 && !is_past(Presence::unpack(word).until, now)
}

#[inline(always)]
const fn is_past(until: u32, now: u32) -> bool {
    now.wrapping_sub(until).wrapping_sub(1) < 1 << 31
}

/// A number for a flow that is hardly another's.
#[inline(always)]
pub fn owner(key: &FlowKey) -> u32 {
    let number = (hash_of(key) >> 32) as u32;
    if number == 0 { 1 } else { number }
}

/// The hash of a flow's key.
#[inline(always)]
pub fn hash_of(key: &FlowKey) -> u64 {
    let ([a, b], [c, d]) = (halves(&key.local), halves(&key.remote));
    let ports = key.local_port as u64 | (key.remote_port as u64) << 16;
    let rest = (key.protocol as u64) << 32 | (key.asker as u64) << 40 | (key.family as u64) << 48;
    hash(
        0,
        [
            hash(0, [a ^ c.rotate_left(31), b ^ d.rotate_left(17)]) ^ key.endpoint as u64,
            ports | rest,
        ],
    )
}

/// Writes down that the flow in `work.scratch` is alive, as its entry says.
#[inline(always)]
pub fn touch<S: State>(state: &mut S, now: u32, work: &mut Work) {
    let Work { packet, scratch: Scratch { key, entry, stays, .. }, .. } = work;
    if *stays != Stays::Moved || !is_kept(packet) {
        return;
    }
    let (place, owner) = (place(packet, key.endpoint), owner(key));
    let until = now.wrapping_add(track::timeout_revoked(entry)).wrapping_add(SLACK);
    for _ in 0..ATTEMPTS {
        let words = state.presences(place);
        let Some((word, new)) = change(words, owner, until, now) else { return };
        if state.change_presence(place | word as u32, words[word], new.pack()) {
            return;
        }
    }
    // Too many others at once: as late as any of them can have meant.
    let until = now.wrapping_add(track::LONGEST).wrapping_add(SLACK);
    state.set_presence(place | 1, Presence { owner: 0, until }.pack());
}

/// Which of the two words of a place has to change for a flow, and to what; `None` if they are good.
#[inline(always)]
fn change(words: [u64; 2], owner: u32, until: u32, now: u32) -> Option<(usize, Presence)> {
    let alive = words.map(|word| is_alive(word, now));
    let old = words.map(Presence::unpack);
    let mine = Presence { owner, until };
    let ahead = |word: usize| until.wrapping_sub(old[word].until);
    for word in [0, 1] {
        if alive[word] && old[word].owner == owner {
            let differs = ahead(word) >= STEP && ahead(word).wrapping_neg() >= STEP;
            return differs.then_some((word, mine));
        }
    }
    if !alive[0] {
        return Some((0, mine));
    }
    if !alive[1] {
        return Some((1, mine));
    }
    let is_later = ahead(1) < 1 << 31;
    if old[1].owner == 0 && (!is_later || ahead(1) < STEP) {
        return None;
    }
    Some((1, Presence { owner: 0, until: if is_later { until } else { old[1].until } }))
}

#[cfg(test)]
mod tests;
