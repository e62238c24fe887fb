//! Rules for iptables and ip6tables.

mod layout;
mod ruleset;

pub use self::layout::Layout;
pub use self::ruleset::{Chain, Family, Jump, Rule, Ruleset, Table};
