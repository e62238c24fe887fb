//! What passed, what did not, and why.

use std::collections::BTreeMap;

use nix::errno::Errno;
use ringfence_common::abi::event::Counter;
use ringfence_common::abi::limits::REASONS;
use ringfence_common::decide::Outcome;
use ringfence_common::verdict::{Reason, Verdict};

/// Which way a frame goes through a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// From the workloads' interface to the outside.
    Out,
    /// From outside to the workloads' interface.
    In,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Out, Self::In];
}

/// Why a frame that was to pass could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotSent {
    /// It is longer than the interface's MTU. A frame that is still to be segmented is not measured:
    /// its segments are as long as the sender made them.
    TooLong,
    /// The interface's queue was full.
    QueueFull,
    /// The interface is down or gone.
    Down,
    /// The kernel refused it for another reason.
    Refused,
    /// The unfinished checksum or the segmentation that it came with is not its own: the kernel
    /// would change what was decided. An unfinished checksum of SCTP cannot go on either.
    Offload,
}

impl NotSent {
    pub(super) fn of(error: Errno) -> Self {
        match error {
            Errno::EMSGSIZE => Self::TooLong,
            Errno::EAGAIN | Errno::ENOBUFS => Self::QueueFull,
            Errno::ENETDOWN | Errno::ENXIO | Errno::ENODEV => Self::Down,
            _ => Self::Refused,
        }
    }

    /// For programs: the same in every release.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "TooLong",
            Self::QueueFull => "QueueFull",
            Self::Down => "Down",
            Self::Refused => "Refused",
            Self::Offload => "Offload",
        }
    }

    /// In words.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::TooLong => "longer than the MTU",
            Self::QueueFull => "queue full",
            Self::Down => "interface down",
            Self::Refused => "refused by the kernel",
            Self::Offload => "checksum or segmentation of another packet",
        }
    }
}

/// What became of the frames that arrived on one interface of a wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WayCounters {
    /// Decided frames by verdict and reason.
    pub decided: BTreeMap<(Verdict, Reason), Counter>,
    /// Frames that were longer than any buffer, or came without what the driver knows of them;
    /// they did not pass.
    pub cut: u64,
    /// Frames that the kernel could not hand over: segmented in a way that it has no words for.
    pub unreadable: u64,
    /// Frames lost because they came faster than they were read.
    pub lost: u64,
    /// Frames that were to pass and could not be sent.
    pub not_sent: BTreeMap<NotSent, u64>,
}

impl Default for Verdicts {
    fn default() -> Self {
        Self { of_reason: Box::new([[Counter::default(); 3]; REASONS as usize]) }
    }
}

/// Counters by reason and verdict that are cheap to add to.
struct Verdicts {
    of_reason: Box<[[Counter; 3]; REASONS as usize]>,
}

/// One thread's counters of one way.
#[derive(Default)]
pub(super) struct Tally {
    verdicts: Verdicts,
    rest: WayCounters,
}

impl Tally {
    pub fn decided(&mut self, outcome: &Outcome, bytes: usize) {
        let decision = outcome.decision;
        let verdict = match decision.verdict {
            Verdict::Allow => 0,
            Verdict::Deny => 1,
            Verdict::Audit => 2,
        };
        let counter = &mut self.verdicts.of_reason[usize::from(decision.reason as u8)][verdict];
        counter.packets += 1;
        counter.bytes += bytes as u64;
    }

    pub fn cut(&mut self) {
        self.rest.cut += 1;
    }

    pub fn unreadable(&mut self) {
        self.rest.unreadable += 1;
    }

    pub fn lost(&mut self, count: u64) {
        self.rest.lost += count;
    }

    pub fn not_sent(&mut self, cause: NotSent) {
        *self.rest.not_sent.entry(cause).or_default() += 1;
    }

    /// Adds this to `sum`.
    pub fn add_to(&self, sum: &mut WayCounters) {
        for reason in Reason::ALL {
            let of_reason = self.verdicts.of_reason[usize::from(*reason as u8)];
            let verdicts = [Verdict::Allow, Verdict::Deny, Verdict::Audit];
            for (verdict, counter) in verdicts.into_iter().zip(of_reason) {
                if counter.packets > 0 {
                    let total = sum.decided.entry((verdict, *reason)).or_default();
                    total.packets += counter.packets;
                    total.bytes += counter.bytes;
                }
            }
        }
        sum.cut += self.rest.cut;
        sum.unreadable += self.rest.unreadable;
        sum.lost += self.rest.lost;
        for (cause, count) in &self.rest.not_sent {
            *sum.not_sent.entry(*cause).or_default() += count;
        }
    }
}

impl WayCounters {
    /// Frames that passed, those that only audit mode let pass among them, less those that could
    /// not be sent.
    #[must_use]
    pub fn passed(&self) -> u64 {
        let passing = self.decided.iter().filter(|((verdict, _), _)| *verdict != Verdict::Deny);
        let to_send: u64 = passing.map(|(_, counter)| counter.packets).sum();
        to_send.saturating_sub(self.not_sent.values().sum())
    }

    /// Frames that were denied.
    #[must_use]
    pub fn denied(&self) -> u64 {
        let denied = self.decided.iter().filter(|((verdict, _), _)| *verdict == Verdict::Deny);
        denied.map(|(_, counter)| counter.packets).sum::<u64>() + self.cut
    }
}
