//! Packets a second that are denied.
//!
//! One core sends as fast as it can, over a veth in whose far end the filter works in the sender's
//! time: so the figure is the inverse of what sending and denying a packet take together, and never
//! better than the generator. There are two generators: frames of a packet socket ([`AF_PACKET`]),
//! and frames of a program ([`LIVE`]), which cost less but take the way of XDP.
//!
//! For a filter that denies only after routing, a program's frame costs what a socket's does from
//! there on; it saves the sender's half.
//!
//! Denied is what left the generator, reached the router and did not reach the server. Where the
//! filter says itself what it has denied, that is the count, and what else got lost is told; where it
//! cannot, nothing but the filter may be able to lose packets, as is so where the router works on
//! the sender's core: a filter on another core whose counters cannot be read cannot be measured by
//! this.

use std::panic;
use std::thread;
use std::time::Duration;

use ringfence_testbed::traffic::{Cores, End, Generator, Plan, Sink};

use super::live::LiveGenerator;
use super::{Setting, counters};
use crate::kernel::MeasureError;
use crate::record::Sample;

/// The variant of [`Sender::Packets`].
pub const AF_PACKET: &str = "AF_PACKET";

/// The variant of [`Sender::Live`].
pub const LIVE: &str = "live XDP frames";

/// How long a packet that should have been denied is waited for.
const LATE: Duration = Duration::from_millis(20);

/// Who sends.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub enum Sender<'a> {
    /// A packet socket.
    Packets(&'a mut Generator),
    /// A program.
    Live(&'a LiveGenerator),
}

/// Reads how many packets the filter has denied so far.
pub type Denials<'a> = dyn Fn() -> Result<u64, MeasureError> + 'a;

/// Where packets are counted.
#[expect(missing_debug_implementations, reason = "a function has nothing to show")]
pub struct Watch<'a> {
    /// The router's interface by which they come.
    pub router: End<'a>,
    /// The server's socket, to which all of them are addressed.
    pub sink: &'a mut Sink,
    /// What the filter says, if it does.
    pub denials: Option<&'a Denials<'a>>,
}

/// What was denied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropped {
    /// Packets a second.
    pub per_second: f64,
    /// How many there were.
    pub denied: u64,
    /// The share of packets that were neither denied nor passed, where the filter counts.
    pub lost: Option<f64>,
}

impl Sender<'_> {
    /// What it is called as a variant.
    #[must_use]
    pub fn variant(&self) -> &'static str {
        match self {
            Self::Packets(_) => AF_PACKET,
            Self::Live(_) => LIVE,
        }
    }

    /// Sends for `time` from `core`; how many frames the first queue took, and how long it was.
    fn send(&mut self, core: usize, time: Duration) -> Result<(u64, Duration), MeasureError> {
        match self {
            Self::Packets(generator) => thread::scope(|scope| {
                let sending = scope.spawn(|| {
                    Cores::pin(core)?;
                    let sent = generator.send(Plan::full_speed(time))?;
                    Ok((sent.taken, sent.took))
                });
                sending.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
            }),
            Self::Live(generator) => {
                let sent = generator.send(core, time)?;
                Ok((sent.frames, sent.took))
            }
        }
    }
}

/// Sends for `time` from `core`.
///
/// # Errors
///
/// [`MeasureError::Wrong`] when a packet reaches the server, not all reach the router, or the filter
/// denies none; [`MeasureError::Refused`].
pub fn measure(
    mut sender: Sender<'_>,
    watch: Watch<'_>,
    core: usize,
    time: Duration,
) -> Result<Dropped, MeasureError> {
    let Watch { router, sink, denials } = watch;
    let received = || counters::received(router.namespace, router.interface);
    let denied = || denials.map(|denials| denials()).transpose();
    let (passed_before, received_before, denied_before) = (sink.arrived()?, received()?, denied()?);
    let (sent, took) = sender.send(core, time)?;
    let denied_meanwhile = denied()?;
    let passed = sink.wait_for(passed_before + 1, LATE)? - passed_before;
    if passed > 0 {
        let why = format!("{passed} of {sent} packets passed");
        return Err(MeasureError::wrong("the filter", why));
    }
    // Neighbours may have asked for addresses meanwhile.
    let received = received()? - received_before;
    if received < sent {
        let why = format!("{received} of {sent} packets reached the router");
        return Err(MeasureError::wrong("the wire", why));
    }
    let since = |count: Option<u64>| Some(count? - denied_before?);
    // The filter may have denied others' packets too.
    let counted = since(denied_meanwhile).map(|denied| denied.min(sent));
    let in_the_end = since(denied()?).map(|denied| denied.min(sent));
    let denied = counted.unwrap_or(sent);
    if denied == 0 {
        let why = format!("it denied none of {sent} packets");
        return Err(MeasureError::wrong("the filter", why));
    }
    Ok(Dropped {
        per_second: denied as f64 / took.as_secs_f64(),
        denied,
        lost: in_the_end.map(|denied| (sent - denied) as f64 / sent as f64),
    })
}

