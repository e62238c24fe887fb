//! What one end decides about a packet.

use std::net::IpAddr;
use std::time::Duration;

use ringfence_common::verdict::Reason;

use super::{Connections, Judgement};
use crate::model::{Direction, Workload, WorkloadName};
use crate::oracle::connection::{Connection, Side, Step, Tuple, is_tcp, opens};
use crate::oracle::essential::Way;
use crate::oracle::fragment::Fragmented;
use crate::oracle::frame::{Meaning, Packet, Quoted, Transport};
use crate::oracle::limits::PICK_UP;
use crate::oracle::settings::{Essential, Established, Mode};
use crate::oracle::{Flow, Oracle};

/// Who decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The host, whether the inventory describes it or not.
    Host,
    Workload(WorkloadName),
}

/// Which fragments are one packet (RFC 791 §3.2: addresses, protocol and identification; RFC 8200
/// §4.5: addresses and identification), at one end in one direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FragmentName {
    end: End,
    out: bool,
    source: IpAddr,
    destination: IpAddr,
    identification: u32,
    protocol: Option<u8>,
}

impl Connections {
    /// What `end` decides about a packet that goes `way`:
    ///
    /// 1. to itself: essential;
    /// 2. a later fragment follows its first;
    /// 3. an ICMP error has to be about a connection;
    /// 4. a packet of a connection has to be a step of it;
    /// 5. anything else begins a connection, if policy allows it.
    pub(super) fn side(
        &mut self,
        end: &End,
        way: Way,
        packet: &Packet,
        now: Duration,
    ) -> Judgement {
        let to_itself = self.owner(packet.source) == self.owner(packet.destination)
            && self.owner(packet.source).as_ref() == Some(end);
        if to_itself && self.is_on(Essential::SelfTraffic) {
            return Reason::SelfTraffic.into();
        }
        if packet.is_later_fragment() {
            return self.follow(end, way, packet, now);
        }
        let judgement = match &packet.transport {
            Transport::Icmp(message) => match &message.meaning {
                Meaning::Error(Some(quoted)) => self.about(end, way, packet, quoted, now),
                Meaning::Error(None) => Reason::MalformedEmbedded.into(),
                _ => self.connection(end, way, packet, now),
            },
            _ => self.connection(end, way, packet, now),
        };
        self.first_fragment(end, way, packet, now, judgement)
    }

    /// A packet that says which connection it belongs to, or that is a question of its own.
    fn connection(&mut self, end: &End, way: Way, packet: &Packet, now: Duration) -> Judgement {
        let sender = Side::sender(way);
        let Some(tuple) = Tuple::of(packet, way) else {
            return self.policy(end, &Tuple::of_protocol(packet, way), sender);
        };
        let key = (end.clone(), tuple);
        let Some(mut known) = self.connections.remove(&key) else {
            return self.begin(key, packet, sender, now);
        };
        match known.step(packet, sender, now) {
            Step::Anew => {
                // What is denied changes nothing.
                self.connections.insert(key.clone(), known);
                self.begin(key, packet, sender, now)
            }
            Step::Refused(reason) => {
                let judgement = Judgement { reason, rules: known.rules.clone() };
                self.connections.insert(key, known);
                judgement
            }
            Step::Goes => {
                let revoked = self.revalidate(end, &key.1, &mut known);
                // What is cut stays cut until it falls silent.
                if revoked.is_some() && self.settings.mode == Mode::Enforce {
                    known.close();
                }
                let judgement = revoked.unwrap_or_else(|| Judgement {
                    reason: known.would_be.unwrap_or(if known.is_reply(sender) {
                        Reason::Reply
                    } else {
                        Reason::Established
                    }),
                    rules: known.rules.clone(),
                });
                self.connections.insert(key, known);
                judgement
            }
        }
    }

