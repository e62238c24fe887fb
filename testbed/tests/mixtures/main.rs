//! Policy is replaced while packets flow, and no packet meets a mixture (safety P1).
//!
//! For each pair of maps there are two policies that agree about two packets: N, which both deny,
//! and A, which both allow. Old entries of the one map with new entries of the other would get them
//! wrong. What arrives is counted behind the filter.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod interrupted;
mod policies;
mod swaps;
mod wire;
