//! What a packet costs all cores together.
//!
//! Where a filter works beside the sender, in user space or on the core to which packets are
//! steered, the sender's own time says nothing of it. So here packets go out at a rate, and the
//! time that all cores were not idle meanwhile is divided by their number. What the machine and the
//! sender's timer do without packets is measured just before and just after, and taken off.
//!
//! The clock is `/proc/stat`. A kernel with dynamic ticks adds up a core's idle time to the
//! microsecond, interrupts left out, and shows the sum in steps of 10 ms; so the figure is exact to
//! [`Round::resolution_ns`], and the work of everybody else on the machine is in it as far as it
//! changes between a round and what surrounds it. Time that a hypervisor takes is left out. A filter
//! that spins while it waits for packets would seem to cost nothing; none that is measured does.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ringfence_testbed::lab::Tracking;
use ringfence_testbed::traffic::{Cores, Ends};

use super::one_way::OneWay;
use super::{Fate, Setting};
use crate::kernel::MeasureError;
use crate::record::Sample;

/// Time between two bursts of packets.
const TICK: Duration = Duration::from_millis(1);

/// The step of the figures in `/proc/stat`: `USER_HZ` is 100 on every architecture that the engine
/// runs on (proc_stat(5)).
const STEP: Duration = Duration::from_millis(10);

/// Packets between two looks at the clock.
const STRIDE: u64 = 32;

/// One flow of datagrams at a rate, set up once and measured in many rounds.
#[derive(Debug)]
pub struct Paced {
    way: OneWay,
    core: usize,
    per_second: f64,
    duration: Duration,
}

/// What a round gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// The time of a packet on all cores together, in nanoseconds.
    pub per_packet_ns: f64,
    /// How much of that may be due to the steps of the clock.
    pub resolution_ns: f64,
    /// Of how many packets.
    pub packets: u64,
}

impl Paced {
    /// Opens the flow, from `core`, at `per_second` packets a second for `duration` a round. The
    /// first packet and [`Tracking::Established`] are as in [`super::send::Sender::new`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn new(
        ends: &Ends<'_>,
        core: usize,
        fate: Fate,
        tracking: Tracking,
        per_second: f64,
        duration: Duration,
    ) -> Result<Self, MeasureError> {
        Ok(Self { way: OneWay::open(ends, fate, tracking)?, core, per_second, duration })
    }

    /// Measures for twice the duration: half of it without packets, the duration with them, and the
    /// other half without.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`] when a packet did not fare as its fate is; [`MeasureError::Refused`].
    pub fn round(&mut self) -> Result<Round, MeasureError> {
        let before = self.way.counts()?;
        let Self { way, core, per_second, duration } = self;
        let (idle, busy) = Cores::run_on(*core, || {
            let first = spend(way, 0.0, *duration / 2)?;
            let busy = spend(way, *per_second, *duration)?;
            let second = spend(way, 0.0, *duration / 2)?;
            Ok::<_, MeasureError>(([first, second], busy))
        })?;
        self.way.check(before, busy.packets)?;
        let share =
            busy.took.as_secs_f64() / idle.iter().map(|idle| idle.took.as_secs_f64()).sum::<f64>();
        let idle = share * idle.iter().map(|idle| idle.busy_seconds).sum::<f64>();
        let packets = busy.packets as f64;
        Ok(Round {
            per_packet_ns: (busy.busy_seconds - idle) * 1e9 / packets,
            resolution_ns: 2.0 * STEP.as_nanos() as f64 / packets,
            packets: busy.packets,
        })
    }
}

impl Round {
    /// As the record wants it.
    #[must_use]
    pub fn samples(&self, setting: &Setting) -> Vec<Sample> {
        vec![setting.sample("median", self.per_packet_ns)]
    }
}

/// What was spent.
#[derive(Clone, Copy, Debug)]
struct Spent {
    /// Time that cores were not idle, added up.
    busy_seconds: f64,
    took: Duration,
    packets: u64,
}

/// Sends what is due at each tick, and sleeps until the next.
fn spend(way: &OneWay, per_second: f64, duration: Duration) -> Result<Spent, MeasureError> {
    let before = Clock::read()?;
    let begin = Instant::now();
    let (mut sent, mut tick) = (0, TICK);
    while begin.elapsed() < duration {
        let due = (begin.elapsed().as_secs_f64() * per_second) as u64;
        while sent < due && begin.elapsed() < duration {
            let stride = STRIDE.min(due - sent);
            for _ in 0..stride {
                way.send()?;
            }
            sent += stride;
        }
        // A tick that is over already is left out: what was due then is due at the next.
        while tick <= begin.elapsed() {
            tick += TICK;
        }
        sleep(tick - begin.elapsed());
    }
    let took = begin.elapsed();
    let busy_seconds = Clock::read()?.busy_since(before, took);
    Ok(Spent { busy_seconds, took, packets: sent })
}

/// What all cores together have not worked, since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    cores: u32,
    /// Steps in which a core was idle, waited for a disk, or was taken away by a hypervisor.
    steps: u64,
}

impl Clock {
    fn read() -> Result<Self, MeasureError> {
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
        let steps = [3, 4, 7].iter().map(|at| times.get(*at).copied()).sum::<Option<u64>>()?;
        Some(Self { cores: u32::try_from(cores).ok()?, steps })
    }

    fn busy_since(self, earlier: Self, took: Duration) -> f64 {
        let idle = STEP.as_secs_f64() * self.steps.saturating_sub(earlier.steps) as f64;
        took.as_secs_f64() * f64::from(self.cores) - idle
    }
}

#[cfg(test)]
mod tests {
    use ringfence_testbed::require;

    use super::*;
    use crate::measure::trial::Trial;

    #[test]
    fn what_is_not_idle_is_busy() {
        let before = Clock::of("cpu  10 0 10 100 5 0 3 2 0 0\ncpu0 1\ncpu1 1\nintr 7\n").unwrap();
        assert_eq!(before, Clock { cores: 2, steps: 107 });
        let after = Clock::of("cpu  60 0 30 150 6 0 9 5 0 0\ncpu0 1\ncpu1 1\nintr 7\n").unwrap();
        // Two cores for a second, of which 0.54 were idle, waiting or stolen.
        assert!((after.busy_since(before, Duration::from_secs(1)) - 1.46).abs() < 1e-9);
        assert_eq!(Clock::of("cpu  1 2 3\ncpu0 1\n"), None);
    }

    #[test]
    fn a_thread_that_spins_is_busy() {
        let before = Clock::read().unwrap();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(100) {}
        let busy = Clock::read().unwrap().busy_since(before, begin.elapsed());
        assert!(busy > 0.05, "{busy} s of 0.1 s");
    }

    #[test]
    fn packets_are_counted_and_cost_something() {
        let Some(_granted) = require::privileged() else { return };
        let trial = Trial::new();
        let core = *Cores::allowed().unwrap().last().unwrap();
        let (fate, tracking) = (Fate::Arrives, Tracking::Established);
        let duration = Duration::from_millis(200);
        let ends = trial.ends();
        let mut paced = Paced::new(&ends, core, fate, tracking, 20_000.0, duration).unwrap();
        let round = paced.round().unwrap();
        assert!((1..=4_000).contains(&round.packets), "{round:?}");
        assert_eq!(round.resolution_ns, 20e6 / round.packets as f64);
        assert!(round.per_packet_ns.is_finite(), "{round:?}");
    }
}
