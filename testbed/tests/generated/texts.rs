//! Oracle and the text of rule chains agree about every packet: what iptables (structured and
//! flat), ipset and nftables are told, read back and walked.

use std::time::Instant;

use ringfence_dataplane::model::PolicySet;
use ringfence_dataplane::oracle::Flow;
use ringfence_testbed::agreement::{Answers, Disagreement, Places, Texts, tables_of};
use ringfence_testbed::environment::SEED;

use crate::runs;
use crate::search::{Tried, on_all_kinds};

/// Pairs where the environment does not say how many; each is asked about up to eight times.
const PAIRS: usize = 12_000;

#[test]
fn oracle_and_texts_agree_about_generated_packets() {
    let (seed, pairs, started) = (runs::seed(), runs::pairs(PAIRS), Instant::now());
    println!("seed {seed}: {}={seed} {}={pairs} repeats this", SEED, runs::PAIRS);
    let tried = on_all_kinds(seed, pairs, ask);
    let Tried { pairs: asked, answers: Answers { same, limits } } = tried;
    println!("{asked} pairs: {same} answers of four texts agree, in {:?}", started.elapsed());
    println!("left out: {limits:#?}");
    // Most packets meet rules somewhere, and each text is asked there.
    assert!(same >= 4 * pairs, "only {same} answers");
    let left_out: usize = limits.values().sum();
    assert!(left_out * 20 < same, "{left_out} answers were left out");
}

/// Workloads are behind interfaces of their own, behind one together, or nobody knows where.
fn ask(set: &PolicySet, flows: &[Flow]) -> Result<Answers, Box<Disagreement>> {
    let tables = tables_of(set);
    let mut tried = Tried::default();
    for places in [Places::Apart, Places::Together, Places::Unknown] {
        let texts = Texts::new(set, &tables, places).unwrap_or_else(|why| panic!("{why}"));
        for flow in flows {
            tried.add(&Tried { pairs: 1, answers: texts.ask(flow)? });
        }
    }
    Ok(tried.answers)
}