impl Dropped {
    /// The samples of a round: `rate`, and `lost`, which is a share, where it is known.
    #[must_use]
    pub fn samples(&self, setting: &Setting) -> Vec<Sample> {
        let mut samples = vec![setting.sample("rate", self.per_second)];
        samples.extend(self.lost.map(|lost| setting.sample("lost", lost)));
        samples
    }
}

#[cfg(test)]
mod tests {
    use ringfence_testbed::require;
    use ringfence_testbed::require::Tool;

    use super::*;
    use crate::measure::pair::Pair;

    const TIME: Duration = Duration::from_millis(20);

    /// Measures what the far end denies.
    fn measured(
        pair: &Pair,
        sender: Sender<'_>,
        denials: Option<&Denials<'_>>,
    ) -> Result<Dropped, MeasureError> {
        let mut sink = Sink::new(&pair.ends()).unwrap();
        let watch = Watch { router: pair.far(), sink: &mut sink, denials };
        measure(sender, watch, Cores::two().unwrap().client, TIME)
    }

    fn live(pair: &Pair) -> LiveGenerator {
        LiveGenerator::open(pair.near(), pair.far(), pair.flow()).unwrap()
    }

    #[test]
    fn what_is_denied_is_counted_by_both_sides() {
        let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
        for pair in [Pair::v4(), Pair::v6()] {
            pair.filter(&["udp dport 9 counter name c drop"]);
            let (mut generator, live) = (pair.generator(), live(&pair));
            let check = |sender: Sender<'_>, is_read: bool| {
                let before = pair.counted().unwrap();
                let denials: Option<&Denials<'_>> =
                    if is_read { Some(&|| pair.counted()) } else { None };
                let dropped = measured(&pair, sender, denials).unwrap();
                assert_eq!(dropped.denied, pair.counted().unwrap() - before);
                assert_eq!(dropped.lost, is_read.then_some(0.0));
            };
            for is_read in [true, false] {
                check(Sender::Packets(&mut generator), is_read);
                check(Sender::Live(&live), is_read);
            }
        }
    }

    #[test]
    fn what_somebody_else_drops_is_lost_and_not_denied() {
        let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
        let pair = Pair::v4();
        pair.filter(&["udp sport & 1 == 1 drop", "udp dport 9 counter name c drop"]);
        let live = live(&pair);
        let dropped = measured(&pair, Sender::Live(&live), Some(&|| pair.counted())).unwrap();
        // Ports have their turn: as many are odd as even.
        let lost = dropped.lost.unwrap();
        assert!((lost - 0.5).abs() < 0.01, "{dropped:?}");
    }

    #[test]
    fn what_passes_was_not_denied() {
        let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
        let pair = Pair::v4();
        pair.filter(&["udp sport != 40003 drop"]);
        let (mut generator, live) = (pair.generator(), live(&pair));
        for sender in [Sender::Packets(&mut generator), Sender::Live(&live)] {
            let said = measured(&pair, sender, None).unwrap_err().to_string();
            assert!(said.contains("packets passed"), "{said}");
        }
    }

    #[test]
    fn a_filter_that_counts_nothing_has_denied_nothing() {
        let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
        let pair = Pair::v4();
        pair.filter(&["udp dport 9 drop"]);
        let mut generator = pair.generator();
        let sender = Sender::Packets(&mut generator);
        let said = measured(&pair, sender, Some(&|| Ok(0))).unwrap_err().to_string();
        assert!(said.contains("denied none"), "{said}");
    }
}
