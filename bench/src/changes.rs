//! What changes in a policy set: for measuring compilers and backends that follow changes.

use std::net::{IpAddr, Ipv4Addr};

use ringfence_dataplane::compile::Change;
use ringfence_dataplane::model::{
    Action, Direction, IpBlock, Peer, Peers, Policy, PolicySet, PortMatch, PortRange, Ports,
    Protocol, Rule, Workload,
};

use crate::workload::{cluster, server_set};

/// A policy set, and what is to change in it.
pub struct Subject {
    /// Its name.
    pub name: &'static str,
    /// The set.
    pub set: PolicySet,
    /// The policy whose rules change: the one in the middle.
    policy: usize,
    /// The workload that changes.
    workload: Workload,
    /// A TCP port that some rule is about.
    port: u16,
}

/// A change that is made and undone in turn, and how many map entries either touches.
pub struct Swing {
    /// Its name.
    pub name: &'static str,
    /// There.
    pub there: Change,
    /// And back.
    pub back: Change,
    /// Entries of kernel maps that either touches.
    pub entries: usize,
}

impl Subject {
    /// So many rules, rounded up to whole groups: six for each workload of a cluster, by label, in a policy of its own.
    ///
    /// # Panics
    ///
    /// When there are no rules.
    #[must_use]
    pub fn cluster(rules: usize) -> Self {
        // Groups are of ten, so that the one in the middle is complete.
        Self::of("cluster", cluster(rules.div_ceil(60) * 10), 81)
    }

    /// So many rules for one workload in one policy, one for each address of a list.
    ///
    /// # Panics
    ///
    /// Never: the server is a workload and has a policy, however few its rules are.
    #[must_use]
    pub fn address_list(rules: usize) -> Self {
        Self::of("address-list", server_set(rules), 443)
    }

    fn of(name: &'static str, set: PolicySet, port: u16) -> Self {
        let policy = set.policies.len() / 2;
        let workloads: Vec<&Workload> = set.inventory.workloads().collect();
        let workload = workloads[workloads.len() / 2].clone();
        Self { name, set, policy, workload, port }
    }

    /// One rule, one label and one address that change. An address list is about one workload, so
    /// its label changes everything, and is left out.
    #[must_use]
    pub fn swings(&self) -> Vec<Swing> {
        let mut swings = vec![self.rule_added(), self.port_changed(), self.address_changed()];
        if self.set.policies.len() > 1 {
            swings.push(self.policy_put());
            swings.push(self.label_changed());
        }
        swings
    }

    fn policy(&self) -> &Policy {
        &self.set.policies[self.policy]
    }

    fn rules(&self, at: usize, remove: usize, put: Vec<Rule>) -> Change {
        let policy = self.policy().name.clone();
        Change::Rules { policy, direction: Direction::Ingress, at, remove, put }
    }

    /// A rule for an address that no other is about: its prefix and its entry.
    fn rule_added(&self) -> Swing {
        let last = self.policy().ingress.len();
        Swing {
            name: "rule-added-or-removed",
            there: self.rules(last, 0, vec![stranger(self.port)]),
            back: self.rules(last, 1, Vec::new()),
            entries: 2,
        }
    }

    /// The same as a whole policy, as a watcher of documents has it.
    fn policy_put(&self) -> Swing {
        let mut with = self.policy().clone();
        with.ingress.push(stranger(self.port));
        Swing {
            name: "policy-put",
            there: Change::PutPolicy(with),
            back: Change::PutPolicy(self.policy().clone()),
            entries: 2,
        }
    }

    /// A rule in the middle goes from one port that no other rule has to the next: the classes of
    /// TCP, an entry that comes and one that goes.
    fn port_changed(&self) -> Swing {
        let at = self.policy().ingress.len() / 2;
        let with = |port| {
            let mut rule = self.policy().ingress[at].clone();
            rule.ports = Ports::Any(vec![tcp(port)]);
            self.rules(at, 1, vec![rule])
        };
        Swing { name: "port-changed", there: with(20_000), back: with(30_000), entries: 3 }
    }

    /// A workload gets another address: one comes, one goes, and so does its endpoint.
    fn address_changed(&self) -> Swing {
        let mut moved = self.workload.clone();
        moved.addresses = vec![IpAddr::V4(Ipv4Addr::new(10, 255, 255, 1))];
        Swing {
            name: "address-changed",
            there: Change::PutWorkload(moved),
            back: Change::PutWorkload(self.workload.clone()),
            entries: 3,
        }
    }

    /// A workload loses the label that its policy and six rules are about: its address, its
    /// endpoint, twelve entries of its own and twelve of the others.
    fn label_changed(&self) -> Swing {
        let mut renamed = self.workload.clone();
        renamed.labels.insert("name".to_owned(), "another".to_owned());
        Swing {
            name: "label-changed",
            there: Change::PutWorkload(renamed),
            back: Change::PutWorkload(self.workload.clone()),
            entries: 26,
        }
    }
}

fn stranger(port: u16) -> Rule {
    let address = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
    let block = IpBlock::new(address.into(), Vec::new()).expect("it has no exception");
    Rule {
        action: Action::Allow,
        peers: Peers::Any(vec![Peer::Block(block)]),
        ports: Ports::Any(vec![tcp(port)]),
        origin: None,
    }
}

fn tcp(port: u16) -> PortMatch {
    PortMatch::Range(Protocol::Tcp, PortRange::single(port))
}
