//! ClusterNetworkPolicies all the way: documents, model, oracle, tables, the userspace filter, and
//! the kernel's programs, which get each probe of the corpus as a first packet
//! (`BPF_PROG_TEST_RUN` on every hook). All have to give the verdict that was written by hand, and
//! where a rule decides, a rule that the oracle names.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../agreement/kernel.rs"]
mod kernel;
mod packet;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ringfence_common::abi::config::{Hook, report};
use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::backend::{Arrival, Desired, Mode};
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::model::Direction;
use ringfence_dataplane::oracle::{Flow, Oracle, Side};
use ringfence_testbed::case::{self, Case, Probe, Service};
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::require;
use ringfence_testbed::veth::Netlink;

use kernel::{KernelSide, Ran, returns};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/cluster-network-policy");

/// More than any case has workloads. The last one is the uplink.
const INTERFACES: usize = 8;

fn cases() -> Vec<Case> {
    let cases = case::read(&[PathBuf::from(CASES)]).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(cases.len() > 40, "only {} cases", cases.len());
    cases
}

/// What a probe comes to for one pair of addresses, and how it is told.
#[derive(Debug)]
struct Answer {
    egress: (Verdict, Reason),
    ingress: (Verdict, Reason),
}

/// What is wrong with `answer`; nothing if it is what `probe` expects.
fn fault(probe: &Probe, answer: &Answer) -> Option<String> {
    let Answer { egress, ingress } = answer;
    let whole = if egress.0 == Verdict::Allow { ingress.0 } else { egress.0 };
    let reasons = if egress.0 != Verdict::Allow {
        vec![egress.1]
    } else if ingress.0 != Verdict::Allow {
        vec![ingress.1]
    } else {
        vec![egress.1, ingress.1]
    };
    let right = whole == probe.expect
        && probe.expect_egress.is_none_or(|expected| expected == egress.0)
        && probe.expect_ingress.is_none_or(|expected| expected == ingress.0)
        && probe.reason.is_none_or(|expected| reasons.contains(&expected));
    (!right).then(|| format!("{answer:?}"))
}

fn flow(probe: &Probe, (source, destination): (IpAddr, IpAddr)) -> Flow {
    let port = match &probe.service {
        Service::Port { port, .. } => Some(*port),
        Service::Icmp { .. } | Service::Other(_) => None,
    };
    Flow { source, destination, protocol: probe.service.protocol(), port }
}

/// A side's verdict in the case's mode.
fn verdict(case: &Case, side: &Side) -> (Verdict, Reason) {
    let verdict = match (side.allowed, case.mode) {
        (true, _) => Verdict::Allow,
        (false, Mode::Enforce) => Verdict::Deny,
        (false, Mode::Audit) => Verdict::Audit,
    };
    (verdict, side.reason)
}

/// Asks `answer` about every probe of every case; panics with all that is wrong.
fn assert_right(who: &str, mut answer: impl FnMut(&Case, &Probe, (IpAddr, IpAddr)) -> Answer) {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for case in &cases() {
        for probe in &case.probes {
            for pair in &probe.pairs {
                asked += 1;
                let answer = answer(case, probe, *pair);
                wrong.extend(fault(probe, &answer).map(|fault| {
                    format!("{} ({}): {pair:?}: {fault}", probe.place.line, case.name)
                }));
            }
        }
    }
    assert!(asked > 300, "only {asked} flows were asked about");
    assert!(wrong.is_empty(), "{who} is wrong about {} of {asked}:\n{wrong:#?}", wrong.len());
}

#[test]
fn the_oracle_says_what_was_written_by_hand() {
    assert_right("the oracle", |case, probe, pair| {
        let decided = Oracle::new(&case.policies).decide(&flow(probe, pair));
        for side in [&decided.egress, &decided.ingress] {
            let by_rule = matches!(side.reason, Reason::Rule | Reason::DenyRule);
            assert_eq!(by_rule, !side.rules.is_empty(), "{}: {side:?}", case.name);
        }
        Answer { egress: verdict(case, &decided.egress), ingress: verdict(case, &decided.ingress) }
    });
}

/// A host on which every workload of a case is.
struct Host {
    desired: Desired,
    /// Numbers of rules to their names.
    rules: BTreeMap<u32, String>,
}

impl Host {
    fn of(case: &Case, arrival: Arrival, interfaces: &[u32]) -> Self {
        let tables = compile(&case.policies).unwrap();
        let rules = tables.rules.iter().map(|(number, rule)| (*number, rule.name.clone()));
        let rules = rules.collect();
        let (uplink, others) = interfaces.split_last().unwrap();
        let mut free = others.iter();
        let next = |_: &str| *free.next().expect("there are interfaces enough");
        let mut desired = Desired::all_local(tables, arrival, *uplink, next);
        desired.mode = case.mode;
        desired.settings = case.settings;
        desired.settings.report = report::ALL;
        Self { desired, rules }
    }

