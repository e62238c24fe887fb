//! The userspace filter between real interfaces.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod matrix;
mod offloads;
mod tags;
mod wire;
