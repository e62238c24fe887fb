//! From a frame to a decision: the lookup order, once.
//!
//! # The order
//!
//! 1. No tables of this layout → denied (`NotReady`).
//! 2. The interface and hook are not in the tables → denied (`UnknownInterface`).
//! 3. The frame is read; what is malformed is denied, each cause with its reason.
//! 4. Not IP → essential.
//! 5. Addresses that may not be on a wire → denied (`Martian`).
//! 6. Both addresses → identity and endpoint.
//! 7. Neighbour discovery, listener discovery, DHCP → essential, from the sender's own address, an
//!    IPv6 link-local one or none, and not in fragments (RFC 6980 §5); router advertisements from a
//!    workload → denied (`RogueRouter`).
//! 8. The source has to be one that may come from here (`Spoofed`).
//! 9. The sides that this hook has to check, the sender's egress before the receiver's ingress;
//!    the first denial decides. In audit mode the other side still remembers what passes. For
//!    each side:
//!    1. to itself → essential;
//!    2. a later fragment follows its first;
//!    3. an ICMP error belongs to a tracked flow, or is denied (`Unrelated`);
//!    4. the flow is tracked: its step has to be valid; if policy has changed since, policy is
//!       asked again and may revoke it;
//!    5. a new flow: policy, in the order of [`policy`].
//! 10. In audit mode a denial passes and says so.
//!
//! Within policy, for subject S, direction, peer P and service (protocol X, class C), each asked
//! only if the subject has entries of the form, the first hit decides:
//! (S,P,X/C), (S,P,X), (S,P), (S,any,X/C), (S,any,X), (S,any); without a hit the direction's
//! default, which is to deny. A direction that no policy enforces is open without a look-up. The
//! compiler has resolved every precedence so that this order gives the right answer.

mod addresses;
pub mod cache;
pub mod fast;
mod flow;
pub mod presence;
pub mod side;

use self::side::Ends;
use crate::abi::ABI_VERSION;
use crate::abi::cache::{CachedFlow, Window};
use crate::abi::config::{Attachment, Config, Hook, checks, essential, flags, report};
use crate::abi::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey};
use crate::abi::identity::{AddressBytes, AddressEntry, endpoint, identity};
use crate::abi::policy::{Direction, Endpoint, PolicyEntry, PolicyKey, entry_flags};
use crate::abi::table::Station;
use crate::packet::{self, Icmp, Packet, PacketRead};
use crate::verdict::{Decision, Reason, Verdict};

/// The installed tables of one generation.
pub trait Tables {
    /// The selector's epoch.
    fn epoch(&self) -> u32;
    /// The generation's configuration; `None` where nothing is installed.
    fn config(&self) -> Option<&Config>;
    /// What the hook on the interface checks.
    fn attachment(&self, ifindex: u32, hook: Hook) -> Option<Attachment>;
    /// What the hook on the interface checks, and what is known of the one endpoint behind it.
    fn station(&self, ifindex: u32, hook: Hook) -> Option<Station>;
    /// Who the address is; an address nobody knows is `WORLD` and no endpoint.
    fn address(&self, config: &Config, family: u8, address: &AddressBytes) -> AddressEntry;
    /// The endpoint of this host with that number.
    fn endpoint(&self, number: u32) -> Option<Endpoint>;
    /// The class of a port (or ICMP type and code).
    fn class(&self, protocol: u8, port: u16) -> u16;
    /// The policy entry under exactly this key.
    fn policy(&self, key: &PolicyKey) -> Option<PolicyEntry>;
}

