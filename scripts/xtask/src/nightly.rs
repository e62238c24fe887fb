//! `cargo xtask nightly`: more of what the tests generate, from a seed that nobody has tried.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::child;

/// The test programs of the testbed that draw from a seed or take a number of examples.
const PROGRAMS: &[&str] = &["generated", "oracle_frames"];

/// Arguments of `cargo xtask nightly`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// (policy, packet) pairs that oracle, tables and filter are asked about
    #[arg(long, default_value_t = 1_000_000)]
    pairs: u64,
    /// Frames that the oracle and the filter see one after the other
    #[arg(long, default_value_t = 1_000_000)]
    frames: u64,
    /// Where everything is drawn from; another one each second if none is given
    #[arg(long)]
    seed: Option<u64>,
}

/// Builds with optimisation, and runs.
pub fn run(arguments: &Arguments) -> Result<()> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH).context("before 1970")?.as_secs(),
    };
    println!("seed {seed}: `cargo xtask nightly --seed {seed}` repeats this");
    let mut cargo = child::clean("cargo");
    cargo.args(["test", "--locked", "--release", "--package", "ringfence-testbed"]);
    PROGRAMS.iter().for_each(|name| _ = cargo.args(["--test", name]));
    cargo.args(["--no-fail-fast", "--", "--nocapture"]);
    cargo.env("RINGFENCE_SEED", seed.to_string());
    cargo.env("RINGFENCE_PAIRS", arguments.pairs.to_string());
    cargo.env("RINGFENCE_FRAMES", arguments.frames.to_string());
    child::run(&mut cargo)
}
