//! One file per verb: its arguments and what it does.

pub mod check;
pub mod completion;
pub mod demo;
pub mod explain;
pub mod man;

use crate::arguments::{Arguments, Verb};
use crate::exit;

/// Does what the arguments ask for.
pub fn run(arguments: Arguments) -> exit::Result {
    match arguments.verb {
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Completion(arguments) => completion::run(&arguments),
        Verb::Man(arguments) => man::run(&arguments),
    }
}
