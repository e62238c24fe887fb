//! One policy is replaced by another, again and again, under traffic: each packet meets the old
//! or the new one, never a mixture.
//!
//! Two policies refuse some packets and let others pass, all of them for other causes: an element
//! of a set in one, the default of a chain in the other; the sender's side in one, the receiver's
//! in the other. A packet that meets one policy's chain and the other's sets, or one policy's
//! egress and the other's ingress, has the wrong verdict and is seen.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use ringfence_testbed::suite::live::Backend;
use ringfence_testbed::topology::Family;

use crate::datagrams::{Flood, Way, arrive};
use crate::host::Host;

/// How often policy changes.
const SWAPS: usize = 200;
/// Time for some packets to meet each policy.
const PAUSE: Duration = Duration::from_millis(10);

const WORKLOADS: [&str; 5] = ["client", "other", "server", "sender", "receiver"];

/// The server is open but for an element that refuses `other`; the sender may only send to one
/// port, and the receiver takes everything.
const FIRST: &str = r#"
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: not-other}
spec:
  tier: Admin
  priority: 1
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: server}}}}
  ingress:
    - name: other
      action: Deny
      from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: other}}}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: sender}
spec:
  podSelector: {matchLabels: {app: sender}}
  policyTypes: [Egress]
  egress: [{ports: [{protocol: UDP, port: 7003}]}]
"#;

/// The server is closed but for an element that lets `client` in; the sender may send everything,
/// and the receiver takes only what comes to one port.
const SECOND: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: server}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{protocol: UDP, port: 7001}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: receiver}
spec:
  podSelector: {matchLabels: {app: receiver}}
  ingress: [{ports: [{protocol: UDP, port: 7003}]}]
"#;

/// What both policies let pass: by the default in one, by an element in the other.
const ALLOWED: [Way; 2] = [
    Way { from: "shop/client", to: "shop/server", port: 7001 },
    Way { from: "shop/sender", to: "shop/receiver", port: 7003 },
];
/// What both refuse: by an element in one and the default in the other; at the sender in one and
/// at the receiver in the other.
const DENIED: [Way; 2] = [
    Way { from: "shop/other", to: "shop/server", port: 7002 },
    Way { from: "shop/sender", to: "shop/receiver", port: 7004 },
];

pub fn never_a_mixture(backend: Backend) {
    let policies = [FIRST, SECOND].map(|text| crate::host::policies(&WORKLOADS, text));
    let host = Host::start(backend, &policies[0].inventory, &[]);
    for way in DENIED.iter().chain(&ALLOWED) {
        assert!(arrive(&host, *way, true), "{backend}: without policy {way:?} is closed");
    }
    // Nobody answers the packets, so the kernel remembers each of them for nothing.
    let forget_soon = || fs::write("/proc/sys/net/netfilter/nf_conntrack_udp_timeout", "1");
    host.run(forget_soon).unwrap();
    host.apply(&policies[0]);
    let ways: Vec<Way> = ALLOWED.iter().chain(&DENIED).copied().collect();
    let flood = Flood::start(&host, &ways);
    for swap in 0..SWAPS {
        host.apply(&policies[(swap + 1) % 2]);
        sleep(PAUSE);
    }
    let mut wrong = Vec::new();
    for (number, (way, count)) in flood.finish().into_iter().enumerate() {
        assert!(count.sent > SWAPS as u32, "{backend}: only {} packets of {way:?}", count.sent);
        let is_allowed = number < ALLOWED.len() * Family::ALL.len();
        let numbers = if is_allowed { count.lost() } else { count.arrived.into_iter().collect() };
        if !numbers.is_empty() {
            let what = if is_allowed { "lost" } else { "let through" };
            let (family, sent) = (count.family, count.sent);
            wrong.push(format!("{way:?}, {family}: {what} {numbers:?} of {sent}"));
        }
    }
    assert!(wrong.is_empty(), "{backend}: {wrong:#?}");
}
