//! Applying rules of iptables and sets of ipset to a host and taking them away again, in the
//! kernel, with both variants. Every test has a host of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod foreign;
mod leftovers;
mod refusals;
mod scene;
mod sets;
mod switches;
mod tampering;
mod tools;
mod whole;
