//! Policy and inventory as they are now, and what changes in them.

use std::collections::{BTreeMap, BTreeSet};

use super::ChangeError;
use crate::compile::CompileError;
use crate::model::{
    Direction, Inventory, Namespace, Policy, PolicyName, PolicySet, Rule, Workload, WorkloadName,
};

/// One change of policy or inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds a policy, or replaces the one of that name. Rules that stay as they are at their place
    /// cost a comparison each.
    PutPolicy(Policy),
    /// Removes a policy.
    RemovePolicy(PolicyName),
    /// Replaces some rules of a policy by others, of which there may be more or fewer. Rules are
    /// called by their position, so those after them are renamed if the number changes. This is the
    /// way to change one rule of a policy that has very many.
    Rules {
        /// Whose rules.
        policy: PolicyName,
        /// Of which direction.
        direction: Direction,
        /// The position of the first one; may be one after the last rule, to add there.
        at: usize,
        /// How many rules go.
        remove: usize,
        /// What comes in their place.
        put: Vec<Rule>,
    },
    /// Adds a workload, or replaces the one of that name.
    PutWorkload(Workload),
    /// Removes a workload.
    RemoveWorkload(WorkloadName),
    /// Adds a namespace, or changes its labels. One without labels is to policy like one that is
    /// not there.
    PutNamespace(Namespace),
}

/// The inputs of a compile.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    pub(super) policies: BTreeMap<PolicyName, Policy>,
    pub(super) inventory: Inventory,
    /// The workloads that claim to be the host.
    hosts: BTreeSet<WorkloadName>,
}

/// How much of a policy may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything, or it came or went.
    Whole,
    /// The rules at these places, and whether there are any.
    Rules(BTreeSet<(Direction, usize)>),
}

/// What may have changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Touched {
    pub(super) policies: BTreeMap<PolicyName, Extent>,
    pub(super) workloads: BTreeSet<WorkloadName>,
    pub(super) namespaces: BTreeSet<String>,
}

impl Touched {
    fn policy(&mut self, name: &PolicyName) {
        self.policies.insert(name.clone(), Extent::Whole);
    }

    fn rules(&mut self, name: &PolicyName, places: impl IntoIterator<Item = (Direction, usize)>) {
        if !self.policies.contains_key(name) {
            self.policies.insert(name.clone(), Extent::Rules(BTreeSet::new()));
        }
        if let Some(Extent::Rules(touched)) = self.policies.get_mut(name) {
            touched.extend(places);
        }
    }
}

impl Sources {
    /// Those of `set`.
    pub(super) fn of(set: PolicySet) -> Self {
        let policies = set.policies.into_iter().map(|policy| (policy.name.clone(), policy));
        let hosts = set.inventory.workloads().filter(|workload| workload.host);
        Self {
            policies: policies.collect(),
            hosts: hosts.map(|workload| workload.name.clone()).collect(),
            inventory: set.inventory,
        }
    }

    /// All of it.
    pub(super) fn everything(&self) -> Touched {
        let policies = self.policies.keys().map(|name| (name.clone(), Extent::Whole));
        Touched {
            policies: policies.collect(),
            workloads: self.inventory.workloads().map(|one| one.name.clone()).collect(),
            namespaces: BTreeSet::new(),
        }
    }

    /// Applies a change, notes what it touches, and tells how to take it back.
    ///
    /// # Errors
    ///
    /// [`ChangeError`] if it cannot be applied; nothing is changed then.
    pub(super) fn apply(
        &mut self,
        change: Change,
        touched: &mut Touched,
    ) -> Result<Option<Change>, ChangeError> {
        match change {
            Change::PutPolicy(policy) => Ok(Some(self.put_policy(policy, touched))),
            Change::RemovePolicy(name) => Ok(self.policies.remove(&name).map(|policy| {
                touched.policy(&name);
                Change::PutPolicy(policy)
            })),
            Change::Rules { policy, direction, at, remove, put } => {
                self.splice(policy, direction, at, remove, put, touched).map(Some)
            }
            Change::PutWorkload(workload) => self.put_workload(workload, touched).map(Some),
            Change::RemoveWorkload(name) => {
                Ok(self.inventory.remove_workload(&name).map(|workload| {
                    self.hosts.remove(&name);
                    touched.workloads.insert(name);
                    Change::PutWorkload(workload)
                }))
            }
            Change::PutNamespace(namespace) => {
                let name = namespace.name().to_owned();
                let before = self.inventory.namespace(&name).cloned();
                self.inventory.add_namespace(namespace);
                touched.namespaces.insert(name.clone());
                let none = || Namespace::new(name, BTreeMap::new());
                Ok(Some(Change::PutNamespace(before.unwrap_or_else(none))))
            }
        }
    }