    /// Semantics 3: a connection that the new policies would not allow is cut at its next packet,
    /// unless connections are kept; what audit mode let in was never allowed, so it is not kept.
    /// Says so if it is cut.
    fn revalidate(
        &self,
        end: &End,
        tuple: &Tuple,
        connection: &mut Connection,
    ) -> Option<Judgement> {
        let kept = self.settings.established == Established::Keep && connection.would_be.is_none();
        if kept || connection.generation == self.generation {
            return None;
        }
        connection.generation = self.generation;
        let mut judgement = self.policy(end, tuple, connection.opener);
        if judgement.reason.denies() && connection.is_opener_guessed() {
            let other = self.policy(end, tuple, connection.opener.other());
            if !other.reason.denies() {
                connection.opener = connection.opener.other();
                judgement = other;
            }
        }
        let Judgement { reason, rules } = judgement;
        connection.rules = rules;
        if !reason.denies() {
            connection.would_be = None;
            return None;
        }
        // In audit mode, what was never allowed is not revoked; what was revoked stays so.
        let was_allowed = matches!(connection.would_be, None | Some(Reason::Revoked))
            || self.settings.mode == Mode::Enforce;
        let reason = if was_allowed { Reason::Revoked } else { reason };
        connection.would_be = Some(reason);
        Some(Judgement { reason, rules: connection.rules.clone() })
    }

    /// The first packet of a connection.
    fn begin(
        &mut self,
        key: (End, Tuple),
        packet: &Packet,
        sender: Side,
        now: Duration,
    ) -> Judgement {
        let (end, tuple) = &key;
        let asked = self.policy(end, tuple, sender);
        let (opener, judgement) = if opens(packet) {
            (sender, asked)
        } else {
            let opener = if is_tcp(packet) { sender } else { sender.other() };
            self.unasked(end, tuple, packet, (sender, opener), asked, now)
        };
        let passes = !judgement.reason.denies();
        if passes || self.settings.mode == Mode::Audit {
            let mut connection = Connection::begin(packet, sender, opener, now);
            connection.generation = self.generation;
            connection.rules.clone_from(&judgement.rules);
            connection.would_be = (!passes).then_some(judgement.reason);
            self.connections.insert(key, connection);
        }
        judgement
    }

    /// Whether some policy isolates an end, in whichever direction. Where none does, a packet that
    /// answers nothing passes if policy allows its connection whoever has opened it. Rules that
    /// only log isolate nobody (semantics 6).
    fn is_isolated(&self, end: &End) -> bool {
        self.subject(end).is_some_and(|subject| {
            Oracle::new(&self.set)
                .selecting(subject)
                .any(|policy| policy.isolates_ingress || policy.isolates_egress)
        })
    }

    /// What opens no connection and belongs to none. `forward` is what policy says if the sender is
    /// the opener. Who is taken for the opener, and the judgement:
    ///
    /// 1. it passes by an end that nobody isolates, if policy allows the connection in both
    ///    orientations;
    /// 2. mid-stream TCP is admitted for a while, if policy allows it in either (semantics 10);
    /// 3. by an end that nobody isolates, a rule has denied it;
    /// 4. else it is no step of any connection (semantics 11).
    fn unasked(
        &self,
        end: &End,
        tuple: &Tuple,
        packet: &Packet,
        (sender, opener): (Side, Side),
        forward: Judgement,
        now: Duration,
    ) -> (Side, Judgement) {
        let backward = self.policy(end, tuple, sender.other());
        let denied = [forward.reason.denies(), backward.reason.denies()];
        let is_isolated = self.is_isolated(end);
        if !is_isolated && denied == [false, false] {
            return (opener, forward);
        }
        let picked = |judgement: Judgement| Judgement { reason: Reason::PickedUp, ..judgement };
        let may_pick_up = is_tcp(packet) && now < self.settings.pick_up.min(PICK_UP);
        match denied {
            [false, _] if may_pick_up => (sender, picked(forward)),
            [_, false] if may_pick_up => (sender.other(), picked(backward)),
            [true, _] if !is_isolated => (opener, forward),
            [_, true] if !is_isolated => (opener, backward),
            _ if is_tcp(packet) => (opener, Reason::NoConnection.into()),
            _ => (opener, Reason::UnexpectedReply.into()),
        }
    }

    /// What policy says about a connection that `opener` opens, as `end` sees it.
    fn policy(&self, end: &End, tuple: &Tuple, opener: Side) -> Judgement {
        let (direction, source, destination) = match opener {
            Side::Local => (Direction::Egress, tuple.local, tuple.remote),
            Side::Remote => (Direction::Ingress, tuple.remote, tuple.local),
        };
        if self.is_on(Essential::HostToWorkload) && self.is_from_host_to_own(end, tuple, opener) {
            return Reason::HostToWorkload.into();
        }
        let Some(subject) = self.subject(end) else { return Reason::NotIsolated.into() };
        let (protocol, port) = (tuple.protocol(), tuple.service(opener));
        let flow = Flow { source, destination, protocol, port };
        let (reason, rules) = Oracle::new(&self.set).ask_tiers(subject, direction, &flow);
        Judgement { reason, rules }
    }

