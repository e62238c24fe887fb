//! What the decision does with each kind of packet, row by row, through the userspace filter:
//! v4 and v6 alike.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod audit;
mod essential;
mod extensions;
mod fragments;
mod icmp;
mod malformed;
mod policy;
mod revocation;
mod scene;
mod source;
mod tcp;
