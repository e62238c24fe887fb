//! The times of one run.

use std::time::Duration;

use hdrhistogram::Histogram;
use ringfence_testbed::traffic::{Outcome, Schedule};

use crate::kernel::MeasureError;
use crate::measure::Setting;
use crate::record::{Sample, statistic};

/// The longest time that is told from longer ones, in nanoseconds: a minute.
const LONGEST_NS: u64 = 60_000_000_000;

/// Decimal digits to which a time is kept.
const DIGITS: u8 = 3;

/// The percentiles that are recorded.
const PERCENTILES: [(&str, f64); 4] = [
    (statistic::P50, 50.0),
    (statistic::P90, 90.0),
    (statistic::P99, 99.0),
    (statistic::P999, 99.9),
];

/// The times of the requests that were answered, and the count of all.
#[derive(Clone, Debug)]
pub struct Latencies {
    times: Histogram<u64>,
    per_second: f64,
    outcome: Outcome,
}

impl Latencies {
    pub(super) fn new(schedule: Schedule) -> Result<Self, MeasureError> {
        let times = Histogram::new_with_max(LONGEST_NS, DIGITS)
            .map_err(MeasureError::refused("make a histogram"))?;
        let intended = schedule.requests();
        let outcome = Outcome { intended, sent: 0, answered: 0, last_answer: Duration::ZERO };
        Ok(Self { times, per_second: schedule.per_second, outcome })
    }

    pub(super) fn note(&mut self, time: Duration) {
        self.times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn finish(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// The time in nanoseconds that `percent` of the answers took at most; nothing if there was no
    /// answer.
    #[must_use]
    pub fn percentile_ns(&self, percent: f64) -> Option<u64> {
        (!self.times.is_empty()).then(|| self.times.value_at_percentile(percent))
    }

    /// What became of the requests.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// As the record wants it: the percentiles and the longest time, the share that was lost, and
    /// the rate. Times are those of answers: where requests are lost, the loss is a figure of its
    /// own, and where all are, there are no times.
    #[must_use]
    pub fn samples(&self, setting: &Setting) -> Vec<Sample> {
        let times = PERCENTILES.iter().filter_map(|(name, percent)| {
            let time = self.percentile_ns(*percent)?;
            Some(setting.sample(*name, time as f64))
        });
        let longest = (!self.times.is_empty()).then(|| self.times.max() as f64);
        times
            .chain(longest.map(|longest| setting.sample(statistic::MAX, longest)))
            .chain([
                setting.sample(statistic::LOST, self.outcome.lost_share()),
                setting.sample(statistic::OFFERED, self.per_second),
            ])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use ringfence_testbed::lab::{Case, Contender, Family, Mismatch, Position, Tracking};

    use super::*;
    use crate::record::Measurement;

    const SCHEDULE: Schedule = Schedule {
        per_second: 1_000.0,
        duration: Duration::from_secs(2),
        patience: Duration::from_secs(1),
    };

    fn samples(latencies: &Latencies) -> Vec<(String, f64)> {
        let case = Case {
            contender: Contender::None,
            rules: 0,
            position: Position::Last,
            mismatch: Mismatch::Address,
            tracking: Tracking::Established,
            family: Family::V4,
        };
        let setting = Setting {
            measurement: Measurement::RoundTrip,
            case,
            variant: "50%".to_owned(),
            pass: 1,
            round: 3,
        };
        let samples = latencies.samples(&setting);
        assert!(samples.iter().all(|sample| (sample.pass, sample.round) == (1, 3)));
        samples.into_iter().map(|sample| (sample.statistic, sample.value)).collect()
    }

    #[test]
    fn percentiles_are_those_of_the_answers_and_loss_is_of_all() {
        let mut latencies = Latencies::new(SCHEDULE).unwrap();
        for microseconds in 1..=1_000 {
            latencies.note(Duration::from_micros(microseconds));
        }
        let last_answer = Duration::from_secs(3);
        latencies.finish(Outcome { intended: 2_000, sent: 1_500, answered: 1_000, last_answer });
        let samples = samples(&latencies);
        let names: Vec<&str> = samples.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["p50", "p90", "p99", "p99.9", "max", "lost", "offered"]);
        for ((name, value), expected) in
            samples.iter().zip([5e5, 9e5, 9.9e5, 9.99e5, 1e6, 0.5, 1e3])
        {
            assert!((value / expected - 1.0).abs() < 2e-3, "{name} is {value}, not {expected}");
        }
    }

    #[test]
    fn without_answers_there_are_no_times() {
        let latencies = Latencies::new(SCHEDULE).unwrap();
        let expected = [("lost".to_owned(), 1.0), ("offered".to_owned(), 1_000.0)];
        assert_eq!(samples(&latencies), expected);
        assert_eq!(latencies.percentile_ns(50.0), None);
    }
}
