//! Rules for iptables and ip6tables.
//!
//! # Goals
//!
//! 1. A packet meets the verdict that [`ringfence_common::decide`] gives, for the same reason, as
//!    far as the kernel's connection tracking can tell.
//! 2. The text reads as an experienced operator would have written it: known connections first, a
//!    chain for each endpoint and direction, no rule that decides nothing.
//! 3. Nothing of others is touched: what is allowed returns to other people's rules, and packets
//!    that no guarded interface or address has pass through without a verdict.
//! 4. The same plan gives the same text.
//!
//! # Design
//!
//! ```text
//! raw     PREROUTING ─► RINGFENCE-SOURCE ─► RF-SRC-<endpoint>   own addresses only
//!                                        ─► RF-UPLINK           no local addresses
//! filter  FORWARD    ─► RINGFENCE-FORWARD ─┐ known connections, discovery
//!         INPUT      ─► RINGFENCE-INPUT   ─┼► RF-FROM-<endpoint> ─► RF-OUT-<subject>   egress
//!         OUTPUT     ─► RINGFENCE-OUTPUT  ─┘► RF-TO-<endpoint>   ─► RF-IN-<subject>    ingress
//! ```
//!
//! A chain that a packet enters by `-j` comes back to its caller where it allows the packet; by
//! `-g` (goto) it comes back to the caller's caller, so that a chain can hand over to another for
//! good. That makes "allowed by this side, now the other" one RETURN however deep it stands (2, 3).
//!
//! Sources are checked before connections are tracked, since nobody outside may move the state of
//! a connection (1). Own addresses come first there; what a packet from one may not do, and what
//! one from another address may, is shared by all interfaces (2).
//!
//! Strays, packets that belong to no connection and open none, are refused by isolated endpoints;
//! see `endpoints` for the others, and for connections older than the rules.
//!
//! The flat layout has the same rules with the condition of their endpoint in each, in one chain
//! for each direction, ports and peers one by one. The host, whose packets pass by hooks of their
//! own, keeps its chains, and so do strays.
//!
//! # Limits
//!
//! - The kernel puts fragments together before it asks; it never shows a fragment, nor what is
//!   not IP.
//! - Everything that does not fit a connection is INVALID: one rule stands for all reasons that
//!   the tables have for that, and it holds for endpoints that policy does not isolate too.
//! - UDP-Lite and the other family's ICMP are always INVALID, so policy is asked about each packet
//!   of theirs; answers need a rule.
//! - In audit mode a packet goes on after a report and may be reported again by a later rule; the
//!   first report has the reason. Packets of a connection that was let in are not reported.
//! - A packet that leaves for a workload is not looked at for addresses that may not be on a wire:
//!   the kernel does not forward those.

mod addresses;
mod backend;
mod check;
mod condition;
mod endpoints;
mod error;
mod hooks;
mod layout;
mod policy;
mod ruleset;
mod services;
mod source;
mod text;
mod writer;

#[cfg(test)]
pub(in crate::backend) mod tests;

pub use self::backend::Iptables;
pub use self::layout::Layout;
use super::chains::Plan;

pub(in crate::backend) use self::addresses::{cover, words as address_words};
pub(in crate::backend) use self::condition::{Condition, End};
pub use self::error::RenderError;
pub use self::ruleset::{Chain, Family, Jump, Rule, Ruleset, Table};
pub(in crate::backend) use self::services::{Asked, Packing, words as service_words};
pub use self::text::{JUMP, chain_lines, declaration, jump_line};
pub(in crate::backend) use self::writer::{Answer, Style, Writer};

/// The rules of one family that do what the plan says.
///
/// # Errors
///
/// [`RenderError`] where iptables has no words for it.
pub fn ruleset(plan: &Plan, family: Family, layout: Layout) -> Result<Ruleset, RenderError> {
    let style = match layout {
        Layout::Structured => Style::Structured,
        Layout::Flat => Style::Flat,
    };
    let (ruleset, _) = Writer::new(plan, family, style)?.write();
    Ok(ruleset)
}
