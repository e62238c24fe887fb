//! Connections that a new policy refuses leave the kernel's table, and no others do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use ringfence_dataplane::backend::conntrack::{Revoked, revoke};
use ringfence_dataplane::backend::{Arrival, Desired, Mode};
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_dataplane::model::PolicySet;
use ringfence_dataplane::oracle::{Flow, Oracle};
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::prober::{Ask, Prober, Service};
use ringfence_testbed::require::{self, Tool};
use ringfence_testbed::topology::{Family, Outsider, Place, Topology, UPLINK};
use ringfence_testbed::veth::Netlink;
use socket2::{Domain, Socket, Type};

/// The host's address on an interface that nobody guards.
const ASIDE: &str = "192.168.77.1";

const PATIENCE: [Duration; 1] = [Duration::from_millis(500)];

/// The node, `shop/web`, `shop/api` and `shop/db`.
const WORKLOADS: &str = r#"---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {namespace: shop, name: node, labels: {app: node}},
 spec: {host: true, addresses: [10.20.0.1, "fd20::1"]}}
---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {namespace: shop, name: web, labels: {app: web}},
 spec: {addresses: [10.20.0.11, "fd20::11"]}}
---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {namespace: shop, name: api, labels: {app: api}},
 spec: {addresses: [10.20.0.12, "fd20::12"]}}
---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {namespace: shop, name: db, labels: {app: db}},
 spec: {addresses: [10.20.0.13, "fd20::13"]}}
"#;

/// Who reaches the database: `web` on TCP 5432, the vendor on anything. The node takes nothing but
/// UDP 53. `web` talks to the database and IPv6 alone.
const POLICIES: &str = r#"---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { namespace: shop, name: db }
spec:
  podSelector: { matchLabels: { app: db } }
  ingress:
    - { from: [{ podSelector: { matchLabels: { app: web } } }], ports: [{ protocol: TCP, port: 5432 }] }
    - { from: [{ ipBlock: { cidr: 203.0.113.0/24 } }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { namespace: shop, name: node }
spec:
  podSelector: { matchLabels: { app: node } }
  ingress: [{ ports: [{ protocol: UDP, port: 53 }] }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { namespace: shop, name: web }
spec:
  podSelector: { matchLabels: { app: web } }
  policyTypes: [Egress]
  egress:
    - { to: [{ podSelector: { matchLabels: { app: db } } }, { ipBlock: { cidr: "::/0" } }] }
"#;

/// Rules that make the kernel track connections.
const TRACKING: &str = "table inet tracking {
    chain tracked { type filter hook prerouting priority 0; ct state new counter; }
    chain sent { type filter hook output priority 0; ct state new counter; }
}";

/// The database behind a name of its own, and the API behind the host's address.
const TRANSLATION: &str = "table ip translation {
    chain to {
        type nat hook prerouting priority -100;
        ip daddr 198.51.100.9 udp dport 53 dnat to 10.20.0.13:5432
    }
    chain from {
        type nat hook postrouting priority 100;
        ip saddr 10.20.0.12 masquerade
    }
}";

/// A network without rules of ours, whose host tracks connections.
struct Scene {
    topology: Topology,
}

impl Scene {
    fn new() -> Self {
        let vendor = Outsider {
            name: "vendor".into(),
            addresses: vec!["203.0.113.10".parse().unwrap(), "2001:db8:ffff::10".parse().unwrap()],
        };
        let topology = Topology::build(&read(WORKLOADS).inventory, &[vendor]).unwrap();
        let scene = Self { topology };
        scene.nft(TRACKING);
        scene
    }

    /// Gives rules that are not ours to the host.
    fn nft(&self, rules: &str) {
        let run = || {
            let tool = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn();
            let mut tool = tool.unwrap();
            tool.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
            assert!(tool.wait().unwrap().success(), "{rules}");
        };
        self.host().run(run).unwrap();
    }

    fn host(&self) -> &Namespace {
        self.topology.host()
    }

    fn place(&self, name: &str) -> &Place {
        self.topology.place(name).unwrap()
    }

    /// What is to be the host's state.
    fn desired(&self, policies: &PolicySet) -> Desired {
        let tables = compile(policies).unwrap();
        let look = || {
            let netlink = Netlink::open().unwrap();
            let index = |name: &str| netlink.index(name).unwrap();
            let behind = |name: &str| index(self.place(name).interface.as_ref().unwrap());
            Desired::all_local(tables, Arrival::Tcx, index(UPLINK), behind)
        };
        let mut desired = self.host().run(look).unwrap();
        let own = ["127.0.0.1", "::1", ASIDE];
        desired.host_addresses = own.map(|own| own.parse().unwrap()).into();
        desired
    }

    /// Takes back what `policies` refuse.
    fn revoke(&self, policies: &PolicySet) -> Revoked {
        let desired = self.desired(policies);
        self.host().run(|| revoke(&desired)).unwrap().unwrap()
    }

    /// Sends a datagram from a place to an address and port.
    fn send(&self, from: &Namespace, to: &str) {
        let to: SocketAddr = to.parse().unwrap();
        let send = || UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"?", to).unwrap();
        from.run(send).unwrap();
    }

    /// The connections that the kernel knows between addresses that are not link-local.
    fn connections(&self) -> BTreeSet<Known> {
        let read = || fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
        let text = self.host().run(read).unwrap();
        let known = text.lines().map(Known::read);
        known
            .filter(|known| !is_link_local(known.source) && !is_link_local(known.destination))
            .collect()
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_multicast(),
    }
}

