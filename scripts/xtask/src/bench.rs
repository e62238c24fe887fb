//! `cargo xtask bench`: the comparison, as `cargo bench` runs it.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::child;

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// What the comparison is told: `--help` lists it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds and runs; the exit code is that of the comparison.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut build = child::clean("cargo");
    build.args(["bench", "--quiet", "--locked", "--package", "ringfence-bench"]);
    build.args(["--bench", "compare", "--"]).args(&arguments.arguments);
    child::code(&mut build)
}
