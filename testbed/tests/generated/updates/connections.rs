//! Connections that live while policy changes.

use std::cell::Cell;
use std::net::IpAddr;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::model::{Direction, PolicySet};
use ringfence_dataplane::oracle::{Answer, Flow, Oracle, Side};
use ringfence_testbed::agreement::{Host, Sight, tables_of};
use ringfence_testbed::random::Random;

use super::packet::{Packet, packet};
use super::state::State;
use super::{CASES, grouped};
use crate::flows::Boundaries;
use crate::policies::{self, Kind};
use crate::runs;

/// Flows that are tried to be opened.
const FLOWS: usize = 48;

#[test]
fn a_connection_lives_on_exactly_if_the_new_policy_allows_it() {
    let (kept, revoked) = run(false);
    assert!(kept >= 500 && revoked >= 50, "{kept} kept, {revoked} revoked");
}

#[test]
fn with_established_keep_connections_live_on_whatever_changes() {
    let (kept, revoked) = run(true);
    assert!(kept >= 500 && revoked == 0, "{kept} kept, {revoked} revoked");
}

/// How many sides kept a connection after a change, and how many revoked it.
fn run(keep_established: bool) -> (u32, u32) {
    let counts = (Cell::new(0), Cell::new(0));
    let examples = (policies::history(Kind::Everything), any::<u64>());
    let tried = TestRunner::new(runs::config(CASES)).run(&examples, |((before, after), seed)| {
        let mut random = Random::new(seed);
        let updates = State::of(&before).updates_to(&State::of(&after));
        let mut live = Live::open(before.clone(), keep_established, seed)?;
        let mut state = State::of(&before);
        for group in grouped(&updates, &mut random) {
            group.iter().for_each(|update| state.apply(update));
            live.change(state.set());
            live.check(&mut random, &counts)?;
        }
        Ok(())
    });
    tried.unwrap_or_else(|failure| panic!("{failure}"));
    (counts.0.get(), counts.1.get())
}

/// A filter with connections.
struct Live {
    filter: Filter,
    keep_established: bool,
    generation: u32,
    set: PolicySet,
    tables: Tables,
    host: Host,
    flows: Vec<Flow>,
}

impl Live {
    /// Opens what `set` allows.
    fn open(set: PolicySet, keep_established: bool, seed: u64) -> Result<Self, TestCaseError> {
        let tables = tables_of(&set);
        let host = Host::of(&tables);
        let filter = Filter::new(&host.tables(&tables, 1, keep_established));
        let flows = Boundaries::of_sets(&[&set]).sample(FLOWS, seed);
        let mut live =
            Self { filter, keep_established, generation: 1, set, tables, host, flows: Vec::new() };
        let oracle_allows = |set: &PolicySet, flow: &Flow| Oracle::new(set).decide(flow).allowed();
        for flow in flows {
            let between = [flow.source, flow.destination].map(|end| live.owner(end));
            let to_itself = between[0].is_some() && between[0] == between[1];
            // The way back would be a connection of its own between the same ports.
            let is_open = live.flows.iter().any(|open| is_between_same(open, &flow));
            if to_itself || is_open || !oracle_allows(&live.set, &flow) {
                continue;
            }
            let mut opened = true;
            for which in [Packet::First, Packet::Answer, Packet::Later] {
                for (sight, frame, _) in live.sights(&flow, which) {
                    let outcome = live.filter.decide(&frame, sight.hook, sight.ifindex, 0);
                    prop_assert!(
                        outcome.decision.passes(),
                        "{:?} of {:?}: {:?}",
                        which,
                        flow,
                        outcome
                    );
                }
                opened &= packet(&flow, which).is_some();
            }
            if opened {
                live.flows.push(flow);
            }
        }
        Ok(live)
    }

