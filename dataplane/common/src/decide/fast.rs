//! The short way: what most packets are, decided without a call.
//!
//! Goals: (a) the answer is the one that the full way gives, in every field; (b) no function of the
//! kernel is called, and no function of ours that is not inlined; (c) whatever is out of the
//! ordinary is left to the full way at once.
//!
//! Design. Ordinary are untagged IPv4 packets without options and IPv6 packets without extension
//! headers, not fragmented, of TCP or UDP, whose headers lie at hand. Two answers are given here:
//!
//! 1. The flow cache knows the flow under this generation: the packet passes. Of TCP that goes for
//!    segments without SYN, FIN and RST alone, whose numbers are written down.
//! 2. The packet concerns no side here, or one whose policy refuses it, and no flow that is alive can
//!    be its own ([`super::presence`]): then nothing that is remembered would change the answer, and
//!    the answer changes nothing that is remembered.
//!
//! New flows that are allowed, and everything in audit mode that would be refused, go the full way.

use super::cache::{self, LIFETIME, Sighting};
use super::side::Ends;
use super::{
    Context, Given, Outcome, Place, Question, State, Tables, addresses, flow, policy_inline,
    presence,
};
use crate::abi::ABI_VERSION;
use crate::abi::cache::CachedFlow;
use crate::abi::config::{Config, essential, flags};
use crate::abi::flow::family;
use crate::abi::identity::{AddressBytes, AddressEntry, endpoint};
use crate::abi::policy::{Direction, Endpoint, protocol};
use crate::abi::table::Station;
use crate::packet::ordinary::{self, Kind};
use crate::packet::{Packet, PacketRead, tcp};
use crate::table::halves;
use crate::track;
use crate::verdict::{Decision, Reason, Verdict};

/// The outcome for a frame, if the short way knows it; `packet` then is what the frame was.
#[inline(always)]
pub fn decide<R: PacketRead + ?Sized, T: Tables, S: State>(
    frame: &R,
    place: &Place,
    tables: &T,
    state: &mut S,
    packet: &mut Packet,
) -> Option<Outcome> {
    match ordinary::kind(frame)? {
        Kind::Ipv4 => {
            let outcome = decide_v4(frame, place, tables, state, packet)?;
            ordinary::numbers_v4(frame, packet)?;
            Some(outcome)
        }
        Kind::Ipv6 => {
            let outcome = decide_v6(frame, place, tables, state, packet)?;
            ordinary::numbers_v6(frame, packet)?;
            Some(outcome)
        }
    }
}

/// As [`decide`], for frames of [`Kind::Ipv4`]. `packet` may lack the numbers of TCP.
#[inline(always)]
pub fn decide_v4<R: PacketRead + ?Sized, T: Tables, S: State>(
    frame: &R,
    place: &Place,
    tables: &T,
    state: &mut S,
    packet: &mut Packet,
) -> Option<Outcome> {
    ordinary::ipv4(frame, packet)?;
    answer(place, tables, state, packet, |packet| ordinary::numbers_v4(frame, packet))
}

/// As [`decide_v4`], for frames of [`Kind::Ipv6`].
#[inline(always)]
pub fn decide_v6<R: PacketRead + ?Sized, T: Tables, S: State>(
    frame: &R,
    place: &Place,
    tables: &T,
    state: &mut S,
    packet: &mut Packet,
) -> Option<Outcome> {
    ordinary::ipv6(frame, packet)?;
    answer(place, tables, state, packet, |packet| ordinary::numbers_v6(frame, packet))
}

#[inline(always)]
fn answer<T: Tables, S: State>(
    place: &Place,
    tables: &T,
    state: &mut S,
    packet: &mut Packet,
    numbers: impl Fn(&mut Packet) -> Option<()>,
) -> Option<Outcome> {
    let config = tables.config()?;
    if config.abi != ABI_VERSION {
        return None;
    }
    known(config, place, tables.epoch(), state, packet, numbers)
        .or_else(|| refused(config, place, tables, state, packet))
}

/// Answer 1.
#[inline(always)]
fn known<S: State>(
    config: &Config,
    place: &Place,
    epoch: u32,
    state: &mut S,
    packet: &mut Packet,
    numbers: impl Fn(&mut Packet) -> Option<()>,
) -> Option<Outcome> {
    let is_tcp = packet.protocol == protocol::TCP;
    if is_tcp && packet.tcp_flags & (tcp::SYN | tcp::FIN | tcp::RST | tcp::ACK) != tcp::ACK {
        return None;
    }
    let sighting = Sighting::of(packet, place);
    let look = |cached: &mut CachedFlow| {
        let counts = sighting.is_of(cached)
            && cached.ifindex == place.ifindex
            && cached.generation == config.generation
            && cached.epoch == epoch
            && place.coarse.wrapping_sub(cached.filled) < LIFETIME;
        let of_window = (cached.window, cached.token);
        counts.then(|| (outcome(config, cached), of_window))
    };
    let (outcome, (window, token)) = state.with_cached(sighting.place(place.ifindex), look)??;
    if is_tcp {
        numbers(packet)?;
        let from_local = matches!(outcome.direction, Direction::Egress);
        let noted =
            state.with_window(window, |window| cache::note(window, token, packet, from_local));
        if noted != Some(true) {
            return None;
        }
    }
    Some(outcome)
}

