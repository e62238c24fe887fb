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
    for hook in &removed {
        writeln!(out, "hook {hook} detached")?;
    }
    if removed.is_empty() {
        writeln!(out, "Nothing was installed.")?;
    } else {
        writeln!(out, "This host is open: no program, map or link of Ringfence is left.")?;
    }
    Ok(Outcome::Success)
}
