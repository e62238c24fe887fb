//! G14: policy compiled, whole and change by change.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use ringfence_dataplane::compile::{Compiler, compile};

use super::{Bound, Goal, Progress, Row};
use crate::changes::{Subject, Swing};
use crate::kernel::MeasureError;
use crate::rounds::median;

/// The goals of this part.
pub const GOALS: &[Goal] = &[Goal::G14];

/// Rules that are compiled.
const RULES: usize = 10_000;

/// Times that all is compiled, and times that one rule changes.
const ROUNDS: usize = 15;
const CHANGES: usize = 1_000;

/// Changes that are of one rule; the others that there are change labels and addresses.
const OF_ONE_RULE: [&str; 2] = ["rule-added-or-removed", "port-changed"];

/// Measures.
pub fn measure(_: &BTreeSet<Goal>, progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    let mut rows = Vec::new();
    for subject in [Subject::cluster(RULES), Subject::address_list(RULES)] {
        progress.begin(&format!("compiling the rules of a {}", subject.name));
        rows.push(whole(&subject, progress)?);
        for swing in subject.swings() {
            if OF_ONE_RULE.contains(&swing.name) {
                rows.push(change(&subject, &swing)?);
            }
        }
    }
    Ok(rows)
}

fn whole(subject: &Subject, progress: &dyn Progress) -> Result<Row, MeasureError> {
    let refused = || MeasureError::refused("compile");
    let expected = compile(&subject.set).map_err(refused())?;
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        progress.step(round, ROUNDS);
        let begin = Instant::now();
        let tables = black_box(compile(black_box(&subject.set))).map_err(refused())?;
        took.push(begin.elapsed().as_secs_f64() * 1_000.0);
        if tables != expected {
            return Err(MeasureError::wrong("compile", "two compiles of the same differ"));
        }
    }
    let (rules, entries) = (expected.rules.len(), expected.policy.len());
    let case = format!("whole, {}", subject.name);
    Ok(Row::new(Goal::G14, case, (Bound::AtMost, 50.0), median(took), "ms")
        .with("reading", format!("{rules} rules, {entries} entries"))
        .with("rules", rules)
        .with("entries", entries))
}

fn change(subject: &Subject, swing: &Swing) -> Result<Row, MeasureError> {
    let refused = || MeasureError::refused("compile");
    let mut compiler = Compiler::new(subject.set.clone()).map_err(refused())?;
    compiler.change([swing.there.clone()]).map_err(MeasureError::refused("change a rule"))?;
    let mut took = Vec::new();
    for number in 0..CHANGES {
        let change = if number % 2 == 0 { swing.back.clone() } else { swing.there.clone() };
        let begin = Instant::now();
        let update = compiler.change([black_box(change)]);
        took.push(begin.elapsed().as_secs_f64() * 1e6);
        let update = update.map_err(MeasureError::refused("change a rule"))?;
        if update.diff.entries_touched() != swing.entries {
            let touched = update.diff.entries_touched();
            let why = format!("`{}` touched {touched} entries, not {}", swing.name, swing.entries);
            return Err(MeasureError::wrong("the compiler", why));
        }
    }
    let fresh = compile(&compiler.policy_set()).map_err(refused())?;
    if *compiler.tables() != fresh {
        let why = format!("`{}` ends in other tables than a fresh compile", swing.name);
        return Err(MeasureError::wrong("the compiler", why));
    }
    let case = format!("{}, {}", swing.name, subject.name);
    Ok(Row::new(Goal::G14, case, (Bound::AtMost, 100.0), median(took), "µs")
        .with("reading", format!("median of {CHANGES}, {} entries each", swing.entries))
        .with("changes", CHANGES))
}
