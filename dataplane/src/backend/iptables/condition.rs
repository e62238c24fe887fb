//! What a rule matches, before it is written down.

use std::fmt;

use ringfence_common::abi::policy::Direction;

/// The conditions of a rule, all of which have to hold. None is every packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::backend) struct Condition {
    /// The interface that it arrived on, with `! ` before it where it is not to be that one.
    input: Option<String>,
    /// The interface that it leaves by.
    output: Option<String>,
    source: Option<String>,
    destination: Option<String>,
    /// Everything else, in the order in which it was asked for.
    rest: String,
}

/// One of the two ends of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum End {
    Source,
    Destination,
}

impl End {
    /// Where the other end of a packet of this direction stands.
    pub fn peer(direction: Direction) -> Self {
        match direction {
            Direction::Ingress => Self::Source,
            Direction::Egress => Self::Destination,
        }
    }

    /// What sets call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "src",
            Self::Destination => "dst",
        }
    }
}

impl Condition {
    /// Arrives on `interface`.
    pub fn arrives_on(mut self, interface: &str) -> Self {
        self.input = Some(interface.to_owned());
        self
    }

    /// Leaves by `interface`.
    pub fn leaves_by(mut self, interface: &str) -> Self {
        self.output = Some(interface.to_owned());
        self
    }

    /// Has this address, or one of this prefix, at `end`.
    pub fn address(mut self, end: End, address: impl fmt::Display) -> Self {
        match end {
            End::Source => self.source = Some(address.to_string()),
            End::Destination => self.destination = Some(address.to_string()),
        }
        self
    }

    /// The address or prefix at `end`, if it has to have one.
    pub fn at(&self, end: End) -> Option<&str> {
        match end {
            End::Source => self.source.as_deref(),
            End::Destination => self.destination.as_deref(),
        }
    }

    /// Meets `words` beside; nothing is added for no words.
    pub fn and(mut self, words: &str) -> Self {
        if !words.is_empty() && !self.rest.is_empty() {
            self.rest.push(' ');
        }
        self.rest.push_str(words);
        self
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let parts = [
            ("-i", &self.input),
            ("-o", &self.output),
            ("-s", &self.source),
            ("-d", &self.destination),
        ];
        for (option, value) in parts {
            let Some(value) = value else { continue };
            match value.strip_prefix("! ") {
                Some(value) => write!(f, "{separator}! {option} {value}")?,
                None => write!(f, "{separator}{option} {value}")?,
            }
            separator = " ";
        }
        if self.rest.is_empty() { Ok(()) } else { write!(f, "{separator}{}", self.rest) }
    }
}
