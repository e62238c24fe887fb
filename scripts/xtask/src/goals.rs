//! `cargo xtask goals`: builds the measuring program with optimisation and runs it.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::child;

/// Arguments of `cargo xtask goals`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// What the measuring program is told: `--help` lists it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds and runs; the exit code is that of the measuring program.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut build = child::clean("cargo");
    build.args(["run", "--quiet", "--locked", "--release", "--package", "ringfence-bench"]);
    build.args(["--bin", "goals", "--"]).args(&arguments.arguments);
    child::code(&mut build)
}
