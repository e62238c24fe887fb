//! What rules ask about packets, and what each question silently asks first.

use std::fmt;

use super::values::Kind;

/// IPv4 to `meta nfproto`.
pub const V4: u8 = 2;
/// IPv6 to `meta nfproto`.
pub const V6: u8 = 10;

/// Something that a packet has or does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it is found.
    pub place: Place,
    /// The type of its values.
    pub kind: Kind,
    /// The protocol whose header it is of.
    pub of: Of,
}

/// Where a field is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `iifname`
    InInterface,
    /// `oifname`
    OutInterface,
    /// `meta nfproto`
    Family,
    /// `meta l4proto`
    Protocol,
    /// `meta time`
    Time,
    /// `ct state`
    State,
    /// `ct direction`
    Direction,
    /// The source address.
    Source,
    /// The destination address.
    Destination,
    /// `ip6 hoplimit`
    HopLimit,
    /// `fib daddr type`
    DestinationType,
    /// So many bits of the transport header, from the offset in bits.
    Transport(u32, u32),
}

/// The protocol whose header a field is of. nft puts the question for it before the field's own,
/// where the rule has not asked it already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Of none: nothing is asked first.
    Any,
    /// Of an IP version.
    Family(u8),
    /// Of a transport protocol; the IP version is asked too for those that belong to one.
    Transport(u8, Option<u8>),
}

const TCP: Of = Of::Transport(6, None);
const UDP: Of = Of::Transport(17, None);
const SCTP: Of = Of::Transport(132, None);
const ICMP: Of = Of::Transport(1, Some(V4));
const ICMPV6: Of = Of::Transport(58, Some(V6));
const IP: Of = Of::Family(V4);
const IP6: Of = Of::Family(V6);

/// Fields by their two words.
#[rustfmt::skip]
const FIELDS: [(&str, &str, Place, Kind, Of); 25] = [
    ("meta", "iifname", Place::InInterface, Kind::Ifname, Of::Any),
    ("meta", "oifname", Place::OutInterface, Kind::Ifname, Of::Any),
    ("meta", "nfproto", Place::Family, Kind::NfProto, Of::Any),
    ("meta", "l4proto", Place::Protocol, Kind::InetProto, Of::Any),
    ("meta", "time", Place::Time, Kind::Time, Of::Any),
    ("ct", "state", Place::State, Kind::CtState, Of::Any),
    ("ct", "direction", Place::Direction, Kind::CtDirection, Of::Any),
    ("ip", "saddr", Place::Source, Kind::Ipv4Addr, IP),
    ("ip", "daddr", Place::Destination, Kind::Ipv4Addr, IP),
    ("ip6", "saddr", Place::Source, Kind::Ipv6Addr, IP6),
    ("ip6", "daddr", Place::Destination, Kind::Ipv6Addr, IP6),
    ("ip6", "hoplimit", Place::HopLimit, Kind::Integer(8), IP6),
    ("th", "sport", Place::Transport(0, 16), Kind::InetService, Of::Any),
    ("th", "dport", Place::Transport(16, 16), Kind::InetService, Of::Any),
    ("tcp", "sport", Place::Transport(0, 16), Kind::InetService, TCP),
    ("tcp", "dport", Place::Transport(16, 16), Kind::InetService, TCP),
    ("tcp", "flags", Place::Transport(104, 8), Kind::TcpFlag, TCP),
    ("udp", "sport", Place::Transport(0, 16), Kind::InetService, UDP),
    ("udp", "dport", Place::Transport(16, 16), Kind::InetService, UDP),
    ("sctp", "sport", Place::Transport(0, 16), Kind::InetService, SCTP),
    ("sctp", "dport", Place::Transport(16, 16), Kind::InetService, SCTP),
    ("icmp", "type", Place::Transport(0, 8), Kind::IcmpType, ICMP),
    ("icmp", "code", Place::Transport(8, 8), Kind::IcmpCode, ICMP),
    ("icmpv6", "type", Place::Transport(0, 8), Kind::Icmpv6Type, ICMPV6),
    ("icmpv6", "code", Place::Transport(8, 8), Kind::Icmpv6Code, ICMPV6),
];

/// Names of [`FIELDS`] whose first word may be left out.
const WITHOUT_META: [&str; 2] = ["iifname", "oifname"];

impl Field {
    /// `fib daddr type`
    pub const DESTINATION_TYPE: Self =
        Self { place: Place::DestinationType, kind: Kind::AddressType, of: Of::Any };

    /// Whether a field may begin with this word.
    pub fn begins_with(word: &str) -> bool {
        WITHOUT_META.contains(&word)
            || word == "fib"
            || FIELDS.iter().any(|(first, ..)| *first == word)
    }

    /// Whether the word is a whole field.
    pub fn is_whole(word: &str) -> bool {
        WITHOUT_META.contains(&word)
    }

    /// The field of these two words.
    pub fn named(first: &str, second: &str) -> Option<Self> {
        let mut fields = FIELDS.into_iter();
        let found = fields.find(|(one, two, ..)| (*one, *two) == (first, second));
        found.map(|(_, _, place, kind, of)| Self { place, kind, of })
    }

    /// `@th,offset,length`, in bits. Only whole bytes are read.
    pub fn raw(offset: u32, length: u32) -> Option<Self> {
        let is_bytes =
            offset.is_multiple_of(8) && length.is_multiple_of(8) && (8..=128).contains(&length);
        let place = Place::Transport(offset, length);
        is_bytes.then_some(Self { place, kind: Kind::Integer(length), of: Of::Any })
    }
}

/// What a rule has asked so far about protocols, as nft follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The IP version.
    pub family: Option<Asked>,
    /// The transport protocol.
    pub protocol: Option<Asked>,
}

/// What a rule has asked about a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// That it is this one.
    One(u8),
    /// That it is one of several: a field of any single one contradicts the others.
    Several,
}

/// A question that is asked silently: this field has this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent {
    /// [`Place::Family`] or [`Place::Protocol`].
    pub place: Place,
    /// The value.
    pub value: u8,
}

impl Known {
    /// What nft asks before `field`; both protocols where the rule contradicts itself.
    pub fn ask(&mut self, field: &Field, asked: &mut Vec<Silent>) -> Result<(), (Asked, Asked)> {
        match field.of {
            Of::Any => Ok(()),
            Of::Family(family) => ask(&mut self.family, Place::Family, family, asked),
            Of::Transport(protocol, family) => {
                // A rule that has said which protocol or IP version it is about is left alone.
                if let (None, None, Some(family)) = (self.protocol, self.family, family) {
                    ask(&mut self.family, Place::Family, family, asked)?;
                }
                ask(&mut self.protocol, Place::Protocol, protocol, asked)
            }
        }
    }
}

fn ask(
    known: &mut Option<Asked>,
    place: Place,
    value: u8,
    asked: &mut Vec<Silent>,
) -> Result<(), (Asked, Asked)> {
    match *known {
        Some(Asked::One(one)) if one == value => Ok(()),
        Some(other) => Err((other, Asked::One(value))),
        None => {
            asked.push(Silent { place, value });
            *known = Some(Asked::One(value));
            Ok(())
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(number) => write!(f, "protocol {number}"),
            Self::Several => f.write_str("several protocols"),
        }
    }
}
