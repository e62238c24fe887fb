//! What the policies read of workloads: everything else about them makes no difference.

use std::collections::BTreeSet;

use super::services;
use crate::model::{
    Direction, NAMESPACE_NAME_LABEL, NamespaceScope, Peer, Peers, Policy, Protocol, Selector,
};

/// The label keys and port names that some policy reads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reads<'a> {
    /// Keys of namespace labels.
    pub(super) namespace_keys: BTreeSet<&'a str>,
    /// Keys of workload labels.
    pub(super) keys: BTreeSet<&'a str>,
    /// Names of ports.
    pub(super) ports: BTreeSet<(Protocol, &'a str)>,
}

impl<'a> Reads<'a> {
    /// What `policies` read.
    pub(super) fn of(policies: &[&'a Policy]) -> Self {
        let mut reads = Self::default();
        for policy in policies {
            reads.workloads(&policy.subject_namespaces, &policy.subjects);
            for direction in [Direction::Ingress, Direction::Egress] {
                for rule in policy.rules(direction) {
                    reads.ports.extend(services::named(&rule.ports));
                    if let Peers::Any(peers) = &rule.peers {
                        reads.peers(peers);
                    }
                }
            }
        }
        reads
    }

    fn peers(&mut self, peers: &'a [Peer]) {
        for peer in peers {
            match peer {
                Peer::Workloads { namespaces, workloads } => self.workloads(namespaces, workloads),
                Peer::Block(_) => {}
            }
        }
    }

    fn workloads(&mut self, namespaces: &'a NamespaceScope, workloads: &'a Selector) {
        self.keys.extend(workloads.keys());
        match namespaces {
            NamespaceScope::Named(_) => _ = self.namespace_keys.insert(NAMESPACE_NAME_LABEL),
            NamespaceScope::Selected(selector) => self.namespace_keys.extend(selector.keys()),
        }
    }
}
