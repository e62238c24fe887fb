//! A small readable policy set: a shop of three workloads and the rules of its database.

use ringfence_dataplane::model::{
    Action, Inventory, IpBlock, Labels, NamespaceScope, Operator, Peer, Peers, Policy, PolicyName,
    PolicySet, PortMatch, PortRange, Ports, Protocol, Requirement, Rule, Selector, Tier, Workload,
    WorkloadName,
};

/// The API may reach the database on TCP 5,432, and the office may from everywhere but its guests'
/// network.
pub fn shop() -> PolicySet {
    let mut inventory = Inventory::default();
    for (app, last) in [("api", 2), ("db", 3), ("web", 4)] {
        let workload = Workload {
            name: WorkloadName::new("shop", app),
            labels: Labels::from([("app".into(), app.into()), ("unread".into(), "x".into())]),
            addresses: vec![
                format!("10.1.0.{last}").parse().unwrap(),
                format!("fd00::{last}").parse().unwrap(),
            ],
            ports: Vec::new(),
            interface: (app == "db").then(|| "veth-db".into()),
            host: false,
        };
        inventory.add_workload(workload).unwrap();
    }
    let net = |net: &str| net.parse().unwrap();
    let office = IpBlock::new(net("198.51.100.0/24"), vec![net("198.51.100.128/25")]).unwrap();
    let api = Peer::Workloads {
        namespaces: NamespaceScope::Named("shop".into()),
        workloads: labelled("app", "api"),
    };
    let postgres = PortMatch::Range(Protocol::Tcp, PortRange::single(5_432));
    let rule = |peer, ports, line| Rule {
        action: Action::Allow,
        peers: Peers::Any(vec![peer]),
        ports,
        origin: Some(format!("shop.yaml:{line}")),
    };
    let policy = Policy {
        name: PolicyName {
            kind: "networkpolicy".into(),
            namespace: "shop".into(),
            name: "db".into(),
        },
        tier: Tier::Developer,
        priority: 0,
        subject_namespaces: NamespaceScope::Named("shop".into()),
        subjects: labelled("app", "db"),
        isolates_ingress: true,
        isolates_egress: false,
        ingress: vec![
            rule(api, Ports::Any(vec![postgres]), 10),
            rule(Peer::Block(office), Ports::Everything, 17),
        ],
        egress: Vec::new(),
    };
    PolicySet { policies: vec![policy], inventory }
}

fn labelled(key: &str, value: &str) -> Selector {
    Selector::new([Requirement {
        key: key.into(),
        operator: Operator::In([value.to_owned()].into()),
    }])
}
