//! Which figures are shown first where there are many.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use ringfence_testbed::lab::{Case, Contender, Mismatch, Tracking};

use super::figures::{Figure, Figures, Question};
use super::{Measurement, Omission, number, statistic, variant};

/// The chain of iptables of which the essays speak: the bare one, or else what there is.
pub fn chain(figures: &Figures) -> Contender {
    let chains = [Contender::BareIptables, Contender::IptablesFlat, Contender::Iptables];
    let is_there = |chain: &Contender| figures.iter().any(|(key, _)| key.case.contender == *chain);
    chains.into_iter().find(is_there).unwrap_or(Contender::BareIptables)
}

/// What stands where there is no figure.
pub const BLANK: &str = "–";

/// What was left out and why, in one line for each reason of a contender.
pub fn left_out(omissions: &[Omission]) -> Vec<String> {
    let mut by_reason: BTreeMap<(Contender, &str), BTreeSet<(Measurement, usize)>> =
        BTreeMap::new();
    for omission in omissions {
        let reason = (omission.case.contender, omission.why.as_str());
        let what = (omission.measurement, omission.case.rules);
        by_reason.entry(reason).or_default().insert(what);
    }
    let line = |((contender, why), what): (_, BTreeSet<(Measurement, usize)>)| {
        let join = |parts: BTreeSet<String>| parts.into_iter().collect::<Vec<_>>().join(", ");
        let what_of = join(what.iter().map(|(of, _)| of.file().to_owned()).collect());
        let counts: BTreeSet<usize> = what.iter().map(|(_, rules)| *rules).collect();
        let counts: Vec<String> = counts.into_iter().map(number::rules).collect();
        format!("{contender}, {} rules ({what_of}): {why}", counts.join(", "))
    };
    by_reason.into_iter().map(line).collect()
}

/// A decision in the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// What it is called.
    pub title: &'static str,
    variant: &'static str,
    tracking: Tracking,
}

/// The decisions that are shown.
pub const DECISIONS: [Decision; 3] = [
    Decision { title: "a new flow, one peer", variant: variant::HOT, tracking: Tracking::New },
    Decision {
        title: "a new flow, random peers",
        variant: variant::RANDOM,
        tracking: Tracking::New,
    },
    Decision {
        title: "a known connection",
        variant: variant::HOT,
        tracking: Tracking::Established,
    },
];

impl Decision {
    /// What is asked of figures.
    pub const fn question(self) -> Question<'static> {
        let question = Question::new(Measurement::Decision, self.variant, statistic::MEDIAN);
        Question { tracking: Some(self.tracking), ..question }
    }
}

/// A change, and the figures of it in the order in which they are taken: without starting a tool's
/// process where there is one.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// What it is called.
    pub title: &'static str,
    /// Its variant.
    pub variant: &'static str,
    statistics: [&'static str; 3],
}

/// A change of one rule.
pub const ONE_CHANGE: Change = Change {
    title: "one rule changed",
    variant: variant::ONE_RULE,
    statistics: [statistic::NET, statistic::CALL, statistic::VISIBLE],
};

/// All rules loaded.
pub const FULL_LOAD: Change = Change {
    title: "all rules loaded",
    variant: variant::LOADED,
    statistics: [statistic::CALL, statistic::NET, statistic::VISIBLE],
};

impl Change {
    /// A contender's figures of it by number of rules.
    pub fn by_rules(
        self,
        figures: &Figures,
        contender: Contender,
    ) -> BTreeMap<usize, (Case, &Figure)> {
        let of = |statistic| {
            let question = Question::new(Measurement::Change, self.variant, statistic);
            figures.by_rules(&question, contender)
        };
        self.statistics.into_iter().map(of).find(|found| !found.is_empty()).unwrap_or_default()
    }
}

/// The variants of a measurement that are there, in order.
pub fn variants(figures: &Figures, measurement: Measurement) -> BTreeSet<String> {
    let of_it = figures.iter().filter(|(key, _)| key.measurement == measurement);
    of_it.map(|(key, _)| key.variant.clone()).collect()
}

/// The number of rules that is shown where only one can be: 10,000, or else the most there is.
pub fn shown_rules(figures: &Figures, measurement: Measurement) -> Option<usize> {
    let rules = figures.rules(measurement);
    if rules.contains(&10_000) { Some(10_000) } else { rules.last().copied() }
}

/// A contender's figure at a number of rules; what does not filter has the same at any.
pub fn at_rules<'a>(
    figures: &'a Figures,
    question: &Question<'_>,
    contender: Contender,
    rules: usize,
) -> Option<&'a Figure> {
    let found = figures.by_rules(question, contender);
    let figure = found.get(&rules).map(|(_, figure)| *figure);
    let any = || found.values().next_back().map(|(_, figure)| *figure);
    if contender.is_control() { figure.or_else(any) } else { figure }
}

/// What each rule takes of memory, kernel and process together.
pub fn memory_per_rule(figures: &Figures, contender: Contender) -> BTreeMap<usize, Figure> {
    let of = |statistic| {
        let question = Question::new(Measurement::Memory, "", statistic);
        figures.by_rules(&question, contender)
    };
    let process = of(statistic::PROCESS);
    let per_rule = |(rules, (_, kernel)): (usize, (Case, &Figure))| {
        let process = process.get(&rules).map(|(_, figure)| figure.passes.as_slice());
        let process = process.unwrap_or_default().iter().copied().chain(iter::repeat(0.0));
        let both = kernel.passes.iter().zip(process).map(|(kernel, process)| kernel + process);
        let passes = both.map(|bytes| bytes / rules as f64).collect();
        let mut stated = kernel.stated;
        stated.absolute /= rules as f64;
        (rules, Figure::new(passes, stated))
    };
    of(statistic::KERNEL).into_iter().filter(|(rules, _)| *rules > 0).map(per_rule).collect()
}

/// Why rules do not match, in words.
pub const fn differ_in(mismatch: Mismatch) -> &'static str {
    match mismatch {
        Mismatch::Address => "address",
        Mismatch::Port => "port",
    }
}
