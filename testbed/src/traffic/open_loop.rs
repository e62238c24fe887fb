//! Requests at times that do not depend on the answers.
//!
//! A client that waits for an answer before it asks again asks less while answers are slow, and so
//! leaves out of its figures most of what it was to find (*coordinated omission*). Here each request
//! has its time from the beginning. One that goes out late, because the one before kept the sender
//! busy, counts from the time at which it was to go out, and one that never goes out is lost.

use std::time::Duration;

use super::answers::Answers;
use super::{Line, TrafficError};

/// How many requests, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Requests a second.
    pub per_second: f64,
    /// For how long.
    pub duration: Duration,
    /// How long after that late requests still go out, and how long again the last answers may take.
    pub patience: Duration,
}

impl Schedule {
    /// How many requests it has; one at least.
    #[must_use]
    pub fn requests(&self) -> u64 {
        ((self.per_second * self.duration.as_secs_f64()) as u64).max(1)
    }

    /// When the request `number` is to be sent, from the start; in whole nanoseconds.
    fn intended(&self, number: u64) -> Duration {
        Duration::from_nanos((number as f64 * 1e9 / self.per_second) as u64)
    }
}

/// What became of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How many the schedule had.
    pub intended: u64,
    /// How many of them went out.
    pub sent: u64,
    /// How many of those were answered.
    pub answered: u64,
    /// When the last answer came, from the start.
    pub last_answer: Duration,
}

impl Outcome {
    /// How many were not answered, or not even sent.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.intended - self.answered
    }

    /// Answers a second until the last one; 0 without any.
    #[must_use]
    pub fn answered_per_second(&self) -> f64 {
        if self.answered == 0 { 0.0 } else { self.answered as f64 / self.last_answer.as_secs_f64() }
    }

    /// The share that was lost, of 1.
    #[must_use]
    pub fn lost_share(&self) -> f64 {
        self.lost() as f64 / self.intended as f64
    }
}

