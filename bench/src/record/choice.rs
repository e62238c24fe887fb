//! Which figures are shown first where there are many.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_testbed::lab::{Case, Contender, Mismatch};

use super::figures::{Figure, Figures, Question};
use super::{Measurement, statistic, variant};

/// The numbers of rules of which the essays speak.
pub const ESSAY_RULES: [usize; 2] = [1_000, 10_000];

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
    pub fn by_rules<'a>(
        self,
        figures: &'a Figures,
        contender: Contender,
    ) -> BTreeMap<usize, (Case, &'a Figure)> {
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

/// What each rule takes of memory: kernel and process together, without what is there without
/// rules.
pub fn memory_per_rule(figures: &Figures, contender: Contender) -> BTreeMap<usize, Figure> {
    if contender.is_control() {
        return BTreeMap::new();
    }
    let of = |statistic| {
        let question = Question::new(Measurement::Memory, "", statistic);
        figures.by_rules(&question, contender)
    };
    let (kernel, process) = (of(statistic::KERNEL), of(statistic::PROCESS));
    let total = |rules: usize| {
        let (_, kernel) = kernel.get(&rules)?;
        let mut passes = kernel.passes.clone();
        if let Some((_, process)) = process.get(&rules) {
            passes.iter_mut().zip(&process.passes).for_each(|(sum, value)| *sum += value);
        }
        Some((passes, kernel.stated))
    };
    let without = total(0).map(|(passes, _)| passes).unwrap_or_default();
    let with_rules = kernel.keys().copied().filter(|rules| *rules > 0);
    let figure = |rules: usize| {
        let (passes, mut stated) = total(rules)?;
        let without = without.iter().copied().chain(std::iter::repeat(0.0));
        let per_rule = |(with, without): (f64, f64)| (with - without) / rules as f64;
        stated.absolute /= rules as f64;
        let passes = passes.into_iter().zip(without).map(per_rule).collect();
        Some((rules, Figure::new(passes, stated)))
    };
    with_rules.filter_map(figure).collect()
}

/// Why rules do not match, in words.
pub const fn differ_in(mismatch: Mismatch) -> &'static str {
    match mismatch {
        Mismatch::Address => "address",
        Mismatch::Port => "port",
    }
}
