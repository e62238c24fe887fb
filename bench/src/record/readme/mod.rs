//! The text of a record.

use super::Record;
use super::plot::Plot;

/// The README of a record.
pub fn text(_record: &Record, _topic: &str, _plots: &[Plot]) -> String {
    String::new()
}