    /// Where a packet of a flow is seen, its bytes, and the sides of the flow decided there.
    fn sights(&self, flow: &Flow, which: Packet) -> Vec<(Sight, Vec<u8>, Vec<Direction>)> {
        let Some(frame) = packet(flow, which) else { return Vec::new() };
        let way = match which {
            Packet::First | Packet::Later => *flow,
            Packet::Answer => Flow { source: flow.destination, destination: flow.source, ..*flow },
        };
        let of_flow = |direction: &Direction| match (which, direction) {
            (Packet::Answer, Direction::Egress) => Direction::Ingress,
            (Packet::Answer, Direction::Ingress) => Direction::Egress,
            (_, direction) => *direction,
        };
        let sights = self.host.sights(&way).into_iter();
        sights
            .map(|sight| {
                let sides = sight.sides.iter().map(of_flow).collect();
                (sight, frame.clone(), sides)
            })
            .collect()
    }

    fn owner(&self, address: IpAddr) -> Option<String> {
        let owner = self.set.inventory.owner(address)?;
        // The host is the host whatever it is called.
        Some(if owner.host { "the host".to_owned() } else { owner.name.to_string() })
    }

    /// Installs another generation, and drops the connections whose ends are others now.
    fn change(&mut self, set: PolicySet) {
        let ends =
            |live: &Self, flow: &Flow| [flow.source, flow.destination].map(|e| live.owner(e));
        let before: Vec<_> = self.flows.iter().map(|flow| ends(self, flow)).collect();
        self.set = set;
        self.tables = tables_of(&self.set);
        self.host = Host::of(&self.tables);
        self.generation += 1;
        self.filter.install(&self.host.tables(
            &self.tables,
            self.generation,
            self.keep_established,
        ));
        let flows = std::mem::take(&mut self.flows);
        let same =
            flows.into_iter().zip(before).filter(|(flow, before)| ends(self, flow) == *before);
        self.flows = same.map(|(flow, _)| flow).collect();
    }

    /// Sends a packet of each connection, one way or the other, and drops what is revoked.
    fn check(
        &mut self,
        random: &mut Random,
        (kept, revoked): &(Cell<u32>, Cell<u32>),
    ) -> Result<(), TestCaseError> {
        for flow in std::mem::take(&mut self.flows) {
            let answer = Oracle::new(&self.set).decide(&flow);
            let which = if random.chance(50) { Packet::Later } else { Packet::Answer };
            let known = match which {
                Packet::Answer => Reason::Reply,
                _ => Reason::Established,
            };
            let mut lives = true;
            for (sight, frame, sides) in self.sights(&flow, which) {
                let outcome = self.filter.decide(&frame, sight.hook, sight.ifindex, 0);
                let denies = sides.iter().any(|direction| !side(&answer, *direction).allowed);
                let expected =
                    if denies && !self.keep_established { Reason::Revoked } else { known };
                // Seen again at the next hook, a revoked connection is none.
                if !lives && sides.iter().any(|direction| !side(&answer, *direction).allowed) {
                    continue;
                }
                prop_assert_eq!(
                    outcome.decision.reason,
                    expected,
                    "{:?} of {:?} at {:?}: {:?}\n{:#?}",
                    which,
                    flow,
                    sight,
                    answer,
                    self.set
                );
                lives &= expected != Reason::Revoked;
                let count = if expected == Reason::Revoked { revoked } else { kept };
                count.set(count.get() + 1);
            }
            if lives {
                self.flows.push(flow);
            }
        }
        Ok(())
    }
}

fn side(answer: &Answer, direction: Direction) -> &Side {
    match direction {
        Direction::Egress => &answer.egress,
        Direction::Ingress => &answer.ingress,
    }
}

/// Whether two flows would be one to whoever tells them apart by ends and ports.
fn is_between_same(one: &Flow, other: &Flow) -> bool {
    let ends = |flow: &Flow| {
        let mut ends = [flow.source, flow.destination];
        ends.sort();
        (ends, flow.protocol)
    };
    ends(one) == ends(other)
}
