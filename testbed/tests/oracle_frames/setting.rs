//! The host on which both sides decide, as tables for the filter and as a model for the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ringfence_common::abi::config::{Hook, essential};
use ringfence_common::abi::identity::endpoint;
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::{self, Arrival, Desired, Interface, Role};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_dataplane::model::{
    Action, Direction, Inventory, IpBlock, NamespaceScope, Peer, Peers, Policy, PolicyName,
    PolicySet, PortMatch, PortRange, Ports, Protocol, Rule, Selector, Tier, Workload, WorkloadName,
};
use ringfence_dataplane::oracle::{Essential, Established, Mode, Placement, Settings};

const DOCUMENTS: &str = include_str!("../../manifests/agreement/policies.yaml");

/// Which workloads are on this host, interface by interface; interface numbers begin with 3.
const INTERFACES: [&[&str]; 7] = [
    &["shop/web"],
    &["shop/api"],
    &["shop/db"],
    &["shop/cache", "shop/sidecar"],
    &["ops/monitor"],
    &["ops/open"],
    &["ops/locked"],
];

const FIRST_INTERFACE: u32 = 3;

/// The interface to everyone else, and one that nobody guards.
pub const UPLINK: u32 = 90;
pub const UNGUARDED: u32 = 99;

/// Policies whose absence makes the other set.
const CHANGING: [&str; 2] = ["api", "cache"];

/// The tick at which both sides begin.
pub const BEGINNING: u32 = 1_000;

/// How both sides are set up.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub mode: Mode,
    pub established: Established,
    pub pick_up_seconds: u32,
    pub essential_off: &'static [Essential],
}

impl Scenario {
    pub fn settings(self) -> Settings {
        Settings {
            mode: self.mode,
            established: self.established,
            pick_up: Duration::from_secs(self.pick_up_seconds.into()),
            essential_off: self.essential_off.iter().copied().collect(),
        }
    }

    /// The same for the filter.
    fn of_filter(self) -> (backend::Mode, backend::Settings) {
        let mode = match self.mode {
            Mode::Enforce => backend::Mode::Enforce,
            Mode::Audit => backend::Mode::Audit,
        };
        let off: u32 = self.essential_off.iter().map(|off| bit(*off)).sum();
        let settings = backend::Settings {
            essential: essential::ALL & !off,
            keep_established: self.established == Established::Keep,
            pick_up_seconds: self.pick_up_seconds,
            ..backend::Settings::default()
        };
        (mode, settings)
    }
}

/// The dataplane's bit for a kind of essential traffic.
fn bit(essential: Essential) -> u32 {
    match essential {
        Essential::NonIp => essential::NON_IP,
        Essential::NeighbourDiscovery => essential::NEIGHBOUR_DISCOVERY,
        Essential::MulticastListener => essential::MULTICAST_LISTENER,
        Essential::RelatedErrors => essential::RELATED_ERRORS,
        Essential::Dhcp => essential::DHCP,
        Essential::SelfTraffic => essential::SELF,
        Essential::HostToWorkload => essential::HOST_TO_WORKLOAD,
    }
}

/// Sets of policies, each read and compiled.
pub struct Setting {
    sets: Vec<(PolicySet, Tables)>,
}

impl Setting {
    pub fn new() -> Self {
        let compiled = |set: PolicySet| {
            let tables = compile(&set).expect("the policies compile");
            (set, tables)
        };
        Self { sets: policies().into_iter().map(compiled).collect() }
    }