#[inline(always)]
fn outcome(config: &Config, cached: &CachedFlow) -> Outcome {
    let is_reply = cached.reason == Reason::Reply as u8;
    Outcome {
        decision: Decision::allow(
            if is_reply { Reason::Reply } else { Reason::Established },
            cached.rule,
        ),
        direction: if cached.direction == Direction::Egress as u8 {
            Direction::Egress
        } else {
            Direction::Ingress
        },
        new_flow: false,
        endpoint: cached.endpoint,
        source_identity: cached.source_identity,
        destination_identity: cached.destination_identity,
        generation: config.generation,
        report: config.report,
    }
}

/// Answer 2.
#[inline(always)]
fn refused<T: Tables, S: State>(
    config: &Config,
    place: &Place,
    tables: &T,
    state: &mut S,
    packet: &Packet,
) -> Option<Outcome> {
    if config.flags & flags::AUDIT != 0 {
        return None;
    }
    let station = tables.station(place.ifindex, place.hook)?;
    let attachment = station.attachment;
    let mut given = Given { place: *place, attachment, config: *config };
    let context = Context { given: &given, tables };
    if !addresses::are_plain(packet) || addresses::is_dhcp(packet, context.is_from_client()) {
        return None;
    }
    let source = address(tables, config, &station, packet.family, &packet.source);
    let destination = address(tables, config, &station, packet.family, &packet.destination);
    let ends = Ends { source, destination };
    let mut outcome = Outcome {
        generation: config.generation,
        report: config.report,
        source_identity: source.identity,
        destination_identity: destination.identity,
        ..Outcome::undecided(place.hook)
    };
    if context.is_spoofed(&source) {
        outcome.decision = Decision::deny(Reason::Spoofed, 0);
        return Some(outcome);
    }
    let sender = context.endpoint_to_check(Direction::Egress, &ends, packet);
    let receiver = context.endpoint_to_check(Direction::Ingress, &ends, packet);
    let (direction, number) = match (sender, receiver) {
        (endpoint::NONE, endpoint::NONE) => {
            outcome.decision = Decision::allow(Reason::NotSubject, 0);
            return Some(outcome);
        }
        (number, endpoint::NONE) => (Direction::Egress, number),
        (endpoint::NONE, number) => (Direction::Ingress, number),
        _ => return None,
    };
    // To itself, though not for everyone the same.
    if source.endpoint == destination.endpoint {
        return None;
    }
    let presences = state.presences(presence::place(packet, number));
    let opens = packet.protocol == protocol::UDP || track::is_syn(packet);
    if presences != [0; 2] || !opens {
        let now = clock(state)?;
        if presence::is_any_alive(presences, now) {
            return None;
        }
        given.place.now = now;
    }
    let context = Context { given: &given, tables };
    let endpoint = match station.endpoint {
        known if number == attachment.endpoint && known.subject != 0 => known,
        _ => tables.endpoint(number)?,
    };
    outcome.decision = context.refusal(&ends, &endpoint, direction, packet, opens)?;
    (outcome.endpoint, outcome.direction) = (number, direction);
    Some(outcome)
}

/// The time, if it is known. A clock that is late makes flows live longer and windows close later: both
/// mean the full way. One that nobody has set yet may be late by so much that it seems ahead.
#[inline(always)]
fn clock<S: State>(state: &S) -> Option<u32> {
    let now = state.clock();
    if now == 0 {
        return None;
    }
    Some(now)
}

/// Who an address is; the one of the endpoint behind the interface is known without a look-up.
#[inline(always)]
fn address<T: Tables>(
    tables: &T,
    config: &Config,
    station: &Station,
    of_family: u8,
    address: &AddressBytes,
) -> AddressEntry {
    let [_, low] = halves(address);
    // Whoever asks has seen that no address is 0.
    if of_family == family::V4 && low as u32 == station.address {
        return AddressEntry { identity: station.identity, endpoint: station.attachment.endpoint };
    }
    tables.address(config, of_family, address)
}

impl<T: Tables> Context<'_, T> {
    /// Why a packet that belongs to no flow, and may open one if it `opens`, is denied; `None` if it
    /// may not be.
    #[inline(always)]
    fn refusal(
        &self,
        ends: &Ends,
        endpoint: &Endpoint,
        direction: Direction,
        packet: &Packet,
        opens: bool,
    ) -> Option<Decision> {
        if !opens {
            let strays = flow::is_isolated(endpoint) && !self.may_pick_up();
            return strays.then_some(Decision::deny(Reason::NoConnection, 0));
        }
        let (peer, forms) = match direction {
            Direction::Ingress => (ends.source, endpoint.ingress_forms),
            Direction::Egress => (ends.destination, endpoint.egress_forms),
        };
        if ends.source.endpoint == endpoint::HOST && self.is_essential(essential::HOST_TO_WORKLOAD)
        {
            return None;
        }
        let (subject, protocol, port) =
            (endpoint.subject, packet.protocol, packet.destination_port);
        let question = Question { subject, peer: peer.identity, direction, forms, protocol, port };
        let decision = policy_inline(self.tables, &question);
        (decision.verdict == Verdict::Deny).then_some(decision)
    }
}
