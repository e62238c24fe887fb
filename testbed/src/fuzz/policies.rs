//! Policies, inventories and flows from arbitrary bytes. Names, prefixes and ports are few, so that
//! rules overlap, contradict and shadow each other.

use std::net::IpAddr;

use arbitrary::{Result, Unstructured};
use ipnet::IpNet;
use ringfence_dataplane::model::{
    Action, Inventory, IpBlock, Labels, NAMESPACE_NAME_LABEL, NamedPort, Namespace, NamespaceScope,
    Operator, Peer, Peers, Policy, PolicyName, PolicySet, PortMatch, PortRange, Ports, Protocol,
    Requirement, Rule, Selector, Tier, Workload, WorkloadName,
};
use ringfence_dataplane::oracle::Flow;

const NAMESPACES: [&str; 3] = ["blue", "green", "red"];
/// One key is that of namespaces' names: a workload that carries it must not pass for a namespace.
const KEYS: [&str; 3] = ["app", "team", NAMESPACE_NAME_LABEL];
const VALUES: [&str; 3] = ["db", "red", "web"];
const PORT_NAMES: [&str; 2] = ["http", "dns"];
const PORTS: [u16; 9] = [0, 1, 53, 79, 80, 81, 8_080, 8_081, 65_535];
const PRIORITIES: [u32; 3] = [0, 1, 1_000];
const TIERS: [Tier; 3] = [Tier::Admin, Tier::Developer, Tier::Baseline];
const ACTIONS: [Action; 4] = [Action::Allow, Action::Deny, Action::Pass, Action::Log];
/// Ours first; nobody owns the last two of each family.
const ADDRESSES: [&str; 14] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.255",
    "10.0.1.0",
    "10.1.0.1",
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8::4",
    "2001:db8:1::1",
    "fd00::1",
    "192.0.2.1",
    "128.0.0.1",
    "2001:db8::9",
    "2606:4700::1111",
];
const PREFIXES: [&str; 13] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.0.0.0/24",
    "10.0.0.0/30",
    "10.0.0.2/31",
    "10.0.0.2/32",
    "128.0.0.0/1",
    "::/0",
    "2001:db8::/32",
    "2001:db8::/64",
    "2001:db8::/127",
    "2001:db8::1/128",
];
/// Protocol numbers without ports: ICMP, GRE, ICMPv6.
const PORTLESS: [u8; 3] = [1, 47, 58];

/// Most of each thing in one input.
const WORKLOADS: usize = 5;
const POLICIES: usize = 5;
const RULES: usize = 3;
const ALTERNATIVES: usize = 2;

/// Policies and whom they are about. Addresses belong to one workload, and one at most is the host.
pub fn policy_set(from: &mut Unstructured<'_>) -> Result<PolicySet> {
    let inventory = inventory(from)?;
    let mut policies = Vec::new();
    for number in 0..from.int_in_range(0..=POLICIES)? {
        policies.push(policy(from, number)?);
    }
    Ok(PolicySet { policies, inventory })
}

/// The first packet of a connection between two addresses of one family.
pub fn flow(from: &mut Unstructured<'_>) -> Result<Flow> {
    let (source, destination) = (address(from)?, address(from)?);
    let protocol = if from.arbitrary()? {
        from.choose(&Protocol::ALL)?.number()
    } else {
        *from.choose(&PORTLESS)?
    };
    let with_port = !PORTLESS.contains(&protocol);
    let port = if with_port { Some(port(from)?) } else { None };
    Ok(Flow { source, destination, protocol, port })
}

fn inventory(from: &mut Unstructured<'_>) -> Result<Inventory> {
    let mut inventory = Inventory::default();
    for name in NAMESPACES {
        if from.arbitrary()? {
            inventory.add_namespace(Namespace::new(name, labels(from)?));
        }
    }
    let host = from.arbitrary()?;
    for number in 0..from.int_in_range(1..=WORKLOADS)? {
        let mut addresses = Vec::new();
        for _ in 0..from.int_in_range(0..=2)? {
            addresses.push(*from.choose(&ADDRESSES[..10])?);
        }
        let addresses = addresses.into_iter().map(parsed::<IpAddr>);
        let workload = Workload {
            name: WorkloadName::new(*from.choose(&NAMESPACES)?, format!("w{number}")),
            labels: labels(from)?,
            addresses: addresses.filter(|one| inventory.owner(*one).is_none()).collect(),
            ports: some(from, ALTERNATIVES, named_port)?,
            interface: None,
            host: host && number == 0,
        };
        inventory.add_workload(workload).expect("its name and addresses are free");
    }
    Ok(inventory)
}