fn read(text: &str) -> PolicySet {
    let input = Input::Text { name: "test.yaml".into(), text: text.into() };
    let mut report = document::read(&[input], Validation::Strict);
    report.policies.take().unwrap_or_else(|| panic!("{}", report.render(false)))
}

fn policies(policies: &str) -> PolicySet {
    read(&[WORKLOADS, policies].concat())
}

/// A connection as the kernel tells it: who asks whom, and about what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// The port that was asked; of ICMP the type.
    about: Option<u16>,
}

impl Known {
    /// A line of `/proc/net/nf_conntrack`: `ipv4 2 tcp 6 119 … src=… dst=… sport=… dport=… src=…`.
    fn read(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let first = |key: &str| words.iter().find_map(|word| word.strip_prefix(key));
        Self {
            source: first("src=").unwrap().parse().unwrap(),
            destination: first("dst=").unwrap().parse().unwrap(),
            protocol: words[3].parse().unwrap(),
            about: first("dport=").or(first("type=")).map(|about| about.parse().unwrap()),
        }
    }

    fn of(ask: &Ask) -> Self {
        let about = match ask.service {
            Service::Tcp(port) | Service::Udp(port) | Service::Sctp(port) => Some(port),
            Service::Icmp { kind, .. } => Some(kind.into()),
            Service::Other(_) => None,
        };
        Self { source: ask.from, destination: ask.to, protocol: ask.protocol(), about }
    }

    /// Whether the policies allow it, by definition.
    fn is_allowed(&self, policies: &PolicySet) -> bool {
        let port = if [1, 58].contains(&self.protocol) { None } else { self.about };
        let Self { source, destination, protocol, .. } = *self;
        Oracle::new(policies).decide(&Flow { source, destination, protocol, port }).allowed()
    }
}

/// Everything between all places that the kernel tracks.
fn asks(topology: &Topology) -> BTreeSet<Ask> {
    let services = |from: IpAddr, to: IpAddr| {
        let echo = if to.is_ipv4() { 8 } else { 128 };
        let mut services = vec![
            Service::Tcp(5432),
            Service::Tcp(80),
            Service::Udp(53),
            Service::Udp(5432),
            Service::Sctp(5432),
            Service::Icmp { kind: echo, code: 0 },
        ];
        // Nothing tells the two directions apart: they are one connection.
        services.extend((from < to).then_some(Service::Other(253)));
        services
    };
    let mut asks = BTreeSet::new();
    for from in topology.places() {
        for to in topology.places().iter().filter(|to| to.name != from.name) {
            for family in Family::ALL {
                let [from, to] = [from, to].map(|place| place.address(family).unwrap());
                asks.extend(services(from, to).into_iter().map(|service| Ask {
                    from,
                    to,
                    service,
                }));
            }
        }
    }
    asks
}

