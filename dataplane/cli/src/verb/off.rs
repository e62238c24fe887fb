//! `ringfence off`

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use ringfence_dataplane::enforce::{self, Paths};

use crate::exit::{Outcome, Result};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Directory below which all of Ringfence's paths are
    #[arg(long, env = "RINGFENCE_ROOT", default_value = "/", value_name = "DIR")]
    root: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result {
    let removed = enforce::off(&Paths::below(&arguments.root))?;
    let mut out = anstream::stdout().lock();
    let Some(removed) = removed else {
        writeln!(out, "Nothing was installed.")?;
        return Ok(Outcome::Success);
    };
    for line in removed.lines() {
        writeln!(out, "{line}")?;
    }
    let what = "program, map, link, chain, set or table";
    writeln!(out, "This host is open: no {what} of Ringfence is left.")?;
    Ok(Outcome::Success)
}