    /// How many sets of policies there are.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    pub fn set(&self, which: usize) -> &PolicySet {
        &self.sets[which].0
    }

    /// The name of a rule, as the tables describe its number.
    pub fn rule_name(&self, number: u32) -> String {
        let rules = self.sets.iter().find_map(|(_, tables)| tables.rules.get(&number));
        rules.map_or_else(|| format!("undescribed {number:#x}"), |rule| rule.name.clone())
    }

    pub fn host_tables(&self, which: usize, generation: u32, scenario: Scenario) -> HostTables {
        let tables = &self.sets[which].1;
        let number_of = |name: &str| {
            let mut endpoints = tables.endpoints.iter();
            *endpoints.find(|(_, one)| one.name == name).expect("the workload is described").0
        };
        let mut interfaces: Vec<Interface> = INTERFACES
            .iter()
            .zip(FIRST_INTERFACE..)
            .map(|(workloads, index)| Interface {
                index,
                name: format!("workload{index}"),
                role: Role::Workload,
                endpoints: workloads.iter().map(|name| number_of(name)).collect(),
                arrival: Arrival::Tcx,
            })
            .collect();
        interfaces.push(Interface {
            index: UPLINK,
            name: "uplink".to_owned(),
            role: Role::Uplink,
            endpoints: BTreeSet::from([endpoint::HOST]),
            arrival: Arrival::Tcx,
        });
        // Frames arrive at both hooks; the tables are the same.
        let both: Vec<Interface> = interfaces
            .iter()
            .flat_map(|one| {
                let at_xdp = Interface { arrival: Arrival::Xdp, ..one.clone() };
                [one.clone(), at_xdp]
            })
            .collect();
        let local = interfaces.iter().flat_map(|one| one.endpoints.iter().copied()).collect();
        let (mode, settings) = scenario.of_filter();
        let desired = Desired {
            tables: tables.for_host(&local),
            interfaces: both,
            host_addresses: placement().host_addresses,
            mode,
            settings,
        };
        desired.host_tables(desired.config(generation, BEGINNING, 0))
    }
}

/// Where everything is, for the oracle.
pub fn placement() -> Placement {
    let named = |names: &&[&str]| names.iter().map(|name| workload(name)).collect();
    let extra = ["10.0.0.253", "fd00::fd"].map(|address| address.parse().expect("an address"));
    Placement { interfaces: INTERFACES.iter().map(named).collect(), host_addresses: extra.into() }
}

/// Whose interface a hook is at, and which way frames go past it.
pub fn seen_by(hook: Hook, ifindex: u32) -> (WorkloadName, Direction) {
    let arrives = hook != Hook::TcEgress;
    if ifindex == UPLINK {
        let direction = if arrives { Direction::Ingress } else { Direction::Egress };
        return (WorkloadName::new("ops", "host"), direction);
    }
    let direction = if arrives { Direction::Egress } else { Direction::Ingress };
    let behind = ifindex.checked_sub(FIRST_INTERFACE).and_then(|at| INTERFACES.get(at as usize));
    (
        behind.map_or_else(|| WorkloadName::new("nobody", "nowhere"), |all| workload(all[0])),
        direction,
    )
}

fn workload(name: &str) -> WorkloadName {
    let (namespace, name) = name.split_once('/').expect("`namespace/name`");
    WorkloadName::new(namespace, name)
}

/// All policies; all but [`CHANGING`]; more that is denied; other labels; addresses that have
/// changed hands; nothing but a rule that logs; rules of every tier.
fn policies() -> [PolicySet; 7] {
    let input = Input::Text { name: "policies.yaml".to_owned(), text: DOCUMENTS.to_owned() };
    let report = document::read(&[input], Validation::Strict);
    let Some(plain) = report.policies.clone() else { panic!("{}", report.render(false)) };
    let all = with(&plain, denying("192.0.2.64/26"));
    let mut fewer = all.clone();
    fewer.policies.retain(|policy| !CHANGING.contains(&policy.name.name.as_str()));
    let mut logging = denying("192.0.2.64/26");
    logging.ingress.retain(|rule| rule.action == Action::Log);
    let nothing = PolicySet { policies: Vec::new(), ..plain.clone() };
    let [web, db] = [workload("shop/web"), workload("shop/db")];
    let relabelled = with_changed(&all, |inventory| {
        let labels = [&web, &db].map(|name| inventory[name].labels.clone());
        let [of_web, of_db] = labels;
        inventory.get_mut(&web).expect("it is there").labels = of_db;
        inventory.get_mut(&db).expect("it is there").labels = of_web;
    });
    let moved = with_changed(&all, |inventory| {
        let [of_web, of_db] = [&web, &db].map(|name| inventory[name].addresses.clone());
        inventory.get_mut(&web).expect("it is there").addresses = of_db;
        inventory.get_mut(&db).expect("it is there").addresses = of_web;
    });
    let denied = with(&plain, denying("10.1.0.0/30"));
    [all, fewer, denied, relabelled, moved, with(&nothing, logging), tiers(&plain)]
}