#[test]
fn what_the_new_policy_refuses_is_gone_and_nothing_else() {
    let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
    let scene = Scene::new();
    let asks = asks(&scene.topology);
    let prober = Prober::start(&scene.topology, &asks).unwrap();
    let all: Vec<Ask> = asks.into_iter().collect();
    let _outcomes = prober.ask(&all, &|_| &PATIENCE);
    let before = scene.connections();
    let tracked: BTreeSet<Known> = all.iter().map(Known::of).collect();
    let missing: Vec<&Known> = tracked.difference(&before).collect();
    assert_eq!(missing, Vec::<&Known>::new(), "not tracked, so nothing would be tried");

    let policies = policies(POLICIES);
    let mut audit = scene.desired(&policies);
    audit.mode = Mode::Audit;
    let mut keep = scene.desired(&policies);
    keep.settings.keep_established = true;
    for harmless in [audit, keep] {
        let revoked = scene.host().run(|| revoke(&harmless)).unwrap().unwrap();
        assert_eq!(revoked, Revoked::default());
    }
    assert_eq!(scene.connections(), before, "nothing is taken back in audit mode or where asked");

    let revoked = scene.revoke(&policies);
    let after = scene.connections();
    for known in &before {
        let is_there = after.contains(known);
        assert_eq!(is_there, known.is_allowed(&policies), "{known:?}: {revoked:?}");
    }
    assert!(before.is_superset(&after));
    let refused = tracked.iter().filter(|known| !known.is_allowed(&policies)).count();
    let kinds = |protocol, is_v4: bool| {
        let of = |known: &&&Known| known.protocol == protocol && known.source.is_ipv4() == is_v4;
        let all: Vec<&Known> = tracked.iter().filter(|known| of(&known)).collect();
        let allowed = all.iter().filter(|known| known.is_allowed(&policies)).count();
        (allowed > 0, allowed < all.len())
    };
    for (protocol, is_v4) in
        [(6, true), (6, false), (17, true), (17, false), (1, true), (58, false)]
    {
        assert_eq!(kinds(protocol, is_v4), (true, true), "{protocol}: some stay and some go");
    }
    assert!(revoked.deleted >= refused, "{revoked:?} and {refused} refused");
    assert_eq!(scene.revoke(&policies).deleted, 0, "a second time there is nothing to do");
}

/// A policy that selects `app` and lets it take (or send, `Egress`) what `rules` say.
fn policy(app: &str, direction: &str, rules: &str) -> String {
    let field = direction.to_lowercase();
    format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
         metadata: {{namespace: shop, name: {app}-{field}}}, spec: {{podSelector: {{matchLabels: \
         {{app: {app}}}}}, policyTypes: [{direction}], {field}: [{rules}]}}}}\n"
    )
}

/// A connection of a datagram.
fn datagram(source: &str, destination: &str, port: u16) -> Known {
    let [source, destination] = [source, destination].map(|address| address.parse().unwrap());
    Known { source, destination, protocol: 17, about: Some(port) }
}

#[test]
fn a_translated_connection_is_judged_as_chains_see_it() {
    let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
    let scene = Scene::new();
    scene.nft(TRANSLATION);
    let to_database = datagram("10.20.0.11", "198.51.100.9", 53);
    let from_api = datagram("10.20.0.12", "203.0.113.10", 999);
    scene.send(&scene.place("shop/web").namespace, "198.51.100.9:53");
    scene.send(&scene.place("shop/api").namespace, "203.0.113.10:999");
    assert_eq!(scene.connections(), BTreeSet::from([to_database, from_api]));

    let takes = |port| format!("{{ports: [{{protocol: UDP, port: {port}}}]}}");
    let kept =
        policies(&[policy("db", "Ingress", &takes(5432)), policy("node", "Egress", "")].concat());
    assert_eq!(scene.revoke(&kept), Revoked { looked_at: 2, deleted: 0 });
    let refused = policies(&policy("db", "Ingress", &takes(53)));
    assert_eq!(scene.revoke(&refused), Revoked { looked_at: 2, deleted: 1 });
    assert_eq!(scene.connections(), BTreeSet::from([from_api]));
    let refused = policies(&policy("api", "Egress", ""));
    assert_eq!(scene.revoke(&refused), Revoked { looked_at: 1, deleted: 1 });
}

