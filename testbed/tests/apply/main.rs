//! Applying to a host and taking away again, in the kernel. Every test has a host of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod foreign;
mod hooks;
mod host;
mod host_policy;
mod interfaces;
mod leaving;
mod off;
mod preview;
mod random_changes;
mod refusals;
mod repeated;
mod upgrade;
