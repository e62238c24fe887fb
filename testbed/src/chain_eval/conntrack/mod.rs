//! A small literal model of the kernel's connection tracking.
//!
//! Facts are from net/netfilter/nf_conntrack_core.c and its protocols `nf_conntrack_proto_*.c`
//! (Linux 6.1 to 6.18), Documentation/networking/nf_conntrack-sysctl.rst, RFC 9293 and RFC 9260;
//! settings are the kernel's defaults: loose TCP pick-up, checksums checked where packets arrive,
//! nothing liberal, no helpers.
//!
//! A packet is `NEW` until its connection has been answered: a second datagram and a repeated SYN
//! ask the rules again. What cannot be read, a reply to nothing, and TCP that no step of a
//! connection has is `INVALID`. An ICMP error is `RELATED` if the packet that it quotes is of a
//! connection and goes back to where that came from.
//!
//! Not modelled: expectations, zones, NAT, the PPTP key of GRE, DCCP, selective
//! acknowledgements, a full table.

mod icmp;
mod sctp;
mod tcp;
mod tuple;

use std::time::Duration;

use self::tuple::Tuple;
use super::packet::{Packet, protocol};

/// Known connections.
#[derive(Clone, Debug, Default)]
pub struct Conntrack {
    entries: Vec<Entry>,
    /// Begun by the packet that is under way.
    unconfirmed: Option<Entry>,
    /// How many have begun.
    begun: u32,
    /// Of connections that were deleted.
    deleted: Vec<[Tuple; 2]>,
    /// Of connections that have ended where a strict reader sees none end, and why.
    lenient: Vec<([Tuple; 2], &'static str)>,
}

/// What rules can ask of a packet's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// `ctstate`, `ct state`.
    pub state: State,
    /// `ctdir`, `ct direction`; nothing where the packet is of no connection.
    pub direction: Option<Direction>,
    /// Whether an entry was there before the packet.
    pub known: bool,
    /// Its connection, of those that this [`Conntrack`] has seen.
    pub connection: Option<u32>,
    /// Why it is [`State::Invalid`].
    pub fault: Option<Fault>,
    /// Whether it may be of a connection that was deleted. Rules cannot ask for it.
    pub was_deleted: bool,
    /// What the kernel is known to see otherwise than a strict reader of the protocol's standard,
    /// in this packet or in one of its connection before.
    pub leniency: Option<&'static str>,
}

/// States of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Of a connection that nobody has answered yet.
    New,
    /// Of a connection that has been answered.
    Established,
    /// An ICMP error about a connection.
    Related,
    /// Of no connection, and no beginning of one.
    Invalid,
    /// Not tracked: neighbour and listener discovery.
    Untracked,
}

/// Which way a packet of a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// As its first packet.
    Original,
    /// The other way.
    Reply,
}

/// Why a packet is [`State::Invalid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Nobody can tell its protocol.
    Headers,
    /// The protocol's header is cut, or its lengths are wrong.
    Damaged,
    /// The protocol's checksum is wrong.
    Checksum,
    /// TCP flags that no packet has.
    Flags,
    /// It begins no connection, and is of none.
    Stray,
    /// It answers no question.
    Unasked,
    /// ICMP that is neither question, answer nor error.
    Untold,
    /// An ICMP error about no connection.
    Unrelated,
    /// No step of its connection.
    Step,
}

/// Why what follows a silence is not certain.
const SILENCE: &str = "how long the kernel remembers a silent connection is its own setting";

/// What others leave to the receiver.
const CHECKSUM: &str = "the kernel's tracking checks the checksums of transports";

/// What has no header can have no connection.
const NOTHING_NEXT: &str = "the kernel tracks nothing that says it has no next header";

/// A silence that ends no connection: the shortest default is longer.
const SHORT: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
struct Entry {
    number: u32,
    /// Of its first packet, and of the answer.
    tuples: [Tuple; 2],
    opening: Packet,
    protocol: Protocol,
    is_answered: bool,
    /// Why a strict reader may see it otherwise by now.
    lenient: Option<&'static str>,
    /// Since its last packet.
    silent: Duration,
    /// Since its first packet.
    age: Duration,
}

#[derive(Clone, Debug)]
enum Protocol {
    Tcp(tcp::Connection),
    Sctp(sctp::Association),
    Other,
}

