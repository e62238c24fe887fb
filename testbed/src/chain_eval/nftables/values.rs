//! Types of values, and how each is written.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::error::Fault;

/// A type, as nft names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ipv4_addr`
    Ipv4Addr,
    /// `ipv6_addr`
    Ipv6Addr,
    /// `inet_proto`
    InetProto,
    /// `inet_service`
    InetService,
    /// `ifname`
    Ifname,
    /// `icmp_type`
    IcmpType,
    /// `icmp_code`
    IcmpCode,
    /// `icmpv6_type`
    Icmpv6Type,
    /// `icmpv6_code`
    Icmpv6Code,
    /// `nf_proto`
    NfProto,
    /// `ct_state`
    CtState,
    /// `ct_dir`
    CtDirection,
    /// `tcp_flag`
    TcpFlag,
    /// Nanoseconds since the epoch, which are written as seconds.
    Time,
    /// What the kernel's routes say of an address (`fib … type`).
    AddressType,
    /// A number of so many bits.
    Integer(u32),
}

/// A value. Numbers and addresses are compared as numbers in network order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A number or an address.
    Number(u128),
    /// The name of an interface.
    Name(String),
}

/// Values from a first to a last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    /// The first.
    pub first: Value,
    /// The last.
    pub last: Value,
    /// As it is written.
    pub text: String,
}

/// Types that can stand in the declaration of a set.
const DECLARED: [(&str, Kind); 11] = [
    ("ipv4_addr", Kind::Ipv4Addr),
    ("ipv6_addr", Kind::Ipv6Addr),
    ("inet_proto", Kind::InetProto),
    ("inet_service", Kind::InetService),
    ("ifname", Kind::Ifname),
    ("icmp_type", Kind::IcmpType),
    ("icmp_code", Kind::IcmpCode),
    ("icmpv6_type", Kind::Icmpv6Type),
    ("icmpv6_code", Kind::Icmpv6Code),
    ("nf_proto", Kind::NfProto),
    ("ct_state", Kind::CtState),
];

const PROTOCOLS: [(&str, u128); 11] = [
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("sctp", 132),
    ("udplite", 136),
];

const FAMILIES: [(&str, u128); 2] = [("ipv4", 2), ("ipv6", 10)];

const STATES: [(&str, u128); 5] =
    [("invalid", 1), ("established", 2), ("related", 4), ("new", 8), ("untracked", 64)];

const DIRECTIONS: [(&str, u128); 2] = [("original", 0), ("reply", 1)];

/// Types of routes (`RTN_LOCAL`).
const ADDRESS_TYPES: [(&str, u128); 1] = [("local", 2)];

const TCP_FLAGS: [(&str, u128); 8] = [
    ("fin", 1),
    ("syn", 2),
    ("rst", 4),
    ("psh", 8),
    ("ack", 16),
    ("urg", 32),
    ("ecn", 64),
    ("cwr", 128),
];

const ICMP_TYPES: [(&str, u128); 15] = [
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("source-quench", 4),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
    ("timestamp-reply", 14),
    ("info-request", 15),
    ("info-reply", 16),
    ("address-mask-request", 17),
    ("address-mask-reply", 18),
];

const ICMPV6_TYPES: [(&str, u128); 17] = [
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("mld-listener-query", 130),
    ("mld-listener-report", 131),
    ("mld-listener-done", 132),
    ("nd-router-solicit", 133),
    ("nd-router-advert", 134),
    ("nd-neighbor-solicit", 135),
    ("nd-neighbor-advert", 136),
    ("nd-redirect", 137),
    ("ind-neighbor-solicit", 141),
    ("ind-neighbor-advert", 142),
    ("mld2-listener-report", 143),
];

/// The longest name of an interface.
const INTERFACE_NAME: usize = 15;

/// In a second.
const NANOSECONDS: u128 = 1_000_000_000;

impl Kind {
    /// The type that a declaration names.
    pub fn declared(name: &str) -> Option<Self> {
        DECLARED.into_iter().find(|(declared, _)| *declared == name).map(|(_, kind)| kind)
    }

    /// Whether values are sets of bits, so that one alone is a question about that bit.
    pub const fn is_bits(self) -> bool {
        matches!(self, Self::CtState | Self::TcpFlag)
    }

    /// Whether values of this type can be looked up among those of `declared`: those that are of
    /// no type beside their length, in each of that length.
    pub fn fits(self, declared: Self) -> bool {
        match self {
            Self::Integer(bits) => bits == declared.bits(),
            _ => self == declared,
        }
    }

    const fn bits(self) -> u32 {
        match self {
            Self::Ipv4Addr | Self::CtState => 32,
            Self::Ipv6Addr => 128,
            Self::InetService => 16,
            Self::Time => 64,
            Self::Integer(bits) => bits,
            _ => 8,
        }
    }