/// What the dataplane remembers from packet to packet.
pub trait State {
    /// Gives the flow's entry to `change`; `None` if there is none.
    fn with_flow<R>(
        &mut self,
        key: &FlowKey,
        change: impl FnOnce(&mut FlowEntry) -> R,
    ) -> Option<R>;
    /// Adds or replaces a flow; whether there was room. Flows that are half open
    /// ([`crate::track::is_half_open`]) have a table of their own, and leave it with the first entry
    /// that is not. Whatever either table has under the key is replaced: what is long over and was
    /// never removed must not be found in the place of a new flow.
    fn put_flow(&mut self, key: &FlowKey, entry: &FlowEntry) -> bool;
    /// Forgets a flow, half open or not.
    fn remove_flow(&mut self, key: &FlowKey);
    /// As [`State::with_flow`], for fragmented packets.
    fn with_fragments<R>(
        &mut self,
        key: &FragmentKey,
        change: impl FnOnce(&mut FragmentEntry) -> R,
    ) -> Option<R>;
    /// Adds or replaces a fragmented packet; whether there was room.
    fn put_fragments(&mut self, key: &FragmentKey, entry: &FragmentEntry) -> bool;
    /// Forgets a fragmented packet.
    fn remove_fragments(&mut self, key: &FragmentKey);
    /// Gives a place of the flow cache to `change`; `None` past its end.
    fn with_cached<R>(
        &mut self,
        place: u32,
        change: impl FnOnce(&mut CachedFlow) -> R,
    ) -> Option<R>;
    /// As [`State::with_cached`], for windows.
    fn with_window<R>(&mut self, place: u32, change: impl FnOnce(&mut Window) -> R) -> Option<R>;
    /// Until when a flow may be alive at a place ([`crate::abi::cache::Presence`]); 0 past the end.
    fn presence(&self, place: u32) -> u64;
    /// The presences at an even place and the one behind it.
    fn presences(&self, place: u32) -> [u64; 2] {
        [self.presence(place), self.presence(place | 1)]
    }
    /// Makes a presence `new` if it still is `old`; whether it was.
    fn change_presence(&mut self, place: u32, old: u64, new: u64) -> bool;
    /// Makes a presence `new`.
    fn set_presence(&mut self, place: u32, new: u64);
    /// The tick of the last packet that went the full way.
    fn clock(&self) -> u32;
    /// Remembers the tick.
    fn set_clock(&mut self, now: u32);

    // Steps that the kernel's programs make functions of their own of, so that the verifier does not
    // walk them for each way that leads there.

    /// Decides the side of `work.outcome.endpoint` and `work.outcome.direction`.
    fn decide_side<R: PacketRead + ?Sized, T: Tables>(
        &mut self,
        frame: &R,
        tables: &T,
        given: &Given,
        work: &mut Work,
    ) where
        Self: Sized,
    {
        side::decide(frame, tables, self, given, work);
    }

    /// Looks at the windows that the flow of `work` may have.
    fn find_windows(&mut self, work: &mut Work)
    where
        Self: Sized,
    {
        cache::find_windows(self, work);
    }

    /// Brings what stands beside the table of flows to what the flow of `work` has become.
    fn conclude(&mut self, now: u32, work: &mut Work)
    where
        Self: Sized,
    {
        cache::conclude(self, now, work);
    }

    /// Writes down that the flow of `work` is alive.
    fn touch_presence(&mut self, now: u32, work: &mut Work)
    where
        Self: Sized,
    {
        presence::touch(self, now, work);
    }

    /// Remembers the answer in `work` for the short way.
    fn remember(&mut self, place: &Place, epoch: u32, work: &mut Work)
    where
        Self: Sized,
    {
        cache::remember(self, place, epoch, work);
    }
}

/// Where and when a frame is seen.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Interface index.
    pub ifindex: u32,
    /// The hook.
    pub hook: Hook,
    /// Now, in ticks ([`crate::abi::flow::TICK_SHIFT`]).
    pub now: u32,
    /// Now, on a coarse clock that is cheap to read: its steps are 10 to 160 ms.
    pub coarse: u32,
}

