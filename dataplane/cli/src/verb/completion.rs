//! `ringfence completion SHELL`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{arguments, exit};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell.
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> exit::Result {
    let mut command = arguments::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "ringfence", &mut std::io::stdout());
    Ok(exit::Outcome::Success)
}
