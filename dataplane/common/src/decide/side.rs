//! One side of a flow: step 9 of the order.

use super::cache::Found;
use super::flow::audit_reason;
use super::{Context, Given, State, Tables, Work};
use crate::abi::config::{essential, flags};
use crate::abi::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey, asker};
use crate::abi::identity::AddressEntry;
use crate::abi::policy::{Direction, Endpoint};
use crate::fragment::{self, Piece};
use crate::packet::{Icmp, Packet, PacketRead, parse_embedded};
use crate::track;
use crate::verdict::{Decision, Reason, Verdict};

/// Who the addresses of a packet are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    /// The source.
    pub source: AddressEntry,
    /// The destination.
    pub destination: AddressEntry,
}

impl Ends {
    /// The other end, seen from the endpoint that a packet of `direction` concerns.
    #[inline(always)]
    fn peer(&self, direction: Direction) -> AddressEntry {
        match direction {
            Direction::Ingress => self.source,
            Direction::Egress => self.destination,
        }
    }
}

/// What a packet makes of its flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stays {
    /// Nothing.
    #[default]
    AsItWas,
    /// It goes on.
    Moved,
    /// It is over.
    Over,
}

/// Keys and entries on their way to and from the state tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scratch {
    /// The packet's flow.
    pub key: FlowKey,
    /// A copy of its entry.
    pub entry: FlowEntry,
    /// The windows that it may have, as they were found.
    pub windows: [Found; 2],
    /// The flow whose window it takes.
    pub displaced: FlowKey,
    /// What the packet has made of the flow.
    pub stays: Stays,
    /// Whether the flow was half open before.
    pub was_half_open: bool,
    fragment_key: FragmentKey,
    fragments: FragmentEntry,
}

/// One side while it is being decided.
pub struct Side {
    /// Its number.
    pub number: u32,
    /// What the tables say about it.
    pub endpoint: Endpoint,
    /// Whether the packet is for it or from it.
    pub direction: Direction,
    /// The other end.
    pub peer: AddressEntry,
}

impl Side {
    /// Whether the endpoint sends the packet.
    #[inline(always)]
    pub fn is_sender(&self) -> bool {
        matches!(self.direction, Direction::Egress)
    }
}

/// Decides the side of `work.outcome.endpoint` and `work.outcome.direction`.
#[inline(always)]
pub fn decide<R: PacketRead + ?Sized, T: Tables, S: State>(
    frame: &R,
    tables: &T,
    state: &mut S,
    given: &Given,
    work: &mut Work,
) {
    Context { given, tables }.side(frame, state, work);
}

