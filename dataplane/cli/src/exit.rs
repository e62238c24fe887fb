//! Exit codes: 0 success, 1 operational failure, 2 usage or unreadable input.

use std::io;
use std::process::ExitCode;

/// How a verb ended when nothing went wrong on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was asked for holds.
    Success,
    /// It does not hold: a wrong cell, a denial with `--exit-code`.
    Negative,
    /// The input cannot be used; the verb has said why.
    BadInput,
}

/// A verb's result.
pub type Result = std::result::Result<Outcome, Failure>;

/// Why a verb could not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 1: the host, the kernel, the network.
    Operation(anyhow::Error),
    /// Exit code 2: the arguments or the input.
    Usage(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Operation(error.into())
    }
}

/// Prints what failed and turns it into the exit code.
pub fn report(result: Result) -> ExitCode {
    let (error, code) = match result {
        Ok(Outcome::Success) => return ExitCode::SUCCESS,
        Ok(Outcome::Negative) => return ExitCode::from(1),
        Ok(Outcome::BadInput) => return ExitCode::from(2),
        Err(Failure::Operation(error)) => (error, 1),
        Err(Failure::Usage(error)) => (error, 2),
    };
    // Whoever read the output has seen enough: `ringfence explain | head`.
    if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::from(code);
    }
    anstream::eprintln!("\x1b[1;31merror\x1b[0m: {error:#}");
    ExitCode::from(code)
}
