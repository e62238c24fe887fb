//! The `ringfence` command.
#![deny(unsafe_code)]

mod arguments;
mod backend;
mod exit;
mod inputs;
mod mode;
mod output;
mod service;
mod verb;
mod who;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = arguments::parse();
    output::set_up(&arguments.global);
    exit::report(verb::run(arguments))
}
