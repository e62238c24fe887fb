//! What a measurement is given, and how long it may take.

use std::time::Duration;

use ringfence_testbed::lab::Case;

use super::Form;
use super::pair::Pair;
use crate::measure::{Setting, change};
use crate::record::Measurement;

/// One setup on the bench.
pub struct Bench<'a> {
    /// The two laboratories, the contender in place.
    pub pair: &'a mut Pair,
    /// The case.
    pub case: Case,
    /// Which time everything is set up anew, from 1.
    pub pass: u32,
    /// How long and how often.
    pub effort: Effort,
}

impl Bench<'_> {
    /// What samples of one round are called by.
    pub fn setting(&self, measurement: Measurement, variant: &str, round: usize) -> Setting {
        Setting {
            measurement,
            case: self.case,
            variant: variant.to_owned(),
            pass: self.pass,
            round: u32::try_from(round).unwrap_or(u32::MAX),
        }
    }
}

/// How long and how often something is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Rounds of sending.
    pub sending_rounds: usize,
    /// Packets of a round of sending.
    pub packets: u64,
    /// How long a round of sending may take, where packets are slow.
    pub sending: Duration,
    /// Rounds of round trips on an idle way, with and without a filter in turns: many short ones, for
    /// a clock that changes its speed does so between neighbours as well.
    pub idle_rounds: usize,
    /// How long one of those takes.
    pub idle: Duration,
    /// How long round trips under each load take.
    pub loaded: Duration,
    /// How long packets, connections or bytes are counted, for a rate.
    pub rate: Duration,
    /// How long a trial of a search for a rate takes: there are up to 25 of them.
    pub trial: Duration,
    /// Rounds of a rate.
    pub rate_rounds: usize,
    /// The time of changes.
    pub change: change::Effort,
    /// Changes while packets are counted.
    pub changes: u32,
    /// How often everything is installed anew for its memory.
    pub memory_rounds: u32,
    /// Rounds of decisions.
    pub decision_rounds: usize,
    /// How often a program runs in one of those.
    pub repeat: u32,
}

impl Effort {
    /// What fits `form`.
    pub fn of(form: Form) -> Self {
        let milliseconds = Duration::from_millis;
        match form {
            Form::Smoke => Self {
                sending_rounds: 2,
                packets: 50,
                sending: milliseconds(5),
                idle_rounds: 1,
                idle: milliseconds(50),
                loaded: milliseconds(50),
                rate: milliseconds(50),
                trial: milliseconds(30),
                rate_rounds: 1,
                change: change::Effort {
                    rounds: 1,
                    time: milliseconds(50),
                    limit: milliseconds(5000),
                },
                changes: 2,
                memory_rounds: 1,
                decision_rounds: 1,
                repeat: 1_000,
            },
            Form::Short => Self {
                sending_rounds: 15,
                packets: 10_000,
                sending: milliseconds(20),
                idle_rounds: 7,
                idle: milliseconds(130),
                loaded: milliseconds(300),
                rate: milliseconds(200),
                trial: milliseconds(80),
                rate_rounds: 1,
                change: change::Effort {
                    rounds: 5,
                    time: milliseconds(100),
                    limit: milliseconds(30000),
                },
                changes: 20,
                memory_rounds: 1,
                decision_rounds: 9,
                repeat: 100_000,
            },
            Form::Full => Self {
                sending_rounds: 15,
                packets: 10_000,
                sending: milliseconds(20),
                idle_rounds: 7,
                idle: milliseconds(130),
                loaded: milliseconds(300),
                rate: milliseconds(300),
                trial: milliseconds(120),
                rate_rounds: 3,
                change: change::Effort {
                    rounds: 7,
                    time: milliseconds(2000),
                    limit: milliseconds(30000),
                },
                changes: 100,
                memory_rounds: 1,
                decision_rounds: 21,
                repeat: 100_000,
            },
        }
    }
}
