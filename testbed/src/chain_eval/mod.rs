//! Rule chains walked in process: what the text of iptables, ipset and nftables rules makes of a
//! packet, without a kernel.
//!
//! # Goals
//!
//! 1. A third way to a verdict, which shares nothing with the others: text is read by the grammar
//!    that the tools document, and walked by what the kernel is known to do. Neither tables nor
//!    generators are looked at.
//! 2. Nothing is passed over. A word that is not understood is an error with its line; a frame that
//!    no chain ever sees says why; what is known to be different in the kernel is said.
//! 3. The verdict names the rules that made it, by their comments alone.
//!
//! # Design
//!
//! [`packet`] reads a frame as the kernel's IP input does before the first chain. [`conntrack`] is
//! a small literal model of the kernel's connection tracking. [`hooks`] knows which hooks a packet
//! passes, and with what. Text becomes a [`Ruleset`], which is asked hook by hook: `iptables` with
//! `ipset`, and `nftables`.
//!
//! # Not done
//!
//! Reassembly, NAT, bridging, routing, expectations of helpers, and whatever rules of ours do not
//! use.

pub mod conntrack;
pub mod hooks;
pub mod ipset;
pub mod iptables;
pub mod nftables;
pub mod packet;
mod unread;

use std::net::IpAddr;

use jiff::Timestamp;

use self::conntrack::Tracked;
use self::packet::Packet;

pub use self::unread::Unread;

/// Rules that have been read, and can be asked.
pub trait Ruleset {
    /// What the chains at a hook make of a packet.
    fn verdict(&self, seen: &Seen<'_>) -> Verdict;
}

/// Where chains stand in the kernel. Those before connection tracking have a name of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// What arrives, before connections are tracked (`PREROUTING` of the table `raw`; `hook
    /// prerouting priority raw`).
    Source,
    /// What is for this host.
    Input,
    /// What passes through.
    Forward,
    /// What this host sends.
    Output,
}

/// A packet at a hook.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'p> {
    /// The hook.
    pub hook: Hook,
    /// The packet.
    pub packet: &'p Packet,
    /// What connection tracking says of it. At [`Hook::Source`] nobody has asked it yet: the state
    /// is [`conntrack::State::Invalid`], as a rule would see it there.
    pub tracked: Tracked,
    /// The interface on which it has arrived; nothing where it has not, or nobody says: then no
    /// name matches, and every negated name does.
    pub input: Option<&'p str>,
    /// The interface through which it will leave, as `input`.
    pub output: Option<&'p str>,
    /// The host's own addresses.
    pub host: &'p [IpAddr],
    /// What time it is.
    pub now: Timestamp,
}

/// What became of a packet at a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it was dropped there.
    pub dropped: bool,
    /// All rules (or elements of verdict maps) that matched it, in the order in which they did.
    pub steps: Vec<Step>,
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its comment; empty where it has none.
    pub comment: String,
    /// Comments of the elements by which sets and maps held what it asked about, in that order.
    pub elements: Vec<String>,
    /// What it did.
    pub action: Action,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The packet is dropped.
    Drop,
    /// The header that the rule asks about is cut, so the kernel drops the packet.
    Refuse,
    /// The packet goes on to the next hook.
    Accept,
    /// On with the chain that has called this one.
    Return,
    /// On with another chain, by its name.
    Enter(String),
    /// A message with this prefix, and on with the next rule.
    Log(String),
}
