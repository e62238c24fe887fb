//! Chains of iptables, before and after they are written down.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backend::chains::About;

/// All that is to be installed for one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// The family.
    pub family: Family,
    /// Our chains: those of a table together, tables in their order; a chain stands after those
    /// that lead to it, where it can.
    pub chains: Vec<Chain>,
    /// The rules in the kernel's own chains that lead into ours, each the first of its chain.
    pub jumps: Vec<Jump>,
}

/// `iptables` or `ip6tables`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A table of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Table {
    /// Before connections are tracked: who may send what from where.
    Raw,
    /// Where policy is asked.
    Filter,
}

/// A chain of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The table.
    pub table: Table,
    /// Its name, at most 28 bytes.
    pub name: String,
    /// What it is for, in a few words: a line above it in the text. The kernel does not have it.
    pub title: String,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// A rule of a chain of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What it matches, as it stands between the chain's name and the comment; empty for
    /// everything.
    pub matches: String,
    /// Where it leads: `-j DROP`, `-j RETURN`, `-j RF-…`, `-j NFLOG --nflog-group …`.
    pub target: String,
    /// What it is about.
    pub about: About,
}

/// A rule in a chain of the kernel that leads into one of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jump {
    /// The table.
    pub table: Table,
    /// The kernel's chain: `FORWARD`.
    pub from: String,
    /// Ours.
    pub to: String,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.command())
    }
}

impl Table {
    /// Both, in the order in which packets meet them.
    pub const ALL: [Self; 2] = [Self::Raw, Self::Filter];
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
