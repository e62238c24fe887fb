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
    let Some(hooks) = removed else {
        writeln!(out, "Nothing was installed.")?;
        return Ok(Outcome::Success);
    };
    for hook in &hooks {
        writeln!(out, "hook {hook} detached")?;
    }
    writeln!(out, "This host is open: no program, map or link of Ringfence is left.")?;
    Ok(Outcome::Success)
}