    /// Where each end of a flow is decided: the hook and the interface; nothing for addresses
    /// outside.
    fn places(&self, case: &Case, flow: &Flow, arrival: Hook) -> [Option<(Hook, u32)>; 2] {
        let place = |address: IpAddr, inside: Hook, of_host: Hook| {
            let owner = case.policies.inventory.owner(address)?;
            let interface = self.desired.interface_of(&owner.name.to_string())?;
            Some((if owner.host { of_host } else { inside }, interface.index))
        };
        [
            place(flow.source, arrival, Hook::TcEgress),
            place(flow.destination, Hook::TcEgress, arrival),
        ]
    }

    /// Checks that a decision that names a rule names one that the oracle does.
    fn assert_rule(&self, case: &Case, flow: &Flow, direction: Direction, decided: (Reason, u32)) {
        let answer = Oracle::new(&case.policies).decide(flow);
        let side = match direction {
            Direction::Egress => answer.egress,
            Direction::Ingress => answer.ingress,
        };
        let names: Vec<String> = side.rules.iter().map(ToString::to_string).collect();
        let named = self.rules.get(&decided.1);
        let right = named.map_or(names.is_empty(), |name| names.contains(name));
        assert!(right, "{}: {flow:?}: {decided:?} is {named:?}, not of {names:?}", case.name);
    }
}

/// Asks `decide` at both ends of a flow.
fn both_ends(
    host: &Host,
    case: &Case,
    flow: &Flow,
    arrival: Hook,
    mut decide: impl FnMut(&[u8], Hook, u32) -> (Verdict, Reason, u32),
) -> Answer {
    let frame = packet::first(flow);
    let inventory = &case.policies.inventory;
    let (source, destination) = (inventory.owner(flow.source), inventory.owner(flow.destination));
    let mut end = |place: Option<(Hook, u32)>, direction| {
        let Some((hook, ifindex)) = place else { return (Verdict::Allow, Reason::NotIsolated) };
        // What does not leave a workload passes no interface of it.
        if source.is_some() && source == destination {
            return (Verdict::Allow, Reason::SelfTraffic);
        }
        let (verdict, reason, rule) = decide(&frame, hook, ifindex);
        host.assert_rule(case, flow, direction, (reason, rule));
        (verdict, reason)
    };
    let [from, to] = host.places(case, flow, arrival);
    let egress = end(from, Direction::Egress);
    // The hook of the source answers for the host too, which has no interface between them.
    let to = to.filter(|_| !(source.is_some() && destination.is_some_and(|one| one.host)));
    Answer { egress, ingress: end(to, Direction::Ingress) }
}

const ARRIVALS: [(Arrival, Hook); 2] = [(Arrival::Tcx, Hook::TcIngress), (Arrival::Xdp, Hook::Xdp)];

#[test]
fn the_userspace_filter_says_what_was_written_by_hand() {
    let interfaces: Vec<u32> = (100..).take(INTERFACES).collect();
    for (arrival, hook) in ARRIVALS {
        assert_right("the userspace filter", |case, probe, pair| {
            let host = Host::of(case, arrival, &interfaces);
            let config = host.desired.config(1, 0, 0);
            let tables = host.desired.host_tables(config);
            both_ends(&host, case, &flow(probe, pair), hook, |frame, hook, ifindex| {
                let decision = Filter::new(&tables).decide(frame, hook, ifindex, 1).decision;
                (decision.verdict, decision.reason, decision.rule)
            })
        });
    }
}

#[test]
fn the_kernel_says_what_was_written_by_hand() {
    let Some(_granted) = require::kernel() else { return };
    let (here, far) = (Namespace::new().unwrap(), Namespace::new().unwrap());
    here.run(|| {
        let netlink = Netlink::open().unwrap();
        let interfaces: Vec<u32> = (0..INTERFACES)
            .map(|number| {
                let name = format!("tier{number}");
                netlink.add_veth(&name, &far, &name).unwrap();
                // XDP has its queues only on interfaces that are up.
                netlink.set_up(&name).unwrap();
                netlink.index(&name).unwrap()
            })
            .collect();
        for (arrival, hook) in ARRIVALS {
            let mut kernel = KernelSide::new(&interfaces);
            let mut installed = String::new();
            let mut host = None;
            assert_right("the kernel", |case, probe, pair| {
                if installed != case.name {
                    installed.clone_from(&case.name);
                    let next = Host::of(case, arrival, &interfaces);
                    kernel.install(&next.desired);
                    host = Some(next);
                }
                let host = host.as_ref().expect("the case is installed");
                let answer = both_ends(host, case, &flow(probe, pair), hook, |frame, hook, at| {
                    kernel.forget();
                    ran(kernel.run(frame, hook, at), hook)
                });
                assert_eq!(kernel.lost_events(), 0);
                answer
            });
        }
    })
    .unwrap();
}

/// What a program decided, which its return value has to say too.
fn ran(ran: Ran, hook: Hook) -> (Verdict, Reason, u32) {
    let Ran::Decided(returned, event) = ran else { panic!("the kernel runs first packets") };
    let verdicts = [Verdict::Allow, Verdict::Deny, Verdict::Audit];
    let verdict = verdicts.into_iter().find(|one| *one as u8 == event.verdict).unwrap();
    let reason = Reason::ALL.iter().copied().find(|one| *one as u8 == event.reason).unwrap();
    assert_eq!(returned, returns(hook, verdict != Verdict::Deny), "{event:?}");
    (verdict, reason, event.rule)
}
