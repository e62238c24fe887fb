//! Transfers that run while something else changes, and what became of every packet.
//!
//! A stream is a numbered question every millisecond and its answer. Over UDP nothing is ever
//! repeated, so an answer that does not come is a lost packet, one way or the other. Over TCP the
//! kernel repeats what is lost, so the stream looks whole; there the kernel's own counters tell
//! (see [`Report::segments_lost`]).

mod repeats;
mod stream;

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::watch;

pub use stream::StreamReport;

use crate::connectivity::Probe;
use crate::workload::{Process, Question};
use repeats::Repeats;

/// Time between two records of a stream.
const TICK: Duration = Duration::from_millis(1);

/// A transfer that runs. Dropping it without [`Transfer::finish`] stops it too.
#[derive(Debug)]
pub struct Transfer<'a> {
    processes: &'a [Process],
    stop: watch::Sender<bool>,
    reports: mpsc::Receiver<StreamReport>,
    /// Places at the ends of the streams, one for each namespace.
    ends: BTreeSet<usize>,
    repeats: Option<Repeats>,
}

/// What became of a transfer.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// One for each stream, in the order they were asked for.
    pub streams: Vec<StreamReport>,
    /// TCP segments that the kernel had to send again because the first copy did not arrive,
    /// at both ends: segments repeated (RFC 4022 `tcpRetransSegs`) less those that the other end
    /// reported as duplicates (RFC 2883). `None` when the counters cannot be read; nobody
    /// knows then whether the transfer is whole, so it does not count as that.
    pub segments_lost: Option<u64>,
}

impl Report {
    /// Packets known to be lost, over all streams.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let records = self.streams.iter().map(StreamReport::lost).sum::<u64>();
        records + self.segments_lost.unwrap_or(0)
    }

    /// Whether every stream ran to its end and lost nothing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.segments_lost.is_some()
            && self.lost() == 0
            && self.streams.iter().all(|stream| stream.broken.is_none())
    }
}

impl<'a> Transfer<'a> {
    /// Starts one stream for each of `probes`, between servers and clients of `processes`.
    #[must_use]
    pub fn start(processes: &'a [Process], probes: &[Probe]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (sender, reports) = mpsc::channel();
        let ends = probes.iter().flat_map(|probe| [probe.source, probe.destination]).collect();
        let repeats = Repeats::now(processes, &ends);
        for (index, &probe) in probes.iter().enumerate() {
            let question = Question::new(processes, probe);
            let stopped = stopped.clone();
            let sender = sender.clone();
            processes[probe.source].spawn(async move {
                let report = stream::run(index, question, TICK, stopped).await;
                // Nobody listens any more when the transfer was dropped.
                let _ = sender.send(report);
            });
        }
        Self { processes, stop, reports, ends, repeats }
    }

    /// Stops the streams, waits for the last answers and reports.
    #[must_use]
    pub fn finish(self) -> Report {
        // No stream listens any more when all have broken.
        let _ = self.stop.send(true);
        let mut streams: Vec<_> = self.reports.iter().collect();
        streams.sort_by_key(|stream| stream.index);
        let repeats = Repeats::now(self.processes, &self.ends);
        let segments_lost = repeats.zip(self.repeats).map(|(now, then)| now.lost_since(then));
        Report { streams, segments_lost }
    }
}
