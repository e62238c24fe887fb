//! What a packet costs all cores together.
//!
//! Where a filter works beside the sender, in user space or on the core to which packets are
//! steered, the sender's own time says nothing of it. So here packets go out at a rate, and the
//! time that all cores were not idle meanwhile is divided by their number. What the machine and the
//! sender's timer do without packets is measured just before and just after, and taken off.
//!
//! Nothing is sampled: see `idle`. The work of everybody else on the machine is in the figure as far
//! as it changes between a round and what surrounds it, so that a round says how much there was. Time
//! that a hypervisor takes is left out. A filter that spins while it waits for packets would seem to
//! cost nothing; none that is measured does.

mod idle;

use std::thread::sleep;
use std::time::{Duration, Instant};

use ringfence_testbed::lab::Tracking;
use ringfence_testbed::traffic::{Cores, Ends};

use self::idle::Idle;
use super::one_way::OneWay;
use super::{Fate, Setting};
use crate::kernel::MeasureError;
use crate::record::{Sample, statistic};

/// Time between two bursts of packets.
const TICK: Duration = Duration::from_millis(1);

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
    /// How much of that the clock may be wrong by.
    pub resolution_ns: f64,
    /// What all cores were busy with just before and just after, of 1: a large share is other work,
    /// of which nobody knows whether it went on as it was.
    pub elsewhere: f64,
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
    /// [`MeasureError::Wrong`] when a packet did not fare as its fate is, or the machine has no idle
    /// time that packets could take; [`MeasureError::Refused`].
    pub fn round(&mut self) -> Result<Round, MeasureError> {
        self.way.begin()?;
        let before = self.way.counts()?;
        let Self { way, core, per_second, duration } = self;
        let (idle, busy) = Cores::run_on(*core, || {
            let first = spend(way, 0.0, *duration / 2)?;
            let busy = spend(way, *per_second, *duration)?;
            let second = spend(way, 0.0, *duration / 2)?;
            Ok::<_, MeasureError>(([first, second], busy))
        })?;
        self.way.check(before, busy.packets)?;
        let seconds = |of: fn(&Spent) -> f64| idle.iter().map(of).sum::<f64>();
        let elsewhere = seconds(|idle| idle.worked) / seconds(|idle| idle.took);
        let packets = busy.packets as f64;
        let uncertainty = busy.uncertainty + seconds(|idle| idle.uncertainty);
        Ok(Round {
            per_packet_ns: (busy.worked - elsewhere * busy.took) * 1e9 / packets,
            resolution_ns: f64::from(busy.cores) * uncertainty * 1e9 / packets,
            elsewhere: elsewhere / f64::from(busy.cores),
            packets: busy.packets,
        })
    }
}

impl Round {
    /// As the record wants it.
    #[must_use]
    pub fn samples(&self, setting: &Setting) -> Vec<Sample> {
        vec![setting.sample(statistic::MEDIAN, self.per_packet_ns)]
    }
}

/// What was spent. Times in seconds.
#[derive(Clone, Copy, Debug)]
struct Spent {
    /// How long cores worked, added up, without the spinning until the clock's step.
    worked: f64,
    /// How long it was, that spinning included.
    took: f64,
    /// How much the clock may be wrong by, for each core.
    uncertainty: f64,
    cores: u32,
    packets: u64,
}

/// Sends what is due at each tick, and sleeps until the next.
fn spend(way: &OneWay, per_second: f64, duration: Duration) -> Result<Spent, MeasureError> {
    let before = Idle::at_step()?;
    let begin = before.at;
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
        sleep(tick.saturating_sub(begin.elapsed()));
    }
    let end = Instant::now();
    let after = Idle::at_step()?;
    // Waiting for the clock's step is this core's own work.
    let waited = (after.at - end).as_secs_f64();
    Ok(Spent {
        worked: after.worked_since(&before) - waited,
        took: (after.at - before.at).as_secs_f64(),
        uncertainty: (before.uncertainty + after.uncertainty).as_secs_f64(),
        cores: after.cores(),
        packets: sent,
    })
}

#[cfg(test)]
mod tests {
    use ringfence_testbed::require;

    use super::*;
    use crate::measure::trial::Trial;

    #[test]
    fn packets_are_counted_and_cost_something() {
        let Some(_granted) = require::privileged() else { return };
        let trial = Trial::new();
        let core = *Cores::allowed().unwrap().last().unwrap();
        let (fate, tracking) = (Fate::Arrives, Tracking::Established);
        let duration = Duration::from_millis(200);
        let ends = trial.ends();
        let mut paced = Paced::new(&ends, core, fate, tracking, 20_000.0, duration).unwrap();
        let before = paced.way.sink.arrived().unwrap();
        let round = match paced.round() {
            Ok(round) => round,
            // Other tests have the machine to themselves.
            Err(error) => {
                assert!(error.to_string().contains("no core was idle"), "{error}");
                return;
            }
        };
        // One more opens the flow.
        assert_eq!(paced.way.sink.arrived().unwrap() - before, round.packets + 1);
        assert!((1..=4_000).contains(&round.packets), "{round:?}");
        assert!(round.resolution_ns > 0.0 && round.per_packet_ns.is_finite(), "{round:?}");
        assert!((-0.3..=1.3).contains(&round.elsewhere), "{round:?}");
    }
}
