//! How long all cores together have not worked.
//!
//! A kernel with dynamic ticks knows a core's idle time to the nanosecond, interrupts left out and
//! the pause that goes on included, and shows the sum in steps of 10 ms. So the clock is read when
//! the sum has just made a step, for which one core spins for up to 10 ms: then it is as exact as
//! the spinning is quick.

use std::fs;
use std::time::{Duration, Instant};

use crate::kernel::MeasureError;

/// The step of the figures in `/proc/stat`: `USER_HZ` is 100 on every architecture that the engine
/// runs on (proc_stat(5)).
const STEP: Duration = Duration::from_millis(10);

/// How long a step is waited for. If there is none, no core was idle for a tenth of the time.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// The clock at one of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Idle {
    /// When.
    pub at: Instant,
    /// How much earlier it may have been.
    pub uncertainty: Duration,
    seen: Seen,
}

/// What the kernel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    cores: u32,
    /// Steps of cores without work.
    idle: u64,
    /// Steps of cores that waited for a disk, or that a hypervisor had taken away.
    away: u64,
}

impl Idle {
    /// Spins until the clock makes a step.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`] when it makes none, because no core is idle.
    pub(super) fn at_step() -> Result<Self, MeasureError> {
        let begin = Instant::now();
        let first = Seen::now()?;
        let mut before = Instant::now();
        loop {
            let seen = Seen::now()?;
            let at = Instant::now();
            if seen.idle != first.idle {
                return Ok(Self { at, uncertainty: at - before, seen });
            }
            if at - begin > LONGEST_WAIT {
                let why = "no core was idle, so that nobody can tell what packets cost all of them";
                return Err(MeasureError::wrong("the machine", why));
            }
            before = at;
        }
    }

    /// How many cores there are.
    pub(super) fn cores(&self) -> u32 {
        self.seen.cores
    }

    /// How long cores have worked since `earlier`, added up, in seconds.
    pub(super) fn worked_since(&self, earlier: &Self) -> f64 {
        let took = (self.at - earlier.at).as_secs_f64();
        let steps = |of: fn(&Seen) -> u64| of(&self.seen).saturating_sub(of(&earlier.seen));
        let not = steps(|seen| seen.idle) + steps(|seen| seen.away);
        took * f64::from(self.cores()) - STEP.as_secs_f64() * not as f64
    }
}

impl Seen {
    fn now() -> Result<Self, MeasureError> {
        let path = "/proc/stat";
        let text = fs::read_to_string(path).map_err(MeasureError::refused("read `/proc/stat`"))?;
        Self::of(&text).ok_or_else(|| MeasureError::wrong(path, "it has no times of all cores"))
    }

    /// The line `cpu` has the sums over the lines `cpu0`, `cpu1`, …: user, nice, system, idle,
    /// iowait, irq, softirq, steal.
    fn of(text: &str) -> Option<Self> {
        let (all, rest) = text.strip_prefix("cpu ")?.split_once('\n')?;
        let cores = rest.lines().filter(|line| line.starts_with("cpu")).count();
        let times: Vec<u64> = all.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let time = |at: usize| times.get(at).copied();
        Some(Self { cores: u32::try_from(cores).ok()?, idle: time(3)?, away: time(4)? + time(7)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_idle_has_worked() {
        let now = Instant::now();
        let idle = |seconds, text| Idle {
            at: now + Duration::from_secs(seconds),
            uncertainty: Duration::ZERO,
            seen: Seen::of(text).unwrap(),
        };
        let before = idle(0, "cpu  10 0 10 100 5 0 3 2 0 0\ncpu0 1\ncpu1 1\nintr 7\n");
        assert_eq!(before.seen, Seen { cores: 2, idle: 100, away: 7 });
        let after = idle(1, "cpu  60 0 30 150 6 0 9 5 0 0\ncpu0 1\ncpu1 1\nintr 7\n");
        // Two cores for a second, of which 0.5 were idle and 0.04 away.
        assert!((after.worked_since(&before) - 1.46).abs() < 1e-9);
        assert_eq!(Seen::of("cpu  1 2 3\ncpu0 1\n"), None);
    }
}
