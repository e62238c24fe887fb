//! Who there is: workloads and addresses to identities.
//!
//! A *subject* is what policy can tell apart of a workload: the labels and named ports that some
//! policy reads. An *identity* is what policy can tell apart of an address: the subject that owns
//! it, if any, and the address blocks it is in. A workload's addresses may differ in their blocks
//! but never in their subject; the identity of an address in no block has the subject's number.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hashbrown::HashMap;
use ipnet::IpNet;
use ringfence_common::abi::identity::{endpoint, identity};

use super::CompileError;
use super::blocks::{BlockSet, Blocks};
use super::number::Hash;
use super::numbers::number;
use super::reads::Reads;
use super::tables::{EndpointDescription, IdentityDescription};
use crate::model::{Inventory, Labels, NAMESPACE_NAME_LABEL, Protocol, Workload};

/// Position in [`Identities::subjects`].
pub(super) type SubjectIndex = usize;

/// Position in [`Identities::peers`].
pub(super) type PeerIndex = usize;

/// Everyone policy can be about.
#[derive(Default)]
pub(super) struct Identities {
    /// The distinct subjects.
    pub(super) subjects: Vec<Subject>,
    /// The distinct identities of addresses, the plain WORLD not among them: all that the peers of
    /// a rule can single out.
    pub(super) peers: Vec<Peer>,
    /// For the tables.
    pub(super) described: BTreeMap<u32, IdentityDescription>,
    /// For the tables.
    pub(super) addresses: BTreeMap<IpAddr, u32>,
    /// For the tables.
    pub(super) prefixes: BTreeMap<IpNet, u32>,
    /// For the tables.
    pub(super) endpoints: BTreeMap<u32, EndpointDescription>,
}

/// What policy can tell apart of a workload.
pub(super) struct Subject {
    /// Its number.
    pub(super) number: u32,
    /// Its labels.
    pub(super) description: IdentityDescription,
    /// Its ports with names that some policy uses.
    pub(super) ports: BTreeSet<NamedPort>,
    /// The identities of the addresses of such workloads.
    pub(super) peers: Vec<PeerIndex>,
}

/// A named port that some policy names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NamedPort {
    pub(super) name: String,
    pub(super) protocol: Protocol,
    pub(super) number: u16,
}

impl NamedPort {
    /// Whether a rule for the port `name` of `protocol` is about this one.
    pub(super) fn is(&self, protocol: Protocol, name: &str) -> bool {
        self.protocol == protocol && self.name == name
    }
}

/// What policy can tell apart of an address.
pub(super) struct Peer {
    /// Its number.
    pub(super) number: u32,
    /// Whose it is; `None` for addresses of no workload.
    pub(super) subject: Option<SubjectIndex>,
    /// The blocks it is in.
    pub(super) blocks: BlockSet,
}

impl Identities {
    /// Tells apart what `reads` and `blocks` ask for.
    pub(super) fn of(
        inventory: &Inventory,
        reads: &Reads<'_>,
        blocks: &Blocks<'_>,
    ) -> Result<Self, CompileError> {
        let mut identities = Self::default();
        let owners = identities.add_subjects(inventory, reads);
        let mut kinds: BTreeSet<(Option<SubjectIndex>, BlockSet)> =
            (0..identities.subjects.len()).map(|subject| (Some(subject), 0)).collect();
        let prefixes = blocks.prefixes();
        kinds.extend(prefixes.values().filter(|set| **set != 0).map(|set| (None, *set)));
        let addresses: BTreeMap<IpAddr, (Option<SubjectIndex>, BlockSet)> = inventory
            .workloads()
            .zip(&owners)
            .flat_map(|(workload, subject)| workload.addresses.iter().map(move |a| (*a, *subject)))
            .map(|(address, subject)| (address, (Some(subject), blocks.around(address))))
            .collect();
        kinds.extend(addresses.values());
        let numbers = identities.number(kinds, blocks);

        let mut seen = BTreeSet::new();
        let prefixes = prefixes.into_iter().map(|(prefix, set)| (prefix, (None, set)));
        let prefixes: Vec<_> = prefixes.collect();
        for kind in addresses.values().chain(prefixes.iter().map(|(_, kind)| kind)) {
            if *kind != (None, 0) && seen.insert(*kind) {
                identities.add_peer(*kind, numbers[kind]);
            }
        }
        let number = |kind: (Option<SubjectIndex>, BlockSet)| match kind {
            (None, 0) => identity::WORLD,
            kind => numbers[&kind],
        };
        identities.addresses = addresses.into_iter().map(|(a, kind)| (a, number(kind))).collect();
        identities.prefixes = prefixes.into_iter().map(|(p, kind)| (p, number(kind))).collect();
        identities.add_endpoints(inventory, &owners)?;
        Ok(identities)
    }

