//! Plans by hand, in which everything is that rules can say.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ringfence_common::abi::config::essential;
use ringfence_dataplane::backend::chains::{
    Decided, Entry, Form, Guard, HostGuard, Line, Peers, Plan, PortRange, Service, Side,
};
use ringfence_dataplane::backend::{Mode, Settings};
use ringfence_dataplane::compile::RuleDescription;
use ringfence_dataplane::model::Direction;

const OPEN: u32 = 0x300;
const ISOLATED: u32 = 0x301;
/// Enforced by rules that deny, and not isolated: strays are asked about in both orientations.
const DENIED: u32 = 0x302;
const HOST: u32 = 0x303;

/// Every way to enter, every form, every kind of service, both directions.
pub fn everything() -> Plan {
    let shared = || Entry::Shared("br-0".to_owned());
    let guards = vec![
        guard(0x100, "a/alone", Entry::Interface("veth-a".to_owned()), ISOLATED),
        guard(0x101, "a/elsewhere", Entry::Addresses, DENIED),
        guard(0x102, "b/first", shared(), OPEN),
        guard(0x103, "b/second", shared(), DENIED),
    ];
    let host = HostGuard {
        name: "nodes/host \"one\"".to_owned(),
        uplinks: vec!["eth0".to_owned(), "eth1.100".to_owned()],
        addresses: addresses(&["192.0.2.1", "2001:db8::1"]),
        subject: HOST,
        isolated: true,
    };
    let name =
        "policy/with \"quotes\" and a \\ and a very long name ".to_owned() + &"x".repeat(300);
    let rule = |number| {
        let name = if number == 7 { name.clone() } else { format!("policy/p in[{number}]") };
        (number, RuleDescription { name, origin: None })
    };
    Plan {
        mode: Mode::Enforce,
        settings: Settings::default(),
        guards,
        host: Some(host),
        sides: [ISOLATED, DENIED, HOST]
            .into_iter()
            .flat_map(|subject| {
                [Direction::Ingress, Direction::Egress].map(|to| ((subject, to), side(subject)))
            })
            .collect(),
        rules: (1..40).map(rule).collect::<BTreeMap<_, _>>(),
    }
}

/// The same, otherwise: reported instead of denied, older connections picked up, nothing essential,
/// every interface an uplink.
pub fn otherwise() -> Plan {
    let mut plan = everything();
    plan.mode = Mode::Audit;
    plan.settings.pick_up_until = Some(1_795_342_272);
    plan.settings.essential = essential::NON_IP;
    plan.host.as_mut().unwrap().uplinks.clear();
    plan
}

/// As many entries as asked for, of both families, on one workload.
pub fn large(entries: u32) -> Plan {
    let mut plan = everything();
    let lines = (0..entries).map(|number| Line {
        form: Form::PeerPorts,
        // Every second address, so that no two are one prefix.
        peers: Peers::Of {
            v4: vec![(0x0a00_0000 + 2 * number).into()..=(0x0a00_0000 + 2 * number).into()],
            v6: vec![u128::from(2 * number + 8).into()..=u128::from(2 * number + 8).into()],
        },
        service: ports(6, &[(443, 443)]),
        decided: allow(1 + number % 30),
    });
    let default = deny(0);
    plan.sides.insert((ISOLATED, Direction::Ingress), Side { lines: lines.collect(), default });
    plan
}

fn guard(endpoint: u32, name: &str, entry: Entry, subject: u32) -> Guard {
    let (v4, v6) = (format!("10.1.0.{}", endpoint & 0xff), format!("fd00::{endpoint:x}"));
    let second = format!("10.2.0.{}", endpoint & 0xff);
    let isolated = subject == ISOLATED;
    let addresses = addresses(&[&v4, &second, &v6]);
    Guard { endpoint, name: name.to_owned(), entry, addresses, subject, isolated }
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn side(subject: u32) -> Side {
    let mut lines = Vec::new();
    let services = [
        ports(6, &[(80, 80), (443, 443), (8_000, 9_000)]),
        ports(17, &(0..20).map(|n| (2 * n, 2 * n)).collect::<Vec<_>>()),
        ports(132, &[(1, 9)]),
        ports(1, &[(0x0800, 0x0800), (0x0300, 0x04ff)]),
        ports(58, &[(0x8000, 0x8000), (0x0100, 0x02ff)]),
    ];
    let protocols = [6, 17, 132, 1, 58].map(Service::Protocol);
    let mut rule = 1;
    let mut add = |form, peers: Peers, service: &Service| {
        let decided = if rule % 3 == 0 { deny(rule) } else { allow(rule) };
        let decided = Decided { logs: rule % 4 == 0, ..decided };
        lines.push(Line { form, peers, service: service.clone(), decided });
        rule += 1;
    };
    services.iter().for_each(|service| add(Form::PeerPorts, some_peers(1), service));
    protocols.iter().for_each(|service| add(Form::PeerProtocol, some_peers(2), service));
    add(Form::Peer, some_peers(3), &Service::Everything);
    add(Form::Peer, everybody(), &Service::Everything);
    services.iter().for_each(|service| add(Form::Ports, Peers::Anyone, service));
    protocols.iter().for_each(|service| add(Form::Protocol, Peers::Anyone, service));
    let default = if subject == DENIED { allow(0) } else { deny(0) };
    Side { lines, default }
}

fn some_peers(net: u8) -> Peers {
    let v4 = [[10, net, 0, 3], [10, net, 0, 9]].map(Into::into);
    let v6 = [u128::from(net) << 100 | 3, u128::from(net) << 100 | 9].map(Into::into);
    Peers::Of { v4: vec![v4[0]..=v4[1]], v6: vec![v6[0]..=v6[1]] }
}

fn everybody() -> Peers {
    Peers::Of { v4: vec![0.into()..=u32::MAX.into()], v6: vec![0.into()..=u128::MAX.into()] }
}

fn ports(protocol: u8, ranges: &[(u16, u16)]) -> Service {
    let range = |(first, last): &(u16, u16)| PortRange { first: *first, last: *last };
    Service::Ports { protocol, ranges: ranges.iter().map(range).collect() }
}

fn allow(rule: u32) -> Decided {
    Decided { allows: true, logs: false, rule }
}

fn deny(rule: u32) -> Decided {
    Decided { allows: false, logs: false, rule }
}
