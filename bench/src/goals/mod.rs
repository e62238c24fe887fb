//! The goals of performance, measured.
//!
//! Each goal is a ratio to something measured in the same minutes, or a limit that holds on any
//! machine of this decade; what a nanosecond is differs from one machine to the next. [`measure`]
//! gives a [`Row`] for each case of each goal. Every measurement checks what it measures: a program
//! that decides something else, or loses a packet, is an error and no figure.

mod calls;
mod change;
mod compile;
mod decisions;
mod drop_rate;
mod exact;
mod goal;
mod load;
mod look_ups;
mod print;
mod row;
mod swaps;
mod tools;
pub(crate) mod wire;

use std::collections::BTreeSet;
use std::{panic, thread};

use crate::kernel::MeasureError;
use crate::plan;

pub use crate::machine::Machine;

pub use self::decisions::short;
pub use self::exact::{Exact, MapSize, ProgramSize, WaySize, exact};
pub use self::goal::{Goal, UnknownGoal};
pub use self::print::table;
pub use self::row::{Bound, Row};

/// Whom to tell what is being measured.
pub trait Progress: Sync {
    /// From now on this is measured.
    fn begin(&self, what: &str);
    /// It has come so far: so many of so many steps.
    fn step(&self, done: usize, all: usize);
}

/// Measures `goals`, all cases of each, in their order.
///
/// # Errors
///
/// [`MeasureError`] when one cannot be measured.
pub fn measure(goals: &BTreeSet<Goal>, progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    let mut rows = Vec::new();
    for part in PARTS {
        let asked: BTreeSet<Goal> =
            part.goals.iter().filter(|goal| goals.contains(goal)).copied().collect();
        if asked.is_empty() {
            continue;
        }
        // A part moves its thread to one CPU or into a namespace; the next one begins anew.
        let measured =
            thread::scope(|scope| scope.spawn(|| (part.measure)(&asked, progress)).join());
        rows.extend(measured.unwrap_or_else(|panic| panic::resume_unwind(panic))?);
    }
    rows.sort_by_key(|row| row.goal);
    Ok(rows)
}

/// Goals that are measured together.
struct Part {
    goals: &'static [Goal],
    measure: Measure,
}

/// Measures those of its goals that are asked for.
type Measure = fn(&BTreeSet<Goal>, &dyn Progress) -> Result<Vec<Row>, MeasureError>;

const PARTS: &[Part] = &[
    Part { goals: decisions::GOALS, measure: decisions::measure },
    Part { goals: look_ups::GOALS, measure: look_ups::measure },
    Part { goals: plan::GOALS, measure: plan::measure_goals },
    Part { goals: calls::GOALS, measure: calls::measure },
    Part { goals: drop_rate::GOALS, measure: drop_rate::measure },
    Part { goals: change::GOALS, measure: change::measure },
    Part { goals: load::GOALS, measure: load::measure },
    Part { goals: swaps::GOALS, measure: swaps::measure },
    Part { goals: compile::GOALS, measure: compile::measure },
];
