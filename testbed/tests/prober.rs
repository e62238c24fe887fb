//! First packets of every kind, on networks whose answers are known.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod small_network;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ringfence_testbed::prober::{Ask, Prober, Service};
use ringfence_testbed::require;
use ringfence_testbed::topology::{Family, Topology};
use ringfence_testbed::workload::Outcome;

const PATIENCE: [Duration; 2] = [Duration::from_millis(300); 2];

/// Everything between all places, with both families.
fn asks(topology: &Topology) -> BTreeSet<Ask> {
    let mut asks = BTreeSet::new();
    for from in topology.places() {
        for to in topology.places().iter().filter(|to| to.name != from.name) {
            for family in Family::ALL {
                let [from, to] = [from, to].map(|place| place.address(family).unwrap());
                asks.extend(services(to).map(|service| Ask { from, to, service }));
            }
        }
    }
    asks
}

/// Each kind of question: those that are answered first.
fn services(to: IpAddr) -> [Service; 8] {
    let (echo, timestamp, unreachable) = if to.is_ipv4() { (8, 13, 3) } else { (128, 140, 1) };
    [
        Service::Tcp(80),
        Service::Udp(53),
        Service::Sctp(36_412),
        Service::Icmp { kind: echo, code: 0 },
        Service::Icmp { kind: timestamp, code: 0 },
        Service::Icmp { kind: unreachable, code: 1 },
        Service::Other(47),
        Service::Other(253),
    ]
}

#[test]
fn everything_arrives_and_is_answered_on_an_open_network() {
    let Some(_granted) = require::privileged() else { return };
    let topology = small_network::build();
    let asks = asks(&topology);
    assert_eq!(asks.len(), 5 * 4 * 2 * 8);
    let prober = Prober::start(&topology, &asks).unwrap();
    let outcomes = prober.ask(&asks.iter().copied().collect::<Vec<_>>(), &|_| &PATIENCE);
    for (ask, outcome) in &outcomes {
        assert_eq!(*outcome, Outcome::Answered, "{ask:?}");
        assert!(prober.has_arrived(ask), "{ask:?} was answered and has not arrived");
    }
    prober.forget();
    assert!(!asks.iter().any(|ask| prober.has_arrived(ask)), "forgotten arrivals");
}

#[test]
fn what_is_lost_on_the_way_back_has_arrived() {
    let Some(_granted) = require::privileged() else { return };
    let topology = small_network::build();
    let asks = asks(&topology);
    let prober = Prober::start(&topology, &asks).unwrap();
    let blocked = topology.place("test/database").unwrap().clone();
    let is_blocked = |address| blocked.addresses.contains(&address);
    // The host itself learns that its route leads nowhere.
    let node = topology.place("test/node").unwrap();
    let asks: Vec<Ask> =
        asks.into_iter().filter(|ask| !node.addresses.contains(&ask.from)).collect();

    topology.set_reachable(&blocked, false).unwrap();
    let outcomes = prober.ask(&asks, &|_| &PATIENCE);
    for (ask, outcome) in &outcomes {
        let (to_it, from_it) = (is_blocked(ask.to), is_blocked(ask.from));
        let answered = !to_it && (!from_it || !ask.is_answered());
        assert_eq!(*outcome == Outcome::Answered, answered, "{ask:?}: {outcome}");
        assert_eq!(prober.has_arrived(ask), !to_it, "{ask:?}");
    }
}
