//! Which cases share a network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ringfence_dataplane::model::{Inventory, Labels, Workload};

use super::ask;
use crate::case::Case;
use crate::prober::Ask;
use crate::topology::Outsider;

/// Cases that are tried one after the other on one network.
#[derive(Debug, Default)]
pub(super) struct Cluster<'c> {
    /// The seats of the network: whoever has the same addresses in two cases sits in the same
    /// place, whatever it is called there. Without labels and ports.
    pub inventory: Inventory,
    /// The runs, in the order of their first cases.
    pub runs: Vec<Run<'c>>,
    /// Addresses of probes that nobody has.
    strangers: BTreeSet<IpAddr>,
}

/// One case, or the steps of a sequence in their order.
#[derive(Debug)]
pub(super) struct Run<'c> {
    pub steps: Vec<Step<'c>>,
}

/// A case and what it asks.
#[derive(Debug)]
pub(super) struct Step<'c> {
    /// Its position among all cases.
    pub index: usize,
    pub case: &'c Case,
    /// For each probe its packets, or why it cannot be asked.
    pub asks: Vec<Result<Vec<Ask>, String>>,
}

impl<'c> Cluster<'c> {
    /// Puts `cases` on as few networks as their order and their addresses allow. Those that ask
    /// nothing here come second.
    pub fn all(cases: &'c [Case]) -> (Vec<Self>, Vec<Step<'c>>) {
        let mut clusters: Vec<Self> = Vec::new();
        let mut silent = Vec::new();
        for run in runs(cases) {
            if run.steps.iter().flat_map(|step| &step.asks).all(Result::is_err) {
                silent.extend(run.steps);
                continue;
            }
            let joined = clusters.last_mut().is_some_and(|last| last.join(&run));
            if !joined {
                let mut cluster = Self::default();
                // A sequence that gives an address away on its way has no one network.
                let fits = cluster.join(&run);
                if !fits {
                    clusters.extend(run.steps.into_iter().map(Self::of_step));
                    continue;
                }
                cluster.runs.push(run);
                clusters.push(cluster);
            } else if let Some(last) = clusters.last_mut() {
                last.runs.push(run);
            }
        }
        (clusters, silent)
    }

    /// A step that stands alone.
    fn of_step(step: Step<'c>) -> Self {
        let run = Run { steps: vec![step] };
        let mut cluster = Self::default();
        let fits = cluster.join(&run);
        debug_assert!(fits, "a case's own inventory has no contradictions");
        cluster.runs.push(run);
        cluster
    }

    /// All packets of all probes.
    pub fn asks(&self) -> BTreeSet<Ask> {
        let steps = self.runs.iter().flat_map(|run| &run.steps);
        steps.flat_map(|step| step.asks.iter().flatten().flatten().copied()).collect()
    }

    /// One for each address that nobody has.
    pub fn outsiders(&self) -> Vec<Outsider> {
        let outsider =
            |address: &IpAddr| Outsider { name: address.to_string(), addresses: vec![*address] };
        self.strangers.iter().map(outsider).collect()
    }

    /// Adds everybody of `run` if that contradicts nobody who is here already; says whether.
    fn join(&mut self, run: &Run<'_>) -> bool {
        let mut seats: BTreeMap<Vec<IpAddr>, Workload> =
            self.inventory.workloads().map(|seat| (seat.addresses.clone(), seat.clone())).collect();
        let is_first = seats.is_empty();
        let host = host_addresses(&self.inventory).map(<[_]>::to_vec);
        let mut strangers = self.strangers.clone();
        for step in &run.steps {
            let inventory = &step.case.policies.inventory;
            if !is_first && host_addresses(inventory).map(<[_]>::to_vec) != host {
                return false;
            }
            for workload in inventory.workloads() {
                let seat = seats
                    .entry(workload.addresses.clone())
                    .or_insert_with(|| bare(workload.clone()));
                if (seat.host, &seat.interface) != (workload.host, &workload.interface) {
                    return false;
                }
            }
            let ends = step.asks.iter().flatten().flatten().flat_map(|ask| [ask.from, ask.to]);
            strangers.extend(ends.filter(|end| inventory.owner(*end).is_none()));
        }
        let Some(inventory) = seated(seats.into_values()) else { return false };
        if strangers.iter().any(|address| inventory.owner(*address).is_some()) {
            return false;
        }
        (self.inventory, self.strangers) = (inventory, strangers);
        true
    }
}

fn host_addresses(inventory: &Inventory) -> Option<&[IpAddr]> {
    inventory.workloads().find(|one| one.host).map(|host| host.addresses.as_slice())
}

/// What of a workload the network shows.
fn bare(workload: Workload) -> Workload {
    Workload { labels: Labels::new(), ports: Vec::new(), ..workload }
}

/// All of `seats`, unless two of them share an address. Where a name has moved from one seat to
/// another, the second has it with a number.
fn seated(seats: impl Iterator<Item = Workload>) -> Option<Inventory> {
    let mut inventory = Inventory::default();
    for mut seat in seats {
        let name = seat.name.name.clone();
        let mut number = 1;
        while inventory.workload(&seat.name).is_some() {
            number += 1;
            seat.name.name = format!("{name}-{number}");
        }
        inventory.add_workload(seat).ok()?;
    }
    Some(inventory)
}

/// The steps of a sequence together, in their order; other cases alone.
fn runs(cases: &[Case]) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    let mut sequences: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        let asks = case.probes.iter().map(|probe| ask::asks(probe, &case.policies.inventory));
        let step = Step { index, case, asks: asks.collect() };
        let Some(sequence) = case.sequence_name() else {
            runs.push(Run { steps: vec![step] });
            continue;
        };
        match sequences.get(&sequence) {
            Some(run) => runs[*run].steps.push(step),
            None => {
                sequences.insert(sequence, runs.len());
                runs.push(Run { steps: vec![step] });
            }
        }
    }
    for run in &mut runs {
        run.steps.sort_by_key(|step| step.case.sequence.as_ref().map(|sequence| sequence.step));
    }
    runs
}