    const fn largest(self) -> u128 {
        u128::MAX >> (128 - self.bits())
    }

    const fn names(self) -> &'static [(&'static str, u128)] {
        match self {
            Self::InetProto => &PROTOCOLS,
            Self::NfProto => &FAMILIES,
            Self::CtState => &STATES,
            Self::CtDirection => &DIRECTIONS,
            Self::TcpFlag => &TCP_FLAGS,
            Self::AddressType => &ADDRESS_TYPES,
            Self::IcmpType => &ICMP_TYPES,
            Self::Icmpv6Type => &ICMPV6_TYPES,
            _ => &[],
        }
    }

    /// One value.
    pub fn value(self, text: &str) -> Result<Value, Fault> {
        let refused = || Fault::NoValue { text: text.to_owned(), what: self.to_string() };
        let number = match self {
            Self::Ifname => return Err(refused()),
            Self::Ipv4Addr => text.parse::<Ipv4Addr>().map(|address| address.to_bits().into()).ok(),
            Self::Ipv6Addr => text.parse::<Ipv6Addr>().map(|address| address.to_bits()).ok(),
            Self::Time => {
                let seconds = number(text).filter(|seconds| *seconds < u64::MAX.into());
                seconds.map(|seconds| seconds * NANOSECONDS)
            }
            _ => self
                .names()
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, number)| *number)
                .or_else(|| number(text))
                .filter(|number| *number <= self.largest()),
        };
        number.map(Value::Number).ok_or_else(refused)
    }

    /// What stands between quotes: the name of an interface, or a time.
    pub fn quoted(self, text: &str) -> Result<Value, Fault> {
        if self == Self::Time {
            return self.value(text);
        }
        // `*` at the end would be a wildcard, a backslash before it none.
        let is_name = self == Self::Ifname
            && (1..=INTERFACE_NAME).contains(&text.len())
            && !text.ends_with('*')
            && !text.contains(['\\', '/', ' ']);
        if !is_name {
            return Err(Fault::NoValue { text: text.to_owned(), what: self.to_string() });
        }
        Ok(Value::Name(text.to_owned()))
    }

    /// A value, a range (`80-90`) or a prefix (`10.0.0.0/8`).
    pub fn interval(self, text: &str) -> Result<Interval, Fault> {
        let written = text.to_owned();
        let refused = || Fault::NoValue { text: text.to_owned(), what: self.to_string() };
        let is_address = matches!(self, Self::Ipv4Addr | Self::Ipv6Addr);
        if let Some((base, length)) = text.split_once('/') {
            let Value::Number(first) = self.value(base)? else { return Err(refused()) };
            let length: u32 = length.parse().map_err(|_| refused())?;
            if !is_address || length > self.bits() {
                return Err(refused());
            }
            let free = self.largest().checked_shr(length).unwrap_or(0);
            // nft would cut the bits below the prefix off; nobody writes them on purpose.
            if first & free != 0 {
                return Err(refused());
            }
            let last = Value::Number(first | free);
            return Ok(Interval { first: Value::Number(first), last, text: written });
        }
        let is_name = self.names().iter().any(|(name, _)| *name == text);
        match text.split_once('-') {
            Some((first, last)) if !is_name => {
                let (first, last) = (self.value(first)?, self.value(last)?);
                // nft refuses what is empty, and writes one value as one.
                if first >= last {
                    return Err(refused());
                }
                Ok(Interval { first, last, text: written })
            }
            _ => {
                let value = self.value(text)?;
                Ok(Interval { first: value.clone(), last: value, text: written })
            }
        }
    }
}

/// Decimal, or hexadecimal after `0x`.
fn number(text: &str) -> Option<u128> {
    match text.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16).ok(),
        None => {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            // nft reads a leading zero as octal.
            let is_octal = text.len() > 1 && text.starts_with('0');
            (is_plain && !is_octal).then(|| text.parse().ok())?
        }
    }
}

impl Interval {
    /// Whether it is more than one value.
    pub fn is_wide(&self) -> bool {
        self.first != self.last
    }

    /// Whether the value is in it.
    pub fn holds(&self, value: &Value) -> bool {
        self.first <= *value && *value <= self.last
    }

    /// Whether some value is in both.
    pub fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = DECLARED.iter().find(|(_, kind)| kind == self) {
            return f.write_str(name);
        }
        match self {
            Self::CtDirection => f.write_str("ct_dir"),
            Self::TcpFlag => f.write_str("tcp_flag"),
            Self::Time => f.write_str("time"),
            Self::AddressType => f.write_str("fib_addrtype"),
            Self::Integer(bits) => write!(f, "integer of {bits} bits"),
            _ => f.write_str("value"),
        }
    }
}
