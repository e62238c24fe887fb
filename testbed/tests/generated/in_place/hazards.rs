//! Each hazard by an example: it is noticed, and ignoring it would show.

use std::collections::BTreeSet;

use ringfence_dataplane::compile::{Hazard, Tables, TablesDiff, compile};
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_dataplane::model::{
    Action, Direction, IpBlock, Labels, NamespaceScope, Operator, Peer, Peers, Policy, PolicySet,
    PortMatch, PortRange, Ports, Protocol, Requirement, Rule, Selector, Workload, WorkloadName,
};

use super::walk::walk;

/// Orders of changes that are tried to make a hazard show.
const SEEDS: u64 = 64;

/// An API, a database and a web server, and a policy that isolates the database.
const SHOP: &str = "
kind: Workload
apiVersion: ringfence.dev/v1alpha1
metadata: { namespace: shop, name: api, labels: { app: api } }
spec: { addresses: [10.1.0.2, 'fd00::2'] }
---
kind: Workload
apiVersion: ringfence.dev/v1alpha1
metadata: { namespace: shop, name: db, labels: { app: db } }
spec: { addresses: [10.1.0.3, 'fd00::3'] }
---
kind: Workload
apiVersion: ringfence.dev/v1alpha1
metadata: { namespace: shop, name: web, labels: { app: web } }
spec: { addresses: [10.1.0.4, 'fd00::4'] }
---
kind: NetworkPolicy
apiVersion: networking.k8s.io/v1
metadata: { namespace: shop, name: db }
spec: { podSelector: { matchLabels: { app: db } }, policyTypes: [Ingress] }
";

/// The policy set that the examples edit.
pub fn shop() -> PolicySet {
    let input = Input::Text { name: "shop.yaml".to_owned(), text: SHOP.to_owned() };
    let report = document::read(&[input], Validation::Strict);
    report.policies.clone().unwrap_or_else(|| panic!("{}", report.render(false)))
}

struct Example {
    before: PolicySet,
    after: PolicySet,
}

impl Example {
    /// Two editions of the shop.
    fn new(before: impl Fn(&mut PolicySet), after: impl Fn(&mut PolicySet)) -> Self {
        let edition = |edit: &dyn Fn(&mut PolicySet)| {
            let mut set = shop();
            set.policies[0].ingress.clear();
            edit(&mut set);
            set
        };
        Self { before: edition(&before), after: edition(&after) }
    }

    fn tables(&self) -> (Tables, Tables) {
        (compile(&self.before).unwrap(), compile(&self.after).unwrap())
    }

    fn assert_hazards(&self, expected: &[Hazard]) -> (Tables, Tables, TablesDiff) {
        let (old, new) = self.tables();
        let diff = old.diff(&new);
        assert_eq!(diff.hazards, expected.iter().copied().collect::<BTreeSet<_>>(), "{diff}");
        (old, new, diff)
    }

    /// The hazard is there, alone, and real: some order of changes shows a third verdict.
    fn assert_real(&self, hazard: Hazard) {
        let (old, new, diff) = self.assert_hazards(&[hazard]);
        let shows = |seed| walk(&old, &new, std::slice::from_ref(&diff), seed).is_err();
        assert!((0..SEEDS).any(shows), "{hazard:?} makes no difference here\n{diff}");
    }
}

fn apps(app: &str) -> Selector {
    Selector::new([Requirement { key: "app".into(), operator: Operator::In([app.into()].into()) }])
}

fn app(app: &str) -> Peers {
    let namespaces = NamespaceScope::Named("shop".into());
    Peers::Any(vec![Peer::Workloads { namespaces, workloads: apps(app) }])
}

fn rule(action: Action, peers: Peers, port: Option<u16>) -> Rule {
    let range = |port| PortMatch::Range(Protocol::Tcp, PortRange::single(port));
    let ports = port.map_or(Ports::Everything, |port| Ports::Any(vec![range(port)]));
    Rule { action, peers, ports, origin: None }
}

fn allow(peers: Peers, port: Option<u16>) -> Rule {
    rule(Action::Allow, peers, port)
}

/// A policy for the API's egress, beside the one for the database's ingress.
fn api_egress(set: &PolicySet, rule: Rule) -> Policy {
    let mut policy = set.policies[0].clone();
    policy.name.name = "api".into();
    policy.subjects = apps("api");
    (policy.isolates_ingress, policy.isolates_egress) = (false, true);
    (policy.ingress, policy.egress) = (Vec::new(), vec![rule]);
    policy
}

#[test]
fn both_directions_at_once_could_let_through_what_both_refuse() {
    // The API may go to the database, which does not expect it; then the other way round.
    let edition = |to: &'static str, from: &'static str| {
        move |set: &mut PolicySet| {
            set.policies[0].ingress.push(allow(app(from), None));
            set.policies.push(api_egress(set, allow(app(to), None)));
        }
    };
    Example::new(edition("db", "web"), edition("web", "api")).assert_real(Hazard::BothDirections);
}

