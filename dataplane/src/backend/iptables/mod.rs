//! Rules for iptables and ip6tables.

mod ruleset;

pub use self::ruleset::{Chain, Family, Jump, Rule, Ruleset, Table};
