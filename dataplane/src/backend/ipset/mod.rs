//! Rules for iptables whose peers and ports are in sets.

mod lines;
mod sets;

pub use self::sets::{Set, Sets};
