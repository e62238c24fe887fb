//! What came of it, and how a difference is told.

use std::collections::BTreeMap;
use std::fmt;

use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::oracle::Seen;
use ringfence_testbed::packet::hex;

use super::setting::{Scenario, seen_by};
use super::side_by_side::{Decided, Happening};

/// Frames, differences and reasons.
#[derive(Debug, Default)]
pub struct Report {
    reasons: BTreeMap<Reason, usize>,
    verdicts: BTreeMap<Verdict, usize>,
    differences: Vec<(Difference, Scenario, u64, Vec<Happening>)>,
}

/// A frame about which the sides do not agree.
#[derive(Clone, Debug)]
pub struct Difference {
    pub seen: Seen,
    pub decided: Decided,
}

/// Differences after which no more are looked for.
pub const TOLD: usize = 10;

impl Report {
    pub fn saw(&mut self, seen: &Seen) {
        *self.reasons.entry(seen.reason).or_default() += 1;
        *self.verdicts.entry(seen.verdict).or_default() += 1;
    }

    /// A difference, and as little as leads to it.
    pub fn differs(
        &mut self,
        difference: Difference,
        scenario: Scenario,
        seed: u64,
        shortest: Vec<Happening>,
    ) {
        self.differences.push((difference, scenario, seed, shortest));
    }

    /// Frames seen.
    pub fn frames(&self) -> usize {
        self.reasons.values().sum()
    }

    /// How often the oracle gave the reason.
    pub fn reason(&self, reason: Reason) -> usize {
        self.reasons.get(&reason).copied().unwrap_or(0)
    }

    pub fn differences(&self) -> usize {
        self.differences.len()
    }

    /// What leads to the first difference.
    pub fn shortest(&self) -> &[Happening] {
        self.differences.first().map_or(&[], |(.., shortest)| shortest)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} frames, {} differences", self.frames(), self.differences())?;
        writeln!(f, "verdicts {:?}", self.verdicts)?;
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(reason, count)| (usize::MAX - **count, **reason));
        for (reason, count) in reasons {
            writeln!(f, "{count:>9}  {}", reason.name())?;
        }
        for (difference, scenario, seed, shortest) in &self.differences {
            writeln!(f, "\n{difference}  {scenario:?}, seed {seed}, after no more than this:")?;
            for happening in shortest {
                writeln!(f, "    {happening}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seen, decided, .. } = self;
        writeln!(f, "DIFFERENT")?;
        let rules: Vec<String> = seen.rules.iter().map(ToString::to_string).collect();
        writeln!(f, "  oracle    {:?} {} {rules:?}", seen.verdict, seen.reason.name())?;
        let (verdict, reason) = (decided.verdict, decided.reason.name());
        writeln!(f, "  userspace {verdict:?} {reason} {:?}", decided.rule)
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame { frame, hook, ifindex, after_ms } => {
                let (at, direction) = seen_by(*hook, *ifindex);
                let frame = hex(frame);
                write!(f, "after {after_ms} ms, {direction:?} of {at}, {hook:?}: {frame}")
            }
            Self::Apply { policies, scenario } => write!(f, "policies {policies}, {scenario:?}"),
        }
    }
}
