//! Requests as fast as answers come.

use std::time::Duration;

use super::answers::Answers;
use super::{Line, TrafficError};

/// Requests a second that there is memory for without asking the kernel for more.
const OFTEN: f64 = 1e6;

/// How requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many requests may be without an answer at a time.
    pub requests: usize,
    /// For how long requests are sent.
    pub duration: Duration,
    /// How long no answer may come until those under way count as lost and others are sent; and how
    /// long the last answers may take.
    pub patience: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Requests sent.
    pub sent: u64,
    /// Answers, each once.
    pub answered: u64,
    /// Those of them that came while requests were sent.
    pub in_time: u64,
    /// How long requests were sent.
    pub took: Duration,
}

impl Exchange {
    /// Answers a second while requests were sent.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.in_time as f64 / self.took.as_secs_f64()
    }
}

/// Sends requests, marked with `mark`, so that never more than the window's are under way.
///
/// # Errors
///
/// [`TrafficError`] when the line fails, or when an answer comes twice, changed or to nothing.
pub fn closed_loop(
    line: &mut impl Line,
    window: Window,
    mark: u16,
) -> Result<Exchange, TrafficError> {
    let expected = window.duration.as_secs_f64() * OFTEN;
    let mut answers = Answers::new(mark, expected as usize);
    let (mut sent, mut under_way) = (0, 0_usize);
    let start = line.now();
    let mut last = Duration::ZERO;
    let took = loop {
        let now = line.now() - start;
        if now >= window.duration {
            break now;
        }
        if under_way < window.requests {
            let went_out = line.send(answers.next(now))?;
            sent += u64::from(went_out);
            under_way += usize::from(went_out);
        }
        match line.receive()? {
            Some(answer) => {
                answers.take(answer, now)?;
                // An answer may be to what counted as lost already.
                under_way = under_way.saturating_sub(1);
                last = now;
            }
            None if now > last + window.patience => (under_way, last) = (0, now),
            None => {}
        }
    };
    let in_time = answers.answered();
    while answers.answered() < sent && line.now() - start < took + window.patience {
        if let Some(answer) = line.receive()? {
            answers.take(answer, took)?;
        }
    }
    Ok(Exchange { sent, answered: answers.answered(), in_time, took })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::VecDeque;

    use super::*;
    use crate::traffic::Request;

    /// Answers after 100 µs, but for every `loses`th request. Looking at the clock takes 1 µs.
    struct Imagined {
        now: Cell<u64>,
        under_way: VecDeque<(u64, Request)>,
        most: usize,
        loses: u64,
    }

    impl Line for Imagined {
        fn now(&self) -> Duration {
            self.now.update(|now| now + 1);
            Duration::from_micros(self.now.get())
        }

        fn send(&mut self, request: Request) -> Result<bool, TrafficError> {
            if request.number % self.loses != self.loses - 1 {
                self.under_way.push_back((self.now.get() + 100, request));
                self.most = self.most.max(self.under_way.len());
            }
            Ok(true)
        }

        fn receive(&mut self) -> Result<Option<Request>, TrafficError> {
            let now = self.now.get();
            Ok(self.under_way.pop_front_if(|(at, _)| *at <= now).map(|(_, request)| request))
        }
    }

    fn exchange(loses: u64) -> (Exchange, usize) {
        let mut line = Imagined { now: Cell::new(7), under_way: VecDeque::new(), most: 0, loses };
        let (duration, patience) = (Duration::from_millis(10), Duration::from_millis(1));
        let window = Window { requests: 4, duration, patience };
        (closed_loop(&mut line, window, 2).unwrap(), line.most)
    }

    #[test]
    fn no_more_than_the_window_is_under_way() {
        let (exchange, most) = exchange(u64::MAX);
        assert_eq!(most, 4);
        assert_eq!(exchange.answered, exchange.sent);
        // Four each 100 µs, more or less.
        assert!((36_000.0..=40_000.0).contains(&exchange.per_second()), "{exchange:?}");
    }

    #[test]
    fn it_goes_on_after_a_loss() {
        let (exchange, _) = exchange(10);
        assert!(exchange.sent > 40, "{exchange:?}");
        assert_eq!(exchange.sent - exchange.answered, exchange.sent / 10);
    }
}
