//! The highest rate at which packets get through without loss.
//!
//! RFC 2544-style: trials at given rates, each of so many packets, all of which have to arrive; the
//! rate is halved in between until two neighbouring ones are known of which one passes. It differs
//! from the RFC in what it can: trials are short, a rate fails when it loses in two trials in a row
//! (something else may have had the core in one), there is one size of packets, and sender and
//! receiver are on the machine that is measured.
//!
//! The first trial is as fast as the sender can. Over a veth the router works in the sender's own
//! time, so the sender cannot be faster than what it sends through, nothing is ever lost, and that
//! trial is the answer: `lost` is 0 and `offered` is the rate. Where packets wait for somebody on
//! another core (a router to whose core they are steered, a filter in user space) its queue
//! overflows, and the search begins.
//!
//! Both are packets a second from a core that does nothing else; only the second is a rate that
//! somebody else was offered.

use std::panic;
use std::thread;
use std::time::{Duration, Instant};

use ringfence_testbed::traffic::{Cores, Generator, Plan, Sent, Sink};

use super::Setting;
use crate::kernel::MeasureError;
use crate::record::Sample;

/// Trials of one search at most; half of them would do for any rate and a resolution of 1 %.
const TRIALS: u32 = 50;

/// How often in a row a trial may be taken again because more arrived than was sent: what was sent
/// before came after it had been quiet.
const EXCESSES: u32 = 3;

/// How long packets may come after the last was sent.
const UNDER_WAY: Duration = Duration::from_secs(3);

/// How a rate is searched for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// How long a trial takes.
    pub trial: Duration,
    /// The search ends when the lowest rate that fails is at most so much higher than the highest
    /// that passes, as a share of the first.
    pub resolution: f64,
    /// Which share of a trial's packets may get lost; 0 is what the RFC asks for.
    pub tolerance: f64,
    /// A trial is over when nothing has arrived for so long.
    pub quiet: Duration,
}

impl Default for Search {
    /// Trials of 0.3 s that are over after 30 ms of quiet, a resolution of 1 %, no loss.
    fn default() -> Self {
        let [trial, quiet] = [300, 30].map(Duration::from_millis);
        Self { trial, resolution: 0.01, tolerance: 0.0, quiet }
    }
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossFree {
    /// Packets a second that got through without loss.
    pub per_second: f64,
    /// Packets a second that the sender can offer.
    pub offered: f64,
    /// The share of them that gets lost then; 0 says that the sender is the bound.
    pub lost: f64,
    /// How many trials it took.
    pub trials: u32,
}

impl LossFree {
    /// The samples of a round: `rate`, `offered`, and `lost`, which is a share.
    #[must_use]
    pub fn samples(&self, setting: &Setting) -> Vec<Sample> {
        vec![
            setting.sample("rate", self.per_second),
            setting.sample("offered", self.offered),
            setting.sample("lost", self.lost),
        ]
    }
}

/// What came of one trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trial {
    sent: Sent,
    arrived: u64,
}

