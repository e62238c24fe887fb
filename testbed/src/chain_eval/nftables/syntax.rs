//! What nft text says, piece by piece.

use std::fmt;

use super::error::Position;
use super::fields::{Field, Silent};
use super::values::{Interval, Kind, Value};
use crate::chain_eval::Hook;

/// One command, at the place where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Where it begins.
    pub at: Position,
    /// The table that it is about; all are of the family `inet`.
    pub table: String,
    /// What it does.
    pub action: Action,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes the table where it is not there, and says what is in it.
    Table(Block),
    /// Takes the table away.
    DeleteTable,
    /// Makes a chain, or adds rules to it.
    Chain(Chain),
    /// Takes all rules out of a chain.
    FlushChain(String),
    /// Takes an empty chain away.
    DeleteChain(String),
    /// Makes a set or map, or adds elements to it.
    Set(Set),
    /// Takes all elements out of a set or map.
    FlushSet(String),
    /// Takes a set or map away.
    DeleteSet(String),
    /// Adds a rule at the end of a chain.
    Rule(String, Rule),
    /// Adds elements to a set or map; the text of their keys is not read until its type is known.
    AddElements(String, Vec<RawElement>),
    /// Takes elements out of a set or map.
    DeleteElements(String, Vec<RawElement>),
}

/// What stands between the braces of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The table's comment.
    pub comment: Option<String>,
    /// Sets and maps.
    pub sets: Vec<Set>,
    /// Chains.
    pub chains: Vec<Chain>,
}

/// A set, or a map to verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Where it is declared.
    pub at: Position,
    /// Its name.
    pub name: String,
    /// The types of its key.
    pub key: Vec<Kind>,
    /// Whether it leads to verdicts.
    pub is_map: bool,
    /// Whether its keys may be intervals.
    pub intervals: bool,
    /// Its comment.
    pub comment: Option<String>,
    /// Its elements.
    pub elements: Vec<Element>,
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Where it stands.
    pub at: Position,
    /// An interval for each part of the key.
    pub key: Vec<Interval>,
    /// Its comment.
    pub comment: Option<String>,
    /// What a map leads to.
    pub verdict: Option<Verdict>,
}

/// An element whose types are not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawElement {
    /// Where it stands.
    pub at: Position,
    /// The parts of the key, and whether each was quoted.
    pub key: Vec<(String, bool)>,
    /// Its comment.
    pub comment: Option<String>,
    /// What a map leads to.
    pub verdict: Option<Verdict>,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Where it is declared.
    pub at: Position,
    /// Its name.
    pub name: String,
    /// Its comment.
    pub comment: Option<String>,
    /// Where the kernel enters it; nothing for a chain that others lead to.
    pub base: Option<Base>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// Where and when the kernel enters a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The hook.
    pub hook: Hook,
    /// Smaller ones come first.
    pub priority: i32,
    /// What becomes of what reaches the end.
    pub accepts: bool,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it begins.
    pub at: Position,
    /// Its statements, in order.
    pub statements: Vec<Statement>,
    /// Its comment.
    pub comment: Option<String>,
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Goes on only where this holds.
    Match(Match),
    /// Does what the map says, where the key is in it; else the rule ends.
    Vmap(Vmap),
    /// Counts.
    Counter,
    /// Reports the packet.
    Log(Log),
    /// Ends the rule.
    Verdict(Verdict),
}

/// A comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Where it begins.
    pub at: Position,
    /// What nft asks before it.
    pub silent: Vec<Silent>,
    /// What is compared: one field or several that belong together.
    pub fields: Vec<Field>,
    /// With what.
    pub with: With,
}

/// What fields are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum With {
    /// The value is one of these, or none of them.
    OneOf(Vec<Element>, Sense),
    /// The value is in this set, or is not.
    Named(String, Sense),
    /// The value stands so to this number.
    Compared(Order, u128),
    /// Some of these bits are set.
    AnyBit(u128),
    /// Of these bits, exactly those are set, or not exactly those.
    Bits {
        /// Which bits are looked at.
        mask: u128,
        /// Which of them have to be set.
        set: u128,
        /// Whether they have to be, or must not.
        sense: Sense,
    },
}

/// Whether something has to hold or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// It has to.
    Is,
    /// It must not (`!=`).
    IsNot,
}

/// How numbers stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

/// A lookup that leads to a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vmap {
    /// Where it begins.
    pub at: Position,
    /// What nft asks before it.
    pub silent: Vec<Silent>,
    /// What is looked up.
    pub fields: Vec<Field>,
    /// Where.
    pub map: Lookup,
}

/// A map with or without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// `@name`
    Named(String),
    /// `{ key : verdict, … }`
    Written(Vec<Element>),
}

/// `log`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The group of nfnetlink_log.
    pub group: Option<u16>,
    /// What the report begins with.
    pub prefix: Option<String>,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This base chain lets it pass; others are still asked.
    Accept,
    /// It is gone.
    Drop,
    /// Back to where the chain was jumped to from; in a base chain, its policy.
    Return,
    /// The next statement.
    Continue,
    /// Into a chain, and back.
    Jump(String),
    /// Into a chain, and back to where this one was jumped to from.
    Goto(String),
}

impl Verdict {
    /// The chain that it leads to.
    pub fn chain(&self) -> Option<&str> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            _ => None,
        }
    }
}

impl Element {
    /// The ends of its key, whatever way they are written.
    pub fn values(&self) -> Vec<(Value, Value)> {
        self.key.iter().map(|part| (part.first.clone(), part.last.clone())).collect()
    }

    /// Whether the key of a packet is in it.
    pub fn holds(&self, key: &[Value]) -> bool {
        self.key.iter().zip(key).all(|(part, value)| part.holds(value))
    }
}

/// Its key, as it is written.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = self.key.iter().map(|part| part.text.as_str()).collect();
        f.write_str(&parts.join(" . "))
    }
}
