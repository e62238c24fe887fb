//! G14: policy compiled.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use ringfence_dataplane::compile::compile;

use super::{Bound, Goal, Progress, Row};
use crate::kernel::MeasureError;
use crate::rounds::median;
use crate::workload::{CLUSTER_RULES, cluster};

/// The goals of this part.
pub const GOALS: &[Goal] = &[Goal::G14];

/// Rules that are compiled, as near as whole policies come.
const RULES: usize = 10_000;

/// Times.
const ROUNDS: usize = 15;

/// Measures.
pub fn measure(_: &BTreeSet<Goal>, progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    progress.begin("compiling 10,000 rules");
    let policies = RULES.div_ceil(CLUSTER_RULES);
    let set = cluster(policies);
    let refused = || MeasureError::refused("compile the cluster's policy");
    let expected = compile(&set).map_err(refused())?;
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        progress.step(round, ROUNDS);
        let begin = Instant::now();
        let tables = black_box(compile(black_box(&set))).map_err(refused())?;
        took.push(begin.elapsed().as_secs_f64() * 1_000.0);
        if tables != expected {
            return Err(MeasureError::wrong("compile", "two compiles of the same differ"));
        }
    }
    let rules = policies * CLUSTER_RULES;
    let reading = format!("{policies} policies, {} entries", expected.policy.len());
    Ok(vec![
        Row::new(Goal::G14, "10K rules", (Bound::AtMost, 50.0), median(took), "ms")
            .with("reading", reading)
            .with("rules", rules)
            .with("entries", expected.policy.len()),
    ])
}
