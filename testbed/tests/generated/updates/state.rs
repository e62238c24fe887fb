//! A policy set as a cluster's objects, and the updates that lead from one to another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ringfence_dataplane::model::{
    Inventory, Labels, Namespace, Policy, PolicyName, PolicySet, Workload, WorkloadName,
};

/// All objects, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    policies: BTreeMap<PolicyName, Policy>,
    namespaces: BTreeMap<String, Labels>,
    workloads: BTreeMap<WorkloadName, Workload>,
}

/// Objects that change together; `None` where one goes.
#[derive(Clone, Debug)]
pub enum Update {
    Policy(PolicyName, Option<Box<Policy>>),
    Namespace(String, Option<Labels>),
    /// Several where an address goes from one to another.
    Workloads(Vec<(WorkloadName, Option<Workload>)>),
}

impl State {
    /// The objects of a set.
    pub fn of(set: &PolicySet) -> Self {
        let namespaces = set.inventory.namespaces();
        Self {
            policies: set.policies.iter().map(|one| (one.name.clone(), one.clone())).collect(),
            namespaces: namespaces
                .map(|one| (one.name().to_owned(), one.labels().clone()))
                .collect(),
            workloads: set
                .inventory
                .workloads()
                .map(|one| (one.name.clone(), one.clone()))
                .collect(),
        }
    }

    /// The set of these objects.
    pub fn set(&self) -> PolicySet {
        let mut inventory = Inventory::default();
        for (name, labels) in &self.namespaces {
            inventory.add_namespace(Namespace::new(name.clone(), labels.clone()));
        }
        for workload in self.workloads.values() {
            let added = inventory.add_workload(workload.clone());
            added.expect("workloads that share an address change together");
        }
        PolicySet { policies: self.policies.values().cloned().collect(), inventory }
    }

    /// Applies an update.
    pub fn apply(&mut self, update: &Update) {
        match update {
            Update::Policy(name, to) => put(&mut self.policies, name, to.as_deref()),
            Update::Namespace(name, to) => put(&mut self.namespaces, name, to.as_ref()),
            Update::Workloads(all) => {
                all.iter().for_each(|(name, to)| put(&mut self.workloads, name, to.as_ref()));
            }
        }
    }

    /// The updates that lead to `other`, in whatever order.
    pub fn updates_to(&self, other: &Self) -> Vec<Update> {
        let policies = changes(&self.policies, &other.policies);
        let policies =
            policies.into_iter().map(|(name, to)| Update::Policy(name, to.map(Box::new)));
        let namespaces = changes(&self.namespaces, &other.namespaces);
        let namespaces = namespaces.into_iter().map(|(name, to)| Update::Namespace(name, to));
        let workloads = self.together(changes(&self.workloads, &other.workloads));
        policies.chain(namespaces).chain(workloads.into_iter().map(Update::Workloads)).collect()
    }

    /// Changes of workloads, those that hand an address over in one. There is one host at a time,
    /// so hosts change together too.
    fn together(
        &self,
        changes: Vec<(WorkloadName, Option<Workload>)>,
    ) -> Vec<Vec<(WorkloadName, Option<Workload>)>> {
        type Group = (BTreeSet<IpAddr>, bool, Vec<(WorkloadName, Option<Workload>)>);
        let mut groups: Vec<Group> = Vec::new();
        for (name, to) in changes {
            let both = || self.workloads.get(&name).into_iter().chain(&to);
            let mut addresses: BTreeSet<IpAddr> =
                both().flat_map(|one| one.addresses.iter().copied()).collect();
            let mut host = both().any(|one| one.host);
            let mut members = vec![(name.clone(), to.clone())];
            let meets = |(others, other_host, _): &Group| {
                !others.is_disjoint(&addresses) || (host && *other_host)
            };
            let (met, apart): (Vec<Group>, Vec<Group>) = groups.into_iter().partition(meets);
            groups = apart;
            for (others, other_host, more) in met {
                addresses.extend(others);
                host |= other_host;
                members.extend(more);
            }
            groups.push((addresses, host, members));
        }
        groups.into_iter().map(|(_, _, members)| members).collect()
    }
}

fn put<K: Ord + Clone, V: Clone>(map: &mut BTreeMap<K, V>, key: &K, to: Option<&V>) {
    match to {
        Some(value) => _ = map.insert(key.clone(), value.clone()),
        None => _ = map.remove(key),
    }
}

fn changes<K: Ord + Clone, V: PartialEq + Clone>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
) -> Vec<(K, Option<V>)> {
    let keys: BTreeSet<&K> = before.keys().chain(after.keys()).collect();
    keys.into_iter()
        .filter(|key| before.get(key) != after.get(key))
        .map(|key| (key.clone(), after.get(key).cloned()))
        .collect()
}
