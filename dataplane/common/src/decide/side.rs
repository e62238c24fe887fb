//! One side of a flow: step 9 of the order.

use super::{Answer, Context, Outcome, Question, State, Tables, Work};
use crate::abi::config::{essential, flags};
use crate::abi::flow::{FlowEntry, FlowKey, FragmentKey, flow_flags};
use crate::abi::identity::{AddressEntry, endpoint};
use crate::abi::policy::{Direction, Endpoint, forms, protocol};
use crate::fragment::{self, Piece};
use crate::packet::{Icmp, Packet, PacketRead, parse_embedded};
use crate::track::{self, Step};
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
    fn peer(&self, direction: Direction) -> &AddressEntry {
        match direction {
            Direction::Ingress => &self.source,
            Direction::Egress => &self.destination,
        }
    }
}

/// One side while it is being decided.
struct Side<'a> {
    number: u32,
    endpoint: Endpoint,
    direction: Direction,
    peer: &'a AddressEntry,
}

impl Side<'_> {
    /// Whether the endpoint sends the packet.
    #[inline(always)]
    fn is_sender(&self) -> bool {
        matches!(self.direction, Direction::Egress)
    }
}

impl<T: Tables> Context<'_, T> {
    /// Decides the side of `work.outcome.endpoint`.
    #[inline(never)]
    pub(super) fn side<R: PacketRead + ?Sized, S: State>(
        &self,
        frame: &R,
        state: &mut S,
        work: &mut Work,
    ) -> Decision {
        let Work { packet, quoted, ends, outcome } = work;
        let (number, direction) = (outcome.endpoint, outcome.direction);
        let Some(endpoint) = self.tables.endpoint(number) else {
            return Decision::deny(Reason::UnknownEndpoint, 0);
        };
        // 9.1
        if ends.source.endpoint == ends.destination.endpoint
            && ends.source.endpoint == number
            && self.is_essential(essential::SELF)
        {
            return Decision::allow(Reason::SelfTraffic, 0);
        }
        let side = Side { number, endpoint, direction, peer: ends.peer(direction) };
        // 9.2
        if packet.fragment.is_later() {
            return self.later_fragment(state, packet, &side);
        }
        // 9.3
        let decision = if packet.icmp == Icmp::Error {
            match parse_embedded(frame, packet, quoted) {
                Ok(()) => self.icmp_error(state, quoted, &side),
                Err(reason) => Decision::deny(reason, 0),
            }
        } else {
            // 9.4, 9.5
            self.flow(state, packet, &side, outcome)
        };
        if packet.fragment.is_first() {
            return self.first_fragment(state, packet, &side, decision);
        }
        decision
    }

    /// Whether denials pass. The verdict is turned at the very end (step 10); here it means that
    /// what follows a denial is remembered as if it had been allowed.
    #[inline(always)]
    fn is_audit(&self) -> bool {
        self.config.flags & flags::AUDIT != 0
    }

    #[inline(never)]
    fn later_fragment<S: State>(
        &self,
        state: &mut S,
        packet: &Packet,
        side: &Side<'_>,
    ) -> Decision {
        let key = fragment_key(packet, side);
        let now = self.place.now;
        let seen = state.with_fragments(&key, |entry| {
            (fragment::add(entry, &packet.fragment, now), entry.rule, entry.audit_reason)
        });
        match seen {
            None => Decision::deny(Reason::UnknownFragment, 0),
            Some((Piece::Refused(reason), rule, _)) => Decision::deny(reason, rule),
            Some((piece, rule, audit)) => {
                if piece == Piece::Completes {
                    state.remove_fragments(&key);
                }
                remembered(audit, Reason::Fragment, rule)
            }
        }
    }

    /// Remembers the first fragment of an allowed packet, and forgets what its identification
    /// stood for if it is not allowed.
    #[inline(never)]
    fn first_fragment<S: State>(
        &self,
        state: &mut S,
        packet: &Packet,
        side: &Side<'_>,
        decision: Decision,
    ) -> Decision {
        let key = fragment_key(packet, side);
        let now = self.place.now;
        let passes = decision.verdict == Verdict::Allow || self.is_audit();
        if !passes {
            state.remove_fragments(&key);
            return decision;
        }
        let known = state.with_fragments(&key, |entry| {
            if fragment::is_expired(entry, now) {
                return Piece::Fits;
            }
            fragment::add(entry, &packet.fragment, now)
        });
        if let Some(Piece::Refused(reason)) = known {
            return Decision::deny(reason, decision.rule);
        }
        let mut entry = fragment::first(&packet.fragment, now);
        entry.generation = self.config.generation;
        entry.rule = decision.rule;
        if decision.reason.denies() {
            entry.audit_reason = decision.reason as u8;
        }
        if state.put_fragments(&key, &entry) {
            decision
        } else {
            Decision::deny(Reason::TableFull, decision.rule)
        }
    }

    /// An ICMP error passes if the packet it quotes is one that the endpoint's side of a tracked
    /// flow has sent the other way (safety P9).
    #[inline(always)]
    fn icmp_error<S: State>(&self, state: &mut S, quoted: &Packet, side: &Side<'_>) -> Decision {
        // Whoever gets the error has sent the quoted packet.
        let key = flow_key(quoted, side.number, !side.is_sender());
        let known = state.with_flow(&key, |entry| (entry.rule, entry.audit_reason));
        match known {
            Some((rule, audit)) if self.is_essential(essential::RELATED_ERRORS) => {
                remembered(audit, Reason::Related, rule)
            }
            Some(_) => Decision::deny(Reason::EssentialOff, 0),
            None => Decision::deny(Reason::Unrelated, 0),
        }
    }

    /// 9.4 and 9.5.
    #[inline(never)]
    fn flow<S: State>(
        &self,
        state: &mut S,
        packet: &Packet,
        side: &Side<'_>,
        outcome: &mut Outcome,
    ) -> Decision {
        if matches!(packet.icmp, Icmp::Other | Icmp::Neighbour | Icmp::MulticastListener) {
            // No flow: each packet is a question of its own.
            let answer = self.ask(side, packet, side.direction, packet.destination_port);
            outcome.log |= answer.log;
            return answer.decision;
        }
        let key = flow_key(packet, side.number, side.is_sender());
        let now = self.place.now;
        let known = state.with_flow(&key, |entry| {
            let step = track::advance(entry, packet, side.is_sender(), now);
            (step, *entry)
        });
        match known {
            Some((step @ (Step::Forward | Step::Reply), entry)) => {
                self.tracked(state, &key, packet, side, step, &entry)
            }
            Some((Step::Invalid(reason), entry)) => Decision::deny(reason, entry.rule),
            Some((Step::Reopen, _)) | None => self.new_flow(state, &key, packet, side, outcome),
        }
    }

    /// A packet of a known flow. If policy has changed since it was allowed, policy is asked
    /// again as it was asked then (semantics 3).
    #[inline(always)]
    fn tracked<S: State>(
        &self,
        state: &mut S,
        key: &FlowKey,
        packet: &Packet,
        side: &Side<'_>,
        step: Step,
        entry: &FlowEntry,
    ) -> Decision {
        let reason = if step == Step::Reply { Reason::Reply } else { Reason::Established };
        let is_current = entry.generation == self.config.generation;
        if is_current || self.config.flags & flags::KEEP_ESTABLISHED != 0 {
            return remembered(entry.audit_reason, reason, entry.rule);
        }
        let opened_by_remote = entry.flags & flow_flags::OPENED_BY_REMOTE != 0;
        let (direction, port) = if opened_by_remote {
            (Direction::Ingress, key.local_port)
        } else {
            (Direction::Egress, key.remote_port)
        };
        let asked = asked_service(packet, step, port);
        let answer = self.ask(side, packet, direction, asked);
        let denied = answer.decision.verdict != Verdict::Allow;
        if denied && !self.is_audit() {
            state.remove_flow(key);
            return Decision::deny(Reason::Revoked, answer.decision.rule);
        }
        let audit = if denied { Reason::Revoked as u8 } else { 0 };
        let (rule, generation) = (answer.decision.rule, self.config.generation);
        state.with_flow(key, |entry| {
            entry.generation = generation;
            entry.rule = rule;
            entry.audit_reason = audit;
        });
        remembered(audit, reason, rule)
    }

    #[inline(always)]
    fn new_flow<S: State>(
        &self,
        state: &mut S,
        key: &FlowKey,
        packet: &Packet,
        side: &Side<'_>,
        outcome: &mut Outcome,
    ) -> Decision {
        let mut opened_by_local = side.is_sender();
        let mut decision = if packet.icmp == Icmp::Reply {
            self.unasked(side, Reason::UnexpectedReply)
        } else if key.protocol == protocol::TCP && !track::is_syn(packet) {
            let (decision, sender_opened) = self.mid_stream(packet, side);
            opened_by_local = sender_opened == side.is_sender();
            decision
        } else {
            let answer = self.ask(side, packet, side.direction, packet.destination_port);
            outcome.log |= answer.log;
            answer.decision
        };
        let denied = decision.verdict != Verdict::Allow;
        if denied && !self.is_audit() {
            return decision;
        }
        let mut entry = track::open(key, packet, side.is_sender(), self.place.now);
        entry.flags &= !flow_flags::OPENED_BY_REMOTE;
        if !opened_by_local {
            entry.flags |= flow_flags::OPENED_BY_REMOTE;
        }
        entry.generation = self.config.generation;
        entry.rule = decision.rule;
        entry.allow_reason = decision.reason as u8;
        if denied {
            entry.audit_reason = decision.reason as u8;
            entry.allow_reason = 0;
        }
        if state.put_flow(key, &entry) {
            outcome.new_flow = true;
        } else {
            decision = Decision::deny(Reason::TableFull, decision.rule);
        }
        decision
    }

    /// TCP without an entry that is no SYN: a connection older than the engine, or none. In the
    /// pick-up window policy may allow it in either orientation (semantics 10). Also says whether
    /// the packet's sender is taken for the one who opened it.
    #[inline(always)]
    fn mid_stream(&self, packet: &Packet, side: &Side<'_>) -> (Decision, bool) {
        let window = self.config.pick_up_until.wrapping_sub(self.place.now);
        if window == 0 || window > u32::MAX / 2 {
            return (self.unasked(side, Reason::NoConnection), true);
        }
        let forward = self.ask(side, packet, side.direction, packet.destination_port).decision;
        if forward.verdict == Verdict::Allow {
            return (Decision::allow(Reason::PickedUp, forward.rule), true);
        }
        let other = match side.direction {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        };
        let reply = self.ask(side, packet, other, packet.source_port).decision;
        if reply.verdict == Verdict::Allow {
            return (Decision::allow(Reason::PickedUp, reply.rule), false);
        }
        (Decision::deny(Reason::NoConnection, forward.rule), true)
    }

    /// An answer to nothing: passes only by an endpoint that no policy isolates at all.
    #[inline(always)]
    fn unasked(&self, side: &Side<'_>, reason: Reason) -> Decision {
        let forms_in_use = side.endpoint.ingress_forms | side.endpoint.egress_forms;
        if forms_in_use & forms::ENFORCED == 0 {
            Decision::allow(Reason::NotIsolated, 0)
        } else {
            Decision::deny(reason, 0)
        }
    }

    /// Asks policy about a flow of `direction`. The host and its own workloads come first
    /// (semantics 8): the host may always talk to them.
    #[inline(always)]
    fn ask(&self, side: &Side<'_>, packet: &Packet, direction: Direction, port: u16) -> Answer {
        let between = match direction {
            Direction::Ingress => (side.peer.endpoint, side.number),
            Direction::Egress => (side.number, side.peer.endpoint),
        };
        if between.0 == endpoint::HOST
            && between.1 >= endpoint::FIRST_DYNAMIC
            && self.is_essential(essential::HOST_TO_WORKLOAD)
        {
            return Answer { decision: Decision::allow(Reason::HostToWorkload, 0), log: false };
        }
        let forms = match direction {
            Direction::Ingress => side.endpoint.ingress_forms,
            Direction::Egress => side.endpoint.egress_forms,
        };
        let (subject, peer, protocol) =
            (side.endpoint.subject, side.peer.identity, packet.protocol);
        super::policy(self.tables, &Question { subject, peer, direction, forms, protocol, port })
    }
}

