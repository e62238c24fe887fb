//! Both sides, frame by frame.

use std::time::Duration;

use ringfence_common::abi::config::Hook;
use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::backend::clock;
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::oracle::{Connections, Seen};
use ringfence_testbed::shortest;

use super::report::{Difference, Report};
use super::setting::{BEGINNING, Scenario, Setting, placement, seen_by};

/// What happens to both sides.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A frame at a hook, some time after what happened before.
    Frame { frame: Vec<u8>, hook: Hook, ifindex: u32, after_ms: u64 },
    /// Another set of policies, by its number, and how it is enforced.
    Apply { policies: usize, scenario: Scenario },
}

/// The userspace filter's decision, with the rule's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub verdict: Verdict,
    pub reason: Reason,
    pub rule: Option<String>,
}

/// The oracle and the userspace filter with the same policies and the same past.
pub struct SideBySide<'s> {
    setting: &'s Setting,
    oracle: Connections,
    filter: Filter,
    generation: u32,
    now: Duration,
}

impl<'s> SideBySide<'s> {
    /// Both, with the first set of policies.
    pub fn new(setting: &'s Setting, scenario: Scenario) -> Self {
        Self::with(setting, scenario, 0)
    }

    /// Both, but the filter has other policies, so that there are differences.
    pub fn misled(setting: &'s Setting, scenario: Scenario) -> Self {
        Self::with(setting, scenario, 1)
    }

    fn with(setting: &'s Setting, scenario: Scenario, of_filter: usize) -> Self {
        let oracle = Connections::placed(setting.set(0), scenario.settings(), placement());
        let filter = Filter::new(&setting.host_tables(of_filter, 1, scenario));
        Self { setting, oracle, filter, generation: 1, now: Duration::ZERO }
    }

    /// The next generation on both sides.
    pub fn apply(&mut self, policies: usize, scenario: Scenario) {
        self.generation += 1;
        self.filter.install(&self.setting.host_tables(policies, self.generation, scenario));
        self.oracle.reconfigure(self.setting.set(policies), scenario.settings(), placement());
    }

    /// Decides a frame on both sides; the difference, if there is one.
    pub fn frame(&mut self, happening: &Happening, report: &mut Report) -> Option<Difference> {
        let Happening::Frame { frame, hook, ifindex, after_ms } = happening else {
            unreachable!("only frames are decided")
        };
        self.now += Duration::from_millis(*after_ms);
        let tick = BEGINNING + clock::ticks_in(self.now);
        let decision = self.filter.decide(frame, *hook, *ifindex, tick).decision;
        let rule = (decision.rule != 0).then(|| self.setting.rule_name(decision.rule));
        let decided = Decided { verdict: decision.verdict, reason: decision.reason, rule };
        let (at, direction) = seen_by(*hook, *ifindex);
        let seen = self.oracle.see(&at, direction, frame, self.now);
        report.saw(&seen);
        let differs = !agree(&seen, &decided);
        differs.then_some(Difference { seen, decided })
    }

    /// What happens, whatever it is; whether the sides differ about it.
    fn differ_about(&mut self, happening: &Happening) -> bool {
        match happening {
            Happening::Frame { .. } => self.frame(happening, &mut Report::default()).is_some(),
            Happening::Apply { policies, scenario } => {
                self.apply(*policies, *scenario);
                false
            }
        }
    }
}

/// The filter names one of the rules that the oracle names, or both name none.
fn agree(seen: &Seen, decided: &Decided) -> bool {
    let same_rule = match &decided.rule {
        Some(rule) => seen.rules.iter().any(|one| one.to_string() == *rule),
        None => seen.rules.is_empty(),
    };
    (seen.verdict, seen.reason) == (decided.verdict, decided.reason) && same_rule
}

/// As little of `past` as still leads to a difference about its last happening.
pub fn shortest(setting: &Setting, scenario: Scenario, past: &[Happening]) -> Vec<Happening> {
    shortest_from(|| SideBySide::new(setting, scenario), past)
}

/// The same, from another beginning.
pub fn shortest_from<'s>(begin: impl Fn() -> SideBySide<'s>, past: &[Happening]) -> Vec<Happening> {
    shortest::shortest(past, |past| {
        let mut sides = begin();
        let mut last = false;
        for happening in past {
            last = sides.differ_about(happening);
        }
        last
    })
}
