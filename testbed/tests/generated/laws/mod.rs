//! What has to stay true when policy is written differently, or when it grows: laws that need no
//! oracle, so they hold it to account too.
//!
//! Every law asks all ways to a verdict: the oracle, the compiled tables, and the filter with the
//! packet itself.

mod addresses;
mod names;
mod order;
mod reach;

use proptest::prelude::*;
use proptest::sample::Index;
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::compile::Answers;
use ringfence_dataplane::model::{Direction, PolicySet, Rule};
use ringfence_dataplane::oracle::{Flow, Oracle};
use ringfence_testbed::agreement::{Host, tables_of};
use ringfence_testbed::packet::first_packet;

use crate::flows::Boundaries;

/// Flows that each example is asked about.
const FLOWS: usize = 96;

/// Examples of each law.
const CASES: u32 = 96;

/// What became of a flow: who was asked, and whether it may pass there.
type Verdicts = Vec<(String, bool)>;

/// Flows at the boundaries of all `sets`.
fn flows(sets: &[&PolicySet], seed: u64) -> Vec<Flow> {
    Boundaries::of_sets(sets).sample(FLOWS, seed)
}

/// What everyone says about `flows`.
fn verdicts(set: &PolicySet, flows: &[Flow]) -> Vec<Verdicts> {
    let tables = tables_of(set);
    let (oracle, answers, host) = (Oracle::new(set), Answers::new(&tables), Host::of(&tables));
    let mut filter = Filter::new(&host.tables(&tables, 1, false));
    let mut ask = |flow: &Flow| {
        let expected = oracle.decide(flow);
        let port = flow.port.unwrap_or(0);
        let said = answers.ask(flow.source, flow.destination, flow.protocol, port);
        let mut verdicts = vec![
            ("oracle's egress".to_owned(), expected.egress.allowed),
            ("oracle's ingress".to_owned(), expected.ingress.allowed),
            ("tables' egress".to_owned(), said.egress.passes()),
            ("tables' ingress".to_owned(), said.ingress.passes()),
        ];
        for (sight, frame) in first_packet(flow)
            .iter()
            .flat_map(|f| host.sights(flow).into_iter().map(move |s| (s, f)))
        {
            filter.clear();
            let outcome = filter.decide(frame, sight.hook, sight.ifindex, 0);
            let who = format!("filter at {:?} of {:?}", sight.hook, sight.sides);
            verdicts.push((who, outcome.decision.passes()));
        }
        verdicts
    };
    flows.iter().map(&mut ask).collect()
}

/// Whether a verdict may become another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Law {
    /// Nothing changes.
    Same,
    /// What may pass before may pass after.
    NoLess,
}

/// Holds two sets against each other.
fn compare(
    law: Law,
    before: &PolicySet,
    after: &PolicySet,
    flows: &[Flow],
) -> Result<(), TestCaseError> {
    let (old, new) = (verdicts(before, flows), verdicts(after, flows));
    for (flow, (old, new)) in flows.iter().zip(old.iter().zip(&new)) {
        prop_assert_eq!(old.len(), new.len(), "{:?} is seen elsewhere", flow);
        for ((who, was), (_, is)) in old.iter().zip(new) {
            let kept = match law {
                Law::Same => was == is,
                Law::NoLess => !was || *is,
            };
            prop_assert!(
                kept,
                "{flow:?} at {who}: allowed {was} before, {is} after\n{:#?}\n{:#?}",
                before.policies,
                after.policies
            );
        }
    }
    Ok(())
}

/// Holds two sets against each other on flows at the boundaries of both.
fn hold(law: Law, before: &PolicySet, after: &PolicySet, seed: u64) -> Result<(), TestCaseError> {
    compare(law, before, after, &flows(&[before, after], seed))
}

/// Where a rule stands: policy, direction, position.
type At = (usize, Direction, usize);

/// One of the rules that `wanted` accepts, if there is any.
fn rule_at(set: &PolicySet, at: Index, wanted: impl Fn(&Rule) -> bool) -> Option<At> {
    let places: Vec<At> = set
        .policies
        .iter()
        .enumerate()
        .flat_map(|(policy, of)| {
            [Direction::Ingress, Direction::Egress].into_iter().flat_map(move |direction| {
                let rules = of.rules(direction).iter().enumerate();
                rules.map(move |(position, rule)| ((policy, direction, position), rule))
            })
        })
        .filter(|(_, rule)| wanted(rule))
        .map(|(at, _)| at)
        .collect();
    (!places.is_empty()).then(|| places[at.index(places.len())])
}

/// The rules of one direction of a policy.
fn rules_mut(set: &mut PolicySet, policy: usize, direction: Direction) -> &mut Vec<Rule> {
    let policy = &mut set.policies[policy];
    match direction {
        Direction::Ingress => &mut policy.ingress,
        Direction::Egress => &mut policy.egress,
    }
}

/// The rule at `at`.
fn rule_mut(set: &mut PolicySet, (policy, direction, position): At) -> &mut Rule {
    &mut rules_mut(set, policy, direction)[position]
}
