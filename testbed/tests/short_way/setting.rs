//! The host on which all copies decide: eight workloads behind seven interfaces, itself managed, an
//! uplink; and the policies that replace each other there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ringfence_common::abi::config::{Attachment, AttachmentKey, Config, Hook, essential};
use ringfence_common::abi::identity::{AddressBytes, AddressEntry, endpoint, identity};
use ringfence_common::abi::policy::{Endpoint, PolicyEntry, PolicyKey, class_table};
use ringfence_common::abi::table::Station;
use ringfence_common::decide;
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::{Arrival, Desired, Interface, Mode, Role, Settings};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_dataplane::model::PolicySet;

const DOCUMENTS: &str = include_str!("../../manifests/agreement/policies.yaml");

/// Which workloads are behind which interface.
const INTERFACES: [(u32, &[&str]); 7] = [
    (3, &["shop/web"]),
    (4, &["shop/api"]),
    (5, &["shop/db"]),
    (6, &["shop/cache", "shop/sidecar"]),
    (7, &["ops/monitor"]),
    (8, &["ops/open"]),
    (9, &["ops/locked"]),
];

pub const UPLINK: u32 = 10;
pub const SPARE: u32 = 11;

/// Sets of policies: all; without two of them; all isolated as before, but web and db let nobody
/// in; none at all.
pub const POLICIES: usize = 4;

/// What is to be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// One of [`POLICIES`].
    pub policies: usize,
    pub mode: Mode,
    pub keep_established: bool,
    pub essential: u32,
    pub pick_up_seconds: u32,
}

impl Change {
    /// All policies, enforced, and the defaults of everything else.
    pub const PLAIN: Self = Self {
        policies: 0,
        mode: Mode::Enforce,
        keep_established: false,
        essential: essential::ALL,
        pick_up_seconds: 0,
    };
}

/// The compiled policies.
pub struct Setting {
    tables: [Tables; POLICIES],
}

impl Setting {
    pub fn new() -> Self {
        Self { tables: policies().map(|set| compile(&set).expect("the policies compile")) }
    }

    /// What is looked up after `change`, the apply number `generation`, at `now`, by packets that
    /// are seen at `arrival` where they come in.
    pub fn tables(
        &self,
        change: &Change,
        arrival: Arrival,
        generation: u32,
        now: u32,
    ) -> HostTables {
        let tables = &self.tables[change.policies];
        let number_of = |name: &&str| {
            let mut endpoints = tables.endpoints.iter();
            *endpoints.find(|(_, one)| one.name == **name).expect("the workload is described").0
        };
        let workloads = INTERFACES.iter().map(|(index, names)| Interface {
            index: *index,
            name: format!("workload{index}"),
            role: Role::Workload,
            endpoints: names.iter().map(number_of).collect(),
            arrival,
        });
        let uplink = Interface {
            index: UPLINK,
            name: "uplink".to_owned(),
            role: Role::Uplink,
            endpoints: BTreeSet::from([endpoint::HOST]),
            arrival,
        };
        let interfaces: Vec<Interface> = workloads.chain([uplink]).collect();
        let local = interfaces.iter().flat_map(|one| one.endpoints.iter().copied()).collect();
        let desired = Desired {
            tables: tables.for_host(&local),
            interfaces,
            host_addresses: ["10.0.0.253", "fd00::fd"].map(address).into(),
            mode: change.mode,
            settings: Settings {
                report: 0,
                pick_up_seconds: change.pick_up_seconds,
                essential: change.essential,
                keep_established: change.keep_established,
                ..Settings::default()
            },
        };
        desired.host_tables(desired.config(generation, now, 0))
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("tests write addresses that parse")
}

fn policies() -> [PolicySet; POLICIES] {
    let input = Input::Text { name: "policies.yaml".to_owned(), text: DOCUMENTS.to_owned() };
    let report = document::read(&[input], Validation::Strict);
    let Some(all) = report.policies.clone() else { panic!("{}", report.render(false)) };
    let (mut fewer, mut closed, mut none) = (all.clone(), all.clone(), all.clone());
    fewer.policies.retain(|policy| !["api", "cache"].contains(&policy.name.name.as_str()));
    for policy in &mut closed.policies {
        if ["web", "db"].contains(&policy.name.name.as_str()) {
            policy.ingress.clear();
        }
    }
    none.policies.clear();
    [all, fewer, closed, none]
}

/// Tables that are looked up without any art.
pub struct Plain {
    pub tables: HostTables,
    /// What the short way is told and the full one looks up.
    pub stations: BTreeMap<AttachmentKey, Station>,
    pub epoch: u32,
}

impl Plain {
    pub fn new(tables: HostTables) -> Self {
        let stations = tables.stations();
        Self { tables, stations, epoch: 0 }
    }
}

impl decide::Tables for Plain {
    fn epoch(&self) -> u32 {
        self.epoch
    }

    fn config(&self) -> Option<&Config> {
        Some(&self.tables.config)
    }

    fn attachment(&self, ifindex: u32, hook: Hook) -> Option<Attachment> {
        self.tables.attachments.get(&AttachmentKey { ifindex, hook: hook as u32 }).copied()
    }

    fn station(&self, ifindex: u32, hook: Hook) -> Option<Station> {
        self.stations.get(&AttachmentKey { ifindex, hook: hook as u32 }).copied()
    }

    fn address(&self, _: &Config, family: u8, address: &AddressBytes) -> AddressEntry {
        let address = match (family, *address) {
            (4, [.., a, b, c, d]) => IpAddr::from([a, b, c, d]),
            (_, bytes) => IpAddr::from(bytes),
        };
        if let Some(known) = self.tables.addresses.get(&address) {
            return *known;
        }
        let around = self.tables.prefixes.iter().filter(|(prefix, _)| prefix.contains(&address));
        let longest = around.max_by_key(|(prefix, _)| prefix.prefix_len());
        let identity = longest.map_or(identity::WORLD, |(_, identity)| *identity);
        AddressEntry { identity, endpoint: endpoint::NONE }
    }

    fn endpoint(&self, number: u32) -> Option<Endpoint> {
        self.tables.endpoints.get(&number).copied()
    }

    fn class(&self, protocol: u8, port: u16) -> u16 {
        let starts = class_table(protocol).and_then(|_| self.tables.classes.get(&protocol));
        starts.and_then(|starts| starts.range(..=port).next_back()).copied().unwrap_or(0)
    }

    fn policy(&self, key: &PolicyKey) -> Option<PolicyEntry> {
        self.tables.policy.get(key).copied()
    }
}
