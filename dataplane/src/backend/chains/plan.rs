//! From a desired state to a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ringfence_common::abi::identity::{AddressEntry, endpoint};
use ringfence_common::abi::policy::{Direction, forms};

use super::space::Space;
use super::{Entry, Guard, HostGuard, Plan, Side, lines};
use crate::backend::{Desired, Interface, Role, host};
use crate::compile::{EndpointDescription, Tables};

impl Plan {
    /// What chains have to do so that the host is in the state `desired`.
    ///
    /// # Panics
    ///
    /// When an interface has an endpoint that the tables do not describe.
    #[must_use]
    pub fn of(desired: &Desired) -> Self {
        let tables = &desired.tables;
        let addresses = host::addresses(tables, &desired.host_addresses);
        Self {
            mode: desired.mode,
            settings: desired.settings,
            guards: guards(desired),
            host: host_guard(desired, &addresses),
            sides: sides(tables, &Space::of(&addresses, &tables.prefixes)),
            rules: tables.rules.clone(),
        }
    }
}

/// The guards of all workloads, by name.
fn guards(desired: &Desired) -> Vec<Guard> {
    let tables = &desired.tables;
    let workloads = desired.interfaces.iter().filter(|interface| interface.role == Role::Workload);
    let behind: BTreeMap<u32, &Interface> = workloads
        .flat_map(|interface| interface.endpoints.iter().map(move |number| (*number, interface)))
        .collect();
    let known =
        |number: &u32| tables.endpoints.get(number).expect("interfaces have described endpoints");
    let guard = |number: u32| {
        let EndpointDescription { name, subject, addresses, .. } = known(&number);
        let entry = match behind.get(&number) {
            Some(interface) if interface.endpoints.len() == 1 => {
                Entry::Interface(interface.name.clone())
            }
            Some(interface) => Entry::Shared(interface.name.clone()),
            None => Entry::Addresses,
        };
        Guard {
            endpoint: number,
            name: name.clone(),
            entry,
            addresses: sorted(addresses.iter().copied()),
            subject: *subject,
            isolated: is_isolated(tables, *subject),
        }
    };
    let numbers: BTreeSet<u32> = tables.endpoints.keys().chain(behind.keys()).copied().collect();
    let workloads = numbers.into_iter().filter(|number| *number != endpoint::HOST);
    let mut guards: Vec<Guard> = workloads.map(guard).collect();
    guards.sort_by(|a, b| (&a.name, a.endpoint).cmp(&(&b.name, b.endpoint)));
    guards
}

/// The host has the addresses that its document names and those of its interfaces that no other
/// document claims.
fn host_guard(desired: &Desired, addresses: &BTreeMap<IpAddr, AddressEntry>) -> Option<HostGuard> {
    let EndpointDescription { name, subject, .. } =
        desired.tables.endpoints.get(&endpoint::HOST)?;
    let of_host = addresses.iter().filter(|(_, entry)| entry.endpoint == endpoint::HOST);
    let uplinks = desired.interfaces.iter().filter(|interface| interface.role == Role::Uplink);
    let uplinks: BTreeSet<&String> = uplinks.map(|interface| &interface.name).collect();
    Some(HostGuard {
        name: name.clone(),
        uplinks: uplinks.into_iter().cloned().collect(),
        addresses: sorted(of_host.map(|(address, _)| *address)),
        subject: *subject,
        isolated: is_isolated(&desired.tables, *subject),
    })
}

/// The sides of all subjects that policy says something about.
fn sides(tables: &Tables, space: &Space) -> BTreeMap<(u32, Direction), Side> {
    let mut entries = lines::by_side(tables);
    let mut sides = BTreeMap::new();
    for (number, subject) in &tables.subjects {
        for direction in [Direction::Ingress, Direction::Egress] {
            let forms = subject.forms(direction);
            if forms & forms::ENFORCED != 0 {
                let entries = entries.remove(&(*number, direction)).unwrap_or_default();
                sides.insert((*number, direction), lines::side(tables, space, forms, &entries));
            }
        }
    }
    sides
}

fn is_isolated(tables: &Tables, subject: u32) -> bool {
    let subject = tables.subjects.get(&subject).copied().unwrap_or_default();
    (subject.ingress_forms | subject.egress_forms) & forms::ISOLATED != 0
}

