//! Bits a second of TCP through whatever is between a client and a server.
//!
//! The bits are those that arrive: payload, compared byte by byte with what was sent. Sender and
//! receiver are threads on the cores that they are given; with segments as large as a veth lets
//! them be (GSO), a filter sees one packet where a wire would carry up to forty, so what a packet
//! costs shows much less here than in [`super::loss_free`].
//!
//! Segments are sent again without having been lost: an answer that makes room lets the sender's
//! next segments go out from the receiver's core, beside those of its own, and they may overtake
//! each other. So `retransmitted` says how far the connection was from quiet, not what a filter did.

use std::time::Duration;

use ringfence_testbed::traffic::{Bulk, Cores, Ends};

use super::{Setting, counters};
use crate::kernel::MeasureError;
use crate::record::Sample;

/// What connections carried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stream {
    /// Bits a second, of all connections together.
    pub bits_per_second: f64,
    /// Segments that either side sent again, from opening to closing.
    pub retransmitted: u64,
}

/// Measures `connections` at the same time for `time`.
///
/// # Errors
///
/// [`MeasureError`] when a connection is refused, breaks, stands still, or carries other bytes than
/// were sent.
pub fn measure(
    ends: &Ends<'_>,
    cores: Cores,
    connections: usize,
    time: Duration,
) -> Result<Stream, MeasureError> {
    let sent_again = || -> Result<u64, MeasureError> {
        Ok(counters::sent_again(ends.client)? + counters::sent_again(ends.server)?)
    };
    let before = sent_again()?;
    let bulk = Bulk::run(ends, cores, connections, time)?;
    let retransmitted = sent_again()? - before;
    Ok(Stream { bits_per_second: bulk.bits_per_second(), retransmitted })
}

/// What a number of connections is called as a variant.
#[must_use]
pub fn variant(connections: usize) -> String {
    match connections {
        1 => "1 connection".to_owned(),
        many => format!("{many} connections"),
    }
}

impl Stream {
    /// The samples of a round: `rate`, and `retransmitted`, which is a number of segments.
    #[must_use]
    pub fn samples(&self, setting: &Setting) -> Vec<Sample> {
        vec![
            setting.sample("rate", self.bits_per_second),
            setting.sample("retransmitted", self.retransmitted as f64),
        ]
    }
}

#[cfg(test)]
mod tests {
    use ringfence_testbed::require;
    use ringfence_testbed::require::Tool;

    use super::*;
    use crate::measure::pair::Pair;

    const TIME: Duration = Duration::from_millis(60);

    #[test]
    fn segments_that_get_lost_are_sent_again() {
        let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
        let (pair, cores) = (Pair::v4(), Cores::two().unwrap());
        // Each fiftieth segment that carries much.
        pair.filter(&["meta length > 1000 numgen inc mod 50 0 counter name c drop"]);
        let lossy = measure(&pair.ends(), cores, 2, TIME).unwrap();
        let dropped = pair.counted().unwrap();
        assert!(dropped > 0 && lossy.retransmitted >= dropped, "{lossy:?}, {dropped} dropped");
        assert!(lossy.bits_per_second > 0.0, "{lossy:?}");
    }

    #[test]
    fn variants_say_how_many() {
        assert_eq!((variant(1), variant(4)), ("1 connection".into(), "4 connections".into()));
    }
}