/// The decision that a flow's or fragment's entry stands for: what audit mode let through would
/// have been denied.
#[inline(always)]
fn remembered(audit: u8, reason: Reason, rule: u32) -> Decision {
    match Reason::from_number(audit) {
        Some(audit) if audit.denies() => Decision::deny(audit, rule),
        _ => Decision::allow(reason, rule),
    }
}

/// The service a flow was opened for. ICMP has no ports: a query's type stands in the packet, and
/// a reply's type tells the query's.
#[inline(always)]
fn asked_service(packet: &Packet, step: Step, port: u16) -> u16 {
    match packet.icmp {
        Icmp::None => port,
        _ if step == Step::Reply => match packet.destination_port >> 8 {
            0 => 8 << 8,
            129 => 128 << 8,
            reply => reply.wrapping_sub(1) << 8,
        },
        _ => packet.destination_port,
    }
}

/// The key of the packet's flow at endpoint `number`, which sends it or gets it.
#[inline(always)]
fn flow_key(packet: &Packet, number: u32, from_local: bool) -> FlowKey {
    let (mut source_port, mut destination_port) = (packet.source_port, packet.destination_port);
    match packet.icmp {
        Icmp::None => {}
        // The identifier stands on the side that asks.
        Icmp::Reply => (source_port, destination_port) = (0, source_port),
        _ => destination_port = 0,
    }
    let mut key = FlowKey {
        endpoint: number,
        protocol: packet.protocol,
        family: packet.family,
        ..FlowKey::default()
    };
    if from_local {
        (key.local, key.remote) = (packet.source, packet.destination);
        (key.local_port, key.remote_port) = (source_port, destination_port);
    } else {
        (key.local, key.remote) = (packet.destination, packet.source);
        (key.local_port, key.remote_port) = (destination_port, source_port);
    }
    key
}

#[inline(always)]
fn fragment_key(packet: &Packet, side: &Side<'_>) -> FragmentKey {
    FragmentKey {
        source: packet.source,
        destination: packet.destination,
        identification: packet.fragment.identification,
        endpoint: side.number,
        protocol: packet.fragment.protocol,
        family: packet.family,
        direction: side.direction as u8,
        reserved: 0,
    }
}