    /// Takes changes back, the last one first.
    pub(super) fn revert(&mut self, changes: Vec<Change>) {
        for change in changes.into_iter().rev() {
            let reverted = self.apply(change, &mut Touched::default());
            reverted.expect("what was there fits where it was");
        }
    }

    /// # Errors
    ///
    /// [`CompileError::TwoHosts`].
    pub(super) fn one_host(&self) -> Result<(), CompileError> {
        let mut hosts = self.hosts.iter().cloned();
        match (hosts.next(), hosts.next()) {
            (Some(first), Some(second)) => Err(CompileError::TwoHosts { first, second }),
            _ => Ok(()),
        }
    }

    fn put_policy(&mut self, policy: Policy, touched: &mut Touched) -> Change {
        let name = policy.name.clone();
        let Some(before) = self.policies.insert(name.clone(), policy) else {
            touched.policy(&name);
            return Change::RemovePolicy(name);
        };
        let after = &self.policies[&name];
        if is_about_the_same(&before, after) {
            for direction in [Direction::Ingress, Direction::Egress] {
                let (before, after) = (before.rules(direction), after.rules(direction));
                let places = 0..before.len().max(after.len());
                let changed = places.filter(|place| before.get(*place) != after.get(*place));
                touched.rules(&name, changed.map(|place| (direction, place)));
            }
        } else {
            touched.policy(&name);
        }
        Change::PutPolicy(before)
    }

    fn splice(
        &mut self,
        name: PolicyName,
        direction: Direction,
        at: usize,
        remove: usize,
        put: Vec<Rule>,
        touched: &mut Touched,
    ) -> Result<Change, ChangeError> {
        let Some(policy) = self.policies.get_mut(&name) else {
            return Err(ChangeError::NoSuchPolicy(name));
        };
        let rules = match direction {
            Direction::Ingress => &mut policy.ingress,
            Direction::Egress => &mut policy.egress,
        };
        let before = rules.len();
        let Some(end) = at.checked_add(remove).filter(|end| *end <= before) else {
            return Err(ChangeError::NoSuchRules { policy: name, direction, rules: before });
        };
        let new = put.len();
        let removed: Vec<Rule> = rules.splice(at..end, put).collect();
        // Where the number stays, so do the places after.
        let last = if new == remove { end } else { before.max(rules.len()) };
        touched.rules(&name, (at..last).map(|place| (direction, place)));
        Ok(Change::Rules { policy: name, direction, at, remove: new, put: removed })
    }

    fn put_workload(
        &mut self,
        workload: Workload,
        touched: &mut Touched,
    ) -> Result<Change, ChangeError> {
        let (name, host) = (workload.name.clone(), workload.host);
        let before = self.inventory.remove_workload(&name);
        if let Err(error) = self.inventory.add_workload(workload) {
            if let Some(before) = before {
                self.inventory.add_workload(before).expect("it was there");
            }
            return Err(error.into());
        }
        if host {
            self.hosts.insert(name.clone());
        } else {
            self.hosts.remove(&name);
        }
        touched.workloads.insert(name.clone());
        Ok(before.map_or(Change::RemoveWorkload(name), Change::PutWorkload))
    }
}

/// Whether two policies differ in their rules alone.
fn is_about_the_same(one: &Policy, other: &Policy) -> bool {
    let about = |policy: &Policy| {
        (policy.tier, policy.priority, policy.isolates_ingress, policy.isolates_egress)
    };
    about(one) == about(other)
        && one.subject_namespaces == other.subject_namespaces
        && one.subjects == other.subjects
}
