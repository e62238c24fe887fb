//! Policy changes many times while an allowed transfer runs; it must not notice.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use ringfence_dataplane::enforce::HookChoice;
use ringfence_dataplane::model::PolicySet;
use ringfence_testbed::connectivity::Probe;
use ringfence_testbed::demo::{self, Documents, Engine, Live, PORTS, outsiders};
use ringfence_testbed::require;
use ringfence_testbed::topology::{Family, Topology};
use ringfence_testbed::transfer::Transfer;
use ringfence_testbed::workload::{Transport, start_all};

/// How often each of the policies takes its turn.
const ROUNDS: usize = 12;

/// The shop, the shop after the demo's change, and the shop without what monitoring needs: small
/// and large changes, one after the other. What the transfer needs is the same in all.
fn generations() -> Vec<Documents> {
    let mut bare = demo::shop().unwrap();
    let PolicySet { policies, .. } = &mut bare.policies;
    policies.retain(|policy| !["monitoring", "metrics"].contains(&policy.name.name.as_str()));
    vec![demo::change().unwrap(), bare, demo::shop().unwrap()]
}

#[test]
fn an_allowed_transfer_loses_nothing_while_policy_changes() {
    let Some(_granted) = require::kernel() else { return };
    let shop = demo::shop().unwrap();
    let topology = Topology::build(&shop.policies.inventory, &outsiders()).unwrap();
    let processes = start_all(&topology, &PORTS).unwrap();
    let number = |name| topology.places().iter().position(|place| place.name == name).unwrap();
    let (source, database, dns) =
        (number("shop/api-server"), number("shop/database"), number("platform/dns"));
    let mut streams = Vec::new();
    for family in Family::ALL {
        for (destination, port, transport) in
            [(database, 5432, Transport::Tcp), (dns, 53, Transport::Tcp), (dns, 53, Transport::Udp)]
        {
            streams.push(Probe { source, destination, port, transport, family });
        }
    }

    let mut engine = Live::new(HookChoice::Auto);
    let mut apply = |documents: &Documents| {
        let applied = topology.host().run(|| engine.apply(&documents.policies, &documents.report));
        applied.unwrap().unwrap().lines.pop().unwrap()
    };
    apply(&shop);
    let transfer = Transfer::start(&processes, &streams);
    let generations = generations();
    let mut results = Vec::new();
    for _ in 0..ROUNDS {
        results.extend(generations.iter().map(&mut apply));
    }
    let report = transfer.finish();
    assert!(report.is_whole(), "{report:#?}\n{results:#?}");
    for stream in &report.streams {
        assert!(stream.sent > 100, "the transfer ran meanwhile: {stream:?}");
    }
    println!("{results:#?}\n{report:#?}");
}
