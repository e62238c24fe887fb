//! Applying a difference entry by entry: wherever `safe_in_place` says it may be done, no flow ever
//! meets a verdict that belongs to neither the old tables nor the new ones.

mod hazards;
pub mod walk;

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ringfence_dataplane::compile::compile;

use self::walk::walk;
use crate::policies::{self, Kind};
use crate::runs;

#[test]
fn no_flow_meets_a_third_verdict() {
    let mut runner = TestRunner::new(runs::config(250));
    let (walked, detours) = (Cell::new(0), Cell::new(0));
    let edits = (policies::edit(Kind::MostlyNetworkPolicy), any::<u64>());
    runner
        .run(&edits, |((before, after), seed)| {
            let (old, new) = (compile(&before).unwrap(), compile(&after).unwrap());
            let Some(steps) = old.steps_to(&new) else { return Ok(()) };
            if steps.iter().any(|step| !step.is_empty()) {
                walked.set(walked.get() + 1);
            }
            if steps.len() > 1 {
                detours.set(detours.get() + 1);
            }
            walk(&old, &new, &steps, seed)
        })
        .unwrap();
    assert!(walked.get() >= 10, "only {} of 250 differences were walked", walked.get());
    assert!(detours.get() >= 1, "no difference took the detour by way of finer classes");
}

#[test]
fn equal_tables_differ_in_nothing() {
    let tables = compile(&hazards::shop()).unwrap();
    let diff = tables.diff(&tables);
    assert!(diff.is_empty() && diff.safe_in_place());
    assert_eq!(diff.to_string(), "");
    assert_eq!(tables.steps_to(&tables), Some(vec![diff]));
}
