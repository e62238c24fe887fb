//! Small policies for the unit tests of this module.

use ipnet::IpNet;

use crate::model::{
    Action, NamespaceScope, Peer, Peers, Policy, PolicyName, PortMatch, Ports, Rule, Selector, Tier,
};

pub(super) fn net(net: &str) -> IpNet {
    net.parse().expect("tests write prefixes that parse")
}

pub(super) fn policy_with_peers(peers: Vec<Peer>) -> Policy {
    policy(Peers::Any(peers), Ports::Everything)
}

pub(super) fn policy_with_ports(ports: Vec<PortMatch>) -> Policy {
    policy(Peers::Everyone, Ports::Any(ports))
}

fn policy(peers: Peers, ports: Ports) -> Policy {
    Policy {
        name: PolicyName {
            kind: "networkpolicy".into(),
            namespace: "shop".into(),
            name: "web".into(),
        },
        tier: Tier::Developer,
        priority: 0,
        subject_namespaces: NamespaceScope::Named("shop".into()),
        subjects: Selector::everything(),
        isolates_ingress: true,
        isolates_egress: false,
        ingress: vec![Rule { action: Action::Allow, peers, ports, origin: None }],
        egress: Vec::new(),
    }
}
