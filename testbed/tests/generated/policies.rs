//! Random policy sets, small and full of coincidences: few names, few ports, few prefixes, so that
//! rules overlap, contradict and shadow each other.

mod documents;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use ringfence_dataplane::model::{
    Action, Direction, Failsafe, Inventory, IpBlock, Labels, NAMESPACE_NAME_LABEL, NamedPort,
    Namespace, NamespaceScope, Operator, Peer, Peers, Policy, PolicyName, PolicySet, PortMatch,
    PortRange, Ports, Protocol, Requirement, Rule, Selector, Tier, Workload, WorkloadName,
};

const NAMESPACES: [&str; 3] = ["blue", "green", "red"];
/// One key is that of namespaces' names: a workload that carries it must not pass for a namespace.
const KEYS: [&str; 3] = ["app", "team", NAMESPACE_NAME_LABEL];
const VALUES: [&str; 3] = ["db", "red", "web"];
const PORT_NAMES: [&str; 2] = ["http", "dns"];
const PORTS: [u16; 9] = [0, 1, 53, 79, 80, 81, 8_080, 8_081, 65_535];
const ADDRESSES: [&str; 14] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.255",
    "10.0.1.0",
    "10.0.1.1",
    "10.1.0.1",
    "192.168.0.1",
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8::4",
    "2001:db8:1::1",
    "fd00::1",
    "::10.0.0.1",
];
const PREFIXES: [&str; 14] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.0.0.0/24",
    "10.0.0.0/30",
    "10.0.0.2/31",
    "10.0.0.2/32",
    "10.0.1.0/24",
    "128.0.0.0/1",
    "::/0",
    "2001:db8::/32",
    "2001:db8::/64",
    "2001:db8::/127",
    "2001:db8::1/128",
];

/// How wild the policies are.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// All tiers, priorities and actions.
    Everything,
    /// What NetworkPolicy can say, and a little of the rest.
    MostlyNetworkPolicy,
    /// What NetworkPolicies and ClusterNetworkPolicies can say, and nothing else.
    Documents,
}

/// A random policy set.
pub fn policy_set(kind: Kind) -> impl Strategy<Value = PolicySet> {
    let parts = (inventory(), vec(policy(kind), 0..6), failsafe());
    parts.prop_map(move |(inventory, policies, failsafe)| {
        let mut set = PolicySet { policies: named(policies), inventory };
        if let Kind::Documents = kind {
            documents::limit(&mut set);
        }
        failsafe.add_to(&mut set);
        set
    })
}

/// What stays open on the host, which is often nothing.
fn failsafe() -> impl Strategy<Value = Failsafe> {
    let direction = select(&[Direction::Ingress, Direction::Egress][..]);
    let ports = (select(&PORTS[..]), select(&PORTS[..]))
        .prop_map(|(a, b)| PortRange::new(a.min(b).max(1), a.max(b).max(1)).unwrap());
    vec((direction, select(&Protocol::ALL[..]), ports), 0..3).prop_map(Failsafe::new)
}

/// Two policy sets that differ a little, as before and after an edit.
pub fn edit(kind: Kind) -> impl Strategy<Value = (PolicySet, PolicySet)> {
    let change = (policy(kind), any::<Index>(), 0..8_u8, rule(kind), workload());
    (policy_set(kind), vec(change, 1..3)).prop_map(|(before, changes)| {
        let mut after = before.clone();
        for (policy, at, what, rule, workload) in changes {
            apply(&mut after, policy, at, what, rule, workload);
        }
        after.policies = named(after.policies);
        (before, after)
    })
}

/// Two policy sets of one cluster at different times: policies came, went and changed, labels
/// changed, workloads came and went, and addresses moved.
pub fn history(kind: Kind) -> impl Strategy<Value = (PolicySet, PolicySet)> {
    let changes = vec(inventory_change(), 0..5);
    (edit(kind), changes).prop_map(|((before, mut after), changes)| {
        for change in changes {
            change.apply(&mut after);
        }
        (before, after)
    })
}

