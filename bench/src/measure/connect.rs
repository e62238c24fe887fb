//! TCP connections a second, one after the other: opened, one byte each way, closed.
//!
//! The client waits for each answer before it opens the next connection (a closed loop), so this is
//! the inverse of what one connection takes, both ends' work included. Each comes from another port.
//! The client ends each by a reset, so that no port waits for a minute: what tracks connections sees
//! an opening and an end for each, but never an orderly one, and may keep its entry for some seconds
//! (netfilter: ten). A table that fills up meanwhile shows as an error here, not as a figure.

use std::time::Duration;

use ringfence_testbed::traffic::{Cores, Dialogues, Ends};

use super::Setting;
use crate::kernel::MeasureError;
use crate::record::Sample;

/// What was opened and closed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connections {
    /// Connections a second.
    pub per_second: f64,
    /// How many there were.
    pub done: u64,
}

/// Opens connections for `time`, `at_most` so many, from and on the given cores.
///
/// # Errors
///
/// [`MeasureError`] when a connection is refused, breaks, is answered wrongly or not in time; with
/// both sides on one core.
pub fn measure(
    ends: &Ends<'_>,
    cores: Cores,
    time: Duration,
    at_most: u64,
) -> Result<Connections, MeasureError> {
    let dialogues = Dialogues::run(ends, cores, time, at_most)?;
    Ok(Connections { per_second: dialogues.per_second(), done: dialogues.done })
}

impl Connections {
    /// The sample of a round: `rate`.
    #[must_use]
    pub fn samples(&self, setting: &Setting) -> Vec<Sample> {
        vec![setting.sample("rate", self.per_second)]
    }
}

#[cfg(test)]
mod tests {
    use ringfence_testbed::require;
    use ringfence_testbed::require::Tool;

    use super::*;
    use crate::measure::pair::Pair;

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn each_connection_counts_once_and_is_seen() {
        let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
        let (pair, cores) = (Pair::v6(), Cores::two().unwrap());
        pair.filter(&["tcp flags & (syn | ack) == syn counter name c"]);
        let connections = measure(&pair.ends(), cores, LONG, 200).unwrap();
        assert!(connections.done == 200 && connections.per_second > 0.0, "{connections:?}");
        assert_eq!(pair.counted().unwrap(), 200);
    }

    #[test]
    fn a_connection_that_is_refused_is_an_error() {
        let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
        let (pair, cores) = (Pair::v4(), Cores::two().unwrap());
        let over = "limit rate over 1/day burst 5 packets";
        pair.filter(&[&format!("tcp flags & (syn | ack) == syn {over} reject with tcp reset")]);
        let error = measure(&pair.ends(), cores, LONG, 6).unwrap_err();
        assert!(error.to_string().contains("connection 6"), "{error}");
    }
}