impl Place {
    /// At `now`, for callers with one clock.
    #[must_use]
    pub const fn new(ifindex: u32, hook: Hook, now: u32) -> Self {
        Self { ifindex, hook, now, coarse: now >> 4 }
    }
}

/// Everything there is to say about a frame: what it was and what is done with it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The decision.
    pub decision: Decision,
    /// The direction, seen from the endpoint whose side decided.
    pub direction: Direction,
    /// Whether the packet opened a flow.
    pub new_flow: bool,
    /// The endpoint whose side decided; [`endpoint::NONE`] if none was reached.
    pub endpoint: u32,
    /// Identity of the source.
    pub source_identity: u32,
    /// Identity of the destination.
    pub destination_identity: u32,
    /// The generation that decided.
    pub generation: u32,
    /// Bits of [`report`].
    pub report: u32,
}

impl Outcome {
    /// An outcome that denies until something has been decided.
    #[must_use]
    pub const fn undecided(hook: Hook) -> Self {
        Self {
            decision: Decision::deny(Reason::NotReady, 0),
            direction: match hook {
                Hook::TcEgress => Direction::Ingress,
                Hook::Xdp | Hook::TcIngress => Direction::Egress,
            },
            new_flow: false,
            endpoint: endpoint::NONE,
            source_identity: identity::UNKNOWN,
            destination_identity: identity::UNKNOWN,
            generation: 0,
            report: report::DENIED,
        }
    }

    /// Whether the outcome is to be made an event.
    #[must_use]
    #[inline(always)]
    pub fn is_reported(&self) -> bool {
        let denied = self.decision.verdict != Verdict::Allow;
        self.decision.log
            || self.report & report::ALL != 0
            || (denied && self.report & report::DENIED != 0)
            || (self.new_flow && self.report & report::NEW_FLOWS != 0)
    }
}

/// What one frame takes to decide. The caller keeps it, because the kernel's stack is too small for
/// it; [`decide`] resets it.
#[derive(Clone, Copy, Debug)]
pub struct Desk {
    /// What stays as it is while the frame is decided.
    pub given: Given,
    /// What becomes of it.
    pub work: Work,
}

/// What stays as it is while a frame is decided.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// Where and when the frame is seen.
    pub place: Place,
    /// What the hook there checks.
    pub attachment: Attachment,
    /// The generation's configuration as it was at the beginning: whoever installs the next one may
    /// write its number while a packet is decided.
    pub config: Config,
}

/// What a frame was, and the outcome.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// The frame as read.
    pub packet: Packet,
    /// The packet that an ICMP error quotes.
    quoted: Packet,
    /// Who its addresses are.
    ends: Ends,
    /// Keys and entries on their way to and from the state tables.
    scratch: side::Scratch,
    /// In audit mode, the outcome of the sender's side if it is a denial.
    first: Outcome,
    /// What is done with it.
    pub outcome: Outcome,
}

impl Work {
    fn new() -> Self {
        Self {
            packet: Packet::default(),
            quoted: Packet::default(),
            ends: Ends::default(),
            scratch: side::Scratch::default(),
            first: Outcome::undecided(Hook::Xdp),
            outcome: Outcome::undecided(Hook::Xdp),
        }
    }
}

