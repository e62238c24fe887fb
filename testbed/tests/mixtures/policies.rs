//! Pairs of policies that agree about two packets, and that no mixture of agrees with.

use std::net::IpAddr;

use ringfence_common::abi::ABI_VERSION;
use ringfence_common::abi::config::{Attachment, AttachmentKey, Config, Hook, checks, essential};
use ringfence_common::abi::identity::{AddressEntry, endpoint};
use ringfence_common::abi::policy::{Direction, Endpoint, PolicyEntry, PolicyKey, action, forms};
use ringfence_dataplane::backend::host::HostTables;

/// The host, who sends A, and who sends N, in both families.
pub const HOST: [&str; 2] = ["10.30.0.1", "fd30::1"];
pub const ALLOWED: [&str; 2] = ["10.30.0.2", "fd30::2"];
pub const DENIED: [&str; 2] = ["10.30.0.3", "fd30::3"];

/// Identities of the host, and of two others.
const OF_HOST: u32 = 400;
const X: u32 = 1_000;
const Y: u32 = 1_001;

/// Subjects of the host, and of those who send A and N where they are endpoints.
const HOSTS: u32 = 500;
const SENDERS: [u32; 2] = [600, 601];
const NUMBERS: [u32; 2] = [300, 301];

const PEER: u8 = forms::ENFORCED | forms::ISOLATED | forms::PEER;

/// Two policies, and what a mixture would mix.
pub struct Pair {
    pub name: &'static str,
    pub old: HostTables,
    pub new: HostTables,
}

/// All pairs, for packets that arrive on the interface `ifindex`.
pub fn pairs(ifindex: u32) -> Vec<Pair> {
    let base = || base(ifindex);
    vec![identities_and_rules(base()), rules_and_defaults(base()), both_sides(base())]
}

/// A pair that one store leads from one to the other and back.
pub fn one_store(ifindex: u32) -> Pair {
    let mut old = base(ifindex);
    means(&mut old, ALLOWED, X);
    means(&mut old, DENIED, Y);
    rule(&mut old, HOSTS, Direction::Ingress, X, action::ALLOW);
    let mut new = old.clone();
    rule(&mut new, HOSTS, Direction::Ingress, X + 77, action::ALLOW);
    for tables in [&mut old, &mut new] {
        // Somebody has that identity, so that the rule can be met.
        let entry = AddressEntry { identity: X + 77, endpoint: endpoint::NONE };
        tables.addresses.insert("10.30.9.9".parse().unwrap(), entry);
    }
    Pair { name: "one store", old, new }
}

/// The addresses change their meanings, and the rule its peer. Both families at once.
fn identities_and_rules(base: HostTables) -> Pair {
    let (mut old, mut new) = (base.clone(), base);
    means(&mut old, ALLOWED, X);
    means(&mut old, DENIED, Y);
    rule(&mut old, HOSTS, Direction::Ingress, X, action::ALLOW);
    means(&mut new, ALLOWED, Y);
    means(&mut new, DENIED, X);
    rule(&mut new, HOSTS, Direction::Ingress, Y, action::ALLOW);
    Pair { name: "identities and rules, v4 and v6", old, new }
}

/// Denied but for A, and allowed but for N.
fn rules_and_defaults(base: HostTables) -> Pair {
    let (mut old, mut new) = (base.clone(), base);
    for tables in [&mut old, &mut new] {
        means(tables, ALLOWED, X);
        means(tables, DENIED, Y);
    }
    rule(&mut old, HOSTS, Direction::Ingress, X, action::ALLOW);
    rule(&mut new, HOSTS, Direction::Ingress, Y, action::DENY);
    rule(&mut new, HOSTS, Direction::Ingress, 0, action::ALLOW);
    new.endpoints.get_mut(&endpoint::HOST).unwrap().ingress_forms |= forms::ANY;
    Pair { name: "rules and defaults", old, new }
}

/// N is denied by the sender's side, then by the receiver's; A is allowed by rules of other kinds.
fn both_sides(base: HostTables) -> Pair {
    let (mut old, mut new) = (base.clone(), base);
    for tables in [&mut old, &mut new] {
        for attachment in tables.attachments.values_mut() {
            attachment.checks |= checks::WORKLOAD_EGRESS;
        }
        let ends = [(ALLOWED, X), (DENIED, Y)].into_iter().zip(NUMBERS).zip(SENDERS);
        for (((addresses, identity), number), subject) in ends {
            let ifindex = tables.attachments.keys().next().unwrap().ifindex;
            let end = Endpoint { subject, ifindex, egress_forms: PEER, ..Endpoint::default() };
            tables.endpoints.insert(number, end);
            for address in addresses {
                let entry = AddressEntry { identity, endpoint: number };
                tables.addresses.insert(address.parse().unwrap(), entry);
            }
        }
        rule(tables, SENDERS[0], Direction::Egress, OF_HOST, action::ALLOW);
        rule(tables, HOSTS, Direction::Ingress, X, action::ALLOW);
    }
    rule(&mut old, HOSTS, Direction::Ingress, Y, action::ALLOW);
    rule(&mut new, SENDERS[1], Direction::Egress, OF_HOST, action::ALLOW);
    // A passes by an entry of every protocol, then by one of UDP.
    new.policy.remove(&key(SENDERS[0], Direction::Egress, OF_HOST));
    let service = PolicyKey::any_port(Direction::Egress, 17);
    let udp = PolicyKey { subject: SENDERS[0], peer: OF_HOST, service };
    new.policy.insert(udp, entry(action::ALLOW));
    new.endpoints.get_mut(&NUMBERS[0]).unwrap().egress_forms |= forms::PEER_PROTOCOL;
    Pair { name: "ingress and egress", old, new }
}

/// A host that lets nobody in, behind one interface.
fn base(ifindex: u32) -> HostTables {
    let mut tables = HostTables {
        config: Config {
            abi: ABI_VERSION,
            generation: 1,
            essential: essential::ALL,
            ..Config::default()
        },
        ..HostTables::default()
    };
    let at = AttachmentKey { ifindex, hook: Hook::TcIngress as u32 };
    let attachment = Attachment { checks: checks::HOST_INGRESS, endpoint: endpoint::UNKNOWN };
    tables.attachments.insert(at, attachment);
    let host = Endpoint { subject: HOSTS, ingress_forms: PEER, ..Endpoint::default() };
    tables.endpoints.insert(endpoint::HOST, host);
    for address in HOST {
        let entry = AddressEntry { identity: OF_HOST, endpoint: endpoint::HOST };
        tables.addresses.insert(address.parse().unwrap(), entry);
    }
    tables
}

fn means(tables: &mut HostTables, addresses: [&str; 2], identity: u32) {
    for address in addresses {
        let address: IpAddr = address.parse().unwrap();
        tables.addresses.insert(address, AddressEntry { identity, endpoint: endpoint::NONE });
    }
}

fn rule(tables: &mut HostTables, subject: u32, direction: Direction, peer: u32, action: u8) {
    tables.policy.insert(key(subject, direction, peer), entry(action));
}

fn key(subject: u32, direction: Direction, peer: u32) -> PolicyKey {
    PolicyKey { subject, peer, service: PolicyKey::any_service(direction) }
}

fn entry(action: u8) -> PolicyEntry {
    PolicyEntry { action, rule: 7, ..PolicyEntry::default() }
}
