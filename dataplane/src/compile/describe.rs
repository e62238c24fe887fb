//! Policy entries, unpacked for people.

use std::fmt;

use ringfence_common::abi::identity::identity;
use ringfence_common::abi::policy::{PolicyEntry, PolicyKey, action, entry_flags};

use super::{RuleDescription, Tables, text};
use crate::model::Direction;

/// What one policy entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryDescription<'t> {
    /// Whom it protects.
    pub subject: u32,
    /// Which way.
    pub direction: Direction,
    /// The other end's identity; `None` for anyone.
    pub peer: Option<u32>,
    /// Which services.
    pub service: ServiceDescription,
    /// Whether it allows them; else it denies.
    pub allows: bool,
    /// Whether flows it decides are reported.
    pub logs: bool,
    /// The rule it comes from; `None` for a default.
    pub rule: Option<&'t RuleDescription>,
}

/// The services of a policy entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceDescription {
    /// Every protocol and port.
    Everything,
    /// Every port of a protocol, by its IP protocol number.
    Protocol(u8),
    /// The ports of one class.
    Class {
        /// IP protocol number.
        protocol: u8,
        /// The first port, which is the number of the class.
        first: u16,
        /// The last port.
        last: u16,
    },
}

/// `everything`, `TCP`, `80/TCP`, `81-442/TCP`.
impl fmt::Display for ServiceDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Everything => f.write_str("everything"),
            Self::Protocol(protocol) => f.write_str(&text::protocol(protocol)),
            Self::Class { protocol, first, last } if first == last => {
                write!(f, "{first}/{}", text::protocol(protocol))
            }
            Self::Class { protocol, first, last } => {
                write!(f, "{first}-{last}/{}", text::protocol(protocol))
            }
        }
    }
}

impl Tables {
    /// All policy entries, in the order of their keys.
    pub fn entries(&self) -> impl Iterator<Item = EntryDescription<'_>> {
        self.policy.iter().map(|(key, entry)| self.describe(key, entry))
    }

    fn describe(&self, key: &PolicyKey, entry: &PolicyEntry) -> EntryDescription<'_> {
        EntryDescription {
            subject: key.subject,
            direction: key.direction(),
            peer: (key.peer != identity::ANY).then_some(key.peer),
            service: match key.protocol_and_class() {
                None => ServiceDescription::Everything,
                Some((protocol, None)) => ServiceDescription::Protocol(protocol),
                Some((protocol, Some(first))) => {
                    let last = self.last_port(protocol, first).unwrap_or(first);
                    ServiceDescription::Class { protocol, first, last }
                }
            },
            allows: entry.action == action::ALLOW,
            logs: entry.flags & entry_flags::LOG != 0,
            rule: self.rules.get(&entry.rule),
        }
    }
}