/// A change of the inventory; which workload, an index says.
#[derive(Clone, Debug)]
enum InventoryChange {
    Labels(Index, Labels),
    NamespaceLabels(&'static str, Labels),
    Ports(Index, Vec<NamedPort>),
    Gone(Index),
    /// The first address of one goes to the other.
    AddressMoves(Index, Index),
}

fn inventory_change() -> impl Strategy<Value = InventoryChange> {
    let which = any::<Index>;
    prop_oneof![
        (which(), labels()).prop_map(|(at, labels)| InventoryChange::Labels(at, labels)),
        (select(&NAMESPACES[..]), labels())
            .prop_map(|(name, labels)| InventoryChange::NamespaceLabels(name, labels)),
        (which(), workload()).prop_map(|(at, like)| InventoryChange::Ports(at, like.ports)),
        which().prop_map(InventoryChange::Gone),
        (which(), which()).prop_map(|(from, to)| InventoryChange::AddressMoves(from, to)),
    ]
}

impl InventoryChange {
    fn apply(self, set: &mut PolicySet) {
        let mut workloads: Vec<Workload> = set.inventory.workloads().cloned().collect();
        let mut namespaces: Vec<Namespace> = set.inventory.namespaces().cloned().collect();
        let position = |at: Index, all: &[Workload]| (!all.is_empty()).then(|| at.index(all.len()));
        match self {
            Self::Labels(at, labels) => {
                if let Some(at) = position(at, &workloads) {
                    workloads[at].labels = labels;
                }
            }
            Self::NamespaceLabels(name, labels) => namespaces.push(Namespace::new(name, labels)),
            Self::Ports(at, ports) => {
                if let Some(at) = position(at, &workloads) {
                    workloads[at].ports = ports;
                }
            }
            Self::Gone(at) => {
                if let Some(at) = position(at, &workloads) {
                    workloads.remove(at);
                }
            }
            Self::AddressMoves(from, to) => {
                if let (Some(from), Some(to)) =
                    (position(from, &workloads), position(to, &workloads))
                    && !workloads[from].addresses.is_empty()
                {
                    let address = workloads[from].addresses.remove(0);
                    workloads[to].addresses.push(address);
                }
            }
        }
        set.inventory = Inventory::default();
        namespaces.into_iter().for_each(|namespace| set.inventory.add_namespace(namespace));
        for workload in workloads {
            set.inventory.add_workload(workload).expect("names and addresses stay apart");
        }
    }
}

fn apply(set: &mut PolicySet, policy: Policy, at: Index, what: u8, rule: Rule, workload: Workload) {
    if set.policies.is_empty() || what == 0 {
        set.policies.push(policy);
        return;
    }
    let index = at.index(set.policies.len());
    let chosen = &mut set.policies[index];
    let rules = if at.index(2) == 0 { &mut chosen.ingress } else { &mut chosen.egress };
    match what {
        1 => _ = set.policies.remove(index),
        // An address or name that is taken leaves the inventory as it is.
        2 => _ = set.inventory.add_workload(workload),
        3 => rules.push(rule),
        4 => _ = rules.pop(),
        5 => rules.iter_mut().take(1).for_each(|first| first.ports = rule.ports.clone()),
        6 => rules.iter_mut().take(1).for_each(|first| first.peers = rule.peers.clone()),
        _ => rules.iter_mut().take(1).for_each(|first| shift(&mut first.ports)),
    }
}

/// Moves the ports of a rule to their neighbours.
fn shift(ports: &mut Ports) {
    if let Ports::Any(ports) = ports {
        for port in ports {
            if let PortMatch::Range(_, range) = port {
                let moved = |port: u16| port.checked_add(1).unwrap_or(port);
                *range = PortRange::new(moved(range.first()), moved(range.last())).unwrap();
            }
        }
    }
}

fn named(mut policies: Vec<Policy>) -> Vec<Policy> {
    for (index, policy) in policies.iter_mut().enumerate() {
        policy.name.name = format!("policy-{index}");
    }
    policies.sort_by(|a, b| a.name.cmp(&b.name));
    policies
}

fn inventory() -> impl Strategy<Value = Inventory> {
    let namespaces = btree_map(select(&NAMESPACES[..]), labels(), 0..3);
    (namespaces, vec(workload(), 1..7), any::<bool>()).prop_map(|(namespaces, workloads, host)| {
        let mut inventory = Inventory::default();
        for (name, labels) in namespaces {
            inventory.add_namespace(Namespace::new(name, labels));
        }
        for (index, mut workload) in workloads.into_iter().enumerate() {
            workload.name.name = format!("w{index}");
            workload.host = host && index == 0;
            workload.addresses.retain(|address| inventory.owner(*address).is_none());
            inventory.add_workload(workload).expect("names and addresses are free");
        }
        inventory
    })
}

/// A random workload called `new`.
pub fn workload() -> impl Strategy<Value = Workload> {
    let addresses = subsequence(&ADDRESSES[..], 0..4);
    let port = (select(&PORT_NAMES[..]), select(&Protocol::ALL[..]), select(&PORTS[..]));
    (select(&NAMESPACES[..]), labels(), addresses, vec(port, 0..3)).prop_map(
        |(namespace, labels, addresses, ports)| Workload {
            name: WorkloadName::new(namespace, "new"),
            labels,
            addresses: addresses.into_iter().map(|a| a.parse::<IpAddr>().unwrap()).collect(),
            ports: ports
                .into_iter()
                .map(|(name, protocol, port)| NamedPort { name: name.into(), protocol, port })
                .collect(),
            interface: None,
            host: false,
        },
    )
}

fn labels() -> impl Strategy<Value = Labels> {
    btree_map(select(&KEYS[..]), select(&VALUES[..]), 0..3).prop_map(|labels| {
        labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    })
}

/// A random policy; its name is empty.
pub fn policy(kind: Kind) -> impl Strategy<Value = Policy> {
    let tier = match kind {
        Kind::Everything => select(&Tier::ALL[..]).boxed(),
        Kind::Documents => select(&[Tier::Admin, Tier::Developer, Tier::Baseline][..]).boxed(),
        Kind::MostlyNetworkPolicy => Just(Tier::Developer).boxed(),
    };
    let priority = match kind {
        Kind::Everything | Kind::Documents => 0..2_u32,
        Kind::MostlyNetworkPolicy => 0..1,
    };
    let rules = || vec(rule(kind), 0..3);
    (tier, priority, scope(), selector(), any::<[bool; 2]>(), rules(), rules()).prop_map(
        |(tier, priority, subject_namespaces, subjects, isolates, ingress, egress)| Policy {
            name: PolicyName {
                kind: "policy".into(),
                namespace: String::new(),
                name: String::new(),
            },
            tier,
            priority,
            subject_namespaces,
            subjects,
            isolates_ingress: isolates[0],
            isolates_egress: isolates[1],
            ingress,
            egress,
        },
    )
}

/// A random rule.
pub fn rule(kind: Kind) -> impl Strategy<Value = Rule> {
    let action = match kind {
        Kind::Everything | Kind::Documents => {
            select(&[Action::Allow, Action::Allow, Action::Deny, Action::Pass, Action::Log][..])
                .boxed()
        }
        Kind::MostlyNetworkPolicy => prop_oneof![
            18 => Just(Action::Allow), 1 => Just(Action::Deny), 1 => Just(Action::Log),
        ]
        .boxed(),
    };
    let peers = prop_oneof![
        1 => Just(Peers::Everyone),
        3 => vec(peer(), 1..3).prop_map(Peers::Any),
    ];
    let ports = prop_oneof![
        1 => Just(Ports::Everything),
        3 => vec(port(), 1..3).prop_map(Ports::Any),
    ];
    (action, peers, ports).prop_map(|(action, peers, ports)| Rule {
        action,
        peers,
        ports,
        origin: None,
    })
}

fn peer() -> impl Strategy<Value = Peer> {
    prop_oneof![
        (scope(), selector())
            .prop_map(|(namespaces, workloads)| Peer::Workloads { namespaces, workloads }),
        block().prop_map(Peer::Block),
    ]
}

fn block() -> impl Strategy<Value = IpBlock> {
    (select(&PREFIXES[..]), subsequence(&PREFIXES[..], 0..6)).prop_map(|(block, except)| {
        let net = |net: &str| net.parse::<ipnet::IpNet>().unwrap();
        let block = net(block);
        let within = |except: &ipnet::IpNet| block.contains(except) && block != *except;
        IpBlock::new(block, except.into_iter().map(net).filter(within).collect()).unwrap()
    })
}

fn port() -> impl Strategy<Value = PortMatch> {
    let range = (select(&PORTS[..]), select(&PORTS[..]))
        .prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap());
    let single = select(&PORTS[..]).prop_map(PortRange::single);
    let protocol = || select(&Protocol::ALL[..]);
    prop_oneof![
        1 => protocol().prop_map(PortMatch::Every),
        3 => (protocol(), prop_oneof![range, single]).prop_map(|(p, r)| PortMatch::Range(p, r)),
        2 => (protocol(), select(&PORT_NAMES[..]))
            .prop_map(|(protocol, name)| PortMatch::Named(protocol, name.into())),
    ]
}

