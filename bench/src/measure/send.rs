//! What sending a packet costs the core that sends it.
//!
//! A veth hands a packet to its receiver in the sender's own time. So what one call of `send(2)`
//! takes contains the client's output, the router's whole way with its filter, and the server's
//! input up to its socket, where a filter takes the packet away; the difference to the same way
//! without a filter is the filter's cost, with no clock in the packet's way.
//!
//! Not contained is what other cores do: a filter in user space, or a router to whose core packets
//! are steered, does its work beside the sender (see [`super::cpu`]), and when it cannot keep up
//! packets are lost, which is an error here.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use ringfence_testbed::lab::Tracking;
use ringfence_testbed::traffic::{Cores, Ends};

use super::one_way::OneWay;
use super::{Fate, Setting};
use crate::kernel::MeasureError;
use crate::record::{Sample, statistic};

/// Packets before the clock starts: enough to have all that is looked at in the caches.
const WARMING_UP: u64 = 64;

/// How often a round is repeated in which somebody else used the core.
const REPEATS: usize = 5;

/// Packets between two looks at the clock, which would be a part of the cost otherwise.
const STRIDE: u64 = 32;

/// One flow of datagrams from one core, set up once and measured in many rounds.
#[derive(Debug)]
pub struct Sender {
    way: OneWay,
    core: usize,
}

/// What a round gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// The mean time of a packet, in nanoseconds.
    pub per_packet_ns: f64,
    /// Of how many.
    pub packets: u64,
    /// How often the kernel let somebody else use the core meanwhile. A round in which it did was
    /// not the packets' alone.
    pub interruptions: u64,
}

impl Sender {
    /// Opens the flow, from `core`. With [`Tracking::Established`] the server answers its first
    /// packet, so that what tracks connections knows it as one; else nobody ever answers, and rules
    /// that have no memory of their own are asked about each packet.
    ///
    /// The server's port is taken until this is dropped.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`] when the first packet does not fare as its fate is;
    /// [`MeasureError::Missing`] for a flow that is denied and established;
    /// [`MeasureError::Refused`].
    pub fn new(
        ends: &Ends<'_>,
        core: usize,
        fate: Fate,
        tracking: Tracking,
    ) -> Result<Self, MeasureError> {
        Ok(Self { way: OneWay::open(ends, fate, tracking)?, core })
    }

    /// Sends `packets` packets, one at least, or as many as `limit` allows, and waits until they
    /// have arrived.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`] when one did not fare as its fate is; [`MeasureError::Refused`].
    pub fn round(&mut self, packets: u64, limit: Duration) -> Result<Round, MeasureError> {
        let (round, checked) = self.attempt(packets, limit)?;
        checked.map(|()| round)
    }

    /// The same, but a round in which somebody else used the core is repeated some times, whatever
    /// came of it: what works off a queue behind an XDP program is put off then, and the queue, of
    /// 256 packets, overflows.
    ///
    /// # Errors
    ///
    /// Those of [`Sender::round`], of an undisturbed round or of the last.
    pub fn undisturbed_round(
        &mut self,
        packets: u64,
        limit: Duration,
    ) -> Result<Round, MeasureError> {
        for _ in 0..REPEATS {
            let (round, checked) = self.attempt(packets, limit)?;
            if round.interruptions == 0 {
                return checked.map(|()| round);
            }
        }
        self.round(packets, limit)
    }

    /// A round, and whether its packets fared as their fate is.
    fn attempt(
        &mut self,
        packets: u64,
        limit: Duration,
    ) -> Result<(Round, Result<(), MeasureError>), MeasureError> {
        self.way.begin()?;
        let before = self.way.counts()?;
        let (way, core) = (&self.way, self.core);
        let round = Cores::run_on(core, || send_all(way, packets, limit))?;
        let checked = self.way.check(before, round.packets + WARMING_UP);
        Ok((round, checked))
    }
}

impl Round {
    /// As the record wants it.
    #[must_use]
    pub fn samples(&self, setting: &Setting) -> Vec<Sample> {
        vec![setting.sample(statistic::MEDIAN, self.per_packet_ns)]
    }
}

