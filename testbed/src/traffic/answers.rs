//! Which requests have been answered.

use std::time::Duration;

use super::{Request, TrafficError};

/// The requests of a run, and which of them have been answered.
#[derive(Debug)]
pub(super) struct Answers {
    mark: u16,
    /// For each request sent: when it was to be sent, and whether it has been answered.
    sent: Vec<(Duration, bool)>,
    answered: u64,
}

impl Answers {
    /// Requests marked with `mark`, about `expected` of them.
    pub(super) fn new(mark: u16, expected: usize) -> Self {
        // Memory that the kernel has not given yet would hold requests up one by one.
        let mut sent = vec![(Duration::MAX, true); expected];
        sent.clear();
        Self { mark, sent, answered: 0 }
    }

    /// The next request, to be sent at `intended`.
    pub(super) fn next(&mut self, intended: Duration) -> Request {
        let number = self.sent.len() as u64;
        self.sent.push((intended, false));
        Request { mark: self.mark, number, intended }
    }

    /// How many requests there have been.
    pub(super) fn requests(&self) -> u64 {
        self.sent.len() as u64
    }

    /// How many of them have been answered.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// Takes an answer that came at `now`; how long after the time at which its request was to be
    /// sent.
    ///
    /// # Errors
    ///
    /// [`TrafficError::Unexpected`] for an answer to what was not asked, or was answered before.
    pub(super) fn take(
        &mut self,
        answer: Request,
        now: Duration,
    ) -> Result<Duration, TrafficError> {
        let unexpected = |why| Err(TrafficError::Unexpected(format!("{answer:?} came, {why}")));
        if answer.mark != self.mark {
            return unexpected("which is of another run");
        }
        let number = usize::try_from(answer.number).unwrap_or(usize::MAX);
        match self.sent.get_mut(number) {
            Some((intended, is_answered @ false)) if *intended == answer.intended => {
                *is_answered = true;
                self.answered += 1;
                Ok(now.saturating_sub(answer.intended))
            }
            Some((_, true)) => unexpected("for the second time"),
            Some((_, false)) => unexpected("changed"),
            None => unexpected("which nobody has asked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_counts_once_and_has_to_be_one() {
        let mut answers = Answers::new(3, 0);
        let requests = [5, 9].map(|at| answers.next(Duration::from_micros(at)));
        let now = Duration::from_micros(20);
        assert_eq!(answers.take(requests[1], now).unwrap(), Duration::from_micros(11));
        assert_eq!(answers.take(requests[0], now).unwrap(), Duration::from_micros(15));
        let changed = Request { intended: Duration::ZERO, ..requests[0] };
        for (answer, why) in [
            (requests[0], "for the second time"),
            (changed, "for the second time"),
            (Request { mark: 4, ..requests[0] }, "of another run"),
            (Request { number: 2, ..requests[0] }, "nobody has asked"),
        ] {
            let error = answers.take(answer, now).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!((answers.requests(), answers.answered()), (2, 2));
        let request = answers.next(now);
        let error = answers.take(Request { intended: Duration::ZERO, ..request }, now).unwrap_err();
        assert!(error.to_string().contains("changed"), "{error}");
    }
}
