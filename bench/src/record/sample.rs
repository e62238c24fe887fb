//! One measured value, and what could not be measured.

use ringfence_testbed::lab::Case;
use serde::{Deserialize, Serialize};

/// What is measured. Each has a file of its own in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measurement {
    /// The time of a decision in the kernel, run by `BPF_PROG_TEST_RUN`.
    Decision,
    /// The time to send one packet through the router on one core, the receiver's input included.
    Send,
    /// The time from a packet's intended sending to its answer.
    RoundTrip,
    /// Packets a second that get through without loss.
    LossFree,
    /// Packets a second that are denied.
    Drop,
    /// Bits a second of a TCP connection.
    Stream,
    /// TCP connections a second.
    Connect,
    /// The time that a change of policy takes.
    Change,
    /// Packets lost, and packets decided wrongly, while policy changes.
    Disturbance,
    /// Memory of the kernel and of the filter.
    Memory,
    /// Processor time for a packet, of all cores together.
    Cpu,
}

impl Measurement {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Decision,
        Self::Send,
        Self::RoundTrip,
        Self::LossFree,
        Self::Drop,
        Self::Stream,
        Self::Connect,
        Self::Change,
        Self::Disturbance,
        Self::Memory,
        Self::Cpu,
    ];

    /// Its file in a record, without the extension.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Send => "send",
            Self::RoundTrip => "round-trip",
            Self::LossFree => "loss-free",
            Self::Drop => "drop",
            Self::Stream => "stream",
            Self::Connect => "connect",
            Self::Change => "change",
            Self::Disturbance => "disturbance",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
        }
    }

    /// What its values are called, with their unit last; the column of its file.
    #[must_use]
    pub const fn column(self) -> &'static str {
        match self {
            Self::Decision | Self::Send | Self::Cpu => "per_packet_ns",
            Self::RoundTrip | Self::Change => "time_ns",
            Self::LossFree | Self::Drop => "packets_per_second",
            Self::Stream => "bits_per_second",
            Self::Connect => "connections_per_second",
            Self::Disturbance => "packets",
            Self::Memory => "bytes",
        }
    }
}

/// One measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What was measured.
    pub measurement: Measurement,
    /// Of whom, and when.
    pub case: Case,
    /// What else was chosen, in words: the load of a round trip (`unloaded`, `50%`, `90%`, `120%`;
    /// `steered 120%` where a queue can form), the change (`one rule`, `100 rules`, `all, rebuilt`).
    /// Empty where there is nothing to choose.
    pub variant: String,
    /// Which figure of the measurement: `median`, `p50`, `p99`, `p99.9`, `lost`, `visible`, …
    pub statistic: String,
    /// Which time everything was set up anew, from 1.
    pub pass: u32,
    /// Which round of the pass, from 1.
    pub round: u32,
    /// The value, in the unit of [`Measurement::column`]; a share of packets is `lost` of 1.
    pub value: f64,
}

/// What was not measured, or not to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Omission {
    /// What.
    pub measurement: Measurement,
    /// Of whom, and when.
    pub case: Case,
    /// The other choice, as in [`Sample::variant`].
    pub variant: String,
    /// Why, in one line: the tool's own words, the time limit, what is missing.
    pub why: String,
}