impl<T: Tables> Context<'_, T> {
    #[inline(always)]
    fn side<R: PacketRead + ?Sized, S: State>(&self, frame: &R, state: &mut S, work: &mut Work) {
        let Work { packet, quoted, ends, outcome, .. } = work;
        let (number, direction) = (outcome.endpoint, outcome.direction);
        let Some(endpoint) = self.tables.endpoint(number) else {
            outcome.decision = Decision::deny(Reason::UnknownEndpoint, 0);
            return;
        };
        // 9.1
        if ends.source.endpoint == ends.destination.endpoint
            && ends.source.endpoint == number
            && self.is_essential(essential::SELF)
        {
            outcome.decision = Decision::allow(Reason::SelfTraffic, 0);
            return;
        }
        let side = Side { number, endpoint, direction, peer: ends.peer(direction) };
        // 9.2
        if packet.fragment.is_later() {
            return self.later_fragment(state, &side, work);
        }
        // 9.3
        if packet.icmp == Icmp::Error {
            outcome.decision = match parse_embedded(frame, packet, quoted) {
                // Of a later fragment nobody can tell which flow it is of.
                Ok(()) if packet.destination == quoted.source && !quoted.fragment.is_later() => {
                    self.icmp_error(state, &side, quoted, &mut work.scratch)
                }
                // An error goes to whoever has sent what it quotes, and to nobody else.
                Ok(()) => Decision::deny(Reason::Unrelated, 0),
                Err(reason) => Decision::deny(reason, 0),
            };
        } else {
            // 9.4, 9.5
            work.outcome.decision = self.flow(state, &side, work);
        }
        if work.packet.fragment.is_first() {
            self.first_fragment(state, &side, work);
        }
    }

    /// Whether denials pass. The verdict is turned at the very end (step 10); here it means that
    /// what follows a denial is remembered as if it had been allowed.
    #[inline(always)]
    pub(super) fn is_audit(&self) -> bool {
        self.given.config.flags & flags::AUDIT != 0
    }

    /// Whether the flow's verdict still counts: it is this generation's, or policy leaves allowed
    /// flows alone.
    #[inline(always)]
    pub(super) fn is_current(&self, entry: &FlowEntry) -> bool {
        entry.generation == self.given.config.generation
            || (self.given.config.flags & flags::KEEP_ESTABLISHED != 0 && entry.audit_reason == 0)
    }

    #[inline(never)]
    fn later_fragment<S: State>(&self, state: &mut S, side: &Side, work: &mut Work) {
        let Work { packet, scratch: Scratch { fragment_key: key, .. }, outcome, .. } = work;
        fragment_key(key, packet, side);
        let now = self.given.place.now;
        let seen = state.with_fragments(key, |entry| {
            (fragment::add(entry, &packet.fragment, now), entry.rule, entry.audit_reason)
        });
        outcome.decision = match seen {
            None => Decision::deny(Reason::UnknownFragment, 0),
            Some((Piece::Refused(reason), rule, _)) => Decision::deny(reason, rule),
            Some((piece, rule, audit)) => {
                if piece == Piece::Completes {
                    state.remove_fragments(key);
                }
                remembered(audit, Reason::Fragment, rule)
            }
        };
    }

    /// Remembers the first fragment of an allowed packet, and forgets what its identification
    /// stood for if it is not allowed.
    #[inline(never)]
    fn first_fragment<S: State>(&self, state: &mut S, side: &Side, work: &mut Work) {
        let Work { packet, scratch, outcome, .. } = work;
        let Scratch { fragment_key: key, fragments: entry, .. } = scratch;
        let decision = outcome.decision;
        fragment_key(key, packet, side);
        let now = self.given.place.now;
        if decision.verdict != Verdict::Allow && !self.is_audit() {
            state.remove_fragments(key);
            return;
        }
        // An entry that is not too old already holds the first byte: this one overlaps it.
        let known = state.with_fragments(key, |entry| {
            if fragment::is_expired(entry, now) {
                return Piece::Fits;
            }
            fragment::add(entry, &packet.fragment, now)
        });
        if let Some(Piece::Refused(reason)) = known {
            outcome.decision = Decision::deny(reason, decision.rule);
            return;
        }
        fragment::first(entry, &packet.fragment, now);
        entry.generation = self.given.config.generation;
        entry.rule = decision.rule;
        if decision.reason.denies() {
            entry.audit_reason = decision.reason as u8;
        }
        if !state.put_fragments(key, entry) {
            outcome.decision = Decision::deny(Reason::TableFull, decision.rule);
        }
    }

    /// An ICMP error passes if the packet it quotes is one that its receiver has sent in a tracked
    /// flow (safety P9). If policy has changed since the flow's last packet, policy is asked again;
    /// the flow's next packet will write down what it says.
    #[inline(never)]
    fn icmp_error<S: State>(
        &self,
        state: &mut S,
        side: &Side,
        quoted: &Packet,
        scratch: &mut Scratch,
    ) -> Decision {
        let Scratch { key, entry: copy, .. } = scratch;
        let (of_local, now) = (!side.is_sender(), self.given.place.now);
        flow_key(key, quoted, side.number, of_local);
        let sent = state.with_flow(key, |entry| {
            *copy = *entry;
            track::has_sent(entry, of_local, now)
        });
        if sent != Some(true) {
            return Decision::deny(Reason::Unrelated, 0);
        }
        if !self.is_current(copy) {
            // Whoever sends the error is not always the flow's other end.
            let peer = self.tables.address(&self.given.config, quoted.family, &key.remote);
            let side = Side { peer, ..*side };
            let answer = self.ask_again(&side, quoted, key, copy);
            if answer.reason.denies() && !self.is_audit() {
                return Decision::deny(Reason::Unrelated, 0);
            }
            copy.audit_reason = audit_reason(copy, answer);
            copy.rule = answer.rule;
        }
        if !self.is_essential(essential::RELATED_ERRORS) {
            return Decision::deny(Reason::EssentialOff, 0);
        }
        remembered(copy.audit_reason, Reason::Related, copy.rule)
    }
}

/// The decision that a flow's or fragment's entry stands for: what audit mode let through would
/// have been denied.
#[inline(always)]
pub(super) fn remembered(audit: u8, reason: Reason, rule: u32) -> Decision {
    match Reason::from_number(audit) {
        Some(audit) if audit.denies() => Decision::deny(audit, rule),
        _ => Decision::allow(reason, rule),
    }
}

/// Writes the key of the packet's flow at endpoint `number`, which sends it or gets it. In place,
/// because the kernel's stack has no room for copies.
#[inline(never)]
pub fn flow_key(key: &mut FlowKey, packet: &Packet, number: u32, is_sender: bool) {
    let (source_port, destination_port, source_asks) = match packet.icmp {
        Icmp::None => (packet.source_port, packet.destination_port, None),
        // The identifier stands on the side that asks.
        Icmp::Query => (packet.source_port, query_type(packet), Some(true)),
        Icmp::Reply => (query_type(packet), packet.source_port, Some(false)),
        _ => (0, 0, None),
    };
    key.asker = match source_asks {
        None => asker::NONE,
        Some(asks) if asks == is_sender => asker::LOCAL,
        Some(_) => asker::REMOTE,
    };
    if is_sender {
        key.local = packet.source;
        key.remote = packet.destination;
        key.local_port = source_port;
        key.remote_port = destination_port;
    } else {
        key.local = packet.destination;
        key.remote = packet.source;
        key.local_port = destination_port;
        key.remote_port = source_port;
    }
    key.endpoint = number;
    key.protocol = packet.protocol;
    key.family = packet.family;
    key.reserved = 0;
}

/// The type of the ICMP query that the packet is or answers.
#[inline(always)]
pub const fn query_type(packet: &Packet) -> u16 {
    match (packet.icmp, packet.destination_port >> 8) {
        (Icmp::Reply, 0) => 8,
        (Icmp::Reply, reply) => reply.wrapping_sub(1),
        (_, query) => query,
    }
}

#[inline(always)]
fn fragment_key(key: &mut FragmentKey, packet: &Packet, side: &Side) {
    key.source = packet.source;
    key.destination = packet.destination;
    key.identification = packet.fragment.identification;
    key.endpoint = side.number;
    key.protocol = packet.fragment.protocol;
    key.family = packet.family;
    key.direction = side.direction as u8;
    key.reserved = 0;
}
