//! One file per verb: its arguments and what it does.

pub mod apply;
pub mod check;
pub mod compile;
pub mod completion;
pub mod demo;
pub mod explain;
pub mod man;
pub mod matrix;
pub mod off;
pub mod render;
pub mod replay;
pub mod run_userspace;
pub mod status;
pub mod trace;
pub mod verify;

use crate::arguments::{Arguments, Verb};
use crate::exit;

/// Does what the arguments ask for.
pub fn run(arguments: Arguments) -> exit::Result {
    match arguments.verb {
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Apply(arguments) => apply::run(&arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Off(arguments) => off::run(&arguments),
        Verb::Render(arguments) => render::run(&arguments),
        Verb::Replay(arguments) => replay::run(&arguments),
        Verb::RunUserspace(arguments) => run_userspace::run(&arguments),
        Verb::Compile(arguments) => compile::run(&arguments),
        Verb::Trace(arguments) => trace::run(&arguments),
        Verb::Matrix(arguments) => matrix::run(&arguments),
        Verb::Verify(verify) => verify::run(&verify, &arguments.global),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Completion(arguments) => completion::run(&arguments),
        Verb::Man(arguments) => man::run(&arguments),
    }
}
