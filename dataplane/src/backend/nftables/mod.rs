//! Rules for nftables.

mod ruleset;

pub use self::ruleset::{Chain, Element, Map, Rule, Ruleset};