impl Desk {
    /// Nothing read, nothing decided.
    #[must_use]
    pub fn new() -> Self {
        let place = Place { ifindex: 0, hook: Hook::Xdp, now: 0, coarse: 0 };
        let (attachment, config) = (Attachment::default(), Config::default());
        Self { given: Given { place, attachment, config }, work: Work::new() }
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

/// Decides a frame. Afterwards `desk.work` holds what the frame was and what is to be done with it.
#[inline(always)]
pub fn decide<R: PacketRead + ?Sized, T: Tables, S: State>(
    frame: &R,
    place: &Place,
    tables: &T,
    state: &mut S,
    desk: &mut Desk,
) {
    desk.work.packet = Packet::default();
    match fast::decide(frame, place, tables, state, &mut desk.work.packet) {
        Some(outcome) => desk.work.outcome = outcome,
        None => decide_fully(frame, place, tables, state, desk),
    }
}

/// As [`decide`], without the short way: the answer is the same.
#[inline(always)]
pub fn decide_fully<R: PacketRead + ?Sized, T: Tables, S: State>(
    frame: &R,
    place: &Place,
    tables: &T,
    state: &mut S,
    desk: &mut Desk,
) {
    if begin(frame, place, tables, state, desk) {
        ask_sides(frame, tables, state, desk);
    }
    end(desk);
}

/// Steps 1 to 8 of the full way; whether step 9 follows.
#[inline(always)]
pub fn begin<R: PacketRead + ?Sized, T: Tables, S: State>(
    frame: &R,
    place: &Place,
    tables: &T,
    state: &mut S,
    desk: &mut Desk,
) -> bool {
    let Desk { given, work } = desk;
    work.packet = Packet::default();
    work.first.decision = Decision::allow(Reason::NotSubject, 0);
    work.outcome = Outcome::undecided(place.hook);
    given.place = *place;
    // 1
    let Some(config) = tables.config() else {
        given.config = Config::default();
        return false;
    };
    given.config = *config;
    state.set_clock(place.now);
    work.outcome.generation = given.config.generation;
    work.outcome.report = given.config.report;
    if given.config.abi != ABI_VERSION {
        return false;
    }
    // 2
    let Some(attachment) = tables.attachment(place.ifindex, place.hook) else {
        work.outcome.decision = Decision::deny(Reason::UnknownInterface, 0);
        return false;
    };
    given.attachment = attachment;
    // 3
    if let Err(reason) = packet::parse(frame, &mut work.packet) {
        work.outcome.decision = Decision::deny(reason, 0);
        return false;
    }
    match (Context { given, tables }).before_sides(work) {
        Some(decision) => {
            work.outcome.decision = decision;
            false
        }
        None => true,
    }
}

/// Step 9 of the full way.
#[inline(always)]
pub fn ask_sides<R: PacketRead + ?Sized, T: Tables, S: State>(
    frame: &R,
    tables: &T,
    state: &mut S,
    desk: &mut Desk,
) {
    let Desk { given, work } = desk;
    let context = Context { given, tables };
    work.outcome.decision = Decision::allow(Reason::NotSubject, 0);
    let mut sides = 0;
    for direction in [Direction::Egress, Direction::Ingress] {
        let number = context.endpoint_to_check(direction, &work.ends, &work.packet);
        if number == endpoint::NONE {
            continue;
        }
        sides += 1;
        work.outcome.endpoint = number;
        work.outcome.direction = direction;
        state.decide_side(frame, tables, given, work);
        if work.outcome.decision.verdict == Verdict::Deny {
            if !context.is_audit() {
                return;
            }
            if direction == Direction::Egress {
                work.first = work.outcome;
            }
        }
    }
    if sides == 1 && cache::is_lasting(&work.packet, &work.outcome) {
        state.remember(&given.place, tables.epoch(), work);
    }
    if work.first.decision.verdict == Verdict::Deny {
        // What enforcement would have said; the second side has only remembered the flow.
        work.outcome = work.first;
    }
}

/// Step 10 of the full way.
#[inline(always)]
pub fn end(desk: &mut Desk) {
    let decision = &mut desk.work.outcome.decision;
    if desk.given.config.flags & flags::AUDIT != 0 && decision.verdict == Verdict::Deny {
        decision.verdict = Verdict::Audit;
    }
}

/// What stays the same while one packet is decided.
pub struct Context<'a, T> {
    given: &'a Given,
    tables: &'a T,
}

impl<T: Tables> Context<'_, T> {
    /// Steps 4 to 8.
    #[inline(always)]
    fn before_sides(&self, work: &mut Work) -> Option<Decision> {
        let Work { packet, outcome, ends, .. } = work;
        // 4
        if packet.family == 0 {
            return Some(if self.is_essential(essential::NON_IP) {
                Decision::allow(Reason::NonIp, 0)
            } else {
                Decision::deny(Reason::EssentialOff, 0)
            });
        }
        // 5
        if addresses::is_martian(packet) {
            return Some(Decision::deny(Reason::Martian, 0));
        }
        // 6
        let config = &self.given.config;
        let source = self.tables.address(config, packet.family, &packet.source);
        let destination = self.tables.address(config, packet.family, &packet.destination);
        outcome.source_identity = source.identity;
        outcome.destination_identity = destination.identity;
        *ends = Ends { source, destination };
        // 7
        let essential = self.essential(packet, &source);
        if essential.is_some() {
            return essential;
        }
        // 8
        self.is_spoofed(&source).then_some(Decision::deny(Reason::Spoofed, 0))
    }