fn policy(from: &mut Unstructured<'_>, number: usize) -> Result<Policy> {
    Ok(Policy {
        name: PolicyName {
            kind: "policy".to_owned(),
            namespace: String::new(),
            name: format!("policy-{number}"),
        },
        tier: *from.choose(&TIERS)?,
        priority: *from.choose(&PRIORITIES)?,
        subject_namespaces: scope(from)?,
        subjects: selector(from)?,
        isolates_ingress: from.arbitrary()?,
        isolates_egress: from.arbitrary()?,
        ingress: some(from, RULES, rule)?,
        egress: some(from, RULES, rule)?,
    })
}

fn rule(from: &mut Unstructured<'_>) -> Result<Rule> {
    let peers = if from.ratio(1, 4)? {
        Peers::Everyone
    } else {
        Peers::Any(some(from, ALTERNATIVES, peer)?)
    };
    let ports = if from.ratio(1, 4)? {
        Ports::Everything
    } else {
        Ports::Any(some(from, ALTERNATIVES, port_match)?)
    };
    Ok(Rule { action: *from.choose(&ACTIONS)?, peers, ports, origin: None })
}

fn peer(from: &mut Unstructured<'_>) -> Result<Peer> {
    if from.arbitrary()? {
        return Ok(Peer::Workloads { namespaces: scope(from)?, workloads: selector(from)? });
    }
    let block: IpNet = parsed(from.choose(&PREFIXES)?);
    let except = some(from, ALTERNATIVES, |from| Ok(parsed::<IpNet>(from.choose(&PREFIXES)?)))?;
    let within = |except: &IpNet| block.contains(except) && block != *except;
    let block = IpBlock::new(block, except.into_iter().filter(within).collect());
    Ok(Peer::Block(block.expect("every exception lies strictly within")))
}

fn port_match(from: &mut Unstructured<'_>) -> Result<PortMatch> {
    let protocol = *from.choose(&Protocol::ALL)?;
    Ok(match from.int_in_range(0..=3)? {
        0 => PortMatch::Every(protocol),
        1 => PortMatch::Named(protocol, (*from.choose(&PORT_NAMES)?).to_owned()),
        2 => PortMatch::Range(protocol, PortRange::single(port(from)?)),
        _ => {
            let (one, other) = (port(from)?, port(from)?);
            let range = PortRange::new(one.min(other), one.max(other));
            PortMatch::Range(protocol, range.expect("the smaller comes first"))
        }
    })
}

fn named_port(from: &mut Unstructured<'_>) -> Result<NamedPort> {
    let (name, protocol) = (*from.choose(&PORT_NAMES)?, *from.choose(&Protocol::ALL)?);
    Ok(NamedPort { name: name.to_owned(), protocol, port: port(from)? })
}

fn scope(from: &mut Unstructured<'_>) -> Result<NamespaceScope> {
    Ok(if from.arbitrary()? {
        NamespaceScope::Named((*from.choose(&NAMESPACES)?).to_owned())
    } else {
        NamespaceScope::Selected(selector(from)?)
    })
}

fn selector(from: &mut Unstructured<'_>) -> Result<Selector> {
    let requirements = some(from, ALTERNATIVES, |from| {
        let key = (*from.choose(&KEYS)?).to_owned();
        let values = [*from.choose(&VALUES)?, *from.choose(&VALUES)?].map(str::to_owned).into();
        let operator = match from.int_in_range(0..=3)? {
            0 => Operator::In(values),
            1 => Operator::NotIn(values),
            2 => Operator::Exists,
            _ => Operator::DoesNotExist,
        };
        Ok(Requirement { key, operator })
    })?;
    Ok(Selector::new(requirements))
}

fn labels(from: &mut Unstructured<'_>) -> Result<Labels> {
    let labels = some(from, ALTERNATIVES, |from| {
        Ok(((*from.choose(&KEYS)?).to_owned(), (*from.choose(&VALUES)?).to_owned()))
    })?;
    Ok(labels.into_iter().collect())
}

fn address(from: &mut Unstructured<'_>) -> Result<IpAddr> {
    Ok(parsed(from.choose(&ADDRESSES)?))
}

/// A port that rules are likely to name, seldom any other.
fn port(from: &mut Unstructured<'_>) -> Result<u16> {
    if from.ratio(1, 8)? { from.arbitrary() } else { Ok(*from.choose(&PORTS)?) }
}

fn some<T>(
    from: &mut Unstructured<'_>,
    most: usize,
    mut one: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..from.int_in_range(0..=most)?).map(|_| one(from)).collect()
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("the lists above hold nothing else")
}