/// Sends the requests of `schedule`, marked with `mark`, and calls `each` with the time of each
/// answer since its request was to be sent.
///
/// # Errors
///
/// [`TrafficError`] when the line fails, or when an answer comes twice, changed or to nothing.
pub fn open_loop(
    line: &mut impl Line,
    schedule: Schedule,
    mark: u16,
    mut each: impl FnMut(Duration),
) -> Result<Outcome, TrafficError> {
    let intended = schedule.requests();
    let mut answers = Answers::new(mark, usize::try_from(intended).unwrap_or(0));
    let last_sending = schedule.duration + schedule.patience;
    let (mut sent, mut last_answer) = (0, Duration::ZERO);
    let start = line.now();
    let end = loop {
        let now = line.now() - start;
        let late = answers.requests() < intended && now < last_sending;
        if late && now >= schedule.intended(answers.requests()) {
            let request = answers.next(schedule.intended(answers.requests()));
            sent += u64::from(line.send(request)?);
        }
        // One answer for each turn keeps up with one request for each turn, and never holds the
        // next request up for longer.
        if let Some(answer) = line.receive()? {
            last_answer = line.now() - start;
            each(answers.take(answer, last_answer)?);
        }
        if !late {
            break now;
        }
    };
    while answers.answered() < sent && line.now() - start < end + schedule.patience {
        if let Some(answer) = line.receive()? {
            last_answer = line.now() - start;
            each(answers.take(answer, last_answer)?);
        }
    }
    Ok(Outcome { intended, sent, answered: answers.answered(), last_answer })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::VecDeque;

    use super::*;
    use crate::traffic::Request;

    /// A line in which a request takes as long as the tests say. Looking at the clock takes 100 ns.
    struct Imagined {
        now: Cell<Duration>,
        /// Answers under way, with the time at which they come.
        under_way: VecDeque<(Duration, Request)>,
        /// When the server is free again.
        free: Duration,
        /// How long a request takes the server.
        takes: fn(u64) -> Duration,
        /// How long sending a request takes the client.
        sending_takes: fn(u64) -> Duration,
        /// Which requests get lost.
        loses: fn(u64) -> bool,
    }

    const MICROSECOND: Duration = Duration::from_micros(1);

    impl Imagined {
        fn new() -> Self {
            Self {
                now: Duration::from_secs(9).into(),
                under_way: VecDeque::new(),
                free: Duration::ZERO,
                takes: |_| MICROSECOND,
                sending_takes: |_| MICROSECOND,
                loses: |_| false,
            }
        }

        fn times(mut self, schedule: Schedule) -> (Vec<Duration>, Outcome) {
            let mut times = Vec::new();
            let outcome = open_loop(&mut self, schedule, 1, |time| times.push(time)).unwrap();
            (times, outcome)
        }
    }

    impl Line for Imagined {
        fn now(&self) -> Duration {
            self.now.update(|now| now + Duration::from_nanos(100));
            self.now.get()
        }

        fn send(&mut self, request: Request) -> Result<bool, TrafficError> {
            self.now.update(|now| now + (self.sending_takes)(request.number));
            if !(self.loses)(request.number) {
                self.free = self.free.max(self.now.get()) + (self.takes)(request.number);
                self.under_way.push_back((self.free, request));
            }
            Ok(true)
        }

        fn receive(&mut self) -> Result<Option<Request>, TrafficError> {
            let now = self.now.get();
            Ok(self.under_way.pop_front_if(|(at, _)| *at <= now).map(|(_, request)| request))
        }
    }

    /// A request each 10 µs.
    const SCHEDULE: Schedule = Schedule {
        per_second: 100_000.0,
        duration: Duration::from_millis(10),
        patience: Duration::from_millis(10),
    };

    #[test]
    fn all_that_is_answered_at_once_takes_as_long() {
        let (times, outcome) = Imagined::new().times(SCHEDULE);
        assert_eq!((outcome.intended, outcome.sent, outcome.answered), (1_000, 1_000, 1_000));
        assert!((99_000.0..=101_000.0).contains(&outcome.answered_per_second()), "{outcome:?}");
        assert_eq!(times.len(), 1_000);
        assert!(times.iter().all(|time| (2 * MICROSECOND..4 * MICROSECOND).contains(time)));
    }

    #[test]
    fn a_slow_answer_is_felt_by_all_requests_behind_it() {
        let mut line = Imagined::new();
        line.takes = |number| if number == 500 { 1_000 * MICROSECOND } else { MICROSECOND };
        let (times, outcome) = line.times(SCHEDULE);
        assert_eq!(outcome.lost(), 0);
        // Those intended in the 900 µs after it, and it itself.
        let slow = times.iter().filter(|time| **time >= 100 * MICROSECOND).count();
        assert!((90..=101).contains(&slow), "{slow} requests were slow");
        assert!(times[499] < 4 * MICROSECOND, "nothing before it was");
    }

    #[test]
    fn a_sender_that_is_held_up_is_late_for_all_requests_behind_it() {
        let mut line = Imagined::new();
        line.sending_takes = |number| if number == 500 { 1_000 * MICROSECOND } else { MICROSECOND };
        let (times, outcome) = line.times(SCHEDULE);
        assert_eq!(outcome.lost(), 0);
        let slow = times.iter().filter(|time| **time >= 100 * MICROSECOND).count();
        assert!((90..=120).contains(&slow), "{slow} requests were slow");
    }

    #[test]
    fn what_is_lost_is_counted_and_waited_for_no_longer_than_patience() {
        let mut line = Imagined::new();
        line.loses = |number| number % 10 == 3;
        let (times, outcome) = line.times(SCHEDULE);
        assert_eq!((outcome.intended, outcome.sent, outcome.answered), (1_000, 1_000, 900));
        assert_eq!((outcome.lost(), outcome.lost_share()), (100, 0.1));
        assert_eq!(times.len(), 900);
    }

    #[test]
    fn a_sender_that_is_too_slow_stops_with_the_time_and_its_rest_is_lost() {
        let mut line = Imagined::new();
        // A tenth of the rate: in twice the time a fifth goes out.
        line.sending_takes = |_| 100 * MICROSECOND;
        let (_, outcome) = line.times(SCHEDULE);
        assert!((195..=201).contains(&outcome.sent), "{outcome:?}");
        assert_eq!(outcome.answered, outcome.sent);
        assert_eq!(outcome.lost(), 1_000 - outcome.sent);
        // One each 100 µs.
        assert!((9_800.0..=10_100.0).contains(&outcome.answered_per_second()), "{outcome:?}");
    }
}
