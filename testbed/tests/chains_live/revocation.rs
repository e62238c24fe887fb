//! Connections that a new policy refuses end with its apply, whatever the kernel knows of them;
//! all others go on.

use ringfence_testbed::suite::live::Backend;
use ringfence_testbed::topology::Family;
use ringfence_testbed::workload::Transport;

use crate::conversation::Conversation;
use crate::host::{Host, PORTS, policies};

const WORKLOADS: [&str; 3] = ["client", "other", "server"];

/// Both clients may reach the server.
const BOTH: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: server}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {}}]}]
"#;

/// Only one of them may.
const ONE: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: server}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]
"#;

pub fn revoked_connections_end_and_others_go_on(backend: Backend) {
    let (both, one) = (policies(&WORKLOADS, BOTH), policies(&WORKLOADS, ONE));
    let host = Host::start(backend, &both.inventory, &[]);
    host.apply(&both);
    let begin = |from: &str| -> Vec<Conversation> {
        let kinds = Transport::ALL
            .into_iter()
            .flat_map(|transport| Family::ALL.map(|family| (transport, family)));
        kinds
            .map(|kind| Conversation::begin(&host, (from, "shop/server"), PORTS[0], kind))
            .collect()
    };
    let (mut kept, mut revoked) = (begin("shop/client"), begin("shop/other"));
    // What changes nothing ends nothing.
    host.apply(&both);
    for conversation in kept.iter_mut().chain(&mut revoked) {
        assert!(conversation.goes_on(), "{backend}: {} has ended", conversation.name);
    }
    host.apply(&one);
    for conversation in &mut revoked {
        assert!(!conversation.goes_on(), "{backend}: {} goes on", conversation.name);
    }
    for conversation in &mut kept {
        assert!(conversation.goes_on(), "{backend}: {} has ended", conversation.name);
    }
}
