//! What came of it, and how a difference is told.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ringfence_common::abi::config::Hook;
use ringfence_common::abi::event::Event;
use ringfence_common::verdict::Reason;
use ringfence_testbed::packet::hex;

use super::side_by_side::Step;

/// Frames, differences and reasons.
#[derive(Debug, Default)]
pub struct Report {
    hooks: BTreeMap<Hook, Counts>,
    reasons: BTreeMap<u8, usize>,
    verdicts: BTreeMap<u8, usize>,
    new_flows: usize,
    differences: Vec<Difference>,
    /// The first difference with as little before it as leads to it.
    pub shortest: Vec<Step>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    ran: usize,
    inapplicable: usize,
    different: usize,
    /// What the kernel's test runs took, system calls included.
    took: Duration,
}

/// A frame about which the sides do not agree.
#[derive(Clone, Debug)]
pub struct Difference {
    pub step: Step,
    pub kernel: Event,
    pub userspace: Event,
}

/// Differences that are told in full.
pub const TOLD: usize = 10;

impl Report {
    pub fn ran(&mut self, hook: Hook, decided: &Event, took: Duration) {
        let counts = self.hooks.entry(hook).or_default();
        counts.ran += 1;
        counts.took += took;
        *self.reasons.entry(decided.reason).or_default() += 1;
        *self.verdicts.entry(decided.verdict).or_default() += 1;
        self.new_flows += usize::from(decided.new_flow);
    }

    pub fn inapplicable(&mut self, hook: Hook) {
        self.hooks.entry(hook).or_default().inapplicable += 1;
    }

    pub fn differs(&mut self, difference: Difference) {
        self.hooks.entry(difference.step.hook).or_default().different += 1;
        self.differences.push(difference);
    }

    /// Adds what another report says.
    pub fn merge(&mut self, other: Self) {
        for (hook, theirs) in other.hooks {
            let ours = self.hooks.entry(hook).or_default();
            ours.ran += theirs.ran;
            ours.inapplicable += theirs.inapplicable;
            ours.different += theirs.different;
            ours.took += theirs.took;
        }
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        for (verdict, count) in other.verdicts {
            *self.verdicts.entry(verdict).or_default() += count;
        }
        self.new_flows += other.new_flows;
        self.differences.extend(other.differences);
        if self.shortest.is_empty() {
            self.shortest = other.shortest;
        }
    }

    /// Frames that ran at `hook`.
    pub fn count(&self, hook: Hook) -> usize {
        self.hooks.get(&hook).map_or(0, |counts| counts.ran)
    }

    /// How often the reason was given.
    pub fn reason(&self, reason: Reason) -> usize {
        self.reasons.get(&(reason as u8)).copied().unwrap_or(0)
    }

    pub fn differences(&self) -> usize {
        self.differences.len()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (hook, Counts { ran, inapplicable, different, took }) in &self.hooks {
            let rate = *ran as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE);
            write!(f, "{hook:?}: {ran} frames, {different} differences, ")?;
            writeln!(f, "{inapplicable} inapplicable, {rate:.0} test runs a second")?;
        }
        writeln!(f, "verdicts {:?}, new flows {}", self.verdicts, self.new_flows)?;
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(number, count)| (usize::MAX - **count, **number));
        for (number, count) in reasons {
            writeln!(f, "{count:>9}  {}", reason_name(*number))?;
        }
        for difference in self.differences.iter().take(TOLD) {
            writeln!(f, "\n{difference}")?;
        }
        if !self.shortest.is_empty() {
            writeln!(f, "\nthe first one, as a case for tests/agreement/cases.rs:")?;
            writeln!(f, "    &[")?;
            for Step { frame, hook, ifindex } in &self.shortest {
                writeln!(f, "        (Hook::{hook:?}, {ifindex}, \"{}\"),", hex(frame))?;
            }
            writeln!(f, "    ],")?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step { frame, hook, ifindex } = &self.step;
        writeln!(f, "DIFFERENT at {hook:?} of interface {ifindex}: {}", hex(frame))?;
        for (side, event) in [("kernel   ", &self.kernel), ("userspace", &self.userspace)] {
            let (verdict, rule) = (event.verdict, event.rule);
            writeln!(f, "  {side} verdict {verdict} {} rule {rule:#x}", reason_name(event.reason))?;
            writeln!(f, "    {event:?}")?;
        }
        Ok(())
    }
}

fn reason_name(number: u8) -> &'static str {
    Reason::from_number(number).map_or("(no reason of this number)", Reason::name)
}
