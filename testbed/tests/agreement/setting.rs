//! The host on which both sides decide: interfaces without traffic, and two sets of policies.

use std::collections::BTreeSet;

use ringfence_common::abi::identity::endpoint;
use ringfence_dataplane::backend::{Arrival, Desired, Interface, Mode, Role, Settings};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_dataplane::model::{
    Action, IpBlock, NamespaceScope, Peer, Peers, Policy, PolicyName, PolicySet, Ports, Rule,
    Selector, Tier,
};
use ringfence_testbed::suite::kernel::Interfaces;

const DOCUMENTS: &str = include_str!("../../manifests/agreement/policies.yaml");

/// Which workloads are on this host, interface by interface.
const INTERFACES: [(&str, &[&str]); 7] = [
    ("web", &["shop/web"]),
    ("api", &["shop/api"]),
    ("db", &["shop/db"]),
    ("cache", &["shop/cache", "shop/sidecar"]),
    ("monitor", &["ops/monitor"]),
    ("open", &["ops/open"]),
    ("locked", &["ops/locked"]),
];

/// Policies whose absence makes the other set.
const CHANGING: [&str; 2] = ["api", "cache"];

/// How both sides are set up.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub mode: Mode,
    pub arrival: Arrival,
    /// 0, or so many that no run outlasts them.
    pub pick_up_seconds: u32,
    /// Which essential traffic passes.
    pub essential: u32,
    /// Which packets are reported: all of them go the full way then.
    pub report: u32,
}

/// Tables, and interfaces on which no packet but the generated ones is ever decided.
pub struct Setting {
    pub pool: Interfaces,
    tables: [Tables; 2],
    interfaces: Vec<(&'static str, u32)>,
    pub uplink: u32,
    pub spare: u32,
}

impl Setting {
    pub fn new() -> Self {
        let pool = Interfaces::new().expect("namespaces can be made");
        let add = |name| pool.add(name).expect("an interface can be made");
        let interfaces = INTERFACES.map(|(name, _)| (name, add(name))).to_vec();
        let (uplink, spare) = (add("uplink"), add("spare"));
        let [all, fewer] = policies();
        let compile = |set: &PolicySet| compile(set).expect("the policies compile");
        let tables = [compile(&all), compile(&fewer)];
        Self { pool, tables, interfaces, uplink, spare }
    }

    /// The state to install: `which` of the two sets of policies.
    pub fn desired(&self, which: usize, scenario: Scenario) -> Desired {
        let tables = &self.tables[which];
        let number_of = |name: &str| {
            let mut endpoints = tables.endpoints.iter();
            let found = endpoints.find(|(_, description)| description.name == name);
            *found.expect("the workload is described").0
        };
        let mut interfaces: Vec<Interface> = INTERFACES
            .iter()
            .zip(&self.interfaces)
            .map(|((name, workloads), (_, index))| Interface {
                index: *index,
                name: (*name).to_owned(),
                role: Role::Workload,
                endpoints: workloads.iter().map(|name| number_of(name)).collect(),
                arrival: scenario.arrival,
            })
            .collect();
        interfaces.push(Interface {
            index: self.uplink,
            name: "uplink".to_owned(),
            role: Role::Uplink,
            endpoints: BTreeSet::from([endpoint::HOST]),
            arrival: scenario.arrival,
        });
        let local = interfaces.iter().flat_map(|one| one.endpoints.iter().copied()).collect();
        Desired {
            tables: tables.for_host(&local),
            interfaces,
            host_addresses: ["10.0.0.253", "fd00::fd"].map(address).into(),
            mode: scenario.mode,
            settings: Settings {
                report: scenario.report,
                pick_up_seconds: scenario.pick_up_seconds,
                essential: scenario.essential,
                ..Settings::default()
            },
        }
    }

    /// All interfaces, the one that nobody guards last.
    pub fn indices(&self) -> Vec<u32> {
        let workloads = self.interfaces.iter().map(|(_, index)| *index);
        workloads.chain([self.uplink, self.spare]).collect()
    }
}

fn address(text: &str) -> std::net::IpAddr {
    text.parse().expect("tests write addresses that parse")
}

/// All policies, and all but [`CHANGING`].
fn policies() -> [PolicySet; 2] {
    let input = Input::Text { name: "policies.yaml".to_owned(), text: DOCUMENTS.to_owned() };
    let report = document::read(&[input], Validation::Strict);
    let Some(mut all) = report.policies.clone() else { panic!("{}", report.render(false)) };
    all.policies.push(denying());
    all.policies.sort_by(|a, b| a.name.cmp(&b.name));
    let mut fewer = all.clone();
    fewer.policies.retain(|policy| !CHANGING.contains(&policy.name.name.as_str()));
    [all, fewer]
}

/// What documents cannot say: denials for the host too, and a rule that only reports.
fn denying() -> Policy {
    let block = IpBlock::new("192.0.2.64/26".parse().expect("a prefix"), Vec::new());
    let rule = |action, peers| Rule { action, peers, ports: Ports::Everything, origin: None };
    Policy {
        name: PolicyName {
            kind: "adminpolicy".to_owned(),
            namespace: String::new(),
            name: "denying".to_owned(),
        },
        tier: Tier::Admin,
        priority: 1,
        subject_namespaces: NamespaceScope::Selected(Selector::everything()),
        subjects: Selector::everything(),
        isolates_ingress: false,
        isolates_egress: false,
        ingress: vec![
            rule(Action::Deny, Peers::Any(vec![Peer::Block(block.expect("it has no exception"))])),
            rule(Action::Log, Peers::Everyone),
        ],
        egress: Vec::new(),
    }
}
