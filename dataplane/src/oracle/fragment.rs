//! Fragments: later ones follow their first (semantics 14).

use std::ops::Range;
use std::time::Duration;

use ringfence_common::verdict::Reason;

use super::frame::Fragment;
use super::limits::FRAGMENT_PIECES;
use crate::model::RuleName;

/// How long after its first fragment a packet is waited for (Linux: `ipfrag_time`).
const PATIENCE: Duration = Duration::from_secs(30);

/// A fragmented packet whose first fragment has passed.
#[derive(Clone, Debug)]
pub struct Fragmented {
    /// The rules that allowed the first fragment.
    pub rules: Vec<RuleName>,
    /// What the first fragment would have been denied for.
    pub would_be: Option<Reason>,
    begun: Duration,
    /// What has passed.
    passed: Vec<Range<usize>>,
    /// Where the packet ends, once its last fragment has passed.
    end: Option<usize>,
    /// Whether fragments contradicted each other.
    lost: bool,
}

impl Fragmented {
    /// A packet of which `first` has just passed.
    pub fn new(
        first: &Fragment,
        rules: Vec<RuleName>,
        would_be: Option<Reason>,
        now: Duration,
    ) -> Self {
        let passed = vec![first.bytes.clone()];
        Self { rules, would_be, begun: now, passed, end: None, lost: false }
    }

    /// Whether it is no longer waited for.
    pub fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.begun) > PATIENCE
    }

    /// Whether everything has passed.
    pub fn is_complete(&self) -> bool {
        self.end.is_some_and(|end| self.gaps() == 0 && self.passed_until() == end)
    }

    /// Takes another fragment, the first once more perhaps.
    pub fn take(&mut self, piece: &Fragment) -> Result<(), Reason> {
        let bytes = &piece.bytes;
        let overlaps = |passed: &Range<usize>| passed.start < bytes.end && bytes.start < passed.end;
        // RFC 5722 §3: everything after an overlap is lost.
        if self.lost || self.passed.iter().any(overlaps) {
            self.lost = true;
            return Err(Reason::OverlappingFragment);
        }
        let behind_the_end = self.end.is_some_and(|end| bytes.end > end || !piece.more);
        let end_before_others = !piece.more && bytes.end < self.passed_until();
        if behind_the_end || end_before_others {
            self.lost = true;
            return Err(Reason::BadFragment);
        }
        self.passed.push(bytes.clone());
        if self.gaps() >= FRAGMENT_PIECES {
            self.passed.pop();
            return Err(Reason::TooManyFragments);
        }
        if !piece.more {
            self.end = Some(bytes.end);
        }
        Ok(())
    }

    /// Where the last of what has passed ends.
    fn passed_until(&self) -> usize {
        self.passed.iter().map(|passed| passed.end).max().unwrap_or(0)
    }

    /// Gaps between what has passed.
    fn gaps(&self) -> usize {
        let starts = self.passed.iter().filter(|passed| {
            passed.start > 0 && !self.passed.iter().any(|other| other.end == passed.start)
        });
        starts.count()
    }
}
