//! A connection as one of its ends sees it (semantics 11).

mod tcp;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ringfence_common::verdict::Reason;

pub use self::tcp::Tcp;

use super::essential::Way;
use super::frame::protocol;
use super::frame::{About, Meaning, Packet, Quoted, Transport};
use crate::model::RuleName;

/// The two sides of a connection: the end that remembers it, and the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Local,
    Remote,
}

impl Side {
    /// Who sends a packet that goes this way past the local end.
    pub fn sender(way: Way) -> Self {
        if way == Way::Out { Self::Local } else { Self::Remote }
    }

    pub fn other(self) -> Self {
        if self == Self::Local { Self::Remote } else { Self::Local }
    }
}

/// Which packets are one connection: the same in both directions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuple {
    pub local: IpAddr,
    pub remote: IpAddr,
    pub talk: Talk,
}

/// What is said between two addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Talk {
    /// TCP, UDP, SCTP.
    Ports { protocol: u8, local: u16, remote: u16 },
    /// Questions of one type under one identifier, and their replies.
    Questions { protocol: u8, kind: u8, identifier: u16, asker: Side },
    /// Everything of a protocol without ports.
    Protocol(u8),
}

impl Tuple {
    /// The connection of a packet that goes `way`; nothing for what belongs to none: later
    /// fragments, and ICMP that neither asks nor replies (semantics 11).
    pub fn of(packet: &Packet, way: Way) -> Option<Self> {
        let sender = Side::sender(way);
        let number = packet.protocol;
        let talk = match &packet.transport {
            Transport::Tcp(segment) => {
                Talk::ports(number, segment.source, segment.destination, sender)
            }
            Transport::Udp { source, destination } | Transport::Sctp { source, destination } => {
                Talk::ports(number, *source, *destination, sender)
            }
            Transport::Icmp(message) => match message.meaning {
                Meaning::Question { identifier } => {
                    Talk::question(number, message.kind, identifier, sender)
                }
                Meaning::Reply { question, identifier } => {
                    Talk::question(number, question, identifier, sender.other())
                }
                Meaning::Error(_) | Meaning::Other => return None,
            },
            Transport::Other => Talk::Protocol(number),
            Transport::Unseen => return None,
        };
        Some(Self::between(packet.source, packet.destination, sender, talk))
    }

    /// The connection of a packet that an error is about, which `sender` has sent; nothing where
    /// the quote does not say which.
    pub fn quoted(quoted: &Quoted, sender: Side) -> Option<Self> {
        let number = quoted.protocol;
        let talk = match quoted.about {
            About::Ports { source, destination } => {
                Talk::ports(number, source, destination, sender)
            }
            About::Question { kind, identifier } => {
                Talk::question(number, kind, identifier, sender)
            }
            About::Reply { question, identifier } => {
                Talk::question(number, question, identifier, sender.other())
            }
            About::NoPorts => Talk::Protocol(number),
            About::NoFlow => return None,
        };
        Some(Self::between(quoted.source, quoted.destination, sender, talk))
    }

    /// Everything of a packet's protocol between its addresses.
    pub fn of_protocol(packet: &Packet, way: Way) -> Self {
        let talk = Talk::Protocol(packet.protocol);
        Self::between(packet.source, packet.destination, Side::sender(way), talk)
    }

    fn between(source: IpAddr, destination: IpAddr, sender: Side, talk: Talk) -> Self {
        match sender {
            Side::Local => Self { local: source, remote: destination, talk },
            Side::Remote => Self { local: destination, remote: source, talk },
        }
    }

    /// IP protocol number.
    pub fn protocol(&self) -> u8 {
        match self.talk {
            Talk::Ports { protocol, .. } | Talk::Questions { protocol, .. } => protocol,
            Talk::Protocol(protocol) => protocol,
        }
    }

    /// The port of the side that did not open the connection.
    pub fn service(&self, opener: Side) -> Option<u16> {
        match (&self.talk, opener) {
            (Talk::Ports { remote, .. }, Side::Local) => Some(*remote),
            (Talk::Ports { local, .. }, Side::Remote) => Some(*local),
            _ => None,
        }
    }
}

