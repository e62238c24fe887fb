//! Plans made by hand: whatever a plan can say, many times over.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ringfence_common::abi::config::essential;
use ringfence_common::abi::policy::Direction;
use ringfence_dataplane::backend::chains::{
    Decided, Entry, Form, Guard, HostGuard, Line, Peers, Plan, PortRange, Service, Side,
};
use ringfence_dataplane::backend::nftables::Ruleset;
use ringfence_dataplane::backend::{Mode, Settings};
use ringfence_dataplane::compile::RuleDescription;
use ringfence_testbed::random::Random;

/// Protocols with ports or messages, and one without.
const PROTOCOLS: [u8; 6] = [1, 6, 17, 58, 132, 47];

/// Something that policy might say, from the same seed always the same.
pub fn plan(random: &mut Random) -> Plan {
    let mut guards: Vec<Guard> =
        (0..1 + random.below(4) as u32).map(|n| guard(random, n)).collect();
    // Two behind one interface, which each of them is alone on otherwise.
    let shared = guards.iter().filter(|guard| matches!(guard.entry, Entry::Shared(_))).count();
    if shared == 1 {
        guards.iter_mut().for_each(|guard| guard.entry = Entry::Addresses);
    }
    let host = random.chance(60).then(|| HostGuard {
        name: "shop/node".to_owned(),
        uplinks: if random.chance(50) { vec!["eth0".into(), "eth1".into()] } else { Vec::new() },
        addresses: vec!["10.20.0.1".parse().unwrap(), "fd20::1".parse().unwrap()],
        subject: 99,
        isolated: random.chance(50),
    });
    let subjects: Vec<u32> = guards.iter().map(|guard| guard.subject).chain([99]).collect();
    let mut sides = BTreeMap::new();
    for subject in subjects {
        for direction in [Direction::Ingress, Direction::Egress] {
            if random.chance(75) {
                sides.insert((subject, direction), side(random));
            }
        }
    }
    Plan {
        mode: if random.chance(25) { Mode::Audit } else { Mode::Enforce },
        settings: settings(random),
        guards,
        host,
        sides,
        rules: (1..=9).map(|number| (number, rule(number))).collect(),
    }
}

/// The same table, of whose maps for one direction of policy some elements are gone and some say
/// something else.
pub fn fewer_elements(random: &mut Random, before: &Ruleset) -> Ruleset {
    let mut after = before.clone();
    let word = *random.pick(&["in", "out"]);
    for (name, map) in &mut after.maps {
        if !name.starts_with(word) || map.elements.len() < 2 {
            continue;
        }
        let gone = random.below(map.elements.len());
        let key = map.elements.keys().nth(gone).unwrap().clone();
        map.elements.remove(&key);
        let changed = map.elements.values_mut().next().unwrap();
        changed.verdict = if changed.verdict == "drop" { "return" } else { "drop" }.to_owned();
    }
    after
}

fn guard(random: &mut Random, number: u32) -> Guard {
    let entry = match random.below(3) {
        0 => Entry::Interface(format!("veth{number}")),
        1 => Entry::Shared("br0".to_owned()),
        _ => Entry::Addresses,
    };
    let number_of_subject = random.below(2) as u32;
    let v4: IpAddr = Ipv4Addr::new(10, 20, 1, number as u8).into();
    let v6: IpAddr = format!("fd20::1:{number}").parse().unwrap();
    let addresses = match random.below(3) {
        0 => vec![v4],
        1 => vec![v6],
        _ => vec![v4, Ipv4Addr::new(10, 20, 2, number as u8).into(), v6],
    };
    Guard {
        endpoint: 0x100 + number,
        name: format!("shop/workload-{number}"),
        entry,
        addresses,
        subject: 0x2000 + number_of_subject,
        isolated: random.chance(60),
    }
}

fn settings(random: &mut Random) -> Settings {
    let bits = [
        essential::NEIGHBOUR_DISCOVERY,
        essential::MULTICAST_LISTENER,
        essential::RELATED_ERRORS,
        essential::DHCP,
        essential::SELF,
        essential::HOST_TO_WORKLOAD,
    ];
    let off: u32 = bits.iter().filter(|_| random.chance(20)).sum();
    Settings {
        essential: essential::ALL & !off,
        pick_up_until: random.chance(30).then_some(1_795_342_278),
        ..Settings::default()
    }
}

fn side(random: &mut Random) -> Side {
    let mut lines = Vec::new();
    for form in [Form::PeerPorts, Form::PeerProtocol, Form::Peer, Form::Ports, Form::Protocol] {
        // Lines of one form and service never overlap: each has a part of the addresses, or of the
        // ports, of its own.
        for part in 0..random.below(4) as u8 {
            let service = service(random, form, part);
            let peers = match form {
                Form::Ports | Form::Protocol => Peers::Anyone,
                _ => peers(random, part),
            };
            lines.push(Line { form, peers, service, decided: decided(random) });
        }
    }
    lines.dedup_by_key(|line| (line.form, line.peers == Peers::Anyone, line.service.clone()));
    Side { lines, default: Decided { allows: random.chance(20), logs: false, rule: 0 } }
}

fn service(random: &mut Random, form: Form, part: u8) -> Service {
    match form {
        Form::Peer => Service::Everything,
        Form::PeerProtocol | Form::Protocol => {
            Service::Protocol(PROTOCOLS[usize::from(part) + random.below(3)])
        }
        Form::PeerPorts | Form::Ports => {
            let protocol = *random.pick(&PROTOCOLS[..5]);
            let first = u16::from(part) * 0x1000 + random.below(0x700) as u16;
            let second = first + 2 + random.below(0x800) as u16;
            let ranges = vec![
                PortRange { first, last: first },
                PortRange { first: second, last: second + random.below(0x80) as u16 },
            ];
            Service::Ports { protocol, ranges }
        }
    }
}

fn peers(random: &mut Random, part: u8) -> Peers {
    let v4 =
        |first: u8, last: u8| Ipv4Addr::new(10, part, 0, first)..=Ipv4Addr::new(10, part, 0, last);
    let v6 = |first: u16, last: u16| {
        let address = |end| Ipv6Addr::new(0xfd00, u16::from(part), 0, 0, 0, 0, 0, end);
        address(first)..=address(last)
    };
    let (a, b) = (random.below(100) as u8, 120 + random.below(100) as u8);
    let (v4, v6) =
        (vec![v4(a, a + 1), v4(b, b)], vec![v6(0, 0xff), v6(0x1000, u16::from(b) + 0x1000)]);
    match random.below(3) {
        0 => Peers::Of { v4, v6: Vec::new() },
        1 => Peers::Of { v4: Vec::new(), v6 },
        _ => Peers::Of { v4, v6 },
    }
}

fn decided(random: &mut Random) -> Decided {
    let rule = 1 + random.below(9) as u32;
    Decided { allows: random.chance(70), logs: random.chance(20), rule }
}

/// A rule whose name has everything in it that quotes have to hold.
fn rule(number: u32) -> RuleDescription {
    let odd = if number == 3 { " \"quoted\" \\ é\n} " } else { "" };
    let name = format!("clusternetworkpolicy/{odd}{number} ingress[{number}]{}", "x".repeat(200));
    RuleDescription { name, origin: None }
}
