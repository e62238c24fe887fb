//! What a measurement has given.

use ringfence_testbed::lab::Case;

use crate::kernel::MeasureError;
use crate::record::{Measurement, Omission, Sample};

/// Values, and what could not be measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// The values.
    pub samples: Vec<Sample>,
    /// What is missing, and why.
    pub omissions: Vec<Omission>,
}

/// Collects what one measurement of one case gives in one pass.
pub(super) struct Collector {
    measurement: Measurement,
    case: Case,
    pass: u32,
    findings: Findings,
}

impl Collector {
    pub(super) fn new(measurement: Measurement, case: Case, pass: u32) -> Self {
        Self { measurement, case, pass, findings: Findings::default() }
    }

    /// Takes a value; rounds count from 1.
    pub(super) fn value(&mut self, variant: &str, statistic: &str, round: u32, value: f64) {
        self.findings.samples.push(Sample {
            measurement: self.measurement,
            case: self.case,
            variant: variant.to_owned(),
            statistic: statistic.to_owned(),
            pass: self.pass,
            round,
            value,
        });
    }

    /// Takes note of what is missing.
    pub(super) fn missing(&mut self, variant: &str, why: impl Into<String>) {
        // Tools like to say things in many lines.
        let words: Vec<String> = why.into().split_whitespace().map(str::to_owned).collect();
        self.findings.omissions.push(Omission {
            measurement: self.measurement,
            case: self.case,
            variant: variant.to_owned(),
            why: words.join(" "),
        });
    }

    /// As [`Collector::missing`], for what went wrong.
    pub(super) fn failed(&mut self, variant: &str, error: &MeasureError) {
        self.missing(variant, error.to_string());
    }

    pub(super) fn finish(self) -> Findings {
        self.findings
    }
}