impl Talk {
    fn ports(protocol: u8, source: u16, destination: u16, sender: Side) -> Self {
        let (local, remote) = match sender {
            Side::Local => (source, destination),
            Side::Remote => (destination, source),
        };
        Self::Ports { protocol, local, remote }
    }

    fn question(protocol: u8, kind: u8, identifier: u16, asker: Side) -> Self {
        Self::Questions { protocol, kind, identifier, asker }
    }
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Connection {
    pub opener: Side,
    /// Which set of policies allowed it last.
    pub generation: u64,
    /// The rules that allow it.
    pub rules: Vec<RuleName>,
    /// In audit mode, what it would have been denied for.
    pub would_be: Option<Reason>,
    last_seen: Duration,
    /// Which sides have been seen to send something.
    seen: BTreeSet<Side>,
    /// Whether it began with an answer, so that both sides had sent something before.
    is_older: bool,
    /// TCP has states; everything else is open until it falls silent.
    tcp: Option<Tcp>,
}

/// What a packet does to the connection it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It belongs to it.
    Goes,
    /// The connection is over: this begins another.
    Anew,
    /// No step of a connection.
    Refused(Reason),
}

impl Connection {
    /// A connection that begins with `packet`, sent by `sender`.
    pub fn begin(packet: &Packet, sender: Side, opener: Side, now: Duration) -> Self {
        let tcp = match &packet.transport {
            Transport::Tcp(segment) => Some(Tcp::begin(segment, sender)),
            _ => None,
        };
        Self {
            opener,
            generation: 0,
            rules: Vec::new(),
            would_be: None,
            last_seen: now,
            seen: [sender].into(),
            is_older: !opens(packet),
            tcp,
        }
    }

    /// Ends it: nothing is expected on it any more.
    pub fn close(&mut self) {
        if let Some(tcp) = &mut self.tcp {
            tcp.close();
        }
    }

    /// Takes the next packet.
    pub fn step(&mut self, packet: &Packet, sender: Side, now: Duration) -> Step {
        if self.is_silent(now) {
            return Step::Anew;
        }
        let step = match (&mut self.tcp, &packet.transport) {
            (Some(tcp), Transport::Tcp(segment)) => tcp.step(segment, sender, self.opener),
            _ => Step::Goes,
        };
        if step == Step::Goes {
            self.last_seen = now;
            self.seen.insert(sender);
        }
        step
    }

    /// Whether it has been silent for longer than its state lets it be.
    fn is_silent(&self, now: Duration) -> bool {
        let patience = match &self.tcp {
            Some(tcp) => tcp.patience(),
            None if self.seen.len() == 2 => Duration::from_secs(120),
            None => Duration::from_secs(30),
        };
        now.saturating_sub(self.last_seen) > patience
    }

    /// Whether `side` has sent something on this connection, about which there may be an error.
    pub fn has_sent(&self, side: Side, now: Duration) -> bool {
        !self.is_silent(now) && (self.is_older || self.seen.contains(&side))
    }

    /// Whether nobody has seen who opened it: TCP whose first packet was no SYN.
    pub fn is_opener_guessed(&self) -> bool {
        self.is_older && self.tcp.is_some()
    }

    /// Whether a packet of `sender` answers.
    pub fn is_reply(&self, sender: Side) -> bool {
        sender != self.opener
    }
}

/// Whether a packet can be the first of its connection: every packet but TCP's other than a SYN and
/// a reply to a question.
pub fn opens(packet: &Packet) -> bool {
    match &packet.transport {
        Transport::Tcp(segment) => segment.syn && !segment.ack,
        Transport::Icmp(message) => !matches!(message.meaning, Meaning::Reply { .. }),
        _ => true,
    }
}

/// Whether a packet is of TCP.
pub fn is_tcp(packet: &Packet) -> bool {
    packet.protocol == protocol::TCP
}
