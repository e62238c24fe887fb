//! What is fuzzed: functions that take any bytes and panic when Ringfence breaks a promise.
//!
//! `dataplane/fuzz` makes a libFuzzer program of each ([`TARGETS`]), which `cargo xtask fuzz` builds
//! and runs; an ordinary test replays the inputs that once found something
//! (`dataplane/fuzz/kept`). The promises are at the functions:
//!
//! * [`documents`]: any text is read to the end, and what is accepted compiles or is refused;
//! * [`packet`]: any frames at any hook get one answer from two filters and the oracle, from headers
//!   that lie in the frame, and cutting a frame never makes it pass;
//! * [`verdict`]: the oracle, the tables and the filter give one verdict on any policies and flows.

mod documents;
mod home;
mod packet;
mod policies;
mod seeds;
mod verdict;

pub use documents::documents;
pub use packet::packet;
pub use seeds::{Seed, seeds};
pub use verdict::verdict;

/// A target's name, which is also the name of its folders and of its program, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 3] =
    [("documents", documents), ("packet", packet), ("verdict", verdict)];
