//! Ten thousand entries of each family, and one change among them under traffic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread::sleep;
use std::time::Duration;

use ringfence_dataplane::model::{
    Action, IpBlock, Peer, Peers, Policy, PolicySet, PortMatch, PortRange, Ports, Protocol, Rule,
};
use ringfence_testbed::connectivity::Probe;
use ringfence_testbed::suite::live::Backend;
use ringfence_testbed::topology::{Family, Outsider};
use ringfence_testbed::transfer::Transfer;
use ringfence_testbed::workload::Transport;

use crate::datagrams::{Flood, Way, arrive};
use crate::host::{Host, PORTS, policies};
use crate::touched;

/// Entries of each family.
const ENTRIES: u32 = 10_000;

const WORKLOADS: [&str; 2] = ["client", "server"];

const CLIENT: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: server}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]
"#;

/// The port of the server that the many may reach.
const PORT: u16 = 7001;
/// The rule that changes.
pub const CHANGED: u32 = 3_333;
/// A rule that stays.
const UNCHANGED: u32 = 7_000;

/// Time in which packets meet what holds then.
const PAUSE: Duration = Duration::from_millis(200);

/// Those whom entry `number` lets in: every second address, so that no two are one block.
pub fn entry(number: u32) -> [IpAddr; 2] {
    let v6 = 0xfd64_u128 << 112 | u128::from(2 * number);
    [Ipv4Addr::from_bits(0xac10_0000 + 2 * number).into(), Ipv6Addr::from_bits(v6).into()]
}

fn newcomer() -> [IpAddr; 2] {
    ["198.51.100.77".parse().unwrap(), "2001:db8:77::77".parse().unwrap()]
}

fn outsiders() -> [Outsider; 3] {
    let outsider = |name: &str, addresses: [IpAddr; 2]| Outsider {
        name: name.into(),
        addresses: addresses.into(),
    };
    [
        outsider("unchanged", entry(UNCHANGED)),
        outsider("changed", entry(CHANGED)),
        outsider("newcomer", newcomer()),
    ]
}

/// The server lets in the client and, each by a rule of its own, the many. `changed` is in the
/// place of one of them.
pub fn many(changed: [IpAddr; 2]) -> PolicySet {
    let mut set = policies(&WORKLOADS, CLIENT);
    let rules = (0..ENTRIES).map(|number| {
        let addresses = if number == CHANGED { changed } else { entry(number) };
        let block = |address: IpAddr| Peer::Block(IpBlock::new(address.into(), vec![]).unwrap());
        let port = PortMatch::Range(Protocol::Udp, PortRange::single(PORT));
        Rule {
            action: Action::Allow,
            peers: Peers::Any(addresses.map(block).into()),
            ports: Ports::Any(vec![port]),
            origin: None,
        }
    });
    let mut policy: Policy = set.policies[0].clone();
    "many".clone_into(&mut policy.name.name);
    policy.ingress = rules.collect();
    set.policies.push(policy);
    set.policies.sort_by(|a, b| a.name.cmp(&b.name));
    set
}

/// Everybody who may talk to the server before and after: known connections, and new ones.
struct Unchanged<'h> {
    transfer: Transfer<'h>,
    flood: Flood,
}

impl<'h> Unchanged<'h> {
    fn start(host: &'h Host) -> Self {
        let (source, destination) = (host.number("shop/client"), host.number("shop/server"));
        let kinds = Transport::ALL
            .into_iter()
            .flat_map(|transport| Family::ALL.map(|family| (transport, family)));
        let probe =
            |(transport, family)| Probe { source, destination, port: PORTS[0], transport, family };
        let streams: Vec<Probe> = kinds.map(probe).collect();
        let flood = Flood::start(host, &[Way { from: "unchanged", to: "shop/server", port: PORT }]);
        Self { transfer: Transfer::start(host.processes(), &streams), flood }
    }

    fn assert_whole(self, backend: Backend) {
        for (way, count) in self.flood.finish() {
            assert!(count.sent > 100, "{backend}: {way:?} ran meanwhile: {count:?}");
            assert_eq!(count.lost(), [] as [u32; 0], "{backend}: {way:?}, of {}", count.sent);
        }
        let report = self.transfer.finish();
        assert!(report.is_whole(), "{backend}: {report:#?}");
        assert!(report.streams.iter().all(|stream| stream.sent > 100), "{report:#?}");
    }
}

pub fn one_change(backend: Backend) {
    let (before, after) = (many(entry(CHANGED)), many(newcomer()));
    let mut host = Host::start(backend, &before.inventory, &outsiders());
    // As where the chains have been for long: a change that revokes ends the picking up of older
    // connections, and that changes the chains.
    host.settings.pick_up_seconds = 0;
    host.apply(&before);
    let changed = |from| Way { from, to: "shop/server", port: PORT };
    let assert_let_in = |from, expected| {
        let is_let_in = arrive(&host, changed(from), expected);
        assert_eq!(is_let_in, expected, "{backend}: whether {from} is let in");
    };
    assert_let_in("changed", true);
    assert_let_in("newcomer", false);

    let unchanged = Unchanged::start(&host);
    sleep(PAUSE);
    touched::elements_only(&host, || drop(host.apply(&after)));
    sleep(PAUSE);
    unchanged.assert_whole(backend);
    assert_let_in("changed", false);
    assert_let_in("newcomer", true);
}
