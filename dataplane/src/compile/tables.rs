//! The complete desired state: plain data, deterministic, diffable.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_common::abi::identity::{AddressEntry, endpoint};
use ringfence_common::abi::policy::{Direction, PolicyEntry, PolicyKey, forms};
use serde::{Deserialize, Serialize};

/// Everything a dataplane needs to know, for all workloads of the inventory, wherever they run.
/// A backend takes from it what concerns its host.
///
/// Numbers (identities, endpoints, rules) are made from what they stand for, so the same thing
/// has the same number in every generation, and a small change of policy is a small difference
/// of tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Identity number → what it stands for.
    pub identities: BTreeMap<u32, IdentityDescription>,
    /// Address of a workload → identity number. Asked before `prefixes`.
    pub addresses: BTreeMap<IpAddr, u32>,
    /// Prefix named by an `ipBlock` or its exceptions → identity of the addresses in it that no
    /// longer prefix and no workload has. Longest prefix wins; without any, the address is WORLD.
    pub prefixes: BTreeMap<IpNet, u32>,
    /// Protocol number → first ports of the classes after class 0 (see
    /// [`ringfence_common::abi::policy`]).
    pub classes: BTreeMap<u8, BTreeSet<u16>>,
    /// Endpoint number → the workload's one attachment.
    pub endpoints: BTreeMap<u32, EndpointDescription>,
    /// Subject number (an identity without address blocks) → which forms of keys it has.
    pub subjects: BTreeMap<u32, Subject>,
    /// The policy entries, precedence resolved: the first hit in the lookup order of
    /// [`ringfence_common::decide`] is the verdict.
    pub policy: BTreeMap<PolicyKey, PolicyEntry>,
    /// Rule number → what it stands for.
    pub rules: BTreeMap<u32, RuleDescription>,
}

/// What an identity number stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdentityDescription {
    /// Labels of the namespace that some policy reads; empty for plain addresses.
    pub namespace_labels: BTreeMap<String, String>,
    /// Labels of the workload that some policy reads.
    pub labels: BTreeMap<String, String>,
    /// Named ports that some policy names: `name/PROTOCOL=number`.
    pub ports: BTreeSet<String>,
    /// Address blocks of policy that the address is in, as written by `IpBlock`'s `Display`.
    pub blocks: BTreeSet<String>,
    /// Whether it is a workload's identity (else a prefix's).
    pub workload: bool,
}

/// A workload as an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointDescription {
    /// `namespace/name`.
    pub name: String,
    /// The subject number.
    pub subject: u32,
    /// Its addresses, sorted.
    pub addresses: Vec<IpAddr>,
    /// The interface its document names.
    pub interface: Option<String>,
    /// Whether it is the host itself; its endpoint number is then
    /// [`ringfence_common::abi::identity::endpoint::HOST`].
    pub host: bool,
}

/// What exists for a subject: bits of [`ringfence_common::abi::policy::forms`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// For ingress.
    pub ingress_forms: u8,
    /// For egress.
    pub egress_forms: u8,
}

/// What a rule number stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleDescription {
    /// `networkpolicy/shop/web ingress[0]`.
    pub name: String,
    /// `file:line` of the rule.
    pub origin: Option<String>,
}

impl Subject {
    /// The forms of one direction.
    #[must_use]
    pub const fn forms(&self, direction: Direction) -> u8 {
        match direction {
            Direction::Ingress => self.ingress_forms,
            Direction::Egress => self.egress_forms,
        }
    }
}

impl Subject {
    /// Sets the forms of one direction, which is enforced: those in use, and whether some policy
    /// isolates the subject.
    pub(super) fn set(&mut self, direction: Direction, used: u8, isolated: bool) {
        let isolated = if isolated { forms::ISOLATED } else { 0 };
        self.put(direction, used | forms::ENFORCED | isolated);
    }

    /// Puts the forms of one direction.
    pub(super) fn put(&mut self, direction: Direction, forms: u8) {
        match direction {
            Direction::Ingress => self.ingress_forms = forms,
            Direction::Egress => self.egress_forms = forms,
        }
    }
}

impl Tables {
    /// What a host needs whose endpoints are those of `local`: the policy of their subjects, and
    /// of everyone else only who they are. Numbers stay the same.
    #[must_use]
    pub fn for_host(&self, local: &BTreeSet<u32>) -> Self {
        let endpoints: BTreeMap<u32, EndpointDescription> = self
            .endpoints
            .iter()
            .filter(|(number, _)| local.contains(number))
            .map(|(number, endpoint)| (*number, endpoint.clone()))
            .collect();
        let subjects: BTreeSet<u32> = endpoints.values().map(|endpoint| endpoint.subject).collect();
        let policy: BTreeMap<PolicyKey, PolicyEntry> = self
            .policy
            .iter()
            .filter(|(key, _)| subjects.contains(&key.subject))
            .map(|(key, entry)| (*key, *entry))
            .collect();
        let rules: BTreeSet<u32> = policy.values().map(|entry| entry.rule).collect();
        let mut host = self.clone();
        host.endpoints = endpoints;
        host.policy = policy;
        host.subjects.retain(|number, _| subjects.contains(number));
        host.rules.retain(|number, _| rules.contains(number));
        host
    }

    /// Address → identity and endpoint, as the address maps hold it. Addresses of workloads that
    /// are not among `endpoints` have [`endpoint::NONE`].
    #[must_use]
    pub fn address_entries(&self) -> BTreeMap<IpAddr, AddressEntry> {
        let owners = self.endpoints.iter().flat_map(|(number, endpoint)| {
            endpoint.addresses.iter().map(move |address| (*address, *number))
        });
        let owners: BTreeMap<IpAddr, u32> = owners.collect();
        let entry = |(address, identity): (&IpAddr, &u32)| {
            let endpoint = owners.get(address).copied().unwrap_or(endpoint::NONE);
            (*address, AddressEntry { identity: *identity, endpoint })
        };
        self.addresses.iter().map(entry).collect()
    }
}
