//! Namespaces, pods and policy documents together.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_dataplane::document::{
    self, Code, Diagnostic, DocumentKind, Input, Options, Validation,
};
use ringfence_dataplane::model::{
    Failsafe, Inventory, InventoryError, Labels, Namespace, PolicySet, WorkloadName,
};
use serde_saphyr::Location;

use super::Place;
use super::pods::Pod;
use super::walk::Walk;

/// What all policies of a case are joined with.
pub struct Cluster<'c> {
    namespaces: &'c BTreeMap<String, Stated>,
    pods: &'c [Pod],
    default_namespace: &'c str,
    failsafe: &'c Failsafe,
    /// Whether the pods contradict each other; that has been said.
    contradicts: bool,
}

/// What `namespaces` says of one of them.
#[derive(Clone, Debug)]
pub struct Stated {
    /// Where its name stands.
    pub place: Place,
    /// Its labels; where it has none at all, a Namespace document may give them.
    pub labels: Option<Labels>,
}

/// Whose word holds where `namespaces` and a Namespace document differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differing {
    /// Nobody's: they describe one moment.
    Wrong,
    /// The document's, which comes later.
    DocumentHolds,
}

/// What documents say.
struct Read {
    set: PolicySet,
    /// The namespaces that have documents.
    namespaces: BTreeSet<String>,
}

impl<'c> Cluster<'c> {
    /// Says so where pods share a name or an address.
    pub fn new(
        walk: &mut Walk,
        namespaces: &'c BTreeMap<String, Stated>,
        pods: &'c [Pod],
        default_namespace: &'c str,
        failsafe: &'c Failsafe,
    ) -> Self {
        let mut cluster =
            Self { namespaces, pods, default_namespace, failsafe, contradicts: false };
        cluster.contradicts = cluster.add_pods(walk, &mut Inventory::default());
        cluster
    }

    /// The policies of `documents`, which stand at `at`, about this cluster.
    pub fn join(
        &self,
        walk: &mut Walk,
        at: Location,
        documents: &str,
        differing: Differing,
    ) -> Option<PolicySet> {
        let Read { mut set, namespaces } = self.read(walk, at, documents)?;
        self.add_namespaces(walk, &mut set.inventory, &namespaces, differing);
        let hosts: Vec<_> = set.inventory.workloads().filter(|one| one.host).collect();
        if let [first, second, ..] = hosts.as_slice() {
            walk.error(at, two_hosts(&first.name, &second.name));
            return None;
        }
        self.add_pods(walk, &mut set.inventory);
        self.failsafe.add_to(&mut set);
        Some(set)
    }

    fn read(&self, walk: &mut Walk, at: Location, documents: &str) -> Option<Read> {
        let name = format!("{} (from line {})", walk.place(at).file, at.line());
        let input = Input::Text { name, text: documents.to_owned() };
        let options = Options {
            validation: Validation::Strict,
            default_namespace: self.default_namespace.to_owned(),
        };
        let mut report = document::read(&[input], options);
        // Whom policies select is known only with the pods.
        let idle = [Code::IdlePolicy, Code::IdlePeer, Code::IdlePortName];
        report.diagnostics.retain(|found| !idle.contains(&found.code));
        // The way out is a flag of verbs that read documents themselves.
        let unknown = |found: &&mut Diagnostic| found.code == Code::UnknownKind;
        for found in report.diagnostics.iter_mut().filter(unknown) {
            found.help = found.help.take().filter(|help| !help.contains("--validate"));
        }
        if report.policies.is_none() {
            // No policy at all is a situation like any other.
            if report.diagnostics.iter().all(|found| found.code == Code::NothingToRead) {
                return Some(Read { set: PolicySet::default(), namespaces: BTreeSet::new() });
            }
            walk.documents_error(at, report.render(false));
        } else {
            walk.documents_warning(at, &report);
        }
        let documents = report.documents.iter();
        let namespaces = documents.filter(|document| document.kind == DocumentKind::Namespace);
        let namespaces = namespaces.map(|document| document.name.clone()).collect();
        Some(Read { namespaces, set: report.policies? })
    }

    /// Adds namespaces to what documents describe; those `documented` are there already.
    fn add_namespaces(
        &self,
        walk: &mut Walk,
        inventory: &mut Inventory,
        documented: &BTreeSet<String>,
        differing: Differing,
    ) {
        for (name, Stated { place, labels }) in self.namespaces {
            let stated = Namespace::new(name.clone(), labels.clone().unwrap_or_default());
            if !documented.contains(name) {
                inventory.add_namespace(stated);
                continue;
            }
            let differs = labels.is_some() && inventory.namespace(name) != Some(&stated);
            if differs && differing == Differing::Wrong {
                let message = format!(
                    "namespace `{name}` has other labels here than in its Namespace document; \
                     leave out one of the two"
                );
                walk.error_at(place.clone(), message);
            }
        }
    }

    /// Adds pods to what documents describe; whether something contradicts.
    fn add_pods(&self, walk: &mut Walk, inventory: &mut Inventory) -> bool {
        let hosts = inventory.workloads().filter(|one| one.host);
        let mut host = hosts.map(|host| host.name.clone()).next();
        let mut contradicts = false;
        for pod in self.pods {
            let fault = match (&host, inventory.add_workload(pod.workload())) {
                (Some(first), Ok(())) if pod.host => two_hosts(first, &pod.name),
                (_, Ok(())) => {
                    host = host.or_else(|| pod.host.then(|| pod.name.clone()));
                    continue;
                }
                (_, Err(error @ InventoryError::AddressTaken { .. })) => {
                    format!("{error}; give each its own address")
                }
                (_, Err(error)) => format!("{error}; give one of them another name"),
            };
            contradicts = true;
            if !self.contradicts {
                walk.error_at(pod.place.clone(), fault);
            }
        }
        contradicts
    }
}

fn two_hosts(first: &WorkloadName, second: &WorkloadName) -> String {
    format!("`{first}` and `{second}` both are the host; there is one")
}
