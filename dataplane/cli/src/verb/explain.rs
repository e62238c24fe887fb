//! `ringfence explain [CODE]`

use std::io::Write;

use anyhow::anyhow;
use clap::Args;
use ringfence_dataplane::document::Code;

use crate::exit::{self, Failure, Outcome};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The code of a diagnostic, such as RF0021; without it all codes are listed
    code: Option<String>,
}

pub fn run(arguments: &Arguments) -> exit::Result {
    let mut out = anstream::stdout();
    let Some(code) = &arguments.code else {
        for code in Code::ALL {
            writeln!(out, "{code}  {}", code.title())?;
        }
        return Ok(Outcome::Success);
    };
    match code.parse::<Code>() {
        Ok(code) => {
            write!(out, "{}", code.explanation())?;
            Ok(Outcome::Success)
        }
        Err(error) => {
            Err(Failure::Usage(anyhow!("{error}; `ringfence explain` lists those there are")))
        }
    }
}
