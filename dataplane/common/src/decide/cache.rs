//! What the full way remembers for the short one ([`super::fast`]).
//!
//! Goals: (a) the short way never lets through what the full way would not; (b) nothing is lost of
//! what the full way needs to know of the packets that did not meet it.
//!
//! Design. For each CPU, hook and direction, a place of the flow cache holds one flow's addresses
//! and ports with the answer about its last packet. The answer counts for the generation and epoch
//! that gave it, and for [`LIFETIME`] steps of the coarse clock: then a packet goes the full way
//! again and shows the table of flows that the flow is in use.
//!
//! Of TCP, every packet moves the numbers that a reset is judged by, whichever CPU it meets (b). So
//! an established connection in the cache has a window, which all CPUs share: while the window's
//! token is the one in the flow's entry, the numbers in the window count. A flow leaves its window
//! when it is no longer established, and with it all places of the cache that name the token stop
//! counting (a). A flow that needs a window takes one that is free, or one that nobody has refreshed
//! for a second, and writes the numbers there back to where they came from.
//!
//! Two CPUs may write the numbers of one window at once, or one write while another gives the window
//! away: each number is an aligned word, and a wrong one can only misjudge a reset.

use super::side::{Scratch, Stays};
use super::{Outcome, Place, State, Work, presence};
use crate::abi::cache::{BLOCK_FLOWS, CachedFlow, Window};
use crate::abi::flow::{FlowEntry, Numbers, family};
use crate::abi::limits::{CACHE_BLOCKS, WINDOWS};
use crate::abi::policy::protocol;
use crate::packet::Packet;
use crate::table::{halves, hash};
use crate::track::{self, state as tcp_state};
use crate::verdict::Reason;

/// Steps of the coarse clock ([`Place::coarse`]) that an answer counts for.
pub const LIFETIME: u32 = 8;

/// Ticks after which a window that nobody has refreshed may be taken: a flow in use refreshes it
/// once in a [`LIFETIME`].
const UNUSED: u32 = 256;

/// A packet as the flow cache knows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sighting {
    /// [`CachedFlow::tuple`].
    pub tuple: u64,
    /// [`CachedFlow::first`].
    pub first: u64,
    /// [`CachedFlow::rest`].
    pub rest: [u64; 3],
}

impl Sighting {
    /// Of a packet with ports, seen at `place`.
    #[inline(always)]
    pub fn of(packet: &Packet, place: &Place) -> Self {
        let ports = packet.source_port as u64 | (packet.destination_port as u64) << 16;
        let kind = packet.protocol as u64 | (place.hook as u64) << 8 | (packet.family as u64) << 16;
        let ([a, b], [c, d]) = (halves(&packet.source), halves(&packet.destination));
        let is_v4 = packet.family == family::V4;
        Self {
            tuple: ports | kind << 32,
            first: if is_v4 { b << 32 | d } else { a },
            rest: if is_v4 { [0; 3] } else { [b, c, d] },
        }
    }

    /// Its place in the flow cache.
    #[inline(always)]
    pub fn place(&self, ifindex: u32) -> u32 {
        let [b, c, d] = self.rest;
        let folded = self.first ^ b.rotate_left(13) ^ c.rotate_left(29) ^ d.rotate_left(43);
        let mixed = hash(0, [folded, self.tuple ^ (ifindex as u64) << 52]);
        (mixed >> 32) as u32 % (CACHE_BLOCKS * BLOCK_FLOWS as u32)
    }

    /// Whether `cached` is about such packets.
    #[inline(always)]
    pub fn is_of(&self, cached: &CachedFlow) -> bool {
        let head = (self.tuple ^ cached.tuple) | (self.first ^ cached.first);
        if self.tuple >> 48 == family::V4 as u64 {
            return head == 0;
        }
        let [b, c, d] = self.rest;
        let [e, f, g] = cached.rest;
        head | (b ^ e) | (c ^ f) | (d ^ g) == 0
    }
}

/// A window as it was found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    place: u32,
    token: u64,
    /// Its numbers.
    pub numbers: Numbers,
}

/// Looks at the two windows that the flow of `work.scratch.key` may have.
#[inline(always)]
pub fn find_windows<S: State>(state: &mut S, work: &mut Work) {
    let Scratch { key, windows: [one, other], .. } = &mut work.scratch;
    let mixed = presence::hash_of(key);
    find(state, mixed as u32 % WINDOWS, one);
    find(state, (mixed >> 32) as u32 % WINDOWS, other);
}

#[inline(always)]
fn find<S: State>(state: &mut S, place: u32, found: &mut Found) {
    let copy = |window: &mut Window| (window.token, window.numbers);
    (found.token, found.numbers) = state.with_window(place, copy).unwrap_or_default();
    found.place = place;
}