#[test]
fn denials_could_go_before_what_they_stood_against() {
    let everyone = |port| allow(Peers::Everyone, Some(port));
    let before = |set: &mut PolicySet| {
        let web = rule(Action::Deny, app("web"), None);
        set.policies[0].ingress = vec![web, everyone(5_432), everyone(6_379)];
    };
    let after = |set: &mut PolicySet| {
        set.policies[0].ingress = vec![allow(app("api"), Some(5_432)), everyone(6_379)];
    };
    Example::new(before, after).assert_real(Hazard::Denials);
}

#[test]
fn forms_could_go_before_the_classes_that_replace_them_are_there() {
    let edition =
        |port| move |set: &mut PolicySet| set.policies[0].ingress = vec![allow(app("api"), port)];
    let example = Example::new(edition(None), edition(Some(5_432)));
    example.assert_real(Hazard::Forms);
    let (old, new) = example.tables();
    let steps = old.steps_to(&new).expect("finer classes first, then the forms");
    walk(&old, &new, &steps, 1).unwrap();
}

#[test]
fn a_rule_that_moves_to_the_next_port_takes_a_detour_and_touches_a_few_entries() {
    let edition =
        |port| move |set: &mut PolicySet| set.policies[0].ingress = vec![allow(app("api"), port)];
    let example = Example::new(edition(Some(5_432)), edition(Some(5_433)));
    example.assert_real(Hazard::Classes);
    let (old, new) = example.tables();
    let steps = old.steps_to(&new).expect("finer classes lead from one port to the next");
    let touched: usize = steps.iter().map(TablesDiff::entries_touched).sum();
    // Two changes of the class table, one entry that comes and one that goes.
    assert_eq!((steps.len(), touched), (3, 4), "{steps:#?}");
    walk(&old, &new, &steps, 1).unwrap();
}

#[test]
fn isolation_that_begins_takes_a_generation() {
    let example = Example::new(|_| {}, |set| set.policies[0].isolates_egress = true);
    let (old, new, _) = example.assert_hazards(&[Hazard::Enforcement]);
    assert_eq!(old.steps_to(&new), None);
}

#[test]
fn prefixes_that_come_take_a_generation() {
    let block = || IpBlock::new("198.51.100.0/24".parse().unwrap(), Vec::new()).unwrap();
    let example = Example::new(
        |_| {},
        |set| {
            let office = Peers::Any(vec![Peer::Block(block())]);
            set.policies[0].ingress = vec![allow(office, None)];
        },
    );
    example.assert_hazards(&[Hazard::Prefixes]);
}

fn workload(name: &str, addresses: &[&str], interface: Option<&str>) -> Workload {
    Workload {
        name: WorkloadName::new("shop", name),
        labels: Labels::from([("app".into(), "cache".into())]),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        ports: Vec::new(),
        interface: interface.map(str::to_owned),
        host: false,
    }
}

#[test]
fn endpoints_that_change_their_interface_or_hand_over_an_address_take_a_generation() {
    let edition =
        |workloads: &'static [(&'static str, &'static [&'static str], &'static str)]| {
            move |set: &mut PolicySet| {
                for (name, addresses, interface) in workloads {
                    let workload = workload(name, addresses, Some(interface));
                    set.inventory.add_workload(workload).unwrap();
                }
            }
        };
    let interface =
        Example::new(edition(&[("a", &["10.9.0.1"], "x")]), edition(&[("a", &["10.9.0.1"], "y")]));
    interface.assert_hazards(&[Hazard::Endpoints]);
    let address = Example::new(
        edition(&[("a", &["10.9.0.1"], "x"), ("b", &[], "y")]),
        edition(&[("a", &[], "x"), ("b", &["10.9.0.1"], "y")]),
    );
    address.assert_hazards(&[Hazard::Endpoints]);
}

#[test]
fn one_workload_may_come_but_not_two() {
    let edition = |count| {
        move |set: &mut PolicySet| {
            set.policies[0].ingress = vec![allow(app("cache"), None), allow(app("api"), None)];
            for (name, address) in [("a", "10.9.0.1"), ("b", "10.9.0.2")].into_iter().take(count) {
                set.inventory.add_workload(workload(name, &[address], None)).unwrap();
            }
        }
    };
    let one = Example::new(edition(0), edition(1));
    let (old, new, diff) = one.assert_hazards(&[]);
    // Its address, its endpoint, and the entry that lets it in.
    assert_eq!(diff.entries_touched(), 3, "{diff}");
    assert!(diff.policy.added.keys().all(|key| key.direction() == Direction::Ingress));
    walk(&old, &new, &[diff], 1).unwrap();
    Example::new(edition(0), edition(2)).assert_hazards(&[Hazard::Addresses]);
}
