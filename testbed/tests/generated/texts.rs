//! Oracle and the text of rule chains agree about every packet: what iptables (structured and
//! flat), ipset and nftables are told, read back and walked.

use std::cell::Cell;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ringfence_dataplane::model::PolicySet;
use ringfence_dataplane::oracle::Flow;
use ringfence_testbed::agreement::{
    Compared, Disagreement, Places, Rendered, Texts, rendered, tables_of,
};
use ringfence_testbed::environment::SEED;
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::require::{self, Tool};

use crate::policies::{self, Kind};
use crate::runs;
use crate::search::{Ask, Tried, on_all_kinds};

/// Pairs where the environment does not say how many, for each of the places where workloads can
/// be; each pair is asked about up to eight times.
const PAIRS: usize = 2_500;

/// Policy sets whose texts the tools themselves are given.
const POLICIES: u32 = 6;

#[test]
fn oracle_and_texts_agree_where_each_workload_has_an_interface() {
    agree(|set, flows| ask(set, flows, Places::Apart));
}

#[test]
fn oracle_and_texts_agree_where_workloads_share_an_interface() {
    agree(|set, flows| ask(set, flows, Places::Together));
}

#[test]
fn oracle_and_texts_agree_where_addresses_alone_tell() {
    agree(|set, flows| ask(set, flows, Places::Unknown));
}

fn agree(ask: Ask) {
    let (seed, pairs, started) = (runs::seed(), runs::pairs(PAIRS), Instant::now());
    println!("seed {seed}: {}={seed} {}={pairs} repeats this", SEED, runs::PAIRS);
    let Tried { pairs: asked, answers: Compared { same, limits } } = on_all_kinds(seed, pairs, ask);
    println!("{asked} pairs: {same} answers of four texts agree, in {:?}", started.elapsed());
    println!("left out: {limits:#?}");
    // Most packets meet rules somewhere, and each text is asked there.
    assert!(same >= 2 * pairs, "only {same} answers");
    let left_out: usize = limits.values().sum();
    assert!(left_out * 20 < same, "{left_out} answers were left out");
}

fn ask(set: &PolicySet, flows: &[Flow], places: Places) -> Result<Compared, Box<Disagreement>> {
    let tables = tables_of(set);
    let texts = Texts::new(set, &tables, places).unwrap_or_else(|why| panic!("{why}"));
    let mut tried = Tried::default();
    for flow in flows {
        tried.add(&Tried { pairs: 1, answers: texts.ask(flow)? });
    }
    Ok(tried.answers)
}

/// Each text is one that its tool takes.
#[test]
fn tools_take_the_texts() {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    let taken = Cell::new(0);
    let sets = policies::policy_set(Kind::Everything);
    let tried = TestRunner::new(runs::config(POLICIES)).run(&sets, |set| {
        let tables = tables_of(&set);
        for places in [Places::Apart, Places::Together, Places::Unknown] {
            let texts = rendered(&tables, places).unwrap_or_else(|why| panic!("{why}"));
            let answers = Namespace::new()
                .unwrap()
                .run(|| texts.into_iter().map(|text| (give(&text), text)).collect::<Vec<_>>());
            for (answer, Rendered { tool, text, .. }) in answers.unwrap() {
                prop_assert!(answer.is_ok(), "{}: {}\n{}", tool, answer.unwrap_err(), text);
                taken.set(taken.get() + 1);
            }
        }
        Ok(())
    });
    tried.unwrap_or_else(|refused| panic!("{refused}"));
    println!("{} texts are taken", taken.get());
    assert_eq!(taken.get() % 3, 0, "each placement has the same texts");
}

/// Gives a text to its tool, in the namespace of the calling thread.
fn give(Rendered { tool, options, text }: &Rendered) -> Result<(), String> {
    let mut command = Command::new(tool);
    let command = command.args(*options).env("LC_ALL", "C");
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut input = child.stdin.take().expect("it is piped");
    // A tool that stops reading says why at its end.
    let _ = input.write_all(text.as_bytes());
    drop(input);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
