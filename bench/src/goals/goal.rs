//! The goals by name.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A goal that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[allow(missing_docs, reason = "`Goal::reading` says what each is")]
pub enum Goal {
    G1,
    G2,
    G3,
    G4,
    G5,
    G6,
    G7,
    G8,
    G9,
    G10,
    G11,
    G12,
    G13,
    G14,
}

/// A goal that is not known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no goal `{name}` to measure; there are {}", Goal::list())]
pub struct UnknownGoal {
    /// What was asked for.
    pub name: String,
}

impl Goal {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::G1,
        Self::G2,
        Self::G3,
        Self::G4,
        Self::G5,
        Self::G6,
        Self::G7,
        Self::G8,
        Self::G9,
        Self::G10,
        Self::G11,
        Self::G12,
        Self::G13,
        Self::G14,
    ];

    /// What is compared with what.
    #[must_use]
    pub const fn reading(self) -> &'static str {
        match self {
            Self::G1 => "one packet over and over, against an empty program",
            Self::G2 => "helper calls and instructions on the path of an IPv4 packet",
            Self::G3 => "three LPM look-ups against the decision, random peers",
            Self::G4 => "two hash look-ups against the decision, random peers",
            Self::G5 => "address to identity: LPM trie against our table, random peers",
            Self::G6 => "the decision at more entries against 1,000",
            Self::G7 => "a chain of iptables whose last rule matches against the decision",
            Self::G8 => "what sending a packet costs more, against sets",
            Self::G9 => "packets dropped a second, against a program that only drops",
            Self::G10 => "round trips, against no filter",
            Self::G11 => "one rule changed, from the call to the verdict",
            Self::G12 => "a compiled policy loaded whole",
            Self::G13 => "1,000 changes a second under load",
            Self::G14 => "policy compiled",
        }
    }

    fn list() -> String {
        Self::ALL.map(|goal| goal.to_string()).join(", ")
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Goal {
    type Err = UnknownGoal;

    fn from_str(name: &str) -> Result<Self, UnknownGoal> {
        let known = Self::ALL.into_iter().find(|goal| goal.to_string().eq_ignore_ascii_case(name));
        known.ok_or_else(|| UnknownGoal { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for goal in Goal::ALL {
            assert_eq!(goal.to_string().parse(), Ok(goal));
        }
        assert_eq!("g3".parse(), Ok(Goal::G3));
    }

    #[test]
    fn an_unknown_goal_is_named_beside_those_there_are() {
        let error = "G15".parse::<Goal>().unwrap_err().to_string();
        assert!(
            error.starts_with("there is no goal `G15` to measure; there are G1, G2, "),
            "{error}"
        );
    }
}