fn send_all(way: &OneWay, packets: u64, limit: Duration) -> Result<Round, MeasureError> {
    let interruptions = interruptions()?;
    for _ in 0..WARMING_UP {
        way.send()?;
    }
    let begin = Instant::now();
    let mut sent = 0;
    while sent == 0 || (sent < packets && begin.elapsed() < limit) {
        let stride = packets.saturating_sub(sent).clamp(1, STRIDE);
        for _ in 0..stride {
            way.send()?;
        }
        sent += stride;
    }
    let per_packet_ns = begin.elapsed().as_nanos() as f64 / sent as f64;
    let interruptions = self::interruptions()? - interruptions;
    Ok(Round { per_packet_ns, packets: sent, interruptions })
}

/// How often the calling thread has been interrupted for another.
fn interruptions() -> Result<u64, MeasureError> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)
        .map_err(MeasureError::refused("ask what the thread has used"))?;
    Ok(usage.involuntary_context_switches().try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ringfence_testbed::require;

    use super::*;
    use crate::measure::trial::Trial;

    const LIMIT: Duration = Duration::from_secs(1);

    fn sender(ends: &Ends<'_>, fate: Fate, tracking: Tracking) -> Result<Sender, MeasureError> {
        Sender::new(ends, *Cores::allowed().unwrap().last().unwrap(), fate, tracking)
    }

    #[test]
    fn every_packet_of_a_round_is_counted_where_it_arrives() {
        let Some(_granted) = require::privileged() else { return };
        let trial = Trial::new();
        for ends in [trial.ends(), trial.ends_v6()] {
            for tracking in [Tracking::New, Tracking::Established] {
                let mut sender = sender(&ends, Fate::Arrives, tracking).unwrap();
                for packets in [1, 33, 500] {
                    let before = sender.way.sink.arrived().unwrap();
                    let round = sender.round(packets, LIMIT).unwrap();
                    let arrived = sender.way.sink.arrived().unwrap() - before;
                    // One more opens the flow.
                    assert_eq!((round.packets, arrived), (packets, packets + WARMING_UP + 1));
                    assert!(round.per_packet_ns > 100.0, "{round:?}");
                }
                let limited = sender.round(u64::MAX, Duration::from_millis(2)).unwrap();
                assert!(limited.packets < 1_000_000, "{limited:?}");
            }
        }
    }

    #[test]
    fn a_fate_that_is_not_met_is_an_error() {
        let Some(_granted) = require::privileged() else { return };
        let trial = Trial::new();
        let error = sender(&trial.ends(), Fate::Denied, Tracking::New).unwrap_err().to_string();
        assert!(error.contains("of 1 packets 1 arrived, not 0"), "{error}");
        let denied = trial.denied();
        let error = sender(&denied, Fate::Denied, Tracking::Established).unwrap_err();
        assert!(matches!(error, MeasureError::Missing(_)), "{error}");
        let round = sender(&denied, Fate::Denied, Tracking::New).unwrap().round(100, LIMIT);
        assert_eq!(round.unwrap().packets, 100);
        let error = sender(&denied, Fate::Arrives, Tracking::New).unwrap_err().to_string();
        assert!(error.contains("of 1 packets 0 arrived, not 1"), "{error}");
    }

    #[test]
    fn packets_that_never_leave_are_not_taken_for_denied() {
        let Some(_granted) = require::privileged() else { return };
        let trial = Trial::new();
        // Nobody has this address, so packets wait for the neighbour in vain.
        let nobody = SocketAddr::new(trial.nobody(), trial.ends().to.port());
        let mut sender = sender(&trial.ends(), Fate::Arrives, Tracking::New).unwrap();
        sender.way.fate = Fate::Denied;
        sender.way.socket.connect(nobody).unwrap();
        let error = sender.round(100, LIMIT).unwrap_err().to_string();
        // A round begins with one packet, and the question for the neighbour looks like it.
        assert!(error.contains("of 164 packets only"), "{error}");
    }
}
