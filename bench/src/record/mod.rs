//! Records of measurements: what was measured, where, how, and what it says.

mod choice;
mod claims;
mod compare;
mod figures;
mod goal_line;
mod growth;
mod machine_file;
mod number;
mod plot;
mod problem;
mod readme;
mod run;
mod sample;
mod sheet;
mod stated_error;
mod store;
mod summary;
#[cfg(test)]
mod synthetic;
mod words;

pub use self::claims::{Answer, Reading, Verdict, answers};
pub use self::compare::table as comparison_table;
pub use self::compare::{Change, Compared, Comparison, MachineDifference, compare};
pub use self::figures::{Figure, Figures, Key, Question, TRACKINGS};
pub use self::goal_line::GoalLine;
pub use self::plot::Plot;
pub use self::problem::RecordError;
pub use self::readme::main_table;
pub use self::run::{Run, Running, Tree};
pub use self::sample::{Measurement, Omission, Sample};
pub use self::stated_error::StatedError;
pub use self::store::Record;
pub use self::summary::summary;
pub use self::words::{statistic, variant};