    #[inline(always)]
    fn is_essential(&self, bit: u32) -> bool {
        self.given.config.essential & bit != 0
    }

    #[inline(always)]
    fn has(&self, check: u32) -> bool {
        self.given.attachment.checks & check != 0
    }

    /// Step 7.
    #[inline(always)]
    fn essential(&self, packet: &Packet, source: &AddressEntry) -> Option<Decision> {
        if self.has(checks::SOURCE_INSIDE)
            && !addresses::may_be_of_any_interface(packet)
            && !self.is_behind_interface(source.endpoint)
        {
            return None;
        }
        match packet.icmp {
            // RFC 4861 §6.1, §7.1: a hop limit below 255 means it has crossed a router.
            Icmp::Neighbour if packet.hop_limit == 255 => {
                if addresses::is_router_advertisement(packet) && self.has(checks::NO_ROUTERS) {
                    return Some(Decision::deny(Reason::RogueRouter, 0));
                }
                if packet.fragment.present {
                    return None;
                }
                self.allow_essential(essential::NEIGHBOUR_DISCOVERY, Reason::NeighbourDiscovery)
            }
            // RFC 2710 §3, RFC 3810 §5: link-local, hop limit 1.
            Icmp::MulticastListener if packet.hop_limit == 1 && !packet.fragment.present => {
                self.allow_essential(essential::MULTICAST_LISTENER, Reason::MulticastListener)
            }
            Icmp::None if addresses::is_dhcp(packet, self.is_from_client()) => {
                self.allow_essential(essential::DHCP, Reason::Dhcp)
            }
            _ => None,
        }
    }

    /// Whether what passes here comes from one of our endpoints (else it is for one).
    #[inline(always)]
    fn is_from_client(&self) -> bool {
        self.has(checks::WORKLOAD_EGRESS)
            || self.has(checks::HOST_EGRESS) && !self.has(checks::WORKLOAD_INGRESS)
    }

    #[inline(always)]
    fn allow_essential(&self, bit: u32, reason: Reason) -> Option<Decision> {
        self.is_essential(bit).then_some(Decision::allow(reason, 0))
    }

    /// Step 8. The interface comes first: an address that is right elsewhere is wrong here.
    #[inline(always)]
    fn is_spoofed(&self, source: &AddressEntry) -> bool {
        if self.has(checks::SOURCE_INSIDE) {
            return !self.is_behind_interface(source.endpoint);
        }
        self.has(checks::SOURCE_OUTSIDE) && source.endpoint != endpoint::NONE
    }

    #[inline(always)]
    fn is_behind_interface(&self, number: u32) -> bool {
        number != endpoint::NONE
            && number != endpoint::HOST
            && number != endpoint::UNKNOWN
            && (number == self.given.attachment.endpoint
                || self
                    .tables
                    .endpoint(number)
                    .is_some_and(|e| e.ifindex == self.given.place.ifindex))
    }

