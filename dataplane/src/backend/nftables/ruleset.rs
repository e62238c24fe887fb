//! The table of nftables, before and after it is written down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::backend::chains::About;

/// All that is in `table inet ringfence`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Sets and maps, by name.
    pub maps: BTreeMap<String, Map>,
    /// Chains, in the order in which a packet meets them; each has a rule.
    pub chains: Vec<Chain>,
}

impl Ruleset {
    /// Rules and elements together.
    #[must_use]
    pub fn entries(&self) -> usize {
        let rules: usize = self.chains.iter().map(|chain| chain.rules.len()).sum();
        let elements: usize = self.maps.values().map(|map| map.elements.len()).sum();
        rules + elements
    }
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

impl Map {
    /// Whether its elements lead to verdicts.
    #[must_use]
    pub fn has_verdicts(&self) -> bool {
        self.kind.ends_with(": verdict")
    }
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
    /// What it is for, for whoever reads the text.
    pub title: String,
    /// `type filter hook forward priority filter`; nothing for a chain that others lead to.
    pub hook: Option<String>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

impl Chain {
    /// A chain that others lead to, without rules so far.
    #[must_use]
    pub fn named(name: impl Into<String>, title: impl Into<String>) -> Self {
        Self { name: name.into(), title: title.into(), hook: None, rules: Vec::new() }
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The rule without its comment.
    pub text: String,
    /// What it is about.
    pub about: About,
}

impl Rule {
    /// A rule that decides nothing itself and leads on; `way` is no reason's name.
    #[must_use]
    pub fn leads(text: impl Into<String>, way: &str) -> Self {
        Self { text: text.into(), about: About::way(way) }
    }
}
