//! One file per verb: its arguments and what it does.

pub mod completion;

use crate::arguments::{Arguments, Verb};
use crate::exit;

/// Does what the arguments ask for.
pub fn run(arguments: Arguments) -> exit::Result {
    match arguments.verb {
        Verb::Completion(arguments) => completion::run(&arguments),
    }
}