fn with(set: &PolicySet, policy: Policy) -> PolicySet {
    let mut set = set.clone();
    set.policies.push(policy);
    set.policies.sort_by(|a, b| a.name.cmp(&b.name));
    set
}

/// `set` with other workloads.
fn with_changed(
    set: &PolicySet,
    change: impl FnOnce(&mut BTreeMap<WorkloadName, Workload>),
) -> PolicySet {
    let named = set.inventory.workloads().map(|one| (one.name.clone(), one.clone()));
    let mut workloads: BTreeMap<WorkloadName, Workload> = named.collect();
    change(&mut workloads);
    let mut inventory = Inventory::default();
    for namespace in set.inventory.namespaces() {
        inventory.add_namespace(namespace.clone());
    }
    for workload in workloads.into_values() {
        inventory.add_workload(workload).expect("names and addresses stay unique");
    }
    PolicySet { policies: set.policies.clone(), inventory }
}

/// Policies of all tiers for everyone, beside those for some.
fn tiers(plain: &PolicySet) -> PolicySet {
    let tcp = |first, last| {
        let range = PortRange::new(first, last).expect("the first comes first");
        Ports::Any(vec![PortMatch::Range(Protocol::Tcp, range)])
    };
    let rule = |action, ports| Rule { action, peers: Peers::Everyone, ports, origin: None };
    let rules = [
        (Tier::Admin, 1, vec![rule(Action::Pass, tcp(80, 443)), rule(Action::Allow, tcp(22, 22))]),
        (Tier::Admin, 2, vec![rule(Action::Deny, tcp(0, 1_023))]),
        (
            Tier::Baseline,
            1,
            vec![rule(Action::Deny, Ports::Any(vec![PortMatch::Every(Protocol::Udp)]))],
        ),
    ];
    rules.into_iter().fold(plain.clone(), |set, (tier, priority, rules)| {
        let name = format!("{tier:?}-{priority}").to_lowercase();
        with(&set, Policy { tier, priority, egress: rules.clone(), ..for_everyone(&name, rules) })
    })
}

/// What the documents do not say: a rule that denies, and one that only reports.
fn denying(block: &str) -> Policy {
    let block = IpBlock::new(block.parse().expect("a prefix"), Vec::new());
    let block = Peers::Any(vec![Peer::Block(block.expect("it has no exception"))]);
    let rule = |action, peers| Rule { action, peers, ports: Ports::Everything, origin: None };
    for_everyone("denying", vec![rule(Action::Deny, block), rule(Action::Log, Peers::Everyone)])
}

/// A policy for every workload that isolates nobody.
fn for_everyone(name: &str, ingress: Vec<Rule>) -> Policy {
    Policy {
        name: PolicyName {
            kind: "adminpolicy".to_owned(),
            namespace: String::new(),
            name: name.to_owned(),
        },
        tier: Tier::Admin,
        priority: 1,
        subject_namespaces: NamespaceScope::Selected(Selector::everything()),
        subjects: Selector::everything(),
        isolates_ingress: false,
        isolates_egress: false,
        ingress,
        egress: Vec::new(),
    }
}
