//! A measured case of a goal, as a record keeps it.

use serde::{Deserialize, Serialize};

use crate::goals::Row;

/// A measured case of a goal, as a record keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalLine {
    /// The goal's name.
    pub goal: String,
    /// Which case of it.
    pub case: String,
    /// `at most` or `at least`.
    pub bound: String,
    /// What is to be reached.
    pub limit: f64,
    /// What was measured.
    pub measured: f64,
    /// The unit of both.
    pub unit: String,
    /// Whether it was reached.
    pub met: bool,
    /// What the figure is made of, in words.
    pub reading: String,
}

impl GoalLine {
    /// Its columns in a record.
    pub const COLUMNS: [&str; 8] =
        ["goal", "case", "bound", "limit", "measured", "unit", "met", "reading"];
}

impl From<&Row> for GoalLine {
    fn from(row: &Row) -> Self {
        let text = |name| row.text(name).to_owned();
        Self {
            goal: row.goal.to_string(),
            case: text("case"),
            bound: text("bound"),
            limit: row.limit,
            measured: row.measured,
            unit: text("unit"),
            met: row.met,
            reading: text("reading"),
        }
    }
}
