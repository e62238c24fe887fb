//! How far two measurements of the same thing may be apart.
//!
//! The errors are stated before a record is made, from what is known of such measurements and from
//! what runs before it have shown, and never adapted to what the record has: one that does not keep
//! them says so, cell by cell.

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
            Self::Decision => StatedError::new(0.20, 2.0, DECISION),
            Self::Send if statistic == statistic::ADDED => StatedError::new(0.20, 40.0, ADDED),
            Self::Send => StatedError::new(0.20, 60.0, SEND),
            Self::LossFree if statistic == statistic::LOST => {
                StatedError::new(0.5, 0.05, ROUND_TRIP_LOST)
            }
            Self::Stream if statistic == statistic::RETRANSMITTED => {
                StatedError::new(0.9, 100.0, RETRANSMITTED)
            }
            Self::Cpu => StatedError::new(0.15, 1_000.0, CPU),
            Self::RoundTrip => round_trip(variant, statistic),
            Self::LossFree => StatedError::new(0.30, 1_000.0, LOSS_FREE),
            Self::Drop => StatedError::new(0.10, 1_000.0, DROP),
            Self::Stream => StatedError::new(0.15, 1e7, STREAM),
            Self::Connect => StatedError::new(0.15, 100.0, CONNECT),
            Self::Change => change(variant, statistic),
            Self::Disturbance => match statistic {
                statistic::SENT => StatedError::new(0.15, 0.0, SENT),
                statistic::WRONG => StatedError::new(0.0, 0.0, WRONG),
                _ => StatedError::new(0.5, 5.0, LOST),
            },
            Self::Memory => StatedError::new(0.10, 262_144.0, MEMORY),
        }
    }
}

fn change(variant: &str, statistic: &str) -> StatedError {
    // By the shortest way, where nothing has to be waited for.
    let is_direct = matches!(variant, variant::ONE_RULE | variant::ONE_RULE_REMOVED);
    match statistic {
        statistic::NET => StatedError::new(0.4, 300_000.0, NET),
        statistic::VISIBLE if is_direct => StatedError::new(0.4, 1e6, VISIBLE_AT_ONCE),
        statistic::VISIBLE => StatedError::new(0.4, 5e6, VISIBLE),
        _ if is_direct => StatedError::new(0.4, 5_000.0, CHANGE),
        _ => StatedError::new(0.4, 300_000.0, CHANGE_WITH_WAIT),
    }
}

fn round_trip(variant: &str, statistic: &str) -> StatedError {
    let is_calm = matches!(variant, variant::UNLOADED | variant::HALF | variant::FIRST_PACKET);
    // The router's core is woken for each packet.
    let is_woken = matches!(variant, variant::STEERED_UNLOADED | variant::STEERED_HALF);
    let is_nearly_full = matches!(variant, variant::NEARLY_FULL | variant::STEERED_NEARLY_FULL);
    match statistic {
        statistic::LOST => StatedError::new(0.5, 0.1, ROUND_TRIP_LOST),
        statistic::RATIO_P50 => StatedError::new(0.10, 0.0, RATIO),
        statistic::OFFERED => StatedError::new(0.20, 1_000.0, OFFERED),
        statistic::MAX | statistic::P999 => StatedError::new(0.9, 20e6, EXTREME),
        statistic::P99 if is_calm || is_woken => StatedError::new(0.9, 5e6, TAIL),
        statistic::ADDED_P50 => StatedError::new(0.25, 500.0, ADDED_TO_ROUND_TRIP),
        statistic::P50 | statistic::P90 if is_calm => StatedError::new(0.25, 2_000.0, ROUND_TRIP),
        statistic::P50 if is_woken => StatedError::new(0.4, 20_000.0, WOKEN),
        _ if is_woken => StatedError::new(0.9, 1e6, WOKEN),
        _ if is_nearly_full => StatedError::new(0.9, 2e6, NEARLY_FULL),
        _ => StatedError::new(0.5, 50_000.0, QUEUE),
    }
}

const DECISION: &str = "the kernel reports whole nanoseconds (1 at either end), and where tables lie in memory, which is anew in each pass, moves a decision by up to a fifth";
const SEND: &str = "one core does everything, so no other timer is in it; the clock's speed and the place of tables and chains in memory, which is anew in each pass, move it by up to a fifth";
const ADDED: &str = "with and without in turns, so the clock's speed is not in it; 40 ns, and a fifth of a long chain's cost, is what two setups of one kind differ in by where they lie in memory";
const CPU: &str = "the kernel counts busy time in ticks, of a whole machine, whatever else runs on it included: a tenth of a second of that is a microsecond for each of 100,000 packets";
const ROUND_TRIP: &str = "two sends and two wake-ups of a spinning end: 2 µs are one missed look at the socket; a quarter is the clock's speed and the place of a long chain in memory";
const ADDED_TO_ROUND_TRIP: &str = "both were measured in turns, so the clock's speed is not in it; 0.5 µs is the time in which a spinning end looks at its socket once";
const RATIO: &str = "both were measured in turns, so the clock's speed is not in it; a twentieth of 6 µs is three cache misses, and where two setups lie in memory differs";
const TAIL: &str = "one packet in a hundred meets the timer's tick of 4 ms or, on a virtual machine, its host's work, which takes a core away for milliseconds and for seconds at a time";
const EXTREME: &str = "few packets decide it: interrupts, the scheduler and, on a virtual machine, its host; good for an order of magnitude";
const QUEUE: &str = "a queue that grows for as long as more comes than gets through: by the difference of two rates, each known to a tenth";
const NEARLY_FULL: &str = "near saturation the length of a queue grows without bound as the rate comes near to what gets through, so a few percent of rate are a factor of waiting";
const ROUND_TRIP_LOST: &str = "at overload the loss is the difference of two rates, each known to a tenth; a tenth of all packets else";
const LOSS_FREE: &str = "the search ends in steps of a few percent, and one lost packet decides a step; who works on which core moves a filter in user space by more";
const DROP: &str = "a rate over a fixed time on a core of its own: the clock's speed";
const STREAM: &str = "the sizes of segments and of windows settle differently in each connection";
const RETRANSMITTED: &str = "few and in bursts";
const CONNECT: &str =
    "each connection takes several wake-ups of two processes; what the scheduler does differs";
const CHANGE: &str = "starting a process, waiting for a lock and for the kernel to free what was replaced differ by a third; below some µs, by what is in the processor's caches";
const SENT: &str = "the rate of the stream that is disturbed";
const WRONG: &str = "a verdict of neither policy is a fault, however rare";
const LOST: &str = "how many packets fall into a gap depends on where the gap falls";
const MEMORY: &str =
    "the kernel allocates in pages and in slabs for each core, and frees some of them later";
const WOKEN: &str = "the router's core sleeps between packets; how deeply, and how long it takes to be woken on a virtual machine, is its host's affair";
const OFFERED: &str =
    "a share of the rate at saturation, which is found anew in each pass by short runs";
const CHANGE_WITH_WAIT: &str = "the same, and 0.3 ms for the wait until all packets under way are through, which depends on what both cores do";
const NET: &str = "the difference of the times of two processes of 1 to 2 ms each, known to a tenth; what the kernel frees meanwhile differs by a third";
const VISIBLE_AT_ONCE: &str = "packets are sent meanwhile, one after the other, and the one that shows the change may have waited for its turn behind a tick";
const VISIBLE: &str = "packets are sent meanwhile, so that whoever waits for all cores to have rested a moment, or for a core, waits a tick of 4 ms longer or not";

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
