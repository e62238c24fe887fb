//! How much is tried, and from which seed.

use proptest::test_runner::{Config, RngSeed};
use ringfence_testbed::environment::{self, number};

/// Overrides how many (policy, packet) pairs are asked about.
pub const PAIRS: &str = "RINGFENCE_PAIRS";

/// The seed where none is given: so that two runs of one commit try the same.
const FIXED_SEED: u64 = 1;

/// Overrides in how many steps a failing example is made smaller.
pub const SHRINKING: &str = "RINGFENCE_SHRINKING";

/// Steps in which a failing example is made smaller: enough for the largest.
pub const STEPS: u32 = 20_000;

/// Examples that a law may have nothing to say about before it counts as never tried.
const REJECTED: u32 = 10_000;

/// The seed: that of the environment, or the fixed one.
///
/// # Panics
///
/// When the environment's is no number.
pub fn seed() -> u64 {
    number(environment::SEED).unwrap_or(FIXED_SEED)
}

/// How many pairs are asked about: as many as the environment says, or `default`.
///
/// # Panics
///
/// When the environment's is no number.
pub fn pairs(default: usize) -> usize {
    number(PAIRS).map_or(default, |pairs| usize::try_from(pairs).expect("a machine's number"))
}

/// So many examples, drawn from the seed.
pub fn config(cases: u32) -> Config {
    seeded(cases, seed())
}

/// So many examples, drawn from this seed. Nothing is written to disk: the seed says it all.
pub fn seeded(cases: u32, seed: u64) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: number(SHRINKING).map_or(STEPS, |steps| steps as u32),
        max_global_rejects: REJECTED,
        ..Config::default()
    }
}