/// What a protocol makes of a packet of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It belongs to the connection.
    Belongs,
    /// It passes as one of the connection, though it need not fit; why.
    Lenient(&'static str),
    /// It belongs, and the connection is forgotten; why a strict reader need not agree.
    Ends(Option<&'static str>),
    /// The connection is over, and the packet is to be looked at anew.
    Again,
    /// It does not belong to any.
    Invalid,
}

impl Tracked {
    /// Before anybody has asked.
    pub const UNASKED: Self = Self::without(State::Invalid);

    const fn without(state: State) -> Self {
        Self {
            state,
            direction: None,
            known: false,
            connection: None,
            fault: None,
            was_deleted: false,
            leniency: None,
        }
    }

    const fn invalid(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::without(State::Invalid) }
    }
}

impl Direction {
    const BOTH: [Self; 2] = [Self::Original, Self::Reply];

    const fn other(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }
}

impl Conntrack {
    /// What a packet is. `arrives` is false for what the host itself sends, whose checksums are
    /// not looked at.
    pub fn see(&mut self, packet: &Packet, arrives: bool) -> Tracked {
        self.unconfirmed = None;
        // `nf_ct_get_l4proto`: behind "no next header" there is nothing to track.
        if packet.protocol.is_none_or(|number| packet.is_v6() && number == protocol::NONE) {
            let leniency = packet.protocol.and(Some(NOTHING_NEXT));
            return Tracked { leniency, ..Tracked::invalid(Fault::Headers) };
        }
        if let Some(decided) = self.icmp(packet, arrives) {
            return decided;
        }
        let Some(tuple) = Tuple::of(packet) else { return Tracked::invalid(Fault::Damaged) };
        if let Some(fault) = fault_of(packet, arrives) {
            let leniency = (fault == Fault::Checksum).then_some(CHECKSUM);
            return Tracked { leniency, ..Tracked::invalid(fault) };
        }
        let tracked = self.known(packet, &tuple).unwrap_or_else(|| self.open(packet, tuple));
        Tracked { was_deleted: self.was_deleted(&tuple), ..tracked }
    }

    fn was_deleted(&self, tuple: &Tuple) -> bool {
        self.deleted.iter().any(|both| both.contains(tuple))
    }

    /// The packet that was seen last has passed all rules, or not.
    pub fn settle(&mut self, passed: bool) {
        let begun = self.unconfirmed.take();
        self.entries.extend(begun.filter(|_| passed));
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        for entry in &mut self.entries {
            entry.silent += time;
            entry.age += time;
        }
    }

    /// Deletes the connections of which `is_refused` is true, asked with a packet as the one that
    /// opened it, and its number.
    pub fn delete(&mut self, mut is_refused: impl FnMut(&Packet, u32) -> bool) {
        let deleted = &mut self.deleted;
        self.entries.retain(|entry| {
            let refused = is_refused(&entry.opening, entry.number);
            if refused {
                deleted.push(entry.tuples);
            }
            !refused
        });
    }

    fn find(&self, tuple: &Tuple) -> Option<(usize, Direction)> {
        let place = |entry: &Entry| {
            Direction::BOTH.into_iter().find(|way| entry.tuples[*way as usize] == *tuple)
        };
        let mut entries = self.entries.iter().enumerate();
        entries.find_map(|(index, entry)| Some((index, place(entry)?)))
    }

    /// A packet of a known connection; nothing where it is of none, or of one that is over.
    fn known(&mut self, packet: &Packet, tuple: &Tuple) -> Option<Tracked> {
        let (index, direction) = self.find(tuple)?;
        let entry = &mut self.entries[index];
        if entry.is_over() {
            let over = self.entries.remove(index);
            self.lenient.push((over.tuples, SILENCE));
            return None;
        }
        let step = entry.step(packet, direction);
        if let Step::Lenient(why) = step {
            entry.lenient = Some(why);
        }
        let silence = (entry.silent >= SHORT).then_some(SILENCE);
        let of_step = match step {
            Step::Ends(why) => why,
            _ => None,
        };
        let leniency = of_step.or(entry.lenient).or(silence);
        let state = match direction {
            Direction::Original if !entry.is_answered => State::New,
            _ => State::Established,
        };
        match step {
            Step::Invalid => {
                return Some(Tracked { leniency, ..Tracked::invalid(Fault::Step) });
            }
            Step::Again => {
                self.entries.remove(index);
                return None;
            }
            Step::Belongs | Step::Lenient(_) | Step::Ends(_) => {}
        }
        entry.is_answered |= direction == Direction::Reply;
        entry.silent = Duration::ZERO;
        let connection = Some(entry.number);
        if let Step::Ends(lenient) = step {
            let over = self.entries.remove(index);
            self.lenient.extend(lenient.map(|why| (over.tuples, why)));
        }
        let direction = Some(direction);
        let known =
            Tracked { direction, known: true, connection, leniency, ..Tracked::without(state) };
        Some(known)
    }

