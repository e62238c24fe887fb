//! Who reaches whom: every ordered pair of places, on every port, over TCP and UDP, with both
//! families; what is expected beside what happened.

mod matrix;
mod measure;
mod table;

pub(crate) use measure::open_at_once;

pub use matrix::{Cell, Flip, Matrix};
pub use measure::{Probe, measure, probes};
pub use table::{Style, beside, table, wrong};