fn scope() -> impl Strategy<Value = NamespaceScope> {
    prop_oneof![
        select(&NAMESPACES[..]).prop_map(|name| NamespaceScope::Named(name.into())),
        selector().prop_map(NamespaceScope::Selected),
    ]
}

/// A random selector.
pub fn selector() -> impl Strategy<Value = Selector> {
    let values = || {
        btree_set(select(&VALUES[..]), 1..3)
            .prop_map(|values| values.into_iter().map(str::to_owned).collect::<BTreeSet<_>>())
    };
    let operator = prop_oneof![
        3 => values().prop_map(Operator::In),
        1 => values().prop_map(Operator::NotIn),
        1 => Just(Operator::Exists),
        1 => Just(Operator::DoesNotExist),
    ];
    let requirement = (select(&KEYS[..]), operator)
        .prop_map(|(key, operator)| Requirement { key: key.into(), operator });
    option::of(vec(requirement, 0..2)).prop_map(|r| Selector::new(r.into_iter().flatten()))
}

/// The same set in another order, wherever order means nothing.
pub fn shuffled(set: &PolicySet) -> PolicySet {
    let mut set = set.clone();
    set.policies.reverse();
    for policy in &mut set.policies {
        for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
            if let Peers::Any(peers) = &mut rule.peers {
                peers.reverse();
            }
            if let Ports::Any(ports) = &mut rule.ports {
                ports.reverse();
            }
        }
    }
    let workloads: Vec<Workload> = set.inventory.workloads().cloned().collect();
    let namespaces: BTreeMap<String, Labels> = set
        .inventory
        .namespaces()
        .map(|namespace| (namespace.name().to_owned(), namespace.labels().clone()))
        .collect();
    set.inventory = Inventory::default();
    for (name, labels) in namespaces.into_iter().rev() {
        set.inventory.add_namespace(Namespace::new(name, labels));
    }
    for mut workload in workloads.into_iter().rev() {
        workload.ports.reverse();
        set.inventory.add_workload(workload).expect("they fitted before");
    }
    set
}
