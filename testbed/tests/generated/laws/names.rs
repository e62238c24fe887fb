//! Names mean nothing but that two things have the same one; and what is about nobody changes
//! nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ringfence_dataplane::model::{
    Inventory, Labels, NAMESPACE_NAME_LABEL, Namespace, NamespaceScope, Operator, Peer, Peers,
    PolicySet, Requirement, Rule, Selector,
};

use super::{CASES, Law, compare, flows, hold};
use crate::policies::{self, Kind};
use crate::runs;

proptest! {
    #![proptest_config(runs::config(CASES))]

    /// Another word for every key and value, turned about in their order too.
    #[test]
    fn labels_under_other_names(set in policies::policy_set(Kind::Everything), seed: u64) {
        hold(Law::Same, &set, &renamed(&set), seed)?;
    }

    #[test]
    fn a_policy_that_selects_nobody(
        set in policies::policy_set(Kind::Everything),
        policy in policies::policy(Kind::Everything),
        seed: u64,
    ) {
        let mut more = set.clone();
        let nobody = Requirement { key: "nobody-has".into(), operator: Operator::Exists };
        let subjects = Selector::new(policy.subjects.requirements().cloned().chain([nobody]));
        more.policies.push(ringfence_dataplane::model::Policy { subjects, ..policy });
        hold(Law::Same, &set, &more, seed)?;
    }

    /// A peer nobody is, beside others.
    #[test]
    fn a_peer_that_is_nobody(set in policies::policy_set(Kind::Everything), seed: u64) {
        let mut more = set.clone();
        let nobody = Requirement { key: "nobody-has".into(), operator: Operator::Exists };
        for rule in more.policies.iter_mut().flat_map(|p| p.ingress.iter_mut().chain(&mut p.egress))
        {
            if let Peers::Any(peers) = &mut rule.peers {
                peers.push(Peer::Workloads {
                    namespaces: NamespaceScope::Selected(Selector::everything()),
                    workloads: Selector::new([nobody.clone()]),
                });
            }
        }
        prop_assume!(more != set);
        hold(Law::Same, &set, &more, seed)?;
    }

    /// Whoever comes is nobody's business but his own.
    #[test]
    fn a_workload_that_comes(
        set in policies::policy_set(Kind::Everything),
        mut workload in policies::workload(),
        seed: u64,
    ) {
        workload.addresses = vec!["10.9.9.9".parse().unwrap(), "2001:db8:9::9".parse().unwrap()];
        let flows = flows(&[&set], seed);
        let mut more = set.clone();
        more.inventory.add_workload(workload.clone()).unwrap();
        let about_others = |flow: &&ringfence_dataplane::oracle::Flow| {
            ![flow.source, flow.destination].iter().any(|end| workload.addresses.contains(end))
        };
        let flows: Vec<_> = flows.iter().filter(about_others).copied().collect();
        compare(Law::Same, &set, &more, &flows)?;
    }
}

/// The same set in other words. Sorting differs, so what depends on the order of names shows.
fn renamed(set: &PolicySet) -> PolicySet {
    let mut renamed = set.clone();
    for policy in &mut renamed.policies {
        policy.subjects = selector(&policy.subjects, false);
        policy.subject_namespaces = scope(&policy.subject_namespaces);
        for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
            rule_in_other_words(rule);
        }
    }
    renamed.inventory = Inventory::default();
    for namespace in set.inventory.namespaces() {
        let mut labels = labels(namespace.labels(), true);
        labels.remove(NAMESPACE_NAME_LABEL);
        renamed.inventory.add_namespace(Namespace::new(namespace.name(), labels));
    }
    for workload in set.inventory.workloads() {
        let labels = labels(&workload.labels, false);
        let workload = ringfence_dataplane::model::Workload { labels, ..workload.clone() };
        renamed.inventory.add_workload(workload).expect("only labels are others");
    }
    renamed
}

fn rule_in_other_words(rule: &mut Rule) {
    let Peers::Any(peers) = &mut rule.peers else { return };
    for peer in peers {
        if let Peer::Workloads { namespaces, workloads } = peer {
            *namespaces = scope(namespaces);
            *workloads = selector(workloads, false);
        }
    }
}

fn scope(of: &NamespaceScope) -> NamespaceScope {
    match of {
        NamespaceScope::Named(name) => NamespaceScope::Named(name.clone()),
        NamespaceScope::Selected(of) => NamespaceScope::Selected(selector(of, true)),
    }
}

/// `of_namespaces` keep the key of their names, and those names as its values.
fn selector(of: &Selector, of_namespaces: bool) -> Selector {
    let requirement = |one: &Requirement| {
        let values = |values: &std::collections::BTreeSet<String>| {
            values.iter().map(|value| word(&one.key, value, of_namespaces)).collect()
        };
        let operator = match &one.operator {
            Operator::In(of) => Operator::In(values(of)),
            Operator::NotIn(of) => Operator::NotIn(values(of)),
            Operator::Exists => Operator::Exists,
            Operator::DoesNotExist => Operator::DoesNotExist,
        };
        Requirement { key: key(&one.key, of_namespaces), operator }
    };
    Selector::new(of.requirements().map(requirement))
}

fn labels(of: &Labels, of_namespaces: bool) -> Labels {
    let pairs: BTreeMap<String, String> = of
        .iter()
        .map(|(name, value)| (key(name, of_namespaces), word(name, value, of_namespaces)))
        .collect();
    pairs
}

fn key(key: &str, of_namespaces: bool) -> String {
    match (of_namespaces, key) {
        (true, NAMESPACE_NAME_LABEL) => key.to_owned(),
        _ => key.chars().rev().collect(),
    }
}

fn word(key: &str, value: &str, of_namespaces: bool) -> String {
    match (of_namespaces, key) {
        (true, NAMESPACE_NAME_LABEL) => value.to_owned(),
        _ => value.chars().rev().collect(),
    }
}
