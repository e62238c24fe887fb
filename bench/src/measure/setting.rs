//! Of whom and when values are measured.

use ringfence_testbed::lab::Case;

use crate::record::{Measurement, Sample};

/// What the samples of one turn of a measurement have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// What is measured.
    pub measurement: Measurement,
    /// Of whom.
    pub case: Case,
    /// The other choice, as in [`Sample::variant`].
    pub variant: String,
    /// Which time everything was set up anew, from 1.
    pub pass: u32,
    /// Which round of the pass, from 1.
    pub round: u32,
}

impl Setting {
    /// One of its samples.
    #[must_use]
    pub fn sample(&self, statistic: impl Into<String>, value: f64) -> Sample {
        let Self { measurement, case, variant, pass, round } = self.clone();
        Sample { measurement, case, variant, statistic: statistic.into(), pass, round, value }
    }
}
