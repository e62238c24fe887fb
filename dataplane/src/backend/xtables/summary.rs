//! What is said of an apply.

use super::apply::{Course, Situation};
use super::install::Goal;
use super::sets::{count, differences};
use crate::backend::ipset::Sets;
use crate::backend::{Applied, Desired, How, Numbers};

/// How many things that are not as they were left are named.
const TOLD: usize = 5;

/// What is done, or would be, in `situation` on `course`.
pub(super) fn applied(desired: &Desired, situation: &Situation, course: &Course<'_>) -> Applied {
    let how = how(desired, situation, course);
    let before = situation.record.as_ref().map_or(0, |record| record.generation);
    let generation = match how {
        How::Nothing => before,
        _ => before.wrapping_add(1).max(1),
    };
    let old: Sets = situation.usable().map_or_else(Sets::new, |kept| {
        kept.sets.iter().map(|(base, kept)| (base.clone(), kept.set.clone())).collect()
    });
    let elements = differences(&old, &situation.wanted.sets);
    let rules = course.goals.iter().fold([0; 3], |sum, goal| add(sum, goal.extent().rules));
    let entries = situation.wanted.rules() + elements_of(situation, |_| true);
    let touched = rules.iter().sum::<usize>()
        + match &course.changes {
            Some(changes) => changes.len(),
            None => elements_of(situation, |base| is_fresh(situation, &course.names[base])),
        };
    Applied {
        numbers: Numbers::of(&desired.tables, generation),
        how,
        entries,
        entries_touched: touched,
        policy: add(rules, elements),
        hooks: Vec::new(),
        steps: steps(situation, course),
        warnings: warnings(situation),
        left_undone: Vec::new(),
    }
}

fn how(desired: &Desired, situation: &Situation, course: &Course<'_>) -> How {
    let recorded = situation.usable().and(situation.record.as_ref());
    let fresh = course.names.values().any(|name| is_fresh(situation, name));
    let is_same = recorded.is_some_and(|record| record.mode == desired.mode);
    match &course.changes {
        Some(_) => How::InPlace,
        None if course.goals.is_empty() && !fresh && is_same => How::Nothing,
        None if recorded.is_some() && !fresh => How::InPlace,
        None => How::Switched,
    }
}

fn is_fresh(situation: &Situation, name: &str) -> bool {
    !situation.listed.sets.contains_key(name)
}

/// How many elements there are in the sets that `counts` takes.
fn elements_of(situation: &Situation, counts: impl Fn(&str) -> bool) -> usize {
    let sets = situation.wanted.sets.iter().filter(|(base, _)| counts(base));
    sets.map(|(_, set)| set.elements.len()).sum()
}

/// A line for each tool and text.
fn steps(situation: &Situation, course: &Course<'_>) -> Vec<String> {
    let mut steps = Vec::new();
    if let Some(changes) = &course.changes {
        let [added, changed, removed] = count(changes);
        steps.push(format!(
            "ipset restore: elements {added} added, {changed} changed, {removed} removed"
        ));
    }
    let fresh = course.names.values().filter(|name| is_fresh(situation, name)).count();
    if fresh > 0 {
        let elements = elements_of(situation, |base| is_fresh(situation, &course.names[base]));
        steps.push(format!("ipset restore: {fresh} sets made, {elements} elements"));
    }
    steps.extend(course.goals.iter().map(|goal| step(situation, goal)));
    if !course.unused.is_empty() {
        steps.push(format!("ipset restore: {} sets destroyed", course.unused.len()));
    }
    steps
}

fn step(situation: &Situation, goal: &Goal<'_>) -> String {
    let (program, table) = (situation.variant.restore(goal.family), goal.table);
    let extent = goal.extent();
    let rules: usize = extent.rules.iter().sum();
    format!("{program} {table}: {} chains, {rules} rules, {} jumps", extent.chains, extent.jumps)
}

/// What the user should know about the host.
fn warnings(situation: &Situation) -> Vec<String> {
    let mut warnings = Vec::new();
    let (variant, other) = (situation.variant, situation.variant.other());
    let saved = situation.other.iter().flatten();
    let foreign: usize = saved.map(super::saved::Saved::foreign_rules).sum();
    if foreign > 0 {
        warnings.push(format!(
            "`{other}` holds {foreign} rules of others, and ringfence uses `{variant}`: packets \
             meet both; choose with `--iptables`, or move those rules"
        ));
    }
    let is_unknown = match &situation.record {
        Some(record) => record.unfinished,
        None => situation.has_marks() && !situation.is_taken_over,
    };
    if is_unknown {
        warnings.push(
            "what is installed is not known, because an apply was interrupted or its record is \
             gone: everything is installed as a whole"
                .to_owned(),
        );
    }
    let astray = situation.astray();
    if !astray.is_empty() {
        let more = match astray.len().saturating_sub(TOLD) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let told = astray.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
        warnings.push(format!("what was not as the last apply left it is put right: {told}{more}"));
    }
    warnings
}

fn add(a: [usize; 3], b: [usize; 3]) -> [usize; 3] {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}
