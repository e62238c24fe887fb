//! Namespaces, pods and policy documents together.

use std::collections::BTreeMap;

use ringfence_dataplane::document::{self, Code, Input, Options, Validation};
use ringfence_dataplane::model::{Inventory, InventoryError, Labels, Namespace, PolicySet};
use serde_saphyr::Location;

use super::pods::Pod;
use super::walk::Walk;

/// What all policies of a case are joined with.
pub struct Cluster<'c> {
    namespaces: &'c BTreeMap<String, Labels>,
    pods: &'c [Pod],
    default_namespace: &'c str,
    /// Whether the pods contradict each other; that has been said.
    contradicts: bool,
}

impl<'c> Cluster<'c> {
    /// Says so where pods share a name or an address.
    pub fn new(
        walk: &mut Walk,
        namespaces: &'c BTreeMap<String, Labels>,
        pods: &'c [Pod],
        default_namespace: &'c str,
    ) -> Self {
        let mut cluster = Self { namespaces, pods, default_namespace, contradicts: false };
        cluster.contradicts = cluster.add_to(walk, &mut Inventory::default());
        cluster
    }

    /// The policies of `documents`, which stand at `at`, about this cluster.
    pub fn join(&self, walk: &mut Walk, at: Location, documents: &str) -> Option<PolicySet> {
        let mut set = self.read(walk, at, documents)?;
        self.add_to(walk, &mut set.inventory);
        Some(set)
    }

    fn read(&self, walk: &mut Walk, at: Location, documents: &str) -> Option<PolicySet> {
        let name = format!("{} (from line {})", walk.place(at).file, at.line());
        let input = Input::Text { name, text: documents.to_owned() };
        let options = Options {
            validation: Validation::Strict,
            default_namespace: self.default_namespace.to_owned(),
        };
        let report = document::read(&[input], options);
        if report.policies.is_none() {
            // No policy at all is a situation like any other.
            if report.diagnostics.iter().all(|found| found.code == Code::NothingToRead) {
                return Some(PolicySet::default());
            }
            walk.documents_error(at, report.render(false));
        }
        report.policies
    }

    /// Adds namespaces and pods to what documents describe; whether something contradicts.
    fn add_to(&self, walk: &mut Walk, inventory: &mut Inventory) -> bool {
        for (name, labels) in self.namespaces {
            inventory.add_namespace(Namespace::new(name.clone(), labels.clone()));
        }
        let mut contradicts = false;
        for pod in self.pods {
            let Err(error) = inventory.add_workload(pod.workload()) else { continue };
            contradicts = true;
            if self.contradicts {
                continue;
            }
            let way_out = match error {
                InventoryError::AddressTaken { .. } => "give each its own address",
                _ => "give one of them another name",
            };
            walk.error_at(pod.place.clone(), format!("{error}; {way_out}"));
        }
        contradicts
    }
}
