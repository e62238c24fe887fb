//! What the gate asks of one revision: `cargo xtask gate` builds this program of two revisions and
//! compares what both say.
//!
//! Goals: (a) a figure that can be counted is counted, so that no noise is in it; (b) what has to be
//! timed can be timed in turns with another revision, in the same minutes; (c) any two revisions that
//! have this program can be compared.
//!
//! Design. `probe counted` gives the figures of the programs in the kernel, and `probe hot` runs what
//! takes time in this process, a call of one function for each part, for a counter of instructions to
//! look at (a). `probe serve` runs one timed batch for each line that it reads, so that the one who
//! asks decides about the turns (b). Figures, parts and workloads carry their own names, which stay
//! as they are as long as they mean the same; what only one of two revisions has is not compared (c).
//!
//! Not done: judging, which is the part of `cargo xtask gate`.
#![deny(unsafe_code)]

mod counted;
mod hot;
mod serve;
mod ways;
mod workloads;

use std::io;
use std::process::ExitCode;

use ringfence_bench::kernel::MeasureError;
use serde::Serialize;

/// Changes when a probe can no longer be compared with those before.
const PROTOCOL: u32 = 1;

/// Exit code for another question than those.
const USAGE: u8 = 2;
/// Exit code when the machine or the user lacks something.
const MISSING: u8 = 3;

fn main() -> ExitCode {
    let question = std::env::args().nth(1);
    let answered = match question.as_deref() {
        Some("counted") => counted::counted().and_then(|counted| print(&counted)),
        Some("hot") => hot::run().and_then(|parts| print(&parts)),
        Some("serve") => serve::serve(io::stdin().lock(), io::stdout().lock()),
        _ => {
            eprintln!("usage: probe counted|hot|serve");
            return ExitCode::from(USAGE);
        }
    };
    let Err(error) = answered else { return ExitCode::SUCCESS };
    eprintln!("{error}");
    match error {
        MeasureError::Missing(_) => ExitCode::from(MISSING),
        _ => ExitCode::FAILURE,
    }
}

fn print(answer: &impl Serialize) -> Result<(), MeasureError> {
    let text = serde_json::to_string_pretty(answer);
    println!("{}", text.map_err(MeasureError::refused("write JSON"))?);
    Ok(())
}