    /// Whose side of the flow this hook decides in `direction`.
    #[inline(always)]
    fn endpoint_to_check(&self, direction: Direction, ends: &Ends, packet: &Packet) -> u32 {
        let (own, workload, host) = match direction {
            Direction::Egress => (&ends.source, checks::WORKLOAD_EGRESS, checks::HOST_EGRESS),
            Direction::Ingress => {
                (&ends.destination, checks::WORKLOAD_INGRESS, checks::HOST_INGRESS)
            }
        };
        if self.has(workload) {
            // The interface comes first here too: whatever address a packet for the workload
            // carries (broadcast, multicast, one nobody told us of), it is for the workload.
            return if self.is_behind_interface(own.endpoint) {
                own.endpoint
            } else {
                self.given.attachment.endpoint
            };
        }
        // What is for a group is for the host too, whoever else is in it.
        let to_group = || direction == Direction::Ingress && addresses::is_to_group(packet);
        if self.has(host) && (own.endpoint == endpoint::HOST || to_group()) {
            return endpoint::HOST;
        }
        endpoint::NONE
    }
}

/// What policy is asked: may the endpoint open this flow (egress), or accept it (ingress)?
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Whose policy.
    pub subject: u32,
    /// The other end's identity.
    pub peer: u32,
    /// The direction.
    pub direction: Direction,
    /// The forms of entries that the subject has in this direction.
    pub forms: u8,
    /// IP protocol number.
    pub protocol: u8,
    /// The destination's port, or ICMP type and code.
    pub port: u16,
}

/// The policy lookup alone, in the order that the module describes.
#[inline(never)]
pub fn policy<T: Tables>(tables: &T, question: &Question) -> Decision {
    policy_inline(tables, question)
}

#[inline(always)]
fn policy_inline<T: Tables>(tables: &T, question: &Question) -> Decision {
    use crate::abi::policy::{class_table, forms as form};

    let Question { subject, peer, direction, forms, protocol, port } = *question;
    if forms & form::ENFORCED == 0 {
        return Decision::allow(Reason::NotIsolated, 0);
    }
    const CLASSES: u8 = form::PEER_CLASS | form::ANY_CLASS;
    let any = PolicyKey::any_service(direction);
    let any_port = PolicyKey::any_port(direction, protocol);
    let (forms, class) = match class_table(protocol) {
        Some(_) if forms & CLASSES != 0 => {
            (forms, PolicyKey::service(direction, protocol, tables.class(protocol, port)))
        }
        // Without classes, what asks for one asks for nothing.
        _ => (forms & !CLASSES, any),
    };
    let ask = |bit: u8, peer: u32, service: u32| {
        if forms & bit == 0 {
            return None;
        }
        tables.policy(&PolicyKey { subject, peer, service })
    };
    let found = None
        .or_else(|| ask(form::PEER_CLASS, peer, class))
        .or_else(|| ask(form::PEER_PROTOCOL, peer, any_port))
        .or_else(|| ask(form::PEER, peer, any))
        .or_else(|| ask(form::ANY_CLASS, identity::ANY, class))
        .or_else(|| ask(form::ANY_PROTOCOL, identity::ANY, any_port))
        .or_else(|| ask(form::ANY, identity::ANY, any));
    found.map_or(Decision::deny(Reason::NoRule, 0), |entry| answer(&entry))
}

#[inline(always)]
fn answer(entry: &PolicyEntry) -> Decision {
    use crate::abi::policy::action;

    let decision = match (entry.action, entry.rule) {
        (action::ALLOW, 0) => Decision::allow(Reason::NotIsolated, 0),
        (action::ALLOW, rule) => Decision::allow(Reason::Rule, rule),
        (_, 0) => Decision::deny(Reason::NoRule, 0),
        (_, rule) => Decision::deny(Reason::DenyRule, rule),
    };
    decision.logged(entry.flags & entry_flags::LOG != 0)
}
