//! Flows: steps 9.4 and 9.5 of the order.

use super::side::{Scratch, Side, Stays, flow_key, query_type, remembered};
use super::{Context, Question, State, Tables, Work, cache, presence};
use crate::abi::config::essential;
use crate::abi::flow::{FlowEntry, FlowKey, flow_flags};
use crate::abi::identity::endpoint;
use crate::abi::limits;
use crate::abi::policy::{Direction, Endpoint, forms, protocol};
use crate::packet::{Icmp, Packet};
use crate::track::{self, Step};
use crate::verdict::{Decision, Reason, Verdict};

impl<T: Tables> Context<'_, T> {
    /// 9.4 and 9.5.
    #[inline(never)]
    pub(super) fn flow<S: State>(&self, state: &mut S, side: &Side, work: &mut Work) -> Decision {
        let Work { packet, scratch, .. } = work;
        if matches!(packet.icmp, Icmp::Other | Icmp::Neighbour | Icmp::MulticastListener) {
            // No flow: each packet is a question of its own.
            return self.ask(side, packet, side.direction, packet.destination_port);
        }
        flow_key(&mut scratch.key, packet, side.number, side.is_sender());
        let step = self.step(state, side, work);
        let Work { packet, scratch, .. } = work;
        match step {
            Some(Step::Forward) => self.tracked(state, side, packet, scratch, Reason::Established),
            Some(Step::Reply) => self.tracked(state, side, packet, scratch, Reason::Reply),
            Some(Step::Invalid(reason)) => Decision::deny(reason, scratch.entry.rule),
            // A flow that is over stays what it is if policy refuses the next one.
            Some(Step::Reopen) | None => self.new_flow(state, side, work),
        }
    }

    /// Moves the flow of `work.scratch.key` by the packet, and copies what it is then; `None` if there
    /// is no such flow.
    #[inline(always)]
    fn step<S: State>(&self, state: &mut S, side: &Side, work: &mut Work) -> Option<Step> {
        let now = self.given.place.now;
        if presence::is_kept(&work.packet)
            && !presence::may_be_alive(state, presence::place(&work.packet, side.number), now)
        {
            return None;
        }
        // Nothing else has windows, and an entry without a token finds none among those of others.
        if work.packet.protocol == protocol::TCP {
            state.find_windows(work);
        }
        let Work { packet, scratch, .. } = work;
        let Scratch { key, entry: copy, windows, was_half_open, .. } = scratch;
        let step = state.with_flow(key, |entry| {
            if let Some(window) = cache::own(windows, entry) {
                entry.numbers = window.numbers;
            }
            *was_half_open = track::is_half_open(entry);
            let step = track::advance(entry, packet, side.is_sender(), now);
            *copy = *entry;
            step
        })?;
        scratch.stays = match step {
            Step::Forward | Step::Reply => Stays::Moved,
            Step::Reopen => Stays::Over,
            Step::Invalid(_) => Stays::AsItWas,
        };
        state.conclude(now, work);
        state.touch_presence(now, work);
        Some(step)
    }

    /// A packet of a known flow, which lies in `scratch`. If policy has changed since the flow was
    /// allowed, policy is asked again as it was asked then (semantics 3).
    #[inline(always)]
    fn tracked<S: State>(
        &self,
        state: &mut S,
        side: &Side,
        packet: &Packet,
        scratch: &mut Scratch,
        reason: Reason,
    ) -> Decision {
        let Scratch { key, entry, .. } = scratch;
        if self.is_current(entry) {
            return remembered(entry.audit_reason, reason, entry.rule);
        }
        let guessed = entry.flags;
        let answer = self.ask_again(side, packet, key, entry);
        let turned = guessed ^ entry.flags;
        let denied = answer.verdict != Verdict::Allow;
        let revokes = denied && !self.is_audit();
        let audit = if revokes { Reason::Revoked as u8 } else { audit_reason(entry, answer) };
        let (rule, generation) = (answer.rule, self.given.config.generation);
        state.with_flow(key, |entry| {
            entry.generation = generation;
            entry.rule = rule;
            entry.audit_reason = audit;
            entry.flags ^= turned;
            // What is revoked stays until it falls silent: else the next packet of the other side
            // would open it anew wherever policy lets that side begin.
            if revokes {
                track::close(entry);
            }
        });
        let reason = match (turned, reason) {
            (0, reason) => reason,
            (_, Reason::Reply) => Reason::Established,
            _ => Reason::Reply,
        };
        remembered(audit, reason, rule)
    }

    /// What policy says today about a known flow, asked as it was asked when the flow began. Who
    /// has opened a connection that was picked up is a guess: the other orientation counts too, and
    /// `entry` then says so.
    #[inline(always)]
    pub(super) fn ask_again(
        &self,
        side: &Side,
        packet: &Packet,
        key: &FlowKey,
        entry: &mut FlowEntry,
    ) -> Decision {
        let answer = self.ask_as_opened(side, packet, key, entry.flags);
        if answer.verdict == Verdict::Allow || entry.flags & flow_flags::PICKED_UP == 0 {
            return answer;
        }
        // Whose packet was seen first stays as it is.
        let other = entry.flags ^ (flow_flags::OPENED_BY_REMOTE | flow_flags::BEGUN_BY_ANSWER);
        let turned = self.ask_as_opened(side, packet, key, other);
        if turned.verdict != Verdict::Allow {
            return answer;
        }
        entry.flags = other;
        turned
    }

    #[inline(always)]
    fn ask_as_opened(&self, side: &Side, packet: &Packet, key: &FlowKey, flags: u8) -> Decision {
        let (direction, port) = if flags & flow_flags::OPENED_BY_REMOTE != 0 {
            (Direction::Ingress, key.local_port)
        } else {
            (Direction::Egress, key.remote_port)
        };
        self.ask(side, packet, direction, asked_service(packet, port))
    }

    /// A packet that may open the flow of `work.scratch.key`.
    #[inline(always)]
    fn new_flow<S: State>(&self, state: &mut S, side: &Side, work: &mut Work) -> Decision {
        let Work { packet, scratch: Scratch { key, entry, .. }, .. } = work;
        track::open(entry, packet, side.is_sender(), self.given.place.now);
        let is_mid_stream = key.protocol == protocol::TCP && !track::is_syn(packet);
        let opens = packet.icmp != Icmp::Reply && !is_mid_stream;
        // Where policy's answer would not count, it is not asked: a flood of strays stays cheap.
        let decision = if !opens
            && is_isolated(&side.endpoint)
            && !(is_mid_stream && self.picks_up())
        {
            Decision::deny(stray(is_mid_stream), 0)
        } else {
            let forward = self.ask(side, packet, side.direction, packet.destination_port);
            if opens { forward } else { self.unasked(side, packet, entry, forward, is_mid_stream) }
        };
        let denied = decision.verdict != Verdict::Allow;
        if denied && !self.is_audit() {
            return decision;
        }
        entry.generation = self.given.config.generation;
        entry.rule = decision.rule;
        if denied {
            entry.audit_reason = decision.reason as u8;
        } else {
            entry.allow_reason = decision.reason as u8;
        }
        work.outcome.new_flow = state.put_flow(key, entry);
        if !work.outcome.new_flow {
            return Decision::deny(Reason::TableFull, decision.rule);
        }
        work.scratch.stays = Stays::Moved;
        state.touch_presence(self.given.place.now, work);
        decision
    }

    /// What belongs to no flow and opens none: a reply to no question, or TCP without an entry that
    /// is no SYN, of a connection older than the engine or of none. `forward` is what policy says
    /// if its sender is the opener.
    ///
    /// Its entry lets the other direction through as well, so by an endpoint that nobody isolates
    /// it passes only if policy allows the flow in both orientations. In the pick-up window TCP
    /// passes if policy allows either (semantics 10); `entry` then says who is taken for its
    /// opener.
    #[inline(always)]
    fn unasked(
        &self,
        side: &Side,
        packet: &Packet,
        entry: &mut FlowEntry,
        forward: Decision,
        is_mid_stream: bool,
    ) -> Decision {
        let other = match side.direction {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        };
        let service = asked_service(packet, packet.source_port);
        let backward = self.ask(side, packet, other, service);
        let (forward_passes, backward_passes) =
            (forward.verdict == Verdict::Allow, backward.verdict == Verdict::Allow);
        if forward_passes && backward_passes && !is_isolated(&side.endpoint) {
            return forward;
        }
        let is_open = self.picks_up();
        if is_mid_stream && is_open && forward_passes {
            return Decision::allow(Reason::PickedUp, forward.rule);
        }
        if is_mid_stream && is_open && backward_passes {
            entry.flags ^= flow_flags::OPENED_BY_REMOTE;
            entry.flags |= flow_flags::BEGUN_BY_ANSWER;
            return Decision::allow(Reason::PickedUp, backward.rule);
        }
        // Where nobody isolates, a rule has denied it.
        if !is_isolated(&side.endpoint) {
            return if forward_passes { backward } else { forward };
        }
        Decision::deny(stray(is_mid_stream), 0)
    }

    /// Whether the pick-up window is open.
    #[inline(always)]
    const fn picks_up(&self) -> bool {
        let left = self.given.config.pick_up_until.wrapping_sub(self.given.place.now);
        left != 0 && left <= track::ticks(limits::PICK_UP_SECONDS)
    }

    /// Whether the pick-up window may be open, by a clock that may be late.
    #[inline(always)]
    pub(super) const fn may_pick_up(&self) -> bool {
        let left = self.given.config.pick_up_until.wrapping_sub(self.given.place.now);
        left.wrapping_sub(1) < 1 << 31
    }

    /// Asks policy about a flow of `direction`. The host and its own workloads come first
    /// (semantics 8): the host may always talk to them.
    #[inline(never)]
    fn ask(&self, side: &Side, packet: &Packet, direction: Direction, port: u16) -> Decision {
        let between = match direction {
            Direction::Ingress => (side.peer.endpoint, side.number),
            Direction::Egress => (side.number, side.peer.endpoint),
        };
        if between.0 == endpoint::HOST
            && between.1 >= endpoint::FIRST_DYNAMIC
            && self.is_essential(essential::HOST_TO_WORKLOAD)
        {
            return Decision::allow(Reason::HostToWorkload, 0);
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

/// Why what belongs to no flow and opens none is denied.
#[inline(always)]
const fn stray(is_mid_stream: bool) -> Reason {
    if is_mid_stream { Reason::NoConnection } else { Reason::UnexpectedReply }
}

/// Whether some policy isolates the endpoint, in whichever direction.
#[inline(always)]
pub(super) const fn is_isolated(endpoint: &Endpoint) -> bool {
    (endpoint.ingress_forms | endpoint.egress_forms) & forms::ISOLATED != 0
}

/// The reason for which audit mode reports a flow that policy was asked about again; 0 if it is
/// allowed. What only audit mode has let in was never allowed, so nothing is revoked; what was
/// revoked once stays so (semantics 4: the first would-be verdict wins).
#[inline(always)]
pub(super) const fn audit_reason(entry: &FlowEntry, answer: Decision) -> u8 {
    if !answer.reason.denies() {
        return 0;
    }
    if entry.audit_reason == 0 || entry.audit_reason == Reason::Revoked as u8 {
        Reason::Revoked as u8
    } else {
        answer.reason as u8
    }
}

/// The service a flow was opened for: the destination's port; in ICMP the query's type and code,
/// which a reply tells.
#[inline(always)]
fn asked_service(packet: &Packet, port: u16) -> u16 {
    match packet.icmp {
        Icmp::None => port,
        Icmp::Reply => query_type(packet) << 8,
        _ => packet.destination_port,
    }
}