/// Searches with frames from `core`. All of them have to be for the sink.
///
/// # Errors
///
/// [`MeasureError::Wrong`] when more arrives than was sent, or nothing gets through however slowly
/// it is sent; [`MeasureError::Refused`].
pub fn measure(
    generator: &mut Generator,
    sink: &mut Sink,
    core: usize,
    search: &Search,
) -> Result<LossFree, MeasureError> {
    thread::scope(|scope| {
        let searching = scope.spawn(|| {
            Cores::pin(core)?;
            search.run(|plan| trial(generator, sink, plan, search.quiet))
        });
        searching.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}

fn trial(
    generator: &mut Generator,
    sink: &mut Sink,
    plan: Plan,
    quiet: Duration,
) -> Result<Trial, MeasureError> {
    let before = sink.arrived()?;
    let sent = generator.send(plan)?;
    let all = before + sent.taken;
    // What is lost never comes, so it is over when nothing comes any more.
    let mut arrived = sink.wait_for(all, quiet)?;
    if arrived < all {
        arrived = settled(sink, quiet)?;
    }
    let taken = Trial { sent, arrived: arrived - before };
    if taken.lost().is_none() {
        // Whoever held back what was sent before may hold back more.
        settled(sink, 10 * quiet)?;
    }
    Ok(taken)
}

/// What has arrived when nothing comes any more.
fn settled(sink: &mut Sink, quiet: Duration) -> Result<u64, MeasureError> {
    let begin = Instant::now();
    let mut arrived = sink.arrived()?;
    while begin.elapsed() < UNDER_WAY {
        let now = sink.wait_for(arrived + 1, quiet)?;
        if now == arrived {
            return Ok(arrived);
        }
        arrived = now;
    }
    let why = "packets arrive although nobody sends any";
    Err(MeasureError::wrong("the way to the server", why))
}

impl Trial {
    /// The share that got lost; nothing if more has arrived than was sent, or nothing was sent.
    fn lost(&self) -> Option<f64> {
        let offered = self.sent.offered();
        let lost = offered.checked_sub(self.arrived).filter(|_| offered > 0)?;
        Some(lost as f64 / offered as f64)
    }
}

impl Search {
    /// Searches with what makes a trial.
    fn run(
        &self,
        mut trial: impl FnMut(Plan) -> Result<Trial, MeasureError>,
    ) -> Result<LossFree, MeasureError> {
        let mut trials = 0;
        // The trial of a plan, or a second one where the first lost something; and its loss.
        let mut decide = |plan: Plan| -> Result<(Trial, f64), MeasureError> {
            let (mut losses, mut excesses) = (0, 0);
            loop {
                trials += 1;
                let taken = trial(plan)?;
                match taken.lost() {
                    Some(lost) if lost > self.tolerance && losses == 0 => losses += 1,
                    Some(lost) => return Ok((taken, lost)),
                    None if excesses < EXCESSES => excesses += 1,
                    None => {
                        let why = format!(
                            "{} of {} packets arrived",
                            taken.arrived,
                            taken.sent.offered()
                        );
                        return Err(MeasureError::wrong("the way to the server", why));
                    }
                }
            }
        };
        let (full, lost) = decide(Plan::full_speed(self.trial))?;
        let offered = full.sent.rate();
        let (mut passes, mut fails, mut best) = (0.0, offered, 0.0);
        if lost <= self.tolerance {
            (passes, best) = (offered, offered);
        }
        for _ in 0..TRIALS / 2 {
            if fails - passes <= self.resolution * fails {
                break;
            }
            let rate = f64::midpoint(passes, fails);
            let plan = Plan::at_rate(rate, self.trial);
            if plan.frames == 0 {
                break;
            }
            let (paced, lost) = decide(plan)?;
            if lost <= self.tolerance {
                passes = rate;
                // A sender that was late has offered less.
                best = rate.min(paced.sent.rate());
            } else {
                fails = rate;
            }
        }
        if best == 0.0 {
            let why = format!("of {fails:.0} packets a second some get lost");
            return Err(MeasureError::wrong("the way to the server", why));
        }
        Ok(LossFree { per_second: best, offered, lost, trials })
    }
}

#[cfg(test)]
mod tests {
    use ringfence_testbed::require;
    use ringfence_testbed::require::Tool;

    use super::*;
    use crate::measure::pair::Pair;

    /// A way that carries so many packets a second, behind a sender that offers so many.
    fn way(carries: f64, offers: f64) -> impl Fn(Plan) -> Trial {
        move |plan| {
            let rate = plan.per_second.unwrap_or(offers).min(offers);
            let frames = plan.frames.min((rate * plan.at_most.as_secs_f64()) as u64);
            let took = Duration::from_secs_f64(frames as f64 / rate);
            let arrived = frames.min((carries * took.as_secs_f64()).round() as u64);
            Trial { sent: Sent { taken: frames, refused: 0, took }, arrived }
        }
    }

    fn search(resolution: f64) -> Search {
        Search { trial: Duration::from_secs(1), resolution, ..Search::default() }
    }

    /// Trials of so many milliseconds, on a way that has no queue.
    fn quick(trial: u64) -> Search {
        let quiet = Duration::from_millis(2);
        Search { trial: Duration::from_millis(trial), quiet, ..Search::default() }
    }

    #[test]
    fn a_rate_is_found_to_the_resolution() {
        for (carries, resolution) in [(123_456.0, 0.01), (7_000.0, 0.001), (900_000.0, 0.05)] {
            let way = way(carries, 1_000_000.0);
            let found = search(resolution).run(|plan| Ok(way(plan))).unwrap();
            let error = (carries - found.per_second) / carries;
            assert!((-1e-4..=resolution).contains(&error), "{found:?} of {carries}");
            assert!((found.offered - 1_000_000.0).abs() < 1.0, "{found:?}");
            assert!((found.lost - (1.0 - carries / 1_000_000.0)).abs() < 1e-4, "{found:?}");
        }
    }

    #[test]
    fn a_sender_that_loses_nothing_is_the_bound() {
        let way = way(1e9, 400_000.0);
        let found = search(0.01).run(|plan| Ok(way(plan))).unwrap();
        let expected = LossFree { per_second: 4e5, offered: 4e5, lost: 0.0, trials: 1 };
        assert_eq!(found, expected);
    }

    #[test]
    fn one_loss_alone_decides_nothing_and_two_do() {
        let way = way(1e9, 400_000.0);
        for (losses, is_bound) in [(1, true), (2, false)] {
            let mut trials = 0;
            let unlucky = |plan| {
                trials += 1;
                let good = way(plan);
                let lost = u64::from(trials <= losses);
                Ok(Trial { arrived: good.arrived - lost, ..good })
            };
            let found = search(0.01).run(unlucky).unwrap();
            assert_eq!(found.per_second == found.offered, is_bound, "{found:?}");
        }
    }

    #[test]
    fn what_the_first_queue_refuses_is_lost() {
        let way = way(1e9, 400_000.0);
        let refusing = |plan| {
            let good = way(plan);
            let refused = good.sent.taken.min(10);
            let taken = good.sent.taken - refused;
            let sent = Sent { taken, refused, ..good.sent };
            Ok(Trial { sent, arrived: taken })
        };
        let said = search(0.01).run(refusing).unwrap_err().to_string();
        assert!(said.contains("some get lost"), "{said}");
        let tolerant = Search { tolerance: 0.001, ..search(0.01) };
        assert_eq!(tolerant.run(refusing).unwrap().trials, 1);
    }

    #[test]
    fn a_trial_in_which_more_arrives_than_was_sent_says_nothing() {
        let way = way(100_000.0, 400_000.0);
        let mut trials = 0;
        let belated = |plan| {
            trials += 1;
            let good = way(plan);
            // As after a trial that was believed to be over.
            let late = if trials % 3 == 0 { 1_000_000 } else { 0 };
            Ok(Trial { arrived: good.arrived + late, ..good })
        };
        let found = search(0.01).run(belated).unwrap();
        assert!((99_000.0..=100_010.0).contains(&found.per_second), "{found:?}");
    }

    #[test]
    fn more_than_was_sent_is_an_error() {
        let way = way(1e9, 400_000.0);
        let doubled = |plan| Ok(Trial { arrived: 800_000, ..way(plan) });
        let error = search(0.01).run(doubled).unwrap_err();
        assert!(matches!(error, MeasureError::Wrong { .. }), "{error}");
    }

    #[test]
    fn over_a_wire_the_sender_is_the_bound() {
        let Some(_granted) = require::privileged() else { return };
        let pair = Pair::v4();
        let (mut generator, mut sink) = (pair.generator(), Sink::new(&pair.ends()).unwrap());
        let core = Cores::two().unwrap().client;
        let found = measure(&mut generator, &mut sink, core, &quick(20)).unwrap();
        assert_eq!((found.lost, found.per_second), (0.0, found.offered), "{found:?}");
    }

    #[test]
    fn a_way_that_carries_less_is_found_out() {
        let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
        let pair = Pair::v4();
        // Of a trial of 20 ms, 20 packets and 20 more may pass: 2,000 a second.
        pair.filter(&["limit rate over 1000/second burst 20 packets drop"]);
        let (mut generator, mut sink) = (pair.generator(), Sink::new(&pair.ends()).unwrap());
        let core = Cores::two().unwrap().client;
        let quick = Search { resolution: 0.1, ..quick(20) };
        let found = measure(&mut generator, &mut sink, core, &quick).unwrap();
        assert!(found.per_second > 0.0 && found.per_second < 2_100.0, "{found:?}");
        assert!(found.lost > 0.0 && found.offered > found.per_second, "{found:?}");
    }

    #[test]
    fn nothing_at_all_is_an_error() {
        let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
        let pair = Pair::v6();
        pair.filter(&["meta l4proto udp drop"]);
        let (mut generator, mut sink) = (pair.generator(), Sink::new(&pair.ends()).unwrap());
        let core = Cores::two().unwrap().client;
        let error = measure(&mut generator, &mut sink, core, &quick(1)).unwrap_err();
        assert!(error.to_string().contains("some get lost"), "{error}");
    }
}