/// The window among `found` that is the flow's.
#[inline(always)]
pub fn own<'a>(found: &'a [Found; 2], entry: &FlowEntry) -> Option<&'a Found> {
    let [one, other] = found;
    match entry.token {
        0 => None,
        token if one.token == token => Some(one),
        token if other.token == token => Some(other),
        _ => None,
    }
}

/// Brings what stands beside the table of flows to what the full way has made of the flow in
/// `work.scratch`: its window gets its numbers or its end, and a flow that has been answered goes
/// from the half-open ones to the others.
#[inline(always)]
pub fn conclude<S: State>(state: &mut S, now: u32, work: &mut Work) {
    let Scratch { key, entry, windows, stays, was_half_open, .. } = &mut work.scratch;
    if *stays == Stays::AsItWas {
        return;
    }
    let moves = *stays == Stays::Moved;
    if let Some(Found { place, token, .. }) = own(windows, entry) {
        let (numbers, token) = (entry.numbers, *token);
        let holds = moves && entry.state == tcp_state::ESTABLISHED;
        state.with_window(*place, |window| {
            if window.token == token {
                window.numbers = numbers;
                window.refreshed = now;
                window.token = if holds { token } else { 0 };
            }
        });
    }
    if moves && *was_half_open && !track::is_half_open(entry) {
        // Nothing is lost if there is no room: then it stays where it was.
        let _ = state.put_flow(key, entry);
    }
}

/// Remembers the answer about a packet of a tracked flow, if it lasts.
#[inline(always)]
pub fn remember<S: State>(state: &mut S, place: &Place, epoch: u32, work: &mut Work) {
    let Work { packet, scratch, outcome, .. } = work;
    let mut of_window = (0, 0);
    if packet.protocol == protocol::TCP {
        if scratch.entry.state != tcp_state::ESTABLISHED {
            return;
        }
        let own = own(&scratch.windows, &scratch.entry).map(|found| (found.place, found.token));
        let Some(found) = own.or_else(|| claim(state, scratch, place.now)) else { return };
        of_window = found;
    }
    let sighting = Sighting::of(packet, place);
    state.with_cached(sighting.place(place.ifindex), |cached| {
        (cached.tuple, cached.first, cached.rest) = (sighting.tuple, sighting.first, sighting.rest);
        cached.ifindex = place.ifindex;
        cached.generation = outcome.generation;
        cached.epoch = epoch;
        cached.filled = place.coarse;
        (cached.window, cached.token) = of_window;
        cached.rule = outcome.decision.rule;
        cached.endpoint = outcome.endpoint;
        cached.source_identity = outcome.source_identity;
        cached.destination_identity = outcome.destination_identity;
        cached.reason = outcome.decision.reason as u8;
        cached.direction = outcome.direction as u8;
    });
}

/// Gives the flow in `scratch` a window; where, and the token. None if both that it may have are in
/// use.
#[inline(always)]
fn claim<S: State>(state: &mut S, scratch: &mut Scratch, now: u32) -> Option<(u32, u64)> {
    let Scratch { key, entry, windows: [one, other], displaced, .. } = scratch;
    let age = |window: &mut Window| match window.token {
        0 => u32::MAX,
        _ => now.wrapping_sub(window.refreshed),
    };
    let (first, second) =
        (state.with_window(one.place, age)?, state.with_window(other.place, age)?);
    let (place, age) = if first >= second { (one.place, first) } else { (other.place, second) };
    if age < UNUSED {
        return None;
    }
    let (token, numbers) = state.with_window(place, |window| {
        *displaced = window.key;
        (window.token, window.numbers)
    })?;
    if token != 0 {
        state.with_flow(displaced, |flow| {
            if flow.token == token {
                flow.numbers = numbers;
            }
        });
    }
    let (owner, numbers) = (presence::owner(key), entry.numbers);
    // An earlier flow of this key may have left its token in the other place.
    let is_other = place == other.place;
    let token = state.with_window(place, |window| {
        window.serial = window.serial.wrapping_add(1);
        window.key = *key;
        window.numbers = numbers;
        window.refreshed = now;
        window.token = (owner as u64) << 32 | (window.serial << 1 | is_other as u32) as u64;
        window.token
    })?;
    entry.token = token;
    state.with_flow(key, |flow| flow.token = token).map(|()| (place, token))
}

/// Whether the answer about a packet may be remembered, if one side gave it: a flow was allowed
/// earlier, and this packet belongs to it.
#[inline(always)]
pub fn is_lasting(packet: &Packet, outcome: &Outcome) -> bool {
    presence::is_kept(packet)
        && !packet.fragment.present
        && matches!(outcome.decision.reason, Reason::Established | Reason::Reply)
}

/// Moves the numbers of a window by a segment without SYN, FIN and RST.
#[inline(always)]
pub fn note(window: &mut Window, token: u64, packet: &Packet, from_local: bool) -> bool {
    if window.token != token {
        return false;
    }
    track::note_data(&mut window.numbers, packet, from_local);
    true
}
