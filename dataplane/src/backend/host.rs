//! One host's share of the tables, as the programs ask for it.

pub mod difference;
pub mod one_store;
pub mod reach;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_common::abi::config::{Attachment, AttachmentKey, Config, flags};
use ringfence_common::abi::identity::{AddressEntry, endpoint, identity};
use ringfence_common::abi::policy::{Endpoint, PolicyEntry, PolicyKey};
use ringfence_common::abi::table::{LENGTHS, Station};

use crate::compile::{EndpointDescription, Tables};

/// What is where on this host: found by looking at the host, not by reading policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Endpoint number → the interface it sits behind, for the endpoints that are on this host.
    /// [`endpoint::HOST`] needs no interface and is always here.
    pub interfaces: BTreeMap<u32, u32>,
    /// What each hook checks.
    pub attachments: BTreeMap<AttachmentKey, Attachment>,
    /// The host's own addresses, beside those its workload document names.
    pub host_addresses: BTreeSet<IpAddr>,
}

/// Everything that a dataplane on one host looks up: the desired content of one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostTables {
    /// The generation's configuration.
    pub config: Config,
    /// What each hook checks.
    pub attachments: BTreeMap<AttachmentKey, Attachment>,
    /// The endpoints on this host.
    pub endpoints: BTreeMap<u32, Endpoint>,
    /// Single addresses, of this host's endpoints and of workloads elsewhere.
    pub addresses: BTreeMap<IpAddr, AddressEntry>,
    /// Prefixes that policy names → identity.
    pub prefixes: BTreeMap<IpNet, u32>,
    /// Protocol number → first ports of the classes after class 0.
    pub classes: BTreeMap<u8, BTreeSet<u16>>,
    /// Policy of the endpoints on this host.
    pub policy: BTreeMap<PolicyKey, PolicyEntry>,
}

impl HostTables {
    /// How many entries there are, the configuration aside.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.attachments.len()
            + self.endpoints.len()
            + self.addresses.len()
            + self.prefixes.len()
            + self.classes.len()
            + self.policy.len()
    }

    /// What the short way is told at each hook.
    #[must_use]
    pub fn stations(&self) -> BTreeMap<AttachmentKey, Station> {
        let mut addresses: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        for (address, entry) in &self.addresses {
            if let IpAddr::V4(address) = address {
                let of = addresses.entry(entry.endpoint).or_default();
                of.push((address.to_bits(), entry.identity));
            }
        }
        let station = |(key, attachment): (&AttachmentKey, &Attachment)| {
            let mut station = Station { attachment: *attachment, ..Station::default() };
            if let Some(endpoint) = self.endpoints.get(&attachment.endpoint) {
                station.endpoint = Endpoint { ifindex: 0, ..*endpoint };
                if let Some([(address, identity)]) =
                    addresses.get(&attachment.endpoint).map(Vec::as_slice)
                {
                    (station.address, station.identity) = (*address, *identity);
                }
            }
            (*key, station)
        };
        self.attachments.iter().map(station).collect()
    }

    /// Takes from `tables` what concerns the host that `placement` describes. The flags of
    /// `config` that say where prefixes lie are set here, whatever they were. A prefix of full
    /// length is an address, unless a workload has it: addresses are asked first, and it is the
    /// longest prefix there can be.
    #[must_use]
    pub fn new(tables: &Tables, placement: &Placement, config: Config) -> Self {
        let mut local: BTreeSet<u32> = placement.interfaces.keys().copied().collect();
        local.insert(endpoint::HOST);
        let tables = tables.for_host(&local);
        let mut addresses = addresses(&tables, &placement.host_addresses);
        let mut prefixes = tables.prefixes.clone();
        prefixes.retain(|prefix, identity| {
            let is_prefix = prefix.prefix_len() < prefix.max_prefix_len();
            if !is_prefix {
                let entry = AddressEntry { identity: *identity, endpoint: endpoint::NONE };
                addresses.entry(prefix.addr()).or_insert(entry);
            }
            is_prefix
        });
        Self {
            config: with_trie_flags(config, &prefixes),
            attachments: placement.attachments.clone(),
            endpoints: endpoints(&tables, placement),
            addresses,
            prefixes,
            classes: tables.classes,
            policy: tables.policy,
        }
    }
}

fn endpoints(tables: &Tables, placement: &Placement) -> BTreeMap<u32, Endpoint> {
    let endpoint_of = |(number, described): (&u32, &EndpointDescription)| {
        // A subject without forms is isolated in neither direction.
        let subject = tables.subjects.get(&described.subject).copied().unwrap_or_default();
        let endpoint = Endpoint {
            subject: described.subject,
            // The host has several interfaces, so none.
            ifindex: placement.interfaces.get(number).copied().unwrap_or(0),
            ingress_forms: subject.ingress_forms,
            egress_forms: subject.egress_forms,
            ..Endpoint::default()
        };
        (*number, endpoint)
    };
    let mut endpoints: BTreeMap<u32, Endpoint> = tables.endpoints.iter().map(endpoint_of).collect();
    // A host that no document describes is an endpoint all the same; no policy selects it.
    let undescribed = Endpoint { subject: identity::HOST, ..Endpoint::default() };
    endpoints.entry(endpoint::HOST).or_insert(undescribed);
    endpoints
}

/// Who has which address. What the documents say about one comes before what the host's interfaces say. The
/// host's addresses that no document names are matched by address like any other (semantics 1);
/// where no block of policy has them, they are the host.
pub(super) fn addresses(
    tables: &Tables,
    host_addresses: &BTreeSet<IpAddr>,
) -> BTreeMap<IpAddr, AddressEntry> {
    let mut addresses = tables.address_entries();
    let described = tables.endpoints.get(&endpoint::HOST).and_then(|host| host.addresses.first());
    let host = described.map_or(identity::HOST, |address| tables.identity_of(*address));
    for address in host_addresses {
        let identity = match tables.identity_of(*address) {
            identity::WORLD => host,
            known => known,
        };
        let of_host = AddressEntry { identity, endpoint: endpoint::HOST };
        addresses.entry(*address).or_insert(of_host);
    }
    addresses
}

/// Says of which family the prefixes have too many lengths for the tables.
pub(super) fn with_trie_flags(mut config: Config, prefixes: &BTreeMap<IpNet, u32>) -> Config {
    config.flags &= !(flags::TRIE_V4 | flags::TRIE_V6);
    let (v4, v6): (BTreeSet<_>, BTreeSet<_>) = prefixes
        .keys()
        .map(|prefix| (prefix.addr().is_ipv4(), prefix.prefix_len()))
        .partition(|(is_v4, _)| *is_v4);
    for (lengths, flag) in [(v4, flags::TRIE_V4), (v6, flags::TRIE_V6)] {
        if lengths.len() > LENGTHS {
            config.flags |= flag;
        }
    }
    config
}