fn sorted(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    addresses.collect::<BTreeSet<IpAddr>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::IpAddr;

    use ringfence_common::abi::identity::endpoint::HOST;
    use ringfence_common::abi::policy::{Direction, PolicyEntry, PolicyKey, action, forms};

    use super::super::{Decided, Entry, Form, Line, Peers, Plan, Service, Side};
    use crate::backend::{Arrival, Desired, Interface, Mode, Role, Settings};
    use crate::compile::{EndpointDescription, Subject, Tables};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn endpoint(name: &str, subject: u32, addresses: &[&str]) -> EndpointDescription {
        EndpointDescription {
            name: name.to_owned(),
            subject,
            addresses: addresses.iter().map(|text| address(text)).collect(),
            ..EndpointDescription::default()
        }
    }

    fn interface(index: u32, name: &str, role: Role, endpoints: &[u32]) -> Interface {
        let endpoints = endpoints.iter().copied().collect();
        Interface { index, name: name.to_owned(), role, endpoints, arrival: Arrival::Tcx }
    }

    /// Two pods behind one interface, one behind its own, one that is nowhere; subject 502 alone
    /// is isolated.
    fn desired(endpoints: &[(u32, EndpointDescription)], interfaces: Vec<Interface>) -> Desired {
        let addresses = endpoints.iter().flat_map(|(_, described)| {
            described.addresses.iter().map(move |address| (*address, described.subject))
        });
        let isolated =
            Subject { ingress_forms: forms::ENFORCED | forms::ISOLATED, egress_forms: 0 };
        let tables = Tables {
            addresses: addresses.collect(),
            endpoints: endpoints.iter().cloned().collect(),
            subjects: BTreeMap::from([(501, Subject::default()), (502, isolated)]),
            ..Tables::default()
        };
        Desired {
            tables,
            interfaces,
            host_addresses: BTreeSet::new(),
            mode: Mode::Enforce,
            settings: Settings::default(),
        }
    }

    #[test]
    fn a_workload_is_known_by_interface_by_both_or_by_address() {
        let endpoints = [
            (300, endpoint("shop/web", 501, &["10.0.0.1", "2001:db8::1"])),
            (301, endpoint("shop/db", 502, &["10.0.0.2"])),
            (302, endpoint("shop/api", 501, &["10.0.0.3"])),
            (303, endpoint("shop/cron", 501, &["10.0.0.4"])),
        ];
        let interfaces = vec![
            interface(7, "veth7", Role::Workload, &[300, 302]),
            interface(8, "veth8", Role::Workload, &[301]),
        ];
        let plan = Plan::of(&desired(&endpoints, interfaces));
        let told: Vec<_> = plan
            .guards
            .iter()
            .map(|guard| (guard.name.as_str(), guard.endpoint, guard.entry.clone(), guard.isolated))
            .collect();
        let shared = || Entry::Shared("veth7".to_owned());
        let expected = [
            ("shop/api", 302, shared(), false),
            ("shop/cron", 303, Entry::Addresses, false),
            ("shop/db", 301, Entry::Interface("veth8".to_owned()), true),
            ("shop/web", 300, shared(), false),
        ];
        assert_eq!(told, expected);
        assert_eq!(plan.guards[3].addresses, ["10.0.0.1", "2001:db8::1"].map(address));
        assert_eq!(plan.host, None, "no document describes the host");
    }

    #[test]
    fn a_described_host_has_the_addresses_of_its_interfaces_that_are_nobody_elses() {
        let endpoints = [
            (HOST, endpoint("nodes/one", 502, &["192.0.2.1"])),
            (300, endpoint("shop/web", 501, &["10.0.0.1"])),
        ];
        let interfaces = vec![
            interface(3, "eth1", Role::Uplink, &[HOST]),
            interface(2, "eth0", Role::Uplink, &[HOST]),
            interface(7, "veth7", Role::Workload, &[300]),
        ];
        let mut desired = desired(&endpoints, interfaces);
        desired.host_addresses = ["127.0.0.1", "10.0.0.1", "192.0.2.7"].map(address).into();
        let plan = Plan::of(&desired);
        let host = plan.host.unwrap();
        assert_eq!((host.name.as_str(), host.subject, host.isolated), ("nodes/one", 502, true));
        assert_eq!(host.uplinks, ["eth0", "eth1"]);
        assert_eq!(host.addresses, ["127.0.0.1", "192.0.2.1", "192.0.2.7"].map(address));
        assert_eq!(plan.guards.len(), 1, "the host is no workload");
    }

    #[test]
    fn an_enforced_side_refuses_what_no_line_is_about() {
        let endpoints = [(301, endpoint("shop/db", 502, &["10.0.0.2"]))];
        let mut desired = desired(&endpoints, Vec::new());
        let plan = Plan::of(&desired);
        let refused =
            Side { lines: Vec::new(), default: Decided { allows: false, logs: false, rule: 0 } };
        assert_eq!(plan.sides, BTreeMap::from([((502, Direction::Ingress), refused)]));

        let any = PolicyKey::any_service(Direction::Ingress);
        let entry = |action| PolicyEntry { action, rule: 9, ..PolicyEntry::default() };
        desired.tables.policy = [(0, action::DENY), (502, action::ALLOW), (999, action::ALLOW)]
            .map(|(peer, action)| (PolicyKey { subject: 502, peer, service: any }, entry(action)))
            .into();
        let subject = desired.tables.subjects.get_mut(&502).unwrap();
        subject.ingress_forms |= forms::PEER | forms::ANY;
        let plan = Plan::of(&desired);
        let own = "10.0.0.2".parse().unwrap();
        let side = Side {
            lines: vec![Line {
                form: Form::Peer,
                peers: Peers::Of { v4: vec![own..=own], v6: Vec::new() },
                service: Service::Everything,
                decided: Decided { allows: true, logs: false, rule: 9 },
            }],
            default: Decided { allows: false, logs: false, rule: 9 },
        };
        assert_eq!(plan.sides[&(502, Direction::Ingress)], side, "999 has no address, so no line");
    }
}