    /// A packet of no known connection.
    fn open(&mut self, packet: &Packet, tuple: Tuple) -> Tracked {
        let lenient = self.lenient.iter().rev().find(|(both, _)| both.contains(&tuple));
        let leniency = lenient.map(|(_, why)| *why);
        let protocol = match packet.protocol {
            Some(protocol::TCP) => {
                packet.tcp().and_then(|tcp| tcp::Connection::new(&tcp)).map(Protocol::Tcp)
            }
            Some(protocol::SCTP) => sctp::Association::new(&packet.transport).map(Protocol::Sctp),
            Some(protocol::ICMP | protocol::ICMPV6) => {
                icmp::may_open(packet).then_some(Protocol::Other)
            }
            _ => Some(Protocol::Other),
        };
        let (Some(protocol), Some(answer)) = (protocol, tuple.inverse()) else {
            let is_icmp = matches!(packet.protocol, Some(protocol::ICMP | protocol::ICMPV6));
            let fault = match (is_icmp, tuple.inverse()) {
                (false, _) => Fault::Stray,
                (true, Some(_)) => Fault::Unasked,
                (true, None) => Fault::Untold,
            };
            return Tracked { leniency, ..Tracked::invalid(fault) };
        };
        self.begun += 1;
        self.unconfirmed = Some(Entry {
            number: self.begun,
            tuples: [tuple, answer],
            opening: packet.clone(),
            protocol,
            is_answered: false,
            lenient: leniency,
            silent: Duration::ZERO,
            age: Duration::ZERO,
        });
        let (direction, connection) = (Some(Direction::Original), Some(self.begun));
        Tracked { direction, connection, leniency, ..Tracked::without(State::New) }
    }
}

impl Entry {
    fn step(&mut self, packet: &Packet, direction: Direction) -> Step {
        match &mut self.protocol {
            Protocol::Tcp(connection) => packet
                .tcp()
                .map_or(Step::Invalid, |tcp| connection.step(&tcp, direction, self.is_answered)),
            Protocol::Sctp(association) => association.step(&packet.transport, direction),
            Protocol::Other => Step::Belongs,
        }
    }

    /// Whether it was silent for longer than the kernel's defaults.
    fn is_over(&self) -> bool {
        let seconds = match &self.protocol {
            Protocol::Tcp(connection) => connection.timeout(),
            Protocol::Sctp(association) => association.timeout(),
            Protocol::Other => match self.opening.protocol {
                Some(protocol::ICMP | protocol::ICMPV6) => 30,
                // A stream of datagrams has gone on for two seconds (`udp_packet`).
                Some(protocol::UDP | protocol::UDP_LITE)
                    if self.is_answered && self.age - self.silent >= SHORT =>
                {
                    120
                }
                Some(protocol::UDP | protocol::UDP_LITE) => 30,
                Some(protocol::GRE) if self.is_answered => 180,
                Some(protocol::GRE) => 30,
                _ => 600,
            },
        };
        self.silent > Duration::from_secs(seconds)
    }
}

/// What connection tracking finds wrong with a packet before it looks for its connection
/// (`tcp_error`, `udp_error`, `sctp_error`).
fn fault_of(packet: &Packet, arrives: bool) -> Option<Fault> {
    let bytes = &packet.transport;
    let is_cut = match packet.protocol {
        Some(protocol::TCP) => packet.tcp().is_none_or(|tcp| !tcp.offset_fits),
        Some(protocol::UDP) => match bytes[..] {
            [_, _, _, _, high, low, _, _, ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                !(8..=bytes.len()).contains(&length)
            }
            _ => true,
        },
        Some(protocol::SCTP) => bytes.len() < 12,
        Some(protocol::UDP_LITE) => bytes.len() < 8,
        _ => return None,
    };
    if is_cut {
        return Some(Fault::Damaged);
    }
    if packet.tcp().is_some_and(|tcp| !tcp::is_possible(&tcp)) {
        return Some(Fault::Flags);
    }
    (arrives && !packet.checksum_is_right()).then_some(Fault::Checksum)
}

#[cfg(test)]
mod tests;
