//! `ringfence demo`

use std::io::{self, Write};

use anyhow::Context;
use clap::{Args, ValueEnum};
use ringfence_dataplane::enforce::HookChoice;
use ringfence_testbed::connectivity::Style;
use ringfence_testbed::demo::{self, DemoError, Live};
use ringfence_testbed::interrupt::on_interrupt;

use crate::exit::{self, Outcome};

/// Added to a signal's number to make the exit code, as shells do.
const SIGNAL_BASE: i32 = 128;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The form of the output: the story, or JSON with every cell
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    output: Output,
    /// Where arriving packets are checked; `auto` is tcx for workloads and XDP for the uplink
    #[arg(long, default_value = "auto", value_name = "HOOK")]
    hook: Hook,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Hook {
    Auto,
    Tcx,
    Xdp,
}

pub fn run(arguments: &Arguments) -> exit::Result {
    on_interrupt(|signal| {
        // All that the demo made belongs to this process and ends with it.
        anstream::eprintln!("\ninterrupted; nothing is left behind");
        std::process::exit(SIGNAL_BASE + signal as i32);
    })
    .context("cannot wait for Ctrl-C")?;
    let mut engine = Live::new(match arguments.hook {
        Hook::Auto => HookChoice::Auto,
        Hook::Tcx => HookChoice::Tcx,
        Hook::Xdp => HookChoice::Xdp,
    });
    let mut out: Box<dyn Write> = match arguments.output {
        Output::Text => Box::new(anstream::stdout()),
        Output::Json => Box::new(io::sink()),
    };
    let report = demo::tell(&mut engine, &mut *out, Style::Ansi).map_err(|error| match error {
        // Kept as it is, so that a closed pipe is told from a full disk.
        DemoError::Output(source) => anyhow::Error::new(source),
        error => error.into(),
    })?;
    if arguments.output == Output::Json {
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(if report.is_good() { Outcome::Success } else { Outcome::Negative })
}
