//! What leads into our chains may be taken away by others.

use ringfence_dataplane::backend::{ChainState, Chained};
use ringfence_testbed::suite::live::Backend;

use crate::datagrams::{Way, arrive};
use crate::host::{Host, policies};

const WORKLOADS: [&str; 2] = ["client", "server"];

const CLOSED: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: server}
spec:
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress]
"#;

const WAY: Way = Way { from: "shop/client", to: "shop/server", port: 7001 };

/// Takes away what leads packets into our chains.
fn cut(host: &Host) {
    let lines = match host.backend {
        Backend::IptablesLegacy => {
            &["iptables-legacy -D FORWARD 1", "ip6tables-legacy -D FORWARD 1"][..]
        }
        Backend::IptablesNft | Backend::Ipset => {
            &["iptables-nft -D FORWARD 1", "ip6tables-nft -D FORWARD 1"]
        }
        _ => &["nft flush chain inet ringfence forward", "nft delete chain inet ringfence forward"],
    };
    lines.iter().for_each(|line| drop(host.command(line)));
}

pub fn a_missing_jump_is_seen_and_restored(backend: Backend) {
    let policies = policies(&WORKLOADS, CLOSED);
    let host = Host::start(backend, &policies.inventory, &[]);
    host.apply(&policies);
    let not_in_place = || -> Vec<Chained> {
        let chains = host.status().installed.chains;
        chains.into_iter().filter(|chain| chain.state != ChainState::InPlace).collect()
    };
    let is_open = |expected| arrive(&host, WAY, expected);
    assert_eq!((not_in_place(), is_open(false)), (vec![], false), "{backend}");

    cut(&host);
    let missing = not_in_place();
    assert!(!missing.is_empty(), "{backend}: status sees no difference");
    for chain in &missing {
        assert_eq!(chain.state, ChainState::Missing, "{backend}: {missing:?}");
        assert!(chain.chain.to_lowercase().contains("forward"), "{backend}: {missing:?}");
    }
    assert!(is_open(true), "{backend}: packets are led into our chains nevertheless");

    host.apply(&policies);
    assert_eq!((not_in_place(), is_open(false)), (vec![], false), "{backend}");
}
