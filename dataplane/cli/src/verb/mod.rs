//! One file per verb: its arguments and what it does.

pub mod check;
pub mod compile;
pub mod completion;
pub mod explain;
pub mod matrix;
pub mod trace;

use crate::arguments::{Arguments, Verb};
use crate::exit;

/// Does what the arguments ask for.
pub fn run(arguments: Arguments) -> exit::Result {
    match arguments.verb {
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Compile(arguments) => compile::run(&arguments),
        Verb::Trace(arguments) => trace::run(&arguments),
        Verb::Matrix(arguments) => matrix::run(&arguments),
        Verb::Completion(arguments) => completion::run(&arguments),
    }
}
