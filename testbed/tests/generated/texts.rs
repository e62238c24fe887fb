//! Oracle and the text of rule chains agree about every packet: what iptables (structured and
//! flat), ipset and nftables are told, read back and walked.

use std::cell::Cell;
use std::cmp::Reverse;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ringfence_common::abi::policy::Direction;
use ringfence_dataplane::backend::chains::{Line, Peers, Plan};
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
use crate::search::{Ask, Tried, on_all_kinds, search};

/// Pairs where the environment does not say how many.
const PAIRS: usize = 60_000;

/// One pair in so many is asked about, for each of the places where workloads can be, and of four
/// texts at up to two interfaces each: making and reading texts takes longer than a packet.
const ONE_IN: usize = 24;

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
    let pairs = pairs.div_ceil(ONE_IN);
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

/// Something that is done to a plan.
type Change = fn(&mut Plan);

/// A plan that is wrong is noticed, whatever is wrong with it.
#[test]
fn wrong_plans_are_found() {
    let wrongs: [(&str, Change); 5] = [
        ("forms are asked in the wrong order", |plan| {
            plan.sides.values_mut().for_each(|side| backwards(&mut side.lines));
        }),
        ("no line for IPv6", |plan| {
            let lines = plan.sides.values_mut().flat_map(|side| &mut side.lines);
            for line in lines {
                if let Peers::Of { v6, .. } = &mut line.peers {
                    v6.clear();
                }
            }
            for side in plan.sides.values_mut() {
                side.lines
                    .retain(|line| !matches!(&line.peers, Peers::Of { v4, .. } if v4.is_empty()));
            }
        }),
        ("what no line says passes", |plan| {
            plan.sides.values_mut().for_each(|side| side.default.allows = true);
        }),
        ("nobody reports", |plan| {
            let lines = plan.sides.values_mut().flat_map(|side| &mut side.lines);
            lines.for_each(|line| line.decided.logs = false);
        }),
        ("directions are mixed up", |plan| {
            let turn = |direction| match direction {
                Direction::Ingress => Direction::Egress,
                Direction::Egress => Direction::Ingress,
            };
            let sides = std::mem::take(&mut plan.sides);
            plan.sides =
                sides.into_iter().map(|((of, way), side)| ((of, turn(way)), side)).collect();
        }),
    ];
    for (what, change) in wrongs {
        let ask = |set: &PolicySet, flows: &[Flow]| {
            let tables = tables_of(set);
            let texts = Texts::changed(set, &tables, Places::Apart, change).unwrap();
            flows.iter().try_for_each(|flow| texts.ask(flow).map(|_| ()))?;
            Ok(Compared::default())
        };
        // What it comes down to does not matter here.
        let config = Config { max_shrink_iters: 0, ..runs::seeded(400, 7) };
        let found = search(config, policies::policy_set(Kind::Everything), ask);
        assert!(found.is_err(), "nobody has noticed that {what}");
    }
}

/// The forms in the opposite order.
fn backwards(lines: &mut [Line]) {
    lines.sort_by_key(|line| Reverse(line.form));
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