    /// Finds the distinct subjects; returns that of every workload, in the inventory's order.
    fn add_subjects(&mut self, inventory: &Inventory, reads: &Reads<'_>) -> Vec<SubjectIndex> {
        let mut known: HashMap<(IdentityDescription, BTreeSet<NamedPort>), SubjectIndex> =
            HashMap::new();
        let mut owners = Vec::new();
        for workload in inventory.workloads() {
            let kind = describe(workload, inventory, reads);
            let subjects = &mut self.subjects;
            owners.push(*known.entry(kind).or_insert_with_key(|(description, ports)| {
                subjects.push(Subject {
                    number: 0,
                    description: description.clone(),
                    ports: ports.clone(),
                    peers: Vec::new(),
                });
                subjects.len() - 1
            }));
        }
        owners
    }

    /// Gives every kind of address its number, and every subject that of its addresses in no block.
    fn number(
        &mut self,
        kinds: BTreeSet<(Option<SubjectIndex>, BlockSet)>,
        blocks: &Blocks<'_>,
    ) -> BTreeMap<(Option<SubjectIndex>, BlockSet), u32> {
        let describe = |(subject, set): (Option<SubjectIndex>, BlockSet)| IdentityDescription {
            blocks: blocks.names(set),
            ..subject.map(|subject| self.subjects[subject].description.clone()).unwrap_or_default()
        };
        let descriptions: Vec<_> = kinds.iter().copied().map(describe).collect();
        let numbers = number("identity", &descriptions, feed);
        self.described = numbers.iter().copied().zip(descriptions).collect();
        let of_kind: BTreeMap<_, u32> = kinds.into_iter().zip(numbers).collect();
        for (index, subject) in self.subjects.iter_mut().enumerate() {
            subject.number = of_kind[&(Some(index), 0)];
        }
        of_kind
    }

    fn add_peer(&mut self, (subject, blocks): (Option<SubjectIndex>, BlockSet), number: u32) {
        if let Some(subject) = subject {
            self.subjects[subject].peers.push(self.peers.len());
        }
        self.peers.push(Peer { number, subject, blocks });
    }

    fn add_endpoints(
        &mut self,
        inventory: &Inventory,
        owners: &[SubjectIndex],
    ) -> Result<(), CompileError> {
        let mut hosts = inventory.workloads().filter(|workload| workload.host);
        if let (Some(first), Some(second)) = (hosts.next(), hosts.next()) {
            return Err(CompileError::TwoHosts {
                first: first.name.clone(),
                second: second.name.clone(),
            });
        }
        let numbered: Vec<_> =
            inventory.workloads().filter(|one| !one.host).map(|one| &one.name).collect();
        let mut numbers = number("endpoint", &numbered, |name, hash| {
            hash.text(&name.namespace);
            hash.text(&name.name);
        })
        .into_iter();
        for (workload, subject) in inventory.workloads().zip(owners) {
            let number = if workload.host { None } else { numbers.next() };
            let number = number.unwrap_or(endpoint::HOST);
            let description = EndpointDescription {
                name: workload.name.to_string(),
                subject: self.subjects[*subject].number,
                addresses: workload.addresses.clone(),
                interface: workload.interface.clone(),
                host: workload.host,
            };
            self.endpoints.insert(number, description);
        }
        Ok(())
    }
}

/// What policy can tell apart of `workload`.
pub(super) fn describe(
    workload: &Workload,
    inventory: &Inventory,
    reads: &Reads<'_>,
) -> (IdentityDescription, BTreeSet<NamedPort>) {
    let namespace = &workload.name.namespace;
    let namespace_labels = match inventory.namespace(namespace) {
        Some(namespace) => read(namespace.labels(), &reads.namespace_keys),
        // The inventory makes every workload's namespace; without one, its name is all there is.
        None => read(
            &Labels::from([(NAMESPACE_NAME_LABEL.to_owned(), namespace.clone())]),
            &reads.namespace_keys,
        ),
    };
    let ports: BTreeSet<NamedPort> = workload
        .ports
        .iter()
        .filter(|port| reads.ports.contains(&(port.protocol, port.name.as_str())))
        .map(|port| NamedPort {
            name: port.name.clone(),
            protocol: port.protocol,
            number: port.port,
        })
        .collect();
    let description = IdentityDescription {
        namespace_labels,
        labels: read(&workload.labels, &reads.keys),
        ports: ports.iter().map(|p| format!("{}/{}={}", p.name, p.protocol, p.number)).collect(),
        blocks: BTreeSet::new(),
        workload: true,
    };
    (description, ports)
}

/// The labels whose keys are among `keys`.
fn read(labels: &Labels, keys: &BTreeSet<&str>) -> Labels {
    labels
        .iter()
        .filter(|(key, _)| keys.contains(key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Everything a description says, in an order of its own.
pub(super) fn feed(description: &IdentityDescription, hash: &mut Hash) {
    let IdentityDescription { namespace_labels, labels, ports, blocks, workload } = description;
    hash.count(usize::from(*workload));
    for labels in [namespace_labels, labels] {
        hash.count(labels.len());
        for (key, value) in labels {
            hash.text(key);
            hash.text(value);
        }
    }
    for texts in [ports, blocks] {
        hash.count(texts.len());
        for text in texts {
            hash.text(text);
        }
    }
}
