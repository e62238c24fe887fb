//! Records of measurements: what was measured, where, how, and what it says.

mod sample;

pub use self::sample::{Measurement, Omission, Sample};
