//! How far two measurements of the same thing may be apart.
//!
//! The errors are stated before anything is measured, from what is known of such measurements, and
//! not fitted to what came out: a record that does not keep them says so, cell by cell.

use super::{Measurement, statistic, variant};

/// How far two measurements of the same thing may be apart: by the larger of the two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StatedError {
    /// As a share of the greater of them.
    pub relative: f64,
    /// In the measurement's unit.
    pub absolute: f64,
    /// Why so much.
    pub because: &'static str,
}

impl StatedError {
    const fn new(relative: f64, absolute: f64, because: &'static str) -> Self {
        Self { relative, absolute, because }
    }

    /// The error at a value.
    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        self.absolute.max(self.relative * value.abs())
    }

    /// Whether two values are no further apart.
    #[must_use]
    pub fn allows(&self, one: f64, other: f64) -> bool {
        (one - other).abs() <= self.at(one.abs().max(other.abs()))
    }
}

impl Measurement {
    /// How far two measurements may be apart that differ in nothing but the time.
    #[must_use]
    pub fn error(self, variant: &str, statistic: &str) -> StatedError {
        match self {
            Self::Decision => StatedError::new(0.10, 2.0, DECISION),
            Self::Send => StatedError::new(0.10, 60.0, SEND),
            Self::LossFree if statistic == statistic::LOST => {
                StatedError::new(0.5, 0.05, ROUND_TRIP_LOST)
            }
            Self::Stream if statistic == statistic::RETRANSMITTED => {
                StatedError::new(0.9, 100.0, RETRANSMITTED)
            }
            Self::Cpu => StatedError::new(0.15, 100.0, CPU),
            Self::RoundTrip => round_trip(variant, statistic),
            Self::LossFree => StatedError::new(0.15, 1_000.0, LOSS_FREE),
            Self::Drop => StatedError::new(0.10, 1_000.0, DROP),
            Self::Stream => StatedError::new(0.15, 1e7, STREAM),
            Self::Connect => StatedError::new(0.15, 100.0, CONNECT),
            Self::Change => StatedError::new(0.25, 2_000.0, CHANGE),
            Self::Disturbance => match statistic {
                statistic::SENT => StatedError::new(0.15, 0.0, SENT),
                statistic::WRONG => StatedError::new(0.0, 0.0, WRONG),
                _ => StatedError::new(0.5, 5.0, LOST),
            },
            Self::Memory => StatedError::new(0.10, 262_144.0, MEMORY),
        }
    }
}

fn round_trip(variant: &str, statistic: &str) -> StatedError {
    let is_calm = matches!(variant, variant::UNLOADED | variant::STEERED_UNLOADED | variant::HALF);
    match statistic {
        statistic::LOST => StatedError::new(0.5, 0.05, ROUND_TRIP_LOST),
        statistic::RATIO_P50 => StatedError::new(0.05, 0.0, RATIO),
        statistic::OFFERED => StatedError::new(0.15, 1_000.0, LOSS_FREE),
        statistic::MAX | statistic::P999 => StatedError::new(0.9, 100_000.0, EXTREME),
        statistic::P99 if is_calm => StatedError::new(0.5, 20_000.0, TAIL),
        statistic::P50 | statistic::P90 | statistic::ADDED_P50 if is_calm => {
            StatedError::new(0.10, 2_000.0, ROUND_TRIP)
        }
        _ => StatedError::new(0.5, 50_000.0, QUEUE),
    }
}

const DECISION: &str = "the kernel reports whole nanoseconds (1 at either end), and where tables lie in memory, which is anew in each pass, moves a decision by up to a tenth";
const SEND: &str = "one core does everything, so no other timer is in it; a veth's send of 1 to 2 µs moves by a tenth with the clock's speed and with the place of tables in memory";
const CPU: &str =
    "the kernel counts busy time of a whole machine, whatever else runs on it included";
const ROUND_TRIP: &str = "two sends and two wake-ups of a spinning end: 2 µs are one missed look at the socket; a tenth is the clock's speed";
const RATIO: &str = "both were measured in turns, so the clock's speed is not in it";
const TAIL: &str =
    "one packet in a hundred meets the timer's tick or, on a virtual machine, its host's work";
const EXTREME: &str = "few packets decide it: interrupts, the scheduler and, on a virtual machine, its host; good for an order of magnitude";
const QUEUE: &str = "near saturation the length of a queue grows without bound as the rate comes near to what gets through, so a few percent of rate are a factor of waiting";
const ROUND_TRIP_LOST: &str = "at overload the loss is the difference of two rates, each known to a tenth; a twentieth of all packets else";
const LOSS_FREE: &str =
    "the search ends in steps of a few percent, and one lost packet decides a step";
const DROP: &str = "a rate over a fixed time on a core of its own: the clock's speed";
const STREAM: &str = "the sizes of segments and of windows settle differently in each connection";
const RETRANSMITTED: &str = "few and in bursts";
const CONNECT: &str =
    "each connection takes several wake-ups of two processes; what the scheduler does differs";
const CHANGE: &str = "starting a process, waiting for a lock and for the kernel to free what was replaced differ by a quarter; below some µs, by one cache miss of a system call's path";
const SENT: &str = "the rate of the stream that is disturbed";
const WRONG: &str = "a verdict of neither policy is a fault, however rare";
const LOST: &str = "how many packets fall into a gap depends on where the gap falls";
const MEMORY: &str =
    "the kernel allocates in pages and in slabs for each core, and frees some of them later";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_both_errors_counts() {
        let error = StatedError::new(0.10, 60.0, "");
        assert!(error.allows(100.0, 160.0) && !error.allows(100.0, 161.0));
        assert!(error.allows(900.0, 1_000.0) && !error.allows(899.0, 1_000.0));
        assert!(error.allows(1_000.0, 900.0), "either way round");
        assert!(!error.allows(f64::NAN, 1.0), "what is no number agrees with nothing");
    }

    #[test]
    fn every_measurement_states_an_error_and_its_reason() {
        for measurement in Measurement::ALL {
            let error = measurement.error("", statistic::MEDIAN);
            assert!(error.relative > 0.0 && error.relative < 1.0, "{measurement:?}");
            assert!(error.because.len() > 20, "{measurement:?}");
        }
    }

    #[test]
    fn a_queue_is_known_less_well_than_a_calm_round_trip() {
        let at = |variant, statistic| Measurement::RoundTrip.error(variant, statistic).relative;
        assert!(at(variant::UNLOADED, statistic::P50) < at(variant::NEARLY_FULL, statistic::P50));
        assert!(at(variant::UNLOADED, statistic::P50) < at(variant::UNLOADED, statistic::P99));
        assert_eq!(Measurement::Disturbance.error("", statistic::WRONG).at(7.0), 0.0);
    }
}