    /// Whether the host opens a connection to its own workload, as the one or the other sees it.
    /// Whatever goes to the workload's interface is for it, whichever address it carries.
    fn is_from_host_to_own(&self, end: &End, tuple: &Tuple, opener: Side) -> bool {
        let other = self.owner(tuple.remote);
        match (end, opener) {
            (End::Workload(_), Side::Remote) => other == Some(End::Host),
            (End::Host, Side::Local) => {
                other.is_some_and(|other| other != End::Host && self.is_of_this_host(&other))
            }
            _ => false,
        }
    }

    /// Whom policies select.
    fn subject(&self, end: &End) -> Option<&Workload> {
        match end {
            End::Host => self.set.inventory.workloads().find(|workload| workload.host),
            End::Workload(name) => self.set.inventory.workload(name),
        }
    }

    /// An ICMP error passes if it is about a packet that its receiver has sent on a tracked
    /// connection; the end that sends one has to have received that packet from whom it tells.
    fn about(
        &mut self,
        end: &End,
        way: Way,
        packet: &Packet,
        quoted: &Quoted,
        now: Duration,
    ) -> Judgement {
        let concerns = quoted.source == packet.destination;
        let sender = Side::sender(way).other();
        let found = Tuple::quoted(quoted, sender)
            .filter(|_| concerns)
            .map(|tuple| (end.clone(), tuple))
            .and_then(|key| Some((self.connections.get(&key)?.clone(), key)))
            .filter(|(connection, _)| connection.has_sent(sender, now));
        let Some((mut connection, key)) = found else { return Reason::Unrelated.into() };
        let revoked = self.revalidate(end, &key.1, &mut connection).is_some();
        if revoked && self.settings.mode == Mode::Enforce {
            return Reason::Unrelated.into();
        }
        if !self.is_on(Essential::RelatedErrors) {
            return Reason::EssentialOff.into();
        }
        let reason = connection.would_be.unwrap_or(Reason::Related);
        Judgement { reason, rules: connection.rules }
    }

    /// Remembers a first fragment that passes, and forgets what its number stood for if it does
    /// not.
    fn first_fragment(
        &mut self,
        end: &End,
        way: Way,
        packet: &Packet,
        now: Duration,
        judgement: Judgement,
    ) -> Judgement {
        let Some(fragment) = &packet.fragment else { return judgement };
        let name = name(end, way, packet, fragment.identification);
        if judgement.reason.denies() && self.settings.mode == Mode::Enforce {
            self.fragmented.remove(&name);
            return judgement;
        }
        if let Some(known) = self.fragmented.get_mut(&name)
            && !known.is_over(now)
        {
            return match known.take(fragment) {
                Ok(()) => judgement,
                Err(reason) => Judgement { reason, ..judgement },
            };
        }
        let would_be = judgement.reason.denies().then_some(judgement.reason);
        let fragmented = Fragmented::new(fragment, judgement.rules.clone(), would_be, now);
        self.fragmented.insert(name, fragmented);
        judgement
    }

    /// A later fragment passes if the first of its packet has (semantics 14).
    fn follow(&mut self, end: &End, way: Way, packet: &Packet, now: Duration) -> Judgement {
        let fragment = packet.fragment.as_ref().expect("only fragments are later fragments");
        let name = name(end, way, packet, fragment.identification);
        let Some(known) = self.fragmented.get_mut(&name) else {
            return Reason::UnknownFragment.into();
        };
        let rules = known.rules.clone();
        if known.is_over(now) {
            return Judgement { reason: Reason::UnknownFragment, rules };
        }
        if let Err(reason) = known.take(fragment) {
            return Judgement { reason, rules };
        }
        let reason = known.would_be.unwrap_or(Reason::Fragment);
        if known.is_complete() {
            self.fragmented.remove(&name);
        }
        Judgement { reason, rules }
    }
}

fn name(end: &End, way: Way, packet: &Packet, identification: u32) -> FragmentName {
    FragmentName {
        end: end.clone(),
        out: way == Way::Out,
        source: packet.source,
        destination: packet.destination,
        identification,
        protocol: packet.source.is_ipv4().then_some(packet.protocol),
    }
}