#[test]
fn of_the_hosts_own_only_what_passes_the_uplink_is_looked_at() {
    let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
    let scene = Scene::new();
    let other = Namespace::new().unwrap();
    let plug_in = || {
        let netlink = Netlink::open().unwrap();
        netlink.add_veth("aside", &other, "eth0").unwrap();
        netlink.add_address("aside", format!("{ASIDE}/24").parse().unwrap()).unwrap();
        netlink.set_up("aside").unwrap();
    };
    scene.host().run(plug_in).unwrap();
    scene.send(scene.host(), "192.168.77.2:53");
    scene.send(scene.host(), "203.0.113.10:53");
    scene.send(scene.host(), "10.20.0.13:53");
    assert_eq!(scene.connections().len(), 3);
    let refused = policies(&policy("node", "Egress", ""));
    assert_eq!(scene.revoke(&refused), Revoked { looked_at: 3, deleted: 1 });
    let aside = datagram(ASIDE, "192.168.77.2", 53);
    let to_own_workload = datagram("10.20.0.1", "10.20.0.13", 53);
    assert_eq!(scene.connections(), BTreeSet::from([aside, to_own_workload]));
}

/// A connection between two places, both ends of it.
fn connect(
    from: &Place,
    own_port: u16,
    to: &Place,
    port: u16,
    family: Family,
) -> (TcpStream, TcpStream) {
    let [own, other] = [(from, own_port), (to, port)]
        .map(|(place, port)| SocketAddr::new(place.address(family).unwrap(), port));
    let listener = to.namespace.run(|| TcpListener::bind(other).unwrap()).unwrap();
    let open = || {
        let socket = Socket::new(Domain::for_address(own), Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&own.into()).unwrap();
        socket.connect(&other.into()).unwrap();
        TcpStream::from(socket)
    };
    let client = from.namespace.run(open).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn who_opened_a_connection_is_a_guess_only_where_its_beginning_was_not_seen() {
    let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
    let scene = Scene::new();
    let (web, db) = (scene.place("shop/web"), scene.place("shop/db"));
    let nothing =
        ["web", "db"].map(|app| [policy(app, "Ingress", ""), policy(app, "Egress", "")].concat());
    let nothing = policies(&nothing.concat());
    // Web may ask the database, and neither may open anything else.
    let peer = |direction: &str, app: &str| {
        format!(
            "{{{direction}: [{{podSelector: {{matchLabels: {{app: {app}}}}}}}], \
             ports: [{{port: 5432}}]}}"
        )
    };
    let one_way = [
        policy("web", "Ingress", ""),
        policy("web", "Egress", &peer("to", "db")),
        policy("db", "Ingress", &peer("from", "web")),
        policy("db", "Egress", ""),
    ];
    let one_way = policies(&one_way.concat());
    // Closing a connection would be tracked.
    let mut open = Vec::new();
    for family in Family::ALL {
        let (mut client, mut server) = connect(web, 40_000, db, 5432, family);
        assert_eq!(scene.revoke(&one_way), Revoked { looked_at: 1, deleted: 0 }, "{family}");
        assert_eq!(scene.revoke(&nothing), Revoked { looked_at: 1, deleted: 1 }, "{family}");
        // Only rules would stop it now, and there are none: the kernel begins to track it again,
        // and takes the database for its opener.
        server.write_all(b"!").unwrap();
        client.read_exact(&mut [0]).unwrap();
        let known = scene.connections().into_iter().next().unwrap();
        assert_eq!((known.source, known.about), (db.address(family).unwrap(), Some(40_000)));
        assert_eq!(scene.revoke(&one_way), Revoked { looked_at: 1, deleted: 0 }, "{family}");
        assert_eq!(scene.revoke(&nothing), Revoked { looked_at: 1, deleted: 1 }, "{family}");

        // The same addresses and ports, but the database has truly opened it.
        open.extend([(client, server), connect(db, 5432, web, 41_000, family)]);
        assert_eq!(scene.revoke(&one_way), Revoked { looked_at: 1, deleted: 1 }, "{family}");
    }
}
