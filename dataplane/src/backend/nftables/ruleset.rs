//! The table of nftables, before and after it is written down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::backend::chains::About;

/// All that is in `table inet ringfence`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Sets and maps, by name.
    pub maps: BTreeMap<String, Map>,
    /// Chains, each after those that it leads to.
    pub chains: Vec<Chain>,
}

/// A set, or a map to verdicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// `ipv4_addr . inet_proto . inet_service : verdict`; without a value it is a set.
    pub kind: String,
    /// Whether its keys are intervals.
    pub intervals: bool,
    /// Elements by their keys, as nft writes them (`10.0.0.1 . tcp . 80-90`).
    pub elements: BTreeMap<String, Element>,
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    /// What the key leads to: `return`, `drop`, `goto …`; empty in a set.
    pub verdict: String,
    /// What it is about.
    pub about: About,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// `type filter hook forward priority filter`; nothing for a chain that others lead to.
    pub hook: Option<String>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The rule without its comment.
    pub text: String,
    /// What it is about.
    pub about: About,
}
