//! The comparison: what is measured, of whom, and in which order.
//!
//! Goals: (a) what is compared is measured in the same minutes; (b) whoever stops it, or whatever
//! fails, keeps what was measured until then; (c) a form that fits a coffee break, and one that
//! leaves little out.
//!
//! Design. [`setups`] lists what is installed and what is measured of it. [`run`] puts each into a
//! laboratory, beside a second one without a filter, and measures the two in turns (a). After each
//! setup whoever watches is told, and asked whether to go on; what fails is an omission with its
//! reason and not the end (b). Everything is done twice, in two passes that share nothing but the
//! machine: how far they agree is how far a figure can be trusted.

mod bench;
mod changes;
mod decisions;
mod empty;
mod goals;
mod pair;
mod rates;
mod round_trips;
mod run;
mod sending;
mod setups;

pub use self::goals::{GOALS, measure as measure_goals, rows as goal_rows};
pub use self::run::{Results, Watch, run, unmeasured};
pub use self::setups::{Form, Setup, Task, setups};
